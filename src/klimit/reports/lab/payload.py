"""A world's limit and policies as JSON: exact numbers, each beside its estimate ``{"estimate", "low", "high"}``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import klimit
from klimit.lab.findings import LabFindings, LimitRow, PolicyRow


def lab_payload(findings: LabFindings) -> dict[str, Any]:
    """Everything, as plain Python values; not finite numbers are still there."""
    world = findings.world
    return {
        "version": klimit.__version__,
        "world": world.task.name,
        "recipe": world.recipe.to_dict(),
        "prompts": findings.prompts,
        "n_prompts": len(world.rewards(prompts=findings.prompts)),
        "n_completions_enumerated": world.tree.n_leaves,
        "estimates_from": asdict(findings.drawn),
        "level": findings.frontier.level,
        "horizon": findings.frontier.horizon,
        "kl_unit": "nats per completion",
        "kl_direction": "KL(policy || base)",
        "base_reward": world.limit(prompts=findings.prompts).mean_reward,
        "limit": [limit_row(row, findings.frontier.horizon) for row in findings.limit],
        "policies": [policy_row(row) for row in findings.policies],
    }


def limit_row(row: LimitRow, horizon: float) -> dict[str, Any]:
    """One budget."""
    status = "estimate" if row.kl <= horizon else "bracket"
    return {"kl": row.kl, "gain": row.gain, "gain_estimate": asdict(row.estimate), "status": status}


def policy_row(row: PolicyRow) -> dict[str, Any]:
    """One policy."""
    named = {name: None if value is None else asdict(value) for name, value in row.estimates.items()}
    return {
        "name": row.name,
        "kind": row.kind,
        "beta": row.beta,
        "seed": row.seed,
        **row.exact,
        "parts": row.parts,
        "estimates": {**named, "parts": {name: asdict(v) for name, v in row.part_estimates.items()}},
    }
