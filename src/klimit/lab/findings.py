"""A world's exact numbers beside what klimit estimates from samples: the limit, best-of-N, and checkpoints.

Samples are drawn from the enumerated laws: prompts with replacement from those of the world, completions from the
models. The population of prompts is then the world's prompts themselves, and the exact numbers are what the intervals
are about.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import klimit
from klimit.audits.result import Audit
from klimit.errors import InputError, KlimitWarning
from klimit.lab.world import Law, Which, World
from klimit.limit.result import Frontier
from klimit.testsystems import PolicyTables
from klimit.testsystems.policy_levels import kl_rows
from klimit.values import Value

BUDGETS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0)
SIZES = (2, 4, 8, 16, 32)
QUANTITIES = ("kl", "gain", "efficiency")
EXACT = (*QUANTITIES, "limit_gain")
PARTS = ("necessary", "allocation", "shape", "off_reward")


@dataclass(frozen=True)
class Drawn:
    """What estimates are from.

    Attributes:
        n_prompts: drawn with replacement from the world's.
        n_completions: of each, by each model.
        seed: of the draws.
    """

    n_prompts: int = 300
    n_completions: int = 64
    seed: int = 0


@dataclass(frozen=True)
class LimitRow:
    """The limit at one KL budget.

    Attributes:
        kl: nats per completion.
        gain: exactly.
        estimate: of the gain; a range beyond the horizon.
    """

    kl: float
    gain: float
    estimate: Value


@dataclass(frozen=True)
class PolicyRow:
    """A policy on the plane of KL and gain.

    Attributes:
        name: what it is called.
        kind: ``"best-of-n"``, or how it was trained.
        beta: the KL penalty that it was trained with; None for best-of-N.
        seed: of its training; None likewise.
        exact: ``kl``, ``gain``, ``efficiency`` and ``limit_gain``, the most gain at that KL.
        parts: where the KL went, exactly, by name.
        estimates: of the first three, by name; None where there is none to be had.
        part_estimates: of ``parts``; empty for best-of-N, which is estimated from the base model's samples alone.
    """

    name: str
    kind: str
    beta: float | None
    seed: int | None
    exact: dict[str, float]
    parts: dict[str, float]
    estimates: dict[str, Value | None]
    part_estimates: dict[str, Value]


@dataclass(frozen=True, eq=False)
class LabFindings:
    """A world's limit and policies, exact and estimated.

    Attributes:
        world: where.
        prompts: on which of its prompts.
        drawn: what the estimates are from.
        frontier: the estimated limit.
        limit: rows of the limit.
        policies: rows of policies.
    """

    world: World
    prompts: Which
    drawn: Drawn
    frontier: Frontier
    limit: tuple[LimitRow, ...]
    policies: tuple[PolicyRow, ...]


def find(
    world: World,
    *,
    prompts: Which = "held_out",
    kl: Sequence[float] = BUDGETS,
    sizes: Sequence[int] = SIZES,
    drawn: Drawn | None = None,
) -> LabFindings:
    """The limit of a world's gold reward and its best-of-N, exact and estimated.

    Args:
        world: where.
        prompts: on which of its prompts.
        kl: budgets, nats per completion.
        sizes: N of best-of-N.
        drawn: what estimates are from.

    Raises:
        InputError: an N is above the completions drawn, or there are no such prompts.
    """
    settings = drawn or Drawn()
    if max(sizes) > settings.n_completions:
        raise InputError(
            f"N is {max(sizes)}: best-of-N is estimated from {settings.n_completions} completions"
        )
    truth = world.limit(prompts=prompts)
    samples = truth.sample(settings.n_prompts, settings.n_completions, seed=settings.seed)
    with _settled():
        frontier = klimit.frontier(samples, kl=list(kl))
        best = klimit.best_of_n(samples, n=list(sizes), limit=frontier)
    rows = zip(kl, truth.frontier(kl), frontier.gain, frontier.gain_low, frontier.gain_high, strict=True)
    estimates = [
        {
            name: _value(*(getattr(best, f"{name}{end}")[i] for end in ("", "_low", "_high")))
            for name in QUANTITIES
        }
        for i in range(len(sizes))
    ]
    return LabFindings(
        world,
        prompts,
        settings,
        frontier,
        tuple(LimitRow(float(k), float(g), _value(*estimate)) for k, g, *estimate in rows),
        tuple(_best_row(world, prompts, n, found) for n, found in zip(sizes, estimates, strict=True)),
    )


def _best_row(world: World, prompts: Which, n: int, estimates: dict[str, Value]) -> PolicyRow:
    itself = world.audit(world.base, prompts=prompts)
    tables = PolicyTables.best_of(itself.base, itself.rewards, n)
    exact, parts = ({each: float(getattr(tables, each)) for each in names} for names in (EXACT, PARTS))
    return PolicyRow(f"best-of-{n}", "best-of-n", None, None, exact, parts, dict(estimates), {})


def checkpoint_row(
    world: World,
    law: Law,
    *,
    name: str,
    kind: str,
    beta: float | None = None,
    seed: int | None = None,
    prompts: Which = "held_out",
    drawn: Drawn | None = None,
) -> PolicyRow:
    """A trained policy: its exact audit, and the audit of samples of it and of the base model.

    Args:
        world: where.
        law: of the policy, by :meth:`klimit.lab.World.enumerate`.
        name: of the policy.
        kind: how it was trained.
        beta: KL penalty of its training.
        seed: of its training.
        prompts: on which of the world's.
        drawn: what estimates are from.
    """
    settings = drawn or Drawn()
    tables = world.audit(law, prompts=prompts)
    policy, base = tables.sample(settings.n_prompts, settings.n_completions, seed=settings.seed)
    with _settled():
        found = cast(Audit, klimit.audit(policy, base=base))
    exact, parts = numbers_of(world, law, prompts)
    estimates = {each: getattr(found, each) for each in QUANTITIES}
    part_estimates = {} if found.parts is None else {each: getattr(found.parts, each) for each in PARTS}
    return PolicyRow(name, kind, beta, seed, exact, parts, estimates, part_estimates)


def numbers_of(world: World, law: Law, prompts: Which) -> tuple[dict[str, float], dict[str, float]]:
    """A policy's ``exact`` and ``parts``: those of :meth:`klimit.lab.World.audit`, most by views, which are few.

    What a policy does between completions that the reward does not tell apart is its off-reward KL, and nothing else.
    """
    rows = world.prompts.rows(prompts)
    seen = PolicyTables(world.base.views(rows), law.views(rows), world.rewards(prompts=prompts))
    kl = float(kl_rows(law.probabilities(rows), world.base.probabilities(rows)).mean())
    limit = float(world.limit(prompts=prompts).frontier([kl])[0])
    exact = {
        "kl": kl,
        "gain": seen.gain,
        "efficiency": seen.gain / limit if limit > 0 else float("nan"),
        "limit_gain": limit,
    }
    parts = {name: float(getattr(seen, name)) for name in PARTS[:-1]}
    return exact, {**parts, "off_reward": kl - seen.reward_law_kl}


def _value(estimate: float, low: float, high: float) -> Value:
    return Value(float(estimate), float(low), float(high))


@contextmanager
def _settled() -> Iterator[None]:
    """Without warnings on the samples: the exact numbers stand beside the estimates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)
        yield
