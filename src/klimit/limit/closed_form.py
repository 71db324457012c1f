"""Ranks without ties: uniform on (0, 1) under the base policy, whatever the reward, so that the limit is known.

At tilt ``t`` the win rate against the base policy is ``w = 1/(1 - e^-t) - 1/t``, at KL
``t w - log((e^t - 1)/t)``; every prompt has the same limit, under either budget. Nothing is estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from klimit.limit.dual import Array
from klimit.limit.estimator import Estimates
from klimit.limit.levels import MeanLevels, PromptLevels
from klimit.limit.roots import Cumulants, solve_frontier, solve_increasing

VARIANCE = 1.0 / 12.0
_TOP = 0.5
_SMALLEST_KL, _LARGEST_KL = 1e-12, 500.0  # in double precision the limit is 1/2 from 36 nats on
_TERMS = 12
WORTH_SHOWING = 6.0  # nats, where all but 0.2% of the gain is reached


def rank_cumulants(t: Array) -> Cumulants:
    """Cumulants of the uniform law on (0, 1) at tilts ``t > 0``, each accurate to a few units of rounding."""
    t = np.asarray(t, dtype=np.float64)
    small = t < 1.0
    u = np.where(small, 1.0, t)
    decay = np.exp(-u)
    rest = -np.expm1(-u)
    large = (
        0.5 * u + np.log(rest) - np.log(u),
        0.5 * (1.0 + decay) / rest - 1.0 / u,
        1.0 / (u * u) - decay / (rest * rest),
        u * decay / rest - 1.0 - np.log(rest) + np.log(u),
    )
    if not small.any():
        return Cumulants(*large)
    series = _series(np.where(small, t, 0.0))
    return Cumulants(*(np.where(small, s, f) for s, f in zip(series, large, strict=True)))


def _series(t: Array) -> tuple[Array, Array, Array, Array]:
    """The same by the power series of ``log(sinh(t/2) / (t/2))``, of coefficients ``B_2k / (2k (2k)!)``."""
    from scipy.special import bernoulli

    numbers = bernoulli(2 * _TERMS)
    log_partition, gain, variance, kl = (np.zeros_like(t) for _ in range(4))
    for k in range(_TERMS, 0, -1):
        m = 2 * k
        term = float(numbers[m]) / (m * math.factorial(m)) * t ** (m - 2)
        log_partition += term * t * t
        gain += term * m * t
        variance += term * m * (m - 1)
        kl += term * (m - 1) * t * t
    return log_partition, gain, variance, kl


@dataclass(frozen=True)
class ClosedForm:
    """The limit of ranks without ties, in scaled rewards.

    Attributes:
        n_prompts: number of prompts.
        scale: of the rewards: the root of :data:`VARIANCE`.
    """

    n_prompts: int
    scale: float

    @property
    def reach(self) -> tuple[float, float]:
        """Budgets at which the formulas are evaluated."""
        return _SMALLEST_KL, _LARGEST_KL

    def estimate(self, kl: Array) -> Estimates:
        """The limit itself: nothing is uncertain about it."""
        value = _solve(kl)[0] / self.scale
        none = np.zeros_like(value)
        return Estimates(value, value, value, none, none, lambda: np.zeros((self.n_prompts, len(value))))

    def beta(self, kl: Array) -> Array:
        """The price of the next nat."""
        return np.asarray(_solve(kl)[1] / self.scale)

    def levels(self, kl: Array) -> PromptLevels:
        """Each prompt's limit, which is that of all."""
        value = np.broadcast_to(self.estimate(kl).value, (self.n_prompts, len(kl)))
        none = np.zeros_like(value)
        return PromptLevels(
            np.broadcast_to(value, (3, *value.shape)), value, none[0], lambda prompts: none[prompts]
        )

    def means(self, kl: Array) -> MeanLevels:
        """Averages over prompts of :meth:`levels`."""
        value = self.estimate(kl).value
        none = np.zeros_like(value)
        return MeanLevels(np.stack([value] * 3), np.stack([value] * 2), none, none)

    def kl_for(self, gain: float) -> float:
        """The budget at which the limit is a gain (not scaled); infinite from a half on."""
        if gain >= _TOP:
            return float("inf")

        def excess(u: Array) -> tuple[Array, Array]:
            c = rank_cumulants(np.exp(u))
            return np.log(c.gain / gain), np.exp(u) * c.variance / c.gain

        start = np.log(max(gain / VARIANCE, 1.0 / (_TOP - gain)))
        return float(rank_cumulants(np.exp(solve_increasing(excess, np.array([start]))))[3][0])


def _solve(kl: Array) -> tuple[Array, Array]:
    """Gain and beta at budgets."""
    inf = np.array(np.inf)
    return solve_frontier(rank_cumulants, kl, variance=np.array(VARIANCE), top_kl=inf, top_gain=inf)
