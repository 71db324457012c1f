"""Several audits in words and two tables: verdict first, one action last, 80 columns."""

from __future__ import annotations

from klimit.audits.result import Audit
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.several import SeveralFindings, several_action, several_cautions, several_verdict
from klimit.reports.audit.text import what_was_read
from klimit.reports.layout import table, wrap
from klimit.reports.numbers import nats, percent
from klimit.reports.values import share, short_name


def several_report(findings: SeveralFindings) -> str:
    """The report of several policies, ending in a newline."""
    lines = [
        *(wrap(line, indent="  ") for line in several_verdict(findings)),
        "",
        *gain_table(findings),
        "",
        *([*parts_table(findings), ""] if findings.any_kl else []),
        *(wrap(line, indent="  ") for line in _legend(findings)),
        "",
        *(wrap(f"! {line}", indent="  ") for line in several_cautions(findings)),
        wrap(f"Next: {several_action(findings)}", indent="  "),
    ]
    return "\n".join(lines) + "\n"


def gain_table(findings: SeveralFindings) -> list[str]:
    """KL, gain and efficiency with their intervals, one row a policy; without any KL, gain and least KL."""
    level = f"{100 * findings.main.level:g}%"
    if not findings.any_kl:
        rows: list[tuple[str, ...]] = [("policy", f"gain [{level}]", "needs, nats")]
        for audit in findings.audits:
            rows.append(
                (short_name(audit.name), findings.gains.full(audit.gain), findings.nats.full(audit.least_kl))
            )
        return table(rows)
    rows = [("policy", f"KL, nats [{level}]", "gain", "of the limit")]
    for audit in findings.audits:
        cells = (findings.nats.full(audit.kl), findings.gains.full(audit.gain), share(audit.efficiency))
        rows.append((short_name(audit.name), *cells))
    return table(rows)


def parts_table(findings: SeveralFindings) -> list[str]:
    """The parts of every policy's KL, one row each; truncation where it is known."""
    cut = any(audit.truncated is not None for audit in findings.audits)
    head = ["policy", "needs", "allocation", "shape", "off-reward"]
    rows: list[tuple[str, ...]] = [(*head, "truncated") if cut else tuple(head)]
    for audit in findings.audits:
        cells = [short_name(audit.name), findings.nats.short(audit.least_kl), *_parts(findings, audit)]
        if cut:
            cells.append("-" if audit.truncated is None else percent(audit.truncated.estimate))
        rows.append(tuple(cells))
    return table(rows)


def _parts(findings: SeveralFindings, audit: Audit) -> list[str]:
    parts, unit = audit.parts, findings.nats
    if parts is None:
        return ["-", "-", "-"]
    if parts.resolved:
        return [unit.part(value) for value in (parts.allocation, parts.shape, parts.off_reward)]
    both = AuditFindings(audit).beside_the_point
    assert both is not None
    return [unit.part(parts.allocation), f"{unit.part(both)} (both)", ""]


def _legend(findings: SeveralFindings) -> list[str]:
    known = [audit for audit in findings.audits if audit.kl is not None]
    estimators = dict.fromkeys(AuditFindings(audit).estimator for audit in known)
    lines = [f"Read: {what_was_read(findings.main)}."]
    if estimators:
        lines.append(
            f"KL(policy || base) in nats per completion, by {', '.join(estimators)}: what the gain needs, what "
            "went to the wrong prompts (allocation), to another law of the reward (shape), and to what the reward "
            "does not see (off-reward). Their intervals: --json."
        )
    lines.append("Intervals are about the population of prompts; differences are taken prompt by prompt.")
    horizon = findings.audits.limit.horizon
    if horizon > 0:
        lines.append(f"The limit is estimated up to {nats(horizon)} (its horizon), bounded beyond.")
    return lines
