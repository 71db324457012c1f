"""A proxy against gold as JSON: the keys of the Python result, each quantity ``{"estimate", "low", "high"}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np

import klimit
from klimit.proxies.result import Hacking
from klimit.reports.hacking.action import action
from klimit.reports.hacking.findings import HackingFindings
from klimit.reports.hacking.text import cautions
from klimit.reports.hacking.verdict import verdict
from klimit.values import Value

_NAMES = ("proxy_name", "gold_name", "level", "n_labels", "labels_needed", "horizon")


def hacking_payload(findings: HackingFindings, *, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of a result, as plain Python values; not finite numbers are still there.

    Args:
        findings: the result.
        options: what was asked for, as given.
    """
    found = findings.found
    samples = found.samples
    return {
        "version": klimit.__version__,
        "options": dict(options),
        "source": samples.source,
        "n_prompts": samples.n_prompts,
        "n_completions": samples.n_completions,
        **{name: getattr(found, name) for name in _NAMES},
        "target": "population",
        "kl_unit": "nats per completion",
        "kl_direction": "KL(policy || base)",
        **hacking_quantities(found),
        "gap": None if findings.gap is None else asdict(findings.gap),
        "verdict": " ".join(verdict(findings)),
        "action": action(findings),
        "warnings": cautions(findings),
        "notes": list(samples.notes),
    }


def hacking_quantities(found: Hacking) -> dict[str, Any]:
    """Values, best settings, and arrays along the tilt and along the selections."""
    of_type: dict[str, Any] = {}
    for field in fields(Hacking):
        value = getattr(found, field.name)
        if isinstance(value, Value | np.ndarray):
            of_type[field.name] = asdict(value) if isinstance(value, Value) else value
    poisson = found.best_of_poisson
    return {
        **of_type,
        "best": asdict(found.best),
        "best_of_n": asdict(found.best_of_n),
        "best_of_poisson": None if poisson is None else asdict(poisson),
    }
