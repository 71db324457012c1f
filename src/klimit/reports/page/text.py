"""The answers of a page in words, for the terminal: each answer's verdict first, what to do about it last."""

from __future__ import annotations

from collections.abc import Iterator

from klimit.reports.audit.report import Report as AuditReport
from klimit.reports.ensemble import verdict as of_ensemble
from klimit.reports.ensemble.findings import EnsembleFindings
from klimit.reports.frontier import verdict as of_limit
from klimit.reports.frontier.findings import gather
from klimit.reports.hacking.action import action as of_proxy
from klimit.reports.hacking.findings import HackingFindings
from klimit.reports.hacking.verdict import verdict as about_proxy
from klimit.reports.layout import wrap
from klimit.reports.page.content import Content


def page_words(content: Content) -> str:
    """The verdicts, in 80 columns, ending in a newline; then the notes."""
    parts = [
        "\n".join([*(wrap(line, indent="  ") for line in verdict), wrap(f"Next: {action}", indent="  ")])
        for verdict, action in answers(content)
    ]
    notes = [wrap(f"! {line}", indent="  ") for line in content.notes]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def answers(content: Content) -> Iterator[tuple[list[str], str]]:
    """Verdict and action of every answer on the page, in its order."""
    limit = gather(content.limit, content.best_of_n)
    yield of_limit.verdict(limit), of_limit.action(limit)
    if content.audits is not None:
        audits = AuditReport.of(content.audits)
        yield audits.verdict, audits.action
    for each in content.hackings:
        findings = HackingFindings(each)
        yield about_proxy(findings), of_proxy(findings)
    if content.ensemble is not None:
        together = EnsembleFindings(content.ensemble, content.by_members, content.why_no_members)
        yield of_ensemble.verdict(together), of_ensemble.action(together)
