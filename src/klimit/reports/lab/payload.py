"""A world's limit and policies as JSON: exact numbers, each beside its estimate ``{"estimate", "low", "high"}``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import klimit
from klimit.lab.findings import QUANTITIES, LabFindings, LimitRow, PolicyRow
from klimit.lab.proxies import ProxyRow
from klimit.lab.runs import settings
from klimit.lab.study import Trained


def lab_payload(
    findings: LabFindings, trained: Sequence[Trained] = (), proxies: Sequence[ProxyRow] = ()
) -> dict[str, Any]:
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
        "policies": [
            *(policy_row(row) for row in findings.policies),
            *(trained_row(findings, each) for each in trained),
        ],
        "curves": [curve(each) for each in trained],
        "proxies": [asdict(row) for row in proxies],
    }


def trained_row(findings: LabFindings, trained: Trained) -> dict[str, Any]:
    """A trained policy: its row, the one on training prompts, how it was trained and whether that came to rest."""
    convergence, world = trained.convergence, findings.world
    row = policy_row(trained.rows[findings.prompts])
    if "train" in trained.rows and findings.prompts != "train":
        there = policy_row(trained.rows["train"])
        row["on_training_prompts"] = {name: there[name] for name in (*QUANTITIES, "parts", "estimates")}
    return {
        **row,
        "trained_on": trained.plan.reward,
        "beta_in_spreads": trained.plan.multiple,
        "training": settings(world, trained.plan).to_dict(),
        "objective": {**asdict(convergence), "change": convergence.change, "settled": convergence.settled},
    }


def curve(trained: Trained) -> dict[str, Any]:
    """A run along its way, exact: as many of its steps as were enumerated."""
    plan = trained.plan
    return {
        "name": plan.name,
        "kind": plan.kind,
        "beta": plan.beta,
        "seed": plan.seed,
        "points": [
            {
                "step": point.step,
                "samples": point.samples,
                "objective": point.share,
                **{
                    which: {
                        **exact,
                        "missing_reward": exact["limit_gain"] - exact["gain"],
                        "parts": point.parts[which],
                    }
                    for which, exact in point.exact.items()
                },
            }
            for point in trained.points
        ],
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
