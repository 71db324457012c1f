"""The tables that stand on a page as text, so that they can be read without a script, aloud, and on paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

from klimit.audits.result import Audits
from klimit.reports.audit.several import SeveralFindings
from klimit.reports.frontier.findings import Findings
from klimit.reports.hacking.findings import HackingFindings
from klimit.reports.numbers import kl_text, percent, plural
from klimit.reports.page.content import Content
from klimit.reports.values import share, short_name


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        caption: what it shows.
        head: of the columns; the first names the rows.
        rows: as many texts each.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def limit_table(findings: Findings) -> Table:
    """The limit at round budgets."""
    limit, form = findings.limit, findings.numbers
    rows = []
    for point in findings.points:
        if point.status == "estimate":
            gain = form.estimate(point.gain, point.gain_low, point.gain_high)
        elif math.isfinite(point.gain_high):
            gain = f"{form.gain(point.gain_low)} to {form.gain(point.gain_high)}"
        else:
            gain = f"at least {form.gain(point.gain_low)}"
        beta = form.price(point.beta) if point.status == "estimate" else "-"
        status = "estimate" if point.status == "estimate" else "bounds only"
        rows.append((kl_text(point.kl), gain, beta, status))
    head = ("KL, nats", f"limit gain [{100 * limit.level:g}%]", "beta", "status")
    return Table("The limit at round budgets", head, tuple(rows))


def policies_table(audits: Audits) -> Table:
    """What each policy got for its KL."""
    findings = SeveralFindings(audits)
    unit, gains = findings.nats, findings.gains
    rows = []
    for audit in audits:
        parts = audit.parts
        spent = ["-"] * 3
        if parts is not None:
            spent = [unit.part(value) for value in (parts.allocation, parts.shape, parts.off_reward)]
        rows.append(
            (
                audit.name,
                "unknown" if audit.kl is None else unit.full(audit.kl),
                gains.full(audit.gain),
                share(audit.efficiency),
                unit.full(audit.least_kl),
                *spent,
            )
        )
    level = f"[{100 * audits[0].level:g}%]"
    head = (
        "policy",
        f"KL, nats {level}",
        f"gain {level}",
        "of the limit",
        "needed KL",
        "allocation",
        "shape",
        "off-reward",
    )
    return Table("What each policy got for its KL, and where the rest went (nats)", head, tuple(rows))


def hacking_table(findings: HackingFindings) -> Table | None:
    """Gold along the proxy's tilt; None where no tilt can be trusted."""
    found = findings.found
    rows = []
    for row in findings.rows:
        limit = "-" if math.isnan(row.gold_limit.estimate) else findings.gain(row.gold_limit)
        rows.append(
            (
                kl_text(row.kl),
                f"{row.beta:.3g}",
                findings.proxies.number(row.proxy_gain),
                findings.gain(row.gold_gain),
                limit,
            )
        )
    if not rows:
        return None
    level = f"[{100 * found.level:g}%]"
    proxy, gold = short_name(found.proxy_name), short_name(found.gold_name)
    head = ("KL, nats", "beta", proxy, f"{gold} {level}", f"limit of {gold}")
    return Table(f"Gains along the tilt by {found.proxy_name}", head, tuple(rows))


def diagnostics_table(content: Content) -> Table | None:
    """How well the samples carry the limit, up to the horizon."""
    along = content.diagnostics
    if not len(along):
        return None
    rows = []
    for row in along.to_dict("records"):
        tail = (
            "-"
            if math.isnan(row["pareto_k"])
            else f"{row['pareto_k']:.2f}, {row['pareto_k_most']:.2f} at most"
        )
        heavy = "-" if not row["tails"] else f"{row['heavy']:,} of {plural(int(row['tails']), 'prompt')}"
        rows.append((kl_text(row["kl"]), _share(row["ess"]), _share(row["ess_least"]), tail, heavy))
    head = ("KL, nats", "ESS, mean of prompts", "ESS, least", "k-hat, median", "k-hat above 0.7")
    return Table("How well the samples carry the limit, up to the horizon", head, tuple(rows))


def _share(value: float) -> str:
    return "-" if math.isnan(value) else percent(value)
