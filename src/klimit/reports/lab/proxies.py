"""What the world's proxies cost in gold, in words: each optimised as well as can be, and means of several."""

from __future__ import annotations

from collections.abc import Sequence

from klimit.lab.proxies import ProxyRow
from klimit.reports.lab.columns import columns
from klimit.reports.numbers import kl_text, percent


def proxies_table(rows: Sequence[ProxyRow]) -> list[str]:
    """Gold's gain of each proxy's tilt, of the most that gold could gain at that KL."""
    if not rows:
        return []
    head = ["", "correlation", *(f"KL {kl}" for kl in rows[0].at_kl), "gold turns at"]
    body = [
        [
            row.name,
            f"{row.correlation:.2f}",
            *(percent(at["gain"] / at["limit"]) for at in row.at_kl.values()),
            "never" if row.peak_kl is None else f"{kl_text(row.peak_kl)} nats",
        ]
        for row in rows
    ]
    return ["Proxies optimised as well as can be: gold gained, of the limit", *columns([head, *body]), ""]
