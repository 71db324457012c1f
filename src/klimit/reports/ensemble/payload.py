"""An ensemble as JSON: the keys of the Python result, each quantity ``{"estimate", "low", "high"}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import klimit
from klimit.proxies.by_members import HackingByMembers
from klimit.reports.ensemble.findings import EnsembleFindings
from klimit.reports.ensemble.text import cautions
from klimit.reports.ensemble.verdict import action, verdict

_PARTS = ("constant_prompts", "correlation", "errors", "weights", "collocation")


def ensemble_payload(findings: EnsembleFindings, *, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of an ensemble, as plain Python values; not finite numbers are still there.

    Args:
        findings: the ensemble.
        options: what was asked for, as given.
    """
    found = findings.found
    samples = found.samples
    parts = {name: getattr(found, name) for name in _PARTS}
    return {
        "version": klimit.__version__,
        "options": dict(options),
        "source": samples.source,
        "n_prompts": samples.n_prompts,
        "n_completions": samples.n_completions,
        "name": found.name,
        "proxies": list(found.proxies),
        "gold_name": found.gold_name,
        "aggregator": found.aggregator.name,
        "meaning": found.aggregator.meaning,
        "standardisation": found.standardisation,
        "level": found.level,
        "target": "population",
        **{name: _record(part) for name, part in parts.items()},
        "best_member": None if findings.best_member is None else found.proxies[findings.best_member],
        "advantage": _record(findings.advantage),
        "shared_error_of_the_mean": _record(findings.shared),
        "raw_correlation": _record(findings.raw_correlation),
        "hacking_by_members": None if findings.hacked is None else _by_members(findings.hacked),
        "verdict": " ".join(verdict(findings)),
        "action": action(findings),
        "warnings": cautions(findings),
        "notes": list(samples.notes),
    }


def _record(part: Any) -> Any:
    return asdict(part) if is_dataclass(part) and not isinstance(part, type) else part


def _by_members(hacked: HackingByMembers) -> dict[str, Any]:
    return {
        "kl": hacked.kl,
        "kl_unit": "nats per completion",
        "gold_limit": asdict(hacked.gold_limit),
        "size": hacked.size,
        "total": hacked.total,
        "subsets": [[asdict(subset) for subset in same] for same in hacked.subsets],
    }
