"""A page's content as JSON: each answer as the command that gives it alone writes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

import klimit
from klimit.reports.audit.payload import audits_payload
from klimit.reports.ensemble.findings import EnsembleFindings
from klimit.reports.ensemble.payload import ensemble_payload
from klimit.reports.frontier.findings import gather
from klimit.reports.frontier.payload import payload
from klimit.reports.hacking.findings import HackingFindings
from klimit.reports.hacking.payload import hacking_payload
from klimit.reports.page.content import Content


def page_payload(content: Content, *, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of a page, as plain Python values; not finite numbers are still there.

    Args:
        content: of the page.
        options: what was asked for, as given.
    """
    together = content.ensemble
    if together is not None:
        findings = EnsembleFindings(together, content.by_members, content.why_no_members)
    return {
        "version": klimit.__version__,
        "options": dict(options),
        "title": content.title,
        "limit": _part(payload(gather(content.limit, content.best_of_n), options={})),
        "audits": None if content.audits is None else _part(audits_payload(content.audits, options={})),
        "hackings": [_part(hacking_payload(HackingFindings(each), options={})) for each in content.hackings],
        "ensemble": None if together is None else _part(ensemble_payload(findings, options={})),
        "diagnostics": _columns(content.diagnostics),
        "prompts": {
            "columns": [asdict(column) for column in content.prompts.columns],
            "table": _columns(content.prompts.table),
            "limiting": content.prompts.limiting,
            "never_succeed": content.prompts.never_succeed,
            "constant": content.prompts.constant,
        },
        "provenance": asdict(content.provenance),
        "notes": content.notes,
        "read": content.read,
    }


def _part(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what is said of all once."""
    return {name: value for name, value in answer.items() if name not in ("version", "options")}


def _columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    return {str(name): [_plain(value) for value in table[name].tolist()] for name in table.columns}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
