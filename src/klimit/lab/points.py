"""A run along its way: the exact numbers of its policy after some of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from klimit.lab.findings import PolicyRow, numbers_of
from klimit.lab.methods import Plan
from klimit.lab.objective import objective_share
from klimit.lab.runs import folder_at, settings
from klimit.lab.world import Which, World


@dataclass(frozen=True)
class Point:
    """A run's policy after some steps.

    Attributes:
        step: so many.
        samples: completions drawn until then.
        share: of the objective's optimum, on training prompts and in the reward that is trained on.
        exact: ``kl``, ``gain``, ``efficiency`` and ``limit_gain`` in gold, by which prompts they are on.
        parts: where the KL went, likewise.
    """

    step: int
    samples: int
    share: float
    exact: dict[Which, dict[str, float]]
    parts: dict[Which, dict[str, float]]


def point_between(world: World, plan: Plan, step: int, prompts: Sequence[Which]) -> Point:
    """A step before the end: the policy that was kept is enumerated."""
    law = world.enumerate(folder_at(world, plan, step))
    found = {which: numbers_of(world, law, which) for which in prompts}
    return Point(
        step,
        step * settings(world, plan).batch_size,
        objective_share(world, law, plan),
        {which: exact for which, (exact, _) in found.items()},
        {which: parts for which, (_, parts) in found.items()},
    )


def point_at_end(world: World, plan: Plan, share: float, rows: dict[Which, PolicyRow]) -> Point:
    """The end, from the policy's rows."""
    return Point(
        plan.steps,
        plan.steps * settings(world, plan).batch_size,
        share,
        {which: row.exact for which, row in rows.items()},
        {which: row.parts for which, row in rows.items()},
    )
