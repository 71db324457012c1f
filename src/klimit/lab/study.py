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
from klimit.lab.methods import Plan
from klimit.lab.objective import Convergence, objective_share
from klimit.lab.runs import EARLIER, LOOKED_BACK, folder_of, is_done, train_run
from klimit.lab.training import settled
from klimit.lab.world import Law, Which, World
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
    """

    plan: Plan
    rows: dict[Which, PolicyRow]
    convergence: Convergence


def study(
    world: World,
    plans: Sequence[Plan],
    *,
    prompts: Sequence[Which] = ("held_out", "train"),
    drawn: Drawn | None = None,
    say: Say | None = None,
) -> tuple[Trained, ...]:
    """Train, enumerate and audit; every step that was done before is not done again.

    Args:
        world: where.
        plans: the runs.
        prompts: which the policies are audited on.
        drawn: what estimates are from.
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
    return tuple(_audited(world, plan, prompts, settings, tell) for plan in plans)


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


def _audited(world: World, plan: Plan, prompts: Sequence[Which], drawn: Drawn, say: Say) -> Trained:
    """A run's numbers, kept beside it."""
    folder = folder_of(world, plan)
    wanted = {which: _kept(folder, "rows", which, **asdict(drawn)) for which in dict.fromkeys(prompts)}
    converged = _kept(folder, "objective", "train")
    missing = [which for which, path in wanted.items() if not path.is_file()]
    if missing or not converged.is_file():
        say(f"{plan.name}: enumerating {world.tree.n_leaves * len(world.prompts.all):,} completions")
        law = world.enumerate(folder)
        for which in missing:
            row = checkpoint_row(
                world, law, name=plan.name, kind=plan.kind, beta=plan.beta, seed=plan.seed, prompts=which, drawn=drawn
            )  # fmt: skip
            _write(wanted[which], asdict(row))
        if not converged.is_file():
            _write(converged, asdict(_convergence(world, law, plan, folder)))
    rows = {which: _row(json.loads(path.read_text())) for which, path in wanted.items()}
    return Trained(plan, rows, Convergence(**json.loads(converged.read_text())))


def _convergence(world: World, law: Law, plan: Plan, folder: Path) -> Convergence:
    before = world.enumerate(folder / EARLIER) if plan.steps > LOOKED_BACK else world.base
    return Convergence(
        objective_share(world, law, plan),
        objective_share(world, before, plan),
        min(plan.steps, LOOKED_BACK),
        plan.steps > LOOKED_BACK,
    )


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
