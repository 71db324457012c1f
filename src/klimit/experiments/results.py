"""What came out of an experiment, as plain values: each policy and best-of-N beside the limit at its own KL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from klimit.audits.result import Audit, Audits
from klimit.experiments.place import policy_of, samples_of
from klimit.experiments.recipe import Recipe, Run
from klimit.policies.curve import PolicyCurve
from klimit.reports.audit.payload import policy_account
from klimit.values import Value

_TOLD = (
    "status",
    "kl",
    "gain",
    "efficiency",
    "missing_reward",
    "wasted_kl",
    "least_kl",
    "reward",
    "win_rate",
    "truncated",
    "parts",
)


@dataclass(frozen=True, eq=False)
class Found:
    """What came out.

    Attributes:
        recipe: of the experiment.
        spread: of the trained reward within prompts; None where betas are absolute.
        audits: the policies against the limit of the reward that is meant, in the order of the recipe's runs.
        trained: the same against the limit of the reward that was trained on; None where that is the one meant.
        best_of_n: of the base model, by the reward that is meant.
    """

    recipe: Recipe
    spread: float | None
    audits: Audits
    trained: Audits | None
    best_of_n: PolicyCurve


def names_of(recipe: Recipe, spread: float | None) -> tuple[str, ...]:
    """What the runs are called, each differently."""
    names = tuple(run.label(spread, seeds=len(recipe.seeds) > 1) for run in recipe.runs)
    return names if len(set(names)) == len(names) else tuple(run.slug for run in recipe.runs)


def rows_of(found: Found) -> list[dict[str, Any]]:
    """The policies, one row each."""
    rows = []
    for place, (run, audit) in enumerate(zip(found.recipe.runs, found.audits, strict=True)):
        row = {**_run(run, found.spread), "name": audit.name, **_account(audit)}
        if found.trained is not None:
            row["by_trained_reward"] = _account(found.trained[place])
        rows.append(row)
    return rows


def best_of_n_rows(best: PolicyCurve) -> list[dict[str, Any]]:
    """Best-of-N, one row an N."""
    return [
        {"n": int(best.n[i]), **{name: _of_curve(best, name, i) for name in ("kl", "gain", "efficiency")}}
        for i in range(len(best))
    ]


def value_of(row: Mapping[str, Any], name: str) -> Value | None:
    """A quantity of a row as a value again."""
    known = row[name]
    return None if known is None else Value(known["estimate"], known["low"], known["high"])


def _run(run: Run, spread: float | None) -> dict[str, Any]:
    return {
        "trainer": run.trainer,
        "beta": run.beta if spread is None else run.beta * spread,
        "beta_in_spreads": run.beta if run.in_spreads else None,
        "seed": run.seed,
        "folder": policy_of(run),
        "samples": samples_of(run),
    }


def _account(audit: Audit) -> dict[str, Any]:
    known = policy_account(audit)
    return {name: known[name] for name in _TOLD}


def _of_curve(best: PolicyCurve, name: str, i: int) -> dict[str, float]:
    return {
        "estimate": float(getattr(best, name)[i]),
        "low": float(getattr(best, f"{name}_low")[i]),
        "high": float(getattr(best, f"{name}_high")[i]),
    }
