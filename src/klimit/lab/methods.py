"""How the lab trains: methods by name, with their settings.

Their learning rates were chosen on the safety world, each between two that did worse (``benchmarks/lab_search.csv``);
the variants of a method have its rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from klimit.errors import InputError
from klimit.lab.world import World

GOLD = "gold"
BATCH = 256  # completions a step, of every method
GENERATIONS = 8  # of each prompt in a step, of every method
STEPS = 300
BETAS = (1.0, 0.3, 0.1)  # times the world's reward spread
DEFAULT = ("grpo", "ppo")


@dataclass(frozen=True)
class Method:
    """A way to train.

    Attributes:
        name: for people and options.
        algorithm: of :func:`klimit.train`.
        learning_rate: at the start.
        change: what is changed in a trainer once it stands, given beta; nothing by default.
        schedule: of the learning rate.
        ppo_lambda: of PPO's advantage estimates; below 1 they lean on a value model that is still learning.
    """

    name: str
    algorithm: str
    learning_rate: float
    change: Callable[[Any, float], None] | None = None
    schedule: str = "linear"
    ppo_lambda: float = 1.0


def _as_trl_has_it(trainer: Any, beta: float) -> None:
    """GRPO's own defaults but for beta: rewards divided by each group's spread, and the ``dapo`` loss."""
    trainer.scale_rewards, trainer.loss_type, trainer.beta = "group", "dapo", beta
    trainer.args.use_bias_correction_kl = False


METHODS = {
    method.name: method
    for method in (
        Method("grpo", "grpo", 3e-3),
        Method("ppo", "ppo", 3e-3),
        Method("rloo", "rloo", 3e-3),
        Method("grpo-trl", "grpo", 3e-3, _as_trl_has_it),
        Method("ppo-lambda", "ppo", 3e-3, ppo_lambda=0.95),
    )
}


@dataclass(frozen=True)
class Plan:
    """One training run.

    Attributes:
        method: how.
        multiple: beta, in units of the reward's spread within prompts.
        beta: reward given up for a nat of KL.
        seed: of the run.
        steps: of training.
        reward: that is trained on: ``"gold"``, or a proxy's name.
    """

    method: Method
    multiple: float
    beta: float
    seed: int
    steps: int
    reward: str = GOLD

    @property
    def kind(self) -> str:
        """How it was trained."""
        return self.method.name if self.reward == GOLD else f"{self.method.name} on {self.reward}"

    @property
    def name(self) -> str:
        """What it is called."""
        number = f", seed {self.seed}" if self.seed else ""
        return f"{self.kind}, beta {self.beta:.2g}{number}"


def plans(
    world: World,
    *,
    methods: Sequence[str] = DEFAULT,
    betas: Sequence[float] = BETAS,
    seeds: int = 1,
    steps: int = STEPS,
    rewards: Sequence[str] = (GOLD,),
) -> tuple[Plan, ...]:
    """All runs of a study: large betas first.

    Args:
        world: where.
        methods: names of :data:`METHODS`.
        betas: in units of the reward's spread within training prompts.
        seeds: how many.
        steps: of each run.
        rewards: that are trained on.

    Raises:
        InputError: one line names the setting and what it may be.
    """
    check(methods, betas, seeds, steps)
    found = []
    for reward in rewards:
        spread = float(world.limit(reward, "train").variance) ** 0.5
        found += [
            Plan(METHODS[method], multiple, multiple * spread, seed, steps, reward)
            for multiple in dict.fromkeys(betas)
            for method in dict.fromkeys(methods)
            for seed in range(seeds)
        ]
    return tuple(found)


def check(methods: Sequence[str], betas: Sequence[float], seeds: int, steps: int) -> None:
    """Refuse what cannot be trained, before anything is built.

    Raises:
        InputError: one line names the setting and what it may be.
    """
    for name in methods:
        if name not in METHODS:
            raise InputError(f"no method {name!r}; known are {', '.join(METHODS)}")
    if not methods or not betas:
        raise InputError("give a method and a beta, or train nothing (--no-train)")
    for beta in betas:
        if not (isfinite(beta) and beta > 0):
            raise InputError(
                f"beta {beta:g}: it must be above 0 and finite; betas are in units of the reward's spread, such as 0.3"
            )
    for name, value in (("seeds", seeds), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} is {value!r}; it must be a whole number, 1 or more")
