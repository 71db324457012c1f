"""Continuous base laws: no ties, so best-of-N has KL log N - (N - 1) / N; the rest is closed or quadrature."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from klimit.limit.roots import Array, Cumulants, check_budget, solve_increasing
from klimit.testsystems.base import Curve, Moments, TestSystem
from klimit.testsystems.numerics import lattice, log1p_minus, poisson_kl
from klimit.testsystems.selection import Grid, best_of, grid_gain, poisson, soft_curve


@dataclass(frozen=True, eq=False, kw_only=True)
class ContinuousSystem(TestSystem):
    """A base law with a density."""

    # the step, in units of beta, at which functions of exp(r / beta) are integrated accurately
    _odds_step: ClassVar[float] = 1.0

    @abstractmethod
    def _grid(self, step: float) -> Grid:
        """Quadrature nodes for smooth functions of the reward; ``step`` 1 is fine enough for F and its powers."""

    @cached_property
    def _fine_grid(self) -> Grid:
        return self._grid(1.0)

    def _unit_best_of_n(self, n: Array) -> Curve:
        gain = np.vectorize(lambda k: grid_gain(self._fine_grid, best_of(k)), otypes=[float])(n)
        return Curve(np.log(n) - (n - 1.0) / n, gain)

    def _unit_best_of_poisson(self, mu: Array) -> Curve:
        gain = np.vectorize(lambda m: grid_gain(self._fine_grid, poisson(m)), otypes=[float])(mu)
        return Curve(poisson_kl(mu), gain)

    def _unit_soft_best_of_n(self, n: int, beta: float) -> tuple[float, float]:
        grid = self._grid(min(1.0, self._odds_step * beta))
        centred = grid.reward - self._unit_moments.mean
        kl, gain = soft_curve(grid.probability[None, :], centred[None, :], n, beta)
        return float(kl[0]), float(gain[0])


@dataclass(frozen=True, eq=False)
class Gaussian(ContinuousSystem):
    """Standard normal rewards: L = t^2 / 2, limit sqrt(2 kl) (times the root mean square of the scales)."""

    _odds_step: ClassVar[float] = 5.0

    def _unit(self, t: Array) -> Cumulants:
        half = 0.5 * t * t
        return Cumulants(half, t, np.ones_like(t), half)

    @cached_property
    def _unit_moments(self) -> Moments:
        return Moments(0.0, 1.0, 0.0)

    @cached_property
    def _unit_saturation(self) -> tuple[float, float]:
        return np.inf, np.inf

    def _unit_draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array:
        return rng.standard_normal((n_prompts, n_completions))

    def _grid(self, step: float) -> Grid:
        from scipy.special import ndtr

        h = 0.04 * step
        x = lattice(-38.0, 38.0, h)
        density = np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)
        return Grid(x, np.full_like(x, h), h * density, ndtr(x), ndtr(-x))


@dataclass(frozen=True, eq=False)
class Uniform(ContinuousSystem):
    """Rewards uniform on (0, 1): L = log((e^t - 1) / t)."""

    _odds_step: ClassVar[float] = 4.0

    def _unit(self, t: Array) -> Cumulants:
        # log(sinh(t/2) / (t/2)) and its derivatives; its power series where they would cancel
        a = np.abs(t)
        small = a < 1.0
        with np.errstate(over="ignore"):
            u = np.where(small, 1.0, a)
            em = -np.expm1(-u)
            log_partition = 0.5 * u + np.log(em) - np.log(u)
            gain = 0.5 * (2.0 - em) / em - 1.0 / u
            variance = 1.0 / (u * u) - np.exp(-u) / (em * em)
            kl = u * np.exp(-u) / em - 1.0 - np.log(em) + np.log(u)
        if small.any():
            series = _uniform_series(np.where(small, a, 0.0))
            plain = (log_partition, gain, variance, kl)
            log_partition, gain, variance, kl = (
                np.where(small, s, f) for s, f in zip(series, plain, strict=True)
            )
        return Cumulants(log_partition, np.sign(t) * gain, variance, kl)

    @cached_property
    def _unit_moments(self) -> Moments:
        return Moments(0.5, 1.0 / 12.0, 0.0)

    @cached_property
    def _unit_saturation(self) -> tuple[float, float]:
        return np.inf, 0.5

    def _unit_draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array:
        return rng.random((n_prompts, n_completions))

    def _grid(self, step: float) -> Grid:
        from scipy.special import expit

        h = 0.25 * step
        y = lattice(-45.0, 60.0, h)
        f, s = expit(y), expit(-y)
        return Grid(f, h * f * s, h * f * s, f, s)


# L(t) = sum B_2k t^2k / (2k (2k)!), B Bernoulli numbers: the coefficients of t^2, t^4, ...
_BERNOULLI = (
    1 / 6,
    -1 / 30,
    1 / 42,
    -1 / 30,
    5 / 66,
    -691 / 2730,
    7 / 6,
    -3617 / 510,
    43867 / 798,
    -174611 / 330,
)


def _uniform_series(t: Array) -> tuple[Array, Array, Array, Array]:
    log_partition, gain, variance = np.zeros_like(t), np.zeros_like(t), np.zeros_like(t)
    factorial = 1.0
    for k, bernoulli in enumerate(_BERNOULLI, start=1):
        m = 2 * k
        factorial *= m * (m - 1)
        c = bernoulli / (m * factorial)
        log_partition += c * t**m
        gain += c * m * t ** (m - 1)
        variance += c * m * (m - 1) * t ** (m - 2)
    return log_partition, gain, variance, t * gain - log_partition


@dataclass(frozen=True, eq=False)
class Exponential(ContinuousSystem):
    """Exponential rewards of mean 1: L = -log(1 - t), finite for t < 1 / (largest scale) only.

    With scales uniform on (low, high) the averaged slope E s / (1 - s t) still diverges at the endpoint, though
    only logarithmically, and so does the KL: the frontier is attained at every budget and has no straight part.
    """

    def _unit(self, t: Array) -> Cumulants:
        with np.errstate(divide="ignore", invalid="ignore"):
            log_partition = -log1p_minus(-t)
            gain = t / (1.0 - t)
            variance = 1.0 / (1.0 - t) ** 2
            kl = gain + np.log1p(-t)
            kl = np.where(np.abs(t) < 0.1, t * gain - log_partition, kl)
        outside = t >= 1.0
        return Cumulants(*(np.where(outside, np.inf, v) for v in (log_partition, gain, variance, kl)))

    def _population(self, t: Array) -> Cumulants:
        return self._along(t, 1.0 - self._scale_range[1] * t)

    def _along(self, t: Array, slack: Array) -> Cumulants:
        """Averages over scales at tilt ``t``, given the ``slack`` 1 - high t to full accuracy."""
        low, high = self._scale_range
        if low == high:
            return super()._population(t)
        plain = super()._population(np.where(high * t < 0.5, t, 0.0))
        # closed forms near the endpoint, where the quadrature over scales is slow
        near = high * t >= 0.5
        u = np.where(near, t, 0.5 / high)
        b = np.where(near, slack, 0.5)
        a = 1.0 - low * u
        width = (high - low) * u
        mean = 0.5 * (low + high)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_ratio = np.log(a / b)
            log_partition = (b * np.log(b) - a * np.log(a)) / width + 1.0 - mean * u
            gain = (log_ratio / width - 1.0) / u - mean
            # E s^2 / (1 - s t)^2 = E (1 / (1 - s t) - 1)^2 / t^2
            variance = (1.0 / (a * b) - 2.0 * log_ratio / width + 1.0) / (u * u)
            kl = u * gain - log_partition
        outside = slack <= 0
        exact_near = (np.where(outside, np.inf, v) for v in (log_partition, gain, variance, kl))
        return Cumulants(*(np.where(near, e, q) for e, q in zip(exact_near, plain, strict=True)))

    def _average_frontier(self, kl: ArrayLike) -> tuple[Array, Array]:
        budgets = check_budget(kl)
        high = self._scale_range[1]
        inner = budgets > 0
        safe = np.where(inner, np.where(np.isfinite(budgets), budgets, 1.0), 1.0)

        def tilt(x: Array) -> tuple[Array, Array]:
            # t = sigmoid(x) / high and its slack 1 - high t, which keeps its accuracy however small
            rise = np.exp(np.minimum(x, 700.0))
            return rise / (1.0 + rise) / high, 1.0 / (1.0 + rise)

        def log_ratio(x: Array) -> tuple[Array, Array]:
            t, slack = tilt(x)
            c = self._along(t, slack)
            return np.log(c.kl / safe), t * c.variance * t * slack / c.kl

        start = np.log(high) + 0.5 * np.log(2.0 * safe / self.variance)
        t, slack = tilt(solve_increasing(log_ratio, start))
        gains = np.where(inner, (budgets + self._along(t, slack).log_partition) / t, 0.0)
        return gains, np.where(inner, np.where(np.isfinite(budgets), 1.0 / t, high), np.inf)

    @cached_property
    def _unit_moments(self) -> Moments:
        return Moments(1.0, 1.0, 2.0)

    @cached_property
    def _unit_saturation(self) -> tuple[float, float]:
        return np.inf, np.inf

    def _unit_draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array:
        return rng.standard_exponential((n_prompts, n_completions))

    def _grid(self, step: float) -> Grid:
        from scipy.special import expit

        # reward = log(1 + e^y), so that F(reward) is the logistic function of y
        h = 0.25 * step
        y = lattice(-45.0, 75.0, h)
        f, s = expit(y), expit(-y)
        return Grid(np.logaddexp(0.0, y), h * f, h * f * s, f, s)
