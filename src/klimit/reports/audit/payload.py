"""Audits as JSON: the keys are those of the Python results, every quantity ``{"estimate", "low", "high"}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np

import klimit
from klimit.audits.result import PART_NAMES, Audit, Audits
from klimit.reports.audit.action import action
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.report import Report
from klimit.reports.audit.text import cautions
from klimit.reports.audit.verdict import verdict
from klimit.reports.frontier.findings import gather
from klimit.reports.frontier.payload import payload, policy_payload
from klimit.values import Value

_QUANTITIES = tuple(field.name for field in fields(Audit) if str(field.type).startswith("Value"))
# What a report on the limit alone says, but one on policies says otherwise or once for all.
_OWN = (
    "version",
    "options",
    "verdict",
    "action",
    "notes",
    "warnings",
    "best_of_n",
    "kl_unit",
    "kl_direction",
)


def audits_payload(audits: Audits, *, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of an audit, as plain Python values; not finite numbers are still there.

    Args:
        audits: the accounts.
        options: what was asked for, as given.
    """
    report, first = Report.of(audits), audits[0]
    limit = payload(gather(audits.limit, audits.best_of_n), options={})
    return {
        "version": klimit.__version__,
        "options": dict(options),
        "reward_name": first.reward_name,
        "transform": first.transform,
        "level": first.level,
        "target": "population",
        "kl_unit": "nats per completion",
        "kl_direction": "KL(policy || base)",
        "policies": [policy_account(audit) for audit in audits],
        "limit": {name: value for name, value in limit.items() if name not in _OWN},
        "best_of_n": policy_payload(audits.best_of_n),
        "verdict": " ".join(report.verdict),
        "action": report.action,
        "warnings": report.cautions,
        "notes": list(dict.fromkeys(note for audit in audits for note in audit.notes)),
    }


def policy_account(audit: Audit) -> dict[str, Any]:
    """One policy's account; null for what its samples do not carry."""
    findings = AuditFindings(audit)
    return {
        "name": audit.name,
        "source": audit.policy.source,
        "status": audit.status,
        "n_prompts": audit.n_prompts,
        "n_completions": audit.policy.n_completions,
        "kl_estimator": audit.kl_estimator,
        "kl_estimates": {name: _value(value) for name, value in audit.kl_estimates.items()},
        **{name: _value(getattr(audit, name)) for name in _QUANTITIES},
        "parts": _parts(findings),
        "regression": None
        if audit.regression is None
        else {
            name: _value(getattr(audit.regression, name)) for name in ("slope", "implied_beta", "r_squared")
        },
        "idle": {
            "prompt_ids": audit.policy.prompt_ids[np.flatnonzero(audit.prompts.idle)],
            "share_of_kl": findings.idle_share,
        },
        "rival": None if findings.rival is None else asdict(findings.rival),
        "verdict": " ".join(verdict(findings)),
        "action": action(findings),
        "warnings": cautions(findings),
        "notes": list(audit.notes),
    }


def _parts(findings: AuditFindings) -> dict[str, Any] | None:
    parts = findings.audit.parts
    if parts is None:
        return None
    return {
        **{name: _value(getattr(parts, name)) for name in PART_NAMES},
        "shape_and_off_reward": _value(findings.beside_the_point),
        "resolved": parts.resolved,
        "bins": parts.bins,
    }


def _value(value: Value | None) -> dict[str, float] | None:
    return None if value is None else {"estimate": value.estimate, "low": value.low, "high": value.high}
