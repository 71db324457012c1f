"""The answers of a page in words: each answer's verdict first, what to do about it last."""

from __future__ import annotations

from dataclasses import dataclass

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

# What other commands call by options that a page has no use for.
_HERE = {
    "(--prompts-csv, column idle)": "(column idle in the table of prompts)",
    "--aggregate": "klimit ensemble --aggregate",
}


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        topic: what it is about, in a word or two.
        place: id of the section of the page that shows it.
        verdict: sentences, the first thing to be read.
        action: what to do about it; empty where the answers after it say so.
        folded: whether all but the first sentence is folded away at first, for there are many like it.
    """

    topic: str
    place: str
    verdict: tuple[str, ...]
    action: str
    folded: bool = False


def page_words(content: Content) -> str:
    """The answers, in 80 columns, ending in a newline; then the notes."""
    parts = [
        "\n".join(wrap(line, indent="  ") for line in (*each.verdict, *_next(each)))
        for each in answers(content)
    ]
    notes = [wrap(f"! {line}", indent="  ") for line in content.notes]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def answers(content: Content) -> list[Answer]:
    """Every answer on the page, in its order."""
    limit = gather(content.limit, content.best_of_n)
    found = [Answer("In short", "plane", content.lead, "")] if content.lead else []
    found.append(Answer("The limit", "plane", tuple(of_limit.verdict(limit)), of_limit.action(limit)))
    if content.audits is not None:
        audits = AuditReport.of(content.audits)
        topic = "The policies" if len(content.audits) > 1 else "The policy"
        found.append(Answer(topic, "policies", tuple(audits.verdict), _here(audits.action)))
    for place, each in enumerate(content.hackings):
        findings = HackingFindings(each)
        topic = f"Proxy {each.proxy_name}"
        found.append(
            Answer(
                topic, f"hacking-{place}", tuple(about_proxy(findings)), of_proxy(findings), folded=place > 1
            )
        )
    if content.ensemble is not None:
        together = EnsembleFindings(content.ensemble, content.by_members, content.why_no_members)
        verdict = tuple(of_ensemble.verdict(together))
        found.append(Answer("The ensemble", "ensemble", verdict, _here(of_ensemble.action(together))))
    return found


def _next(answer: Answer) -> list[str]:
    return [f"Next: {answer.action}"] if answer.action else []


def _here(action: str) -> str:
    for elsewhere, words in _HERE.items():
        action = action.replace(elsewhere, words)
    return action
