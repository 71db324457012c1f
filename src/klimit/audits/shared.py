"""What all policies of one audit have in common: transform, level, the base policy's limit."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from klimit.audits.measured import Array
from klimit.errors import KlimitWarning
from klimit.limit.frontier import frontier
from klimit.limit.result import Frontier
from klimit.policies import best_of_n
from klimit.policies.curve import PolicyCurve
from klimit.rewards.transforms import Transform
from klimit.samples.container import Samples


@dataclass
class Shared:
    """Options, and the limits of the base samples: estimated once for all policies on the same prompts.

    Attributes:
        transform: of the reward.
        level: nominal cover.
        seed: of the random blocks.
        kl_estimator: the one asked for, or None.
        reward_max: the largest reward there is, or None.
    """

    transform: Transform
    level: float
    seed: int
    kl_estimator: str | None
    reward_max: float | None
    base: Samples | None = None
    found: tuple[Frontier, PolicyCurve] | None = None
    loss: Frontier | None = None

    def limit_of(self, base: Samples, reward: str, *, binary: bool) -> tuple[Frontier, PolicyCurve]:
        """The limit and best-of-N of the base samples.

        Args:
            base: the samples.
            reward: their reward.
            binary: whether rewards are 0 and 1 as both policies show: 1 is then the largest.
        """
        if self.found is None or self.base is None or not _same_prompts(self.base, base):
            options: dict[str, Any] = {
                "reward": reward,
                "transform": self.transform.name,
                "level": self.level,
                "seed": self.seed,
            }
            known = binary and self.reward_max is None and self.transform.name == "identity"
            with warnings.catch_warnings():
                # Said once, by the audit itself.
                warnings.simplefilter("ignore", KlimitWarning)
                limit = frontier(base, reward_max=1.0 if known else self.reward_max, **options)
                self.found = limit, best_of_n(base, limit=limit, **options)
            self.base, self.loss = base, None
        return self.found

    def loss_of(self, limit: Frontier, base_rewards: Array) -> Frontier:
        """The limit of the negated (transformed) reward: the most that any method can lose at each KL."""
        if self.loss is None:
            negated = replace(limit.samples, rewards={limit.reward_name: -base_rewards})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", KlimitWarning)
                self.loss = frontier(negated, reward=limit.reward_name, level=self.level, seed=self.seed)
        return self.loss


def _same_prompts(first: Samples, second: Samples) -> bool:
    return first is second or (
        first.n_completions == second.n_completions
        and np.array_equal(first.offsets, second.offsets)
        and list(first.prompt_ids) == list(second.prompt_ids)
    )
