"""Training a world's policies and holding each against the exact limit, on prompts trained on and held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import klimit
from klimit.lab.findings import Drawn, PolicyRow, checkpoint_row
from klimit.lab.methods import GOLD, Plan
from klimit.lab.objective import Convergence, objective_share
from klimit.lab.points import Point, point_at_end, point_between
from klimit.lab.runs import LOOKED_BACK, folder_of, is_done, kept_steps, train_run
from klimit.lab.training import settled
from klimit.lab.world import Which, World
from klimit.reports.files import write_files
from klimit.values import Value

Say = Callable[[str], None]
_SECONDS = {"grpo": 0.12, "rloo": 0.14, "ppo": 0.23}  # of a step, on one core, until some were timed


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained policy on the plane.

    Attributes:
        plan: how it was trained.
        rows: its exact numbers beside estimates, by which prompts they are on.
        convergence: how near it came to what it was trained for.
        points: the run along its way: what its convergence is judged by, or all steps that were kept.
    """

    plan: Plan
    rows: dict[Which, PolicyRow]
    convergence: Convergence
    points: tuple[Point, ...]


def study(
    world: World,
    plans: Sequence[Plan],
    *,
    prompts: Sequence[Which] = ("held_out", "train"),
    drawn: Drawn | None = None,
    curves: bool = False,
    say: Say | None = None,
) -> tuple[Trained, ...]:
    """Train, enumerate and audit; every step that was done before is not done again.

    Args:
        world: where.
        plans: the runs.
        prompts: which the policies are audited on.
        drawn: what estimates are from.
        curves: enumerate all policies that were kept along the runs of seed 0 on gold.
        say: takes lines for the user.

    Raises:
        InputError: packages are missing, or a run went wrong; one line says how.
    """
    tell = say or (lambda line: None)
    clock = _Clock(world, plans)
    for number, plan in enumerate(plans):
        if is_done(world, plan):
            continue
        tell(f"run {number + 1} of {len(plans)}: {plan.name}; about {clock.left()} of training left")
        with settled(plan.seed), clock.timing(plan):
            train_run(world, plan, tell)
    settings = drawn or Drawn()
    return tuple(
        _audited(world, plan, tuple(dict.fromkeys(prompts)), settings, tell, curves=curves) for plan in plans
    )


class _Clock:
    """How long the runs that are left will take, from those that were timed."""

    def __init__(self, world: World, plans: Sequence[Plan]) -> None:
        self.open = {
            id(plan): _SECONDS[plan.method.algorithm] * plan.steps
            for plan in plans
            if not is_done(world, plan)
        }
        self.expected = self.spent = 0.0

    def left(self) -> str:
        """In words."""
        slower = self.spent / self.expected if self.expected else 1.0
        minutes = sum(self.open.values()) * slower / 60
        return "a minute" if minutes < 1.5 else f"{minutes:.0f} minutes"

    def timing(self, plan: Plan) -> _Clock:
        """Time the run of the block."""
        self.plan, self.start = plan, perf_counter()
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *error: Any) -> None:
        self.spent += perf_counter() - self.start
        self.expected += self.open.pop(id(self.plan), 0.0)


def _audited(
    world: World, plan: Plan, prompts: Sequence[Which], drawn: Drawn, say: Say, *, curves: bool
) -> Trained:
    """A run's numbers, kept beside it."""
    folder = folder_of(world, plan)
    wanted = {which: _kept(folder, "rows", which, **asdict(drawn)) for which in prompts}
    objective = _kept(folder, "objective", "train")
    missing = [which for which, path in wanted.items() if not path.is_file()]
    if missing or not objective.is_file():
        _tell(world, plan, plan.steps, say)
        law = world.enumerate(folder)
        for which in missing:
            row = checkpoint_row(
                world, law, name=plan.name, kind=plan.kind, beta=plan.beta, seed=plan.seed, prompts=which, drawn=drawn
            )  # fmt: skip
            _write(wanted[which], asdict(row))
        _write(objective, {"share": objective_share(world, law, plan)})
    rows = {which: _row(json.loads(path.read_text())) for which, path in wanted.items()}
    end = point_at_end(world, plan, json.loads(objective.read_text())["share"], rows)
    whole = curves and plan.seed == 0 and plan.reward == GOLD
    steps = kept_steps(plan.steps)[:-1] if whole else _looked_back_to(plan)
    points = (*(_between(world, plan, step, prompts, say) for step in steps), end)
    return Trained(plan, rows, _convergence(plan, points), points)


def _looked_back_to(plan: Plan) -> tuple[int, ...]:
    return (plan.steps - LOOKED_BACK,) if plan.steps > LOOKED_BACK else ()


def _between(world: World, plan: Plan, step: int, prompts: Sequence[Which], say: Say) -> Point:
    """A point of a run, kept beside it."""
    path = _kept(folder_of(world, plan), "point", str(step), prompts=list(prompts))
    if not path.is_file():
        _tell(world, plan, step, say)
        _write(path, asdict(point_between(world, plan, step, prompts)))
    return Point(**json.loads(path.read_text()))


def _tell(world: World, plan: Plan, step: int, say: Say) -> None:
    count = world.tree.n_leaves * len(world.prompts.all)
    say(f"{plan.name}: enumerating {count:,} completions after step {step:,}")


def _convergence(plan: Plan, points: Sequence[Point]) -> Convergence:
    shares = {point.step: point.share for point in points}
    before = _looked_back_to(plan)
    earlier = shares[before[0]] if before else 0.0  # the base model's
    return Convergence(points[-1].share, earlier, min(plan.steps, LOOKED_BACK), bool(before))


def _kept(folder: Path, what: str, which: str, **settings: Any) -> Path:
    """Where numbers are kept, by what they depend on beside the run."""
    known = json.dumps([klimit.__version__, settings], sort_keys=True)
    return folder / f"{what}-{which}-{hashlib.sha256(known.encode()).hexdigest()[:12]}.json"


def _write(path: Path, content: dict[str, Any]) -> None:
    write_files({str(path): json.dumps(content, indent=1).encode()})


def _row(known: dict[str, Any]) -> PolicyRow:
    """A row as it was written."""
    estimates, parts = (
        {name: None if value is None else Value(**value) for name, value in known[each].items()}
        for each in ("estimates", "part_estimates")
    )
    return PolicyRow(**{**known, "estimates": estimates, "part_estimates": parts})
