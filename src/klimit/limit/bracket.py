"""Beyond the horizon: bounds, never an extrapolation.

The limit is concave in the budget, so its tangent at the horizon (the dual at that ``t``) bounds it above, as
does the largest reward there is, where it is known. Below it lie its own value at the horizon and best-of-N,
a policy that anyone can run, whose reward is estimated without bias and whose KL is at most
``log N - (N - 1)/N``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.limit.dual import Array
from klimit.limit.estimator import Inference
from klimit.limit.preparation import Rewards

_DEGENERATE = 0.05


@dataclass(frozen=True, eq=False)
class Bracket:
    """Bounds on the limit from the horizon on.

    Attributes:
        horizon: in nats.
        low: lower bound of the gain at the horizon.
        high: upper bound of the gain at the horizon.
        slope: reward per nat of the tangent there; infinite where there is none: at horizon 0, or with a t each prompt.
        cap: the largest possible gain, infinite where the largest reward is unknown.
        steps_kl: KL bounds of best-of-N, ascending, ``(J,)``.
        steps_gain: lower bounds of its gain, made non-decreasing, ``(J,)``.
    """

    horizon: float
    low: float
    high: float
    slope: float
    cap: float
    steps_kl: Array
    steps_gain: Array

    def bounds(self, kl: Array) -> tuple[Array, Array]:
        """Lower and upper bound of the gain at budgets beyond the horizon, ``(K,)`` each."""
        reached = np.searchsorted(self.steps_kl, kl, side="right")
        steps = np.concatenate([[0.0], self.steps_gain])
        low = np.maximum(self.low, steps[reached])
        # Without a horizon there is no tangent (its slope is infinite), only the cap.
        tangent = (
            self.high + self.slope * (kl - self.horizon) if self.slope < np.inf else np.full(len(kl), np.inf)
        )
        high = np.minimum(tangent, self.cap)
        return np.minimum(low, high), high


def best_of_n_steps(rewards: Rewards, inference: Inference) -> tuple[Array, Array]:
    """KL bounds and lower confidence bounds of the gain of best-of-2, -4, -8, ... up to the smallest prompt."""
    gains = rewards.best
    low = gains.mean(axis=0)
    if rewards.n_prompts > 1:
        # Prompts that agree by chance are not certain: then what N draws of n leave open stands in.
        share = np.minimum(rewards.sizes / rewards.counts.min(), 1.0)
        within = rewards.scale * np.sqrt(share) / np.sqrt(rewards.n_prompts)
        between = gains.std(axis=0, ddof=1) / np.sqrt(rewards.n_prompts)
        error = np.where(between < _DEGENERATE * within, within, between)
        low = low - inference.quantile(rewards.n_prompts) * error
    else:
        low = np.zeros(len(rewards.sizes))
    n = rewards.sizes.astype(np.float64)
    return np.log(n) - (n - 1) / n, np.maximum.accumulate(np.maximum(low, 0.0))
