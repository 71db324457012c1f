"""What every test system can do: draw samples, and say exactly what the limit and best-of-N are.

A system is a base law of rewards (or one for each kind of prompt), and prompts that differ in scale and location:
``reward = location_x + scale_x * base``. Locations never matter to gains or KLs. Averages over scales are
Gauss-Legendre quadratures, averages over base laws are up to each system.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError
from klimit.limit.roots import Array, Cumulants, check_budget, solve_frontier
from klimit.samples.container import Samples

Budget = Literal["average", "per-prompt"]


class Curve(NamedTuple):
    """Points on the plane of KL and gain.

    Attributes:
        kl: nats per completion.
        gain: reward above the base policy's mean.
    """

    kl: Array
    gain: Array


class Moments(NamedTuple):
    """Mean, variance and third cumulant of the reward within a prompt, averaged over prompts."""

    mean: float
    variance: float
    third_cumulant: float


@dataclass(frozen=True, eq=False, kw_only=True)
class TestSystem(ABC):
    """A distribution of rewards over prompts and completions whose limit is known.

    Attributes:
        scale: of the prompts: ``(low, high)`` draws each prompt's scale uniformly, a number gives all the
            same, None is 1.
        location_sd: standard deviation of the prompts' normal shifts.
    """

    __test__: ClassVar[bool] = False  # not a pytest class

    scale: float | tuple[float, float] | None = None
    location_sd: float = 0.0

    def __post_init__(self) -> None:
        low, high = self._scale_range
        if not (0 < low <= high < np.inf):
            raise InputError(f"scale={self.scale!r}: give a number > 0 or (low, high) with 0 < low <= high")
        if not (0 <= self.location_sd < np.inf):
            raise InputError(f"location_sd={self.location_sd!r}: must be >= 0 and finite")

    # What a base law provides, at scale 1 and location 0.

    @abstractmethod
    def _unit(self, t: Array) -> Cumulants:
        """Cumulants of the base law at tilts ``t`` (any shape), averaged over its variants."""

    @cached_property
    @abstractmethod
    def _unit_moments(self) -> Moments: ...

    @cached_property
    @abstractmethod
    def _unit_saturation(self) -> tuple[float, float]:
        """KL and gain at the best reachable reward."""

    @abstractmethod
    def _unit_draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array: ...

    @abstractmethod
    def _unit_best_of_n(self, n: Array) -> Curve: ...

    @abstractmethod
    def _unit_best_of_poisson(self, mu: Array) -> Curve: ...

    @abstractmethod
    def _unit_soft_best_of_n(self, n: int, beta: float) -> tuple[float, float]: ...

    def _unit_per_prompt(self, kl: Array) -> tuple[Array, Array]:
        """Gain and beta under a per-prompt budget; for one base law the same as under the average one."""
        unit = replace(self, scale=None)
        return unit._average_frontier(kl)

    # Scales.

    @cached_property
    def _scale_range(self) -> tuple[float, float]:
        if self.scale is None:
            return 1.0, 1.0
        if isinstance(self.scale, tuple | list):
            low, high = self.scale
            return float(low), float(high)
        return float(self.scale), float(self.scale)

    @cached_property
    def _scales(self) -> tuple[Array, Array]:
        """Scales and their weights, a quadrature rule."""
        low, high = self._scale_range
        if low == high:
            return np.array([low]), np.array([1.0])
        x, w = np.polynomial.legendre.leggauss(self._scale_nodes(low, high))
        return 0.5 * (low + high) + 0.5 * (high - low) * x, 0.5 * w

    def _scale_nodes(self, low: float, high: float) -> int:
        """Nodes for an error below 1e-16: Gauss-Legendre errs by rho^(-2 n), rho set by the nearest singularity.

        The singularities of L(s t), as a function of the scale s, are taken to have real parts <= 0.
        """
        return min(int(18.5 / np.arccosh((high + low) / (high - low))) + 5, 200)

    def _scale_moment(self, power: int) -> float:
        low, high = self._scale_range
        if low == high:
            return low**power
        return (high ** (power + 1) - low ** (power + 1)) / ((power + 1) * (high - low))

    def _population(self, t: Array) -> Cumulants:
        """Cumulants averaged over prompts at the shared tilt ``t``."""
        s, w = self._scales
        c = self._unit(t[..., None] * s)
        return Cumulants(c.log_partition @ w, c.gain @ (w * s), c.variance @ (w * s * s), c.kl @ w)

    # Samples.

    def draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array:
        """Rewards of fresh prompts, float64, shape ``(n_prompts, n_completions)``."""
        low, high = self._scale_range
        scales = rng.uniform(low, high, size=(n_prompts, 1)) if low < high else low
        shifts = self.location_sd * rng.standard_normal((n_prompts, 1)) if self.location_sd else None
        rewards = self._unit_draw(rng, n_prompts, n_completions)
        if low < high or low != 1.0:
            rewards *= scales
        if shifts is not None:
            rewards += shifts
        return rewards

    def sample(self, n_prompts: int, n_completions: int, *, seed: int) -> Samples:
        """The same as :class:`~klimit.samples.container.Samples`."""
        return Samples.from_array(self.draw(np.random.default_rng(seed), n_prompts, n_completions))

    # Moments and the log-partition.

    @property
    def mean_reward(self) -> float:
        """E r over prompts and completions under the base policy."""
        return self._scale_moment(1) * self._unit_moments.mean

    @property
    def variance(self) -> float:
        """Variance of the reward within a prompt, averaged over prompts (V in the small-budget expansion)."""
        return self._scale_moment(2) * self._unit_moments.variance

    @property
    def third_cumulant(self) -> float:
        """Third cumulant of the reward within a prompt, averaged over prompts (K3 in the expansion)."""
        return self._scale_moment(3) * self._unit_moments.third_cumulant

    @property
    def saturation(self) -> Curve:
        """KL and gain at which the average-budget limit saturates; infinite where no atom is at the top."""
        kl, gain = self._unit_saturation
        return Curve(np.asarray(kl), np.asarray(gain * self._scale_moment(1)))

    def log_partition(self, t: ArrayLike, *, derivative: Literal[0, 1, 2] = 0) -> Array:
        """Lbar(t) = E_x log E exp(t (r - E_x r)), centred prompt by prompt, or its derivative in ``t``."""
        return self._population(np.asarray(t, dtype=float))[derivative]

    def kl(self, beta: ArrayLike) -> Array:
        """Average KL(pi_beta || pi0) of the tilted policies at a shared beta; at 0, that of saturation."""
        return self._tilted(beta)[0]

    def gain(self, beta: ArrayLike) -> Array:
        """Gain of the tilted policies at a shared beta; at 0, the largest reachable."""
        return self._tilted(beta)[1]

    def _tilted(self, beta: ArrayLike) -> Curve:
        betas = np.asarray(beta, dtype=float)
        if not (betas >= 0).all():
            raise InputError(f"beta={beta!r}: must be >= 0")
        c, top = self._population(1.0 / np.where(betas > 0, betas, 1.0)), self.saturation
        return Curve(np.where(betas > 0, c.kl, top.kl), np.where(betas > 0, c.gain, top.gain))

    # Frontiers.

    def _average_frontier(self, kl: ArrayLike) -> tuple[Array, Array]:
        top_kl, top_gain = self.saturation
        return solve_frontier(
            self._population, kl, variance=np.asarray(self.variance), top_kl=top_kl, top_gain=top_gain
        )

    def _frontier(self, kl: ArrayLike, budget: Budget) -> tuple[Array, Array]:
        if budget == "average":
            return self._average_frontier(kl)
        if budget == "per-prompt":
            gain, beta = self._unit_per_prompt(check_budget(kl))
            return gain * self._scale_moment(1), beta * self._scale_moment(1)
        raise InputError(f"budget={budget!r}: choose 'average' or 'per-prompt'")

    def frontier(self, kl: ArrayLike, *, budget: Budget = "average") -> Array:
        """The limit: the largest gain any policy reaches at KL budgets ``kl``, exactly.

        Raises:
            InputError: a budget is negative or NaN, or its kind unknown.
        """
        return self._frontier(kl, budget)[0]

    def beta_at(self, kl: ArrayLike, *, budget: Budget = "average") -> Array:
        """Slope of the limit: the price in reward of the next nat (averaged over prompts if per-prompt)."""
        return self._frontier(kl, budget)[1]

    # Best-of-N and its relatives.

    def best_of_n(self, n: ArrayLike) -> Curve:
        """KL and gain of best-of-N, ties broken blindly, averaged over prompts.

        Raises:
            InputError: an N is not a whole number >= 1.
        """
        counts = np.asarray(n, dtype=float)
        if not ((counts >= 1) & (counts == np.floor(counts)) & np.isfinite(counts)).all():
            raise InputError(f"n={n!r}: best-of-N needs whole numbers >= 1")
        return self._scaled(self._unit_best_of_n(counts), same=counts == 1)

    def best_of_poisson(self, mu: ArrayLike) -> Curve:
        """KL and gain of the best of 1 + Poisson(mu) draws (arXiv:2506.19248).

        Raises:
            InputError: a mu is negative or not finite.
        """
        rates = np.asarray(mu, dtype=float)
        if not ((rates >= 0) & np.isfinite(rates)).all():
            raise InputError(f"mu={mu!r}: Best-of-Poisson needs finite rates >= 0")
        return self._scaled(self._unit_best_of_poisson(rates), same=rates == 0)

    def soft_best_of_n(self, n: ArrayLike, beta: ArrayLike) -> Curve:
        """KL and gain of soft best-of-N: of N draws keep one with odds exp(r / beta) (arXiv:2505.03156).

        Raises:
            InputError: an N is not a whole number >= 1, or a beta not positive and finite.
        """
        counts, betas = np.broadcast_arrays(np.asarray(n, dtype=float), np.asarray(beta, dtype=float))
        if not ((counts >= 1) & (counts == np.floor(counts)) & np.isfinite(counts)).all():
            raise InputError(f"n={n!r}: best-of-N needs whole numbers >= 1")
        if not ((betas > 0) & np.isfinite(betas)).all():
            raise InputError(f"beta={beta!r}: must be > 0 and finite")
        s, w = self._scales
        kl, gain = np.zeros(counts.shape), np.zeros(counts.shape)
        for index in np.ndindex(counts.shape):
            pairs = np.array(
                [self._unit_soft_best_of_n(int(counts[index]), betas[index] / scale) for scale in s]
            )
            kl[index], gain[index] = pairs[:, 0] @ w, (pairs[:, 1] * s) @ w
        return Curve(kl, gain)

    def _scaled(self, unit: Curve, *, same: NDArray[np.bool_]) -> Curve:
        """Averages over scales; exactly zero where the selection is the base policy itself."""
        return Curve(np.where(same, 0.0, unit.kl), np.where(same, 0.0, unit.gain * self._scale_moment(1)))

    def equal(self) -> Self:
        """The same system with all prompts alike in scale and location."""
        return replace(self, scale=None, location_sd=0.0)
