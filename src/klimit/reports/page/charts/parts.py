"""Where each policy's KL went, one stacked bar a policy."""

from __future__ import annotations

from typing import Any

import numpy as np

from klimit.audits.result import Audits
from klimit.reports.audit.bars import PARTS, segments
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.several import SeveralFindings
from klimit.reports.page.charts.chart import Chart, axis, bars, escaped, hovering, number, numbers
from klimit.reports.values import short_name

# Colour and pattern of each part: told apart in greyscale too.
_LOOKS = {
    "necessary": ("@limit", ""),
    "allocation": ("@allocation", "/"),
    "shape": ("@shape", "."),
    "off-reward": ("@offreward", "x"),
    "shape + off-reward": ("@offreward", "\\"),
    "unknown": ("@bracket", ""),
}
_ROOMY = 0.15  # of the axis: a segment that has room for its number, on a phone too
_BELOW = 0.41  # of a row: under the bar, where no number stands


def parts(audits: Audits) -> Chart | None:
    """The chart; None where no policy's KL is known."""
    shown = [audit for audit in audits if audit.kl is not None]
    if not shown:
        return None
    unit = SeveralFindings(audits).nats
    rows = list(range(len(shown)))
    names = [escaped(short_name(audit.name)) for audit in shown]
    widths = [segments(audit) for audit in shown]
    ends = [_end(audit) for audit in shown]
    right = 1.06 * max([*ends, *(sum(each.values()) for each in widths)]) or 1.0
    chart = Chart(
        key="parts",
        title="Where did each policy's KL go?",
        caption=(
            "Each bar is a policy's KL. The first part is what its gain needs; the others are KL spent on the wrong "
            "prompts (allocation), on another law of the reward than the best one (shape), and on changes that the "
            "reward does not see (off-reward). The thin line below is the whole KL with its interval."
        ),
        tables=("policies",),
        height=150 + 56 * len(shown),
        layout={
            "barmode": "stack",
            "bargap": 0.36,
            "xaxis": axis("KL(policy || base), nats per completion", 0.0, right),
            "yaxis": {
                "range": [len(shown) - 0.4, -0.5],
                "tickvals": rows,
                "ticktext": names,
                "ticks": "outside",
                "ticklen": 7,
                "tickcolor": "@paper",
                "zeroline": False,
                "showgrid": False,
                "automargin": True,
                "tickfont": {"size": 14},
            },
        },
    )
    for part, words in PARTS.items():
        color, pattern = _LOOKS[part]
        values = [each.get(part, 0.0) for each in widths]
        if not any(values):
            continue
        told = [AuditFindings(audit).told_apart.get(part) for audit in shown]
        hover = [
            f"{audit.name}: {words}\n{unit.full(value, 'nats') if value is not None else unit.number(width) + ' nats'}"
            for audit, value, width in zip(shown, told, values, strict=True)
        ]
        chart.add(words, part, color, _bar(rows, values, hover, color, pattern, right, unit))
    whole = {
        "mode": "markers",
        "x": numbers(audit.kl.estimate for audit in shown if audit.kl is not None),
        "y": [row + _BELOW for row in rows],
        "marker": {"symbol": "line-ns", "size": 9, "line": {"width": 2, "color": "@text"}},
        "error_x": bars(
            [audit.kl.estimate for audit in shown if audit.kl is not None],
            [audit.kl.low for audit in shown if audit.kl is not None],
            [audit.kl.high for audit in shown if audit.kl is not None],
            "@text",
        ),
        **hovering([f"{audit.name}: KL {unit.full(audit.kl, 'nats')}" for audit in shown]),
    }
    chart.add("whole KL, interval", "line", "@text", whole)
    return chart


def _bar(
    rows: list[int],
    values: list[float],
    hover: list[str],
    color: str,
    pattern: str,
    right: float,
    unit: Any,
) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "y": rows,
        "x": [number(value) for value in values],
        "text": [unit.number(value) if value > _ROOMY * right else "" for value in values],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "textfont": {"color": "@onlimit" if color == "@limit" else "@onpart", "size": 14},
        "marker": {
            "color": color,
            "line": {"color": "@text", "width": 0.8},
            "pattern": {
                "shape": pattern,
                "fgcolor": "@partline",
                "bgcolor": color,
                "size": 9,
                "solidity": 0.12,
                "fgopacity": 0.55,
            },
        },
        **hovering(hover),
    }


def _end(audit: Any) -> float:
    high = audit.kl.high
    return float(high if np.isfinite(high) else audit.kl.estimate)
