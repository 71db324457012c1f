"""The report of an audit, whether of one policy or of several."""

from __future__ import annotations

from dataclasses import dataclass

from klimit.audits.result import Audits
from klimit.reports.audit.action import action
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.several import (
    SeveralFindings,
    several_action,
    several_cautions,
    several_verdict,
)
from klimit.reports.audit.several_text import several_report
from klimit.reports.audit.text import audit_report, cautions
from klimit.reports.audit.verdict import verdict


@dataclass(frozen=True)
class Report:
    """What an audit says.

    Attributes:
        verdict: sentences, the first thing to be read.
        action: what to do next, the last.
        cautions: warnings, one line each.
        text: all of it, with tables, in 80 columns; ends in a newline.
    """

    verdict: list[str]
    action: str
    cautions: list[str]
    text: str

    @classmethod
    def of(cls, audits: Audits) -> Report:
        """The report of one policy or of several."""
        if len(audits) == 1:
            one = AuditFindings(audits[0])
            return cls(verdict(one), action(one), cautions(one), audit_report(one))
        all_ = SeveralFindings(audits)
        return cls(several_verdict(all_), several_action(all_), several_cautions(all_), several_report(all_))
