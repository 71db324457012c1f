"""The report as JSON: the keys are those of the Python results, the numbers the same to the last digit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

import klimit
from klimit.policies.curve import PolicyCurve
from klimit.reports.frontier.findings import Findings
from klimit.reports.frontier.text import cautions
from klimit.reports.frontier.verdict import action, verdict

_ALONG = ("kl", "gain", "gain_low", "gain_high", "reward", "beta", "status")


def payload(findings: Findings, *, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of a report, as plain Python values; not finite numbers are still there.

    Args:
        findings: what is reported.
        options: what was asked for, as given.
    """
    limit = findings.limit
    samples, top = limit.samples, limit.saturation
    return {
        "version": klimit.__version__,
        "options": dict(options),
        "source": samples.source,
        "reward_name": limit.reward_name,
        "transform": limit.transform,
        "n_prompts": limit.n_prompts,
        "n_completions": samples.n_completions,
        "completions_per_prompt": {
            "min": int(samples.counts.min()),
            "median": float(np.median(samples.counts)),
            "max": int(samples.counts.max()),
        },
        "base_reward": limit.base_reward,
        "base_reward_error": limit.base_reward_error,
        "reward_max": limit.reward_max,
        "budget": limit.budget,
        "target": limit.inference.target,
        "level": limit.level,
        "seed": limit.seed,
        "estimator": limit.inference.name,
        "kl_unit": "nats per completion",
        "kl_direction": "KL(policy || base)",
        "horizon": limit.horizon,
        "horizon_reason": limit.horizon_reason,
        **{name: getattr(limit, name) for name in _ALONG},
        "square_root_law": limit.square_root_law(limit.kl),
        "next_term": limit.next_term(limit.kl),
        "best_of_n": policy_payload(findings.best),
        "saturation": {
            "gain": top.gain,
            "kl": top.kl,
            "standard_error": top.standard_error,
            "status": top.status,
            "seen_once": samples.prompt_ids[top.seen_once],
            "below_max": samples.prompt_ids[top.below_max],
        },
        "constant": findings.constant,
        "verdict": {"text": " ".join(verdict(findings)), **_attributes(findings.main)},
        "action": action(findings),
        "notes": list(samples.notes),
        "warnings": cautions(findings),
    }


def policy_payload(curve: PolicyCurve) -> dict[str, Any]:
    """A policy's settings and arrays, under the names of :class:`klimit.policies.PolicyCurve`."""
    values = _attributes(curve)
    return {**values.pop("parameters"), **values}


def to_json(content: Mapping[str, Any]) -> str:
    """Strict JSON, one key a line: numbers that are not finite become null, arrays lists."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(_plain(part), allow_nan=False)}" for name, part in content.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _attributes(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)
