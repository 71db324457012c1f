"""How near a run's policy is to what it was trained for: the exact KL-penalised objective on training prompts."""

from __future__ import annotations

from dataclasses import dataclass

from klimit.lab.methods import Plan
from klimit.lab.world import Law, World

SETTLED = 0.01  # of the optimum


@dataclass(frozen=True)
class Convergence:
    """A run's objective, gain - beta KL, exact, on training prompts and in the reward that was trained on.

    Attributes:
        share: of its optimum, at the end.
        earlier: of its optimum, ``steps`` before the end.
        steps: between the two.
        long_enough: whether the run had more steps than these.
    """

    share: float
    earlier: float
    steps: int
    long_enough: bool

    @property
    def change(self) -> float:
        """Over the last steps, as a share of the optimum."""
        return self.share - self.earlier

    @property
    def settled(self) -> bool:
        """Whether it changed by less than 1% of the optimum."""
        return self.long_enough and abs(self.change) < SETTLED


def objective_share(world: World, law: Law, plan: Plan) -> float:
    """The objective of a policy as a share of what the best policy gets at the same beta; the base model has 0."""
    tables = world.audit(law, plan.reward, "train")
    optimum = plan.beta * float(world.limit(plan.reward, "train").log_partition(1.0 / plan.beta))
    return float(tables.gain - plan.beta * tables.kl) / optimum
