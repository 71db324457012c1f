"""From per-prompt log-mean-exps to the limit: bias correction, intervals, and how far they can be trusted.

The plug-in ``log mean exp(t r)`` over ``n`` samples of a prompt is biased low, however many prompts there are.
Three things are done about it, in this order (all of them average over prompts first):

1. the leave-one-out jackknife ``J_m`` within blocks of ``m = n, n/2, n/4`` samples removes the ``1/m`` term;
2. what is left is extrapolated from ``d1 = J_n - J_{n/2}`` and ``d2 = J_{n/2} - J_{n/4}``: once as if it fell like
   ``1/m**2`` (``richardson``: ``J_n + d1/3``), once at the rate that the data show (``extrapolated``:
   ``J_n + d1 q/(1-q)``, ``q = d1/d2``; Aitken's process);
3. the interval spans both, each with its own standard error over prompts, and is widened by a share of the
   last correction for the bias that may still remain.

Everything here is in scaled rewards (divided by their within-prompt standard deviation): ``t`` has no unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from klimit.limit.dual import Array, DualCurve, Grid
from klimit.limit.kernels import PromptStatistics

Estimator = Literal["extrapolated", "richardson", "jackknife", "plug-in"]
Target = Literal["population", "these-prompts"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)
TARGETS: tuple[str, ...] = get_args(Target)

# Aitken's ratio d1/d2 is pulled towards what a 1/m**2 bias has, by as much as d2 is noise, and kept from 1.
_RATIO_LOW, _RATIO_HIGH = 0.25, 0.8
_BIAS_SHARE = 0.3
_SKEW_CAP, _SKEW_SHIFT_CAP = 3.0, 1.2


@dataclass(frozen=True)
class Estimates:
    """The limit at ``K`` budgets, in scaled rewards.

    Attributes:
        kl: budgets, ``(K,)``.
        u: log of the shared ``t`` at each budget.
        gain: point estimates.
        low: lower end of the interval.
        high: upper end of the interval.
        influence: mean-zero influence of each prompt on ``gain``, ``(P, K)``.
        standard_error: of ``gain``, for the target asked for.
        bias: half-width allowed for the bias that remains.
    """

    kl: Array
    u: Array
    gain: Array
    low: Array
    high: Array
    influence: Array
    standard_error: Array
    bias: Array


def _ratio(d1: Array, d2: Array, noise: Array) -> Array:
    """``d1/d2``, shrunk to the smallest ratio by the variance ``noise`` of ``d1 - q d2``."""
    noise = np.minimum(noise, 1e100)
    scale = d2**2 + noise
    raw = np.divide(d1 * d2 + _RATIO_LOW * noise, scale, out=np.full_like(d1, _RATIO_LOW), where=scale > 0)
    return np.clip(raw, _RATIO_LOW, _RATIO_HIGH)


def noise_of_difference(d1: Array, d2: Array) -> Array:
    """Sampling variance of the mean of ``d1 - q d2`` over prompts (first axis), at the smallest ratio."""
    n_prompts = d1.shape[0]
    if n_prompts < 2:
        return np.full(d1.shape[1:], np.inf)
    return np.asarray((d1 - _RATIO_LOW * d2).var(axis=0, ddof=1) / n_prompts)


def extrapolate(d1: Array, d2: Array, noise: Array) -> Array:
    """What Aitken's process adds to ``J_n`` on its way to infinitely many samples."""
    q = _ratio(d1, d2, noise)
    return np.asarray(d1 * q / (1 - q))


def remaining_bias(d1: Array, d2: Array) -> Array:
    """What the interval allows for bias beyond both extrapolations."""
    return _BIAS_SHARE * np.maximum(np.abs(d1), np.abs(d2) / 2)


def _extrapolated_influence(level: Array, d1: Array, d2: Array) -> Array:
    """Influence ``(P, K)`` of each prompt on :func:`extrapolate` of the means, by the delta method."""
    b1, b2, noise = d1.mean(axis=0), d2.mean(axis=0), noise_of_difference(d1, d2)
    if not np.isfinite(noise).all():
        return np.zeros_like(level)
    q = _ratio(b1, b2, noise)
    free = (q > _RATIO_LOW) & (q < _RATIO_HIGH)
    scale = np.where(free, b2**2 + noise, 1.0)
    by_q = np.where(free, b1 / (1 - q) ** 2 / scale, 0.0)
    influence = level + (q / (1 - q) + by_q * b2) * d1 + by_q * (b1 - 2 * q * b2) * d2
    return np.asarray(influence - influence.mean(axis=0))


@dataclass(frozen=True)
class LimitEstimator:
    """Estimates of the average-budget limit from the statistics of a pass over the rewards.

    Attributes:
        statistics: of the scaled rewards, from :func:`klimit.limit.kernels.prompt_statistics`.
        grid: interpolation on ``statistics.t``.
        counts: completions of each prompt, ``(P,)``.
        variances: variance of the scaled rewards within each prompt, ``(P,)``.
        name: which estimator.
        target: the population of prompts, or the prompts given.
        level: of the intervals.
    """

    statistics: PromptStatistics
    grid: Grid
    counts: Array
    variances: Array
    name: Estimator = "extrapolated"
    target: Target = "population"
    level: float = 0.95

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.counts)

    @cached_property
    def plug_in_levels(self) -> Array:
        """Plug-in log-partitions averaged over prompts, ``(3, T)``."""
        return self.statistics.plug_in.mean(axis=1)

    @cached_property
    def jackknife_levels(self) -> Array:
        """Jackknifed log-partitions averaged over prompts, ``(3, T)``."""
        return self.statistics.jackknife.mean(axis=1)

    @cached_property
    def curve(self) -> DualCurve:
        """The curve whose minimum is taken: the estimator's own, Richardson's for the extrapolated one.

        Aitken's ratio varies with ``t``, so its own curve need not be convex; by the envelope theorem, evaluating it
        at a minimiser that is off by ``du`` costs only a term in ``du**2``.
        """
        levels = self.jackknife_levels
        if self.name == "plug-in":
            return DualCurve(self.grid, self.plug_in_levels[0])
        if self.name == "jackknife":
            return DualCurve(self.grid, levels[0])
        return DualCurve(self.grid, levels[0] + (levels[0] - levels[1]) / 3)

    @cached_property
    def noise(self) -> Array:
        """Standard error of the mean of ``J_n - J_{n/2}`` (less its share of the coarser difference), ``(T,)``."""
        each = self.statistics.jackknife
        return np.sqrt(noise_of_difference(each[0] - each[1], each[1] - each[2]))

    def levels_at(self, u: Array, *, derivative: int = 0) -> Array:
        """``h = J/t`` of each prompt at each level, ``(3, P, K)``, or its derivative in ``log t``."""
        weights = (self.grid.basis(u, derivative=derivative) / self.grid.t).T
        return np.asarray(self.statistics.jackknife @ weights)

    def plug_in_at(self, u: Array, *, derivative: int = 0) -> Array:
        """``h = L/t`` of each prompt's plug-in, ``(P, K)``, or its derivative in ``log t``."""
        weights = (self.grid.basis(u, derivative=derivative) / self.grid.t).T
        return np.asarray(self.statistics.plug_in[0] @ weights)

    def at(self, kl: Array) -> Estimates:
        """The limit at each budget, with its interval; nan where the budget is off the grid's reach."""
        u = self.curve.argmin(kl)
        reach = np.isfinite(u)
        parts = self._at(kl[reach], u[reach])
        if reach.all():
            return parts

        def spread(values: Array) -> Array:
            out = np.full((*values.shape[:-1], len(kl)), np.nan)
            out[..., reach] = values
            return out

        fields = ("gain", "low", "high", "influence", "standard_error", "bias")
        return Estimates(kl=kl, u=u, **{name: spread(getattr(parts, name)) for name in fields})

    def _at(self, kl: Array, u: Array) -> Estimates:
        if self.name == "plug-in":
            influence = self.plug_in_at(u)
            return self._simple(kl, u, influence - influence.mean(axis=0))
        levels = self.levels_at(u)
        if self.name == "jackknife":
            return self._simple(kl, u, levels[0] - levels[0].mean(axis=0))
        return self._corrected(kl, u, levels)

    def _simple(self, kl: Array, u: Array, influence: Array) -> Estimates:
        gain = self.curve.value(kl, u)
        error = self._error(influence, influence, u)
        half = self._quantile * error
        return Estimates(kl, u, gain, gain - half, gain + half, influence, error, np.zeros_like(gain))

    def _corrected(self, kl: Array, u: Array, levels: Array) -> Estimates:
        d1, d2 = levels[0] - levels[1], levels[1] - levels[2]
        fast = levels[0] + d1 / 3
        fast -= fast.mean(axis=0)
        free = _extrapolated_influence(levels[0], d1, d2)
        base = levels[0] - levels[0].mean(axis=0)
        fast_error = self._error(fast, base, u)
        free_error = np.maximum(self._error(free, base, u), self._error(base, base, u))
        shift = np.minimum(self._minimum_bias(kl, u), 0.5 * fast_error)
        b1, b2 = d1.mean(axis=0), d2.mean(axis=0)
        richardson = self.curve.value(kl, u) + shift
        extrapolated = richardson + extrapolate(b1, b2, noise_of_difference(d1, d2)) - b1 / 3
        bias = remaining_bias(b1, b2)
        quantile, skewed = self._quantile, self._quantile + self._skew_shift(fast)
        low = np.minimum(richardson, extrapolated) - quantile * fast_error - bias
        high = np.maximum(richardson + skewed * fast_error, extrapolated + skewed * free_error) + bias
        if self.name == "richardson":
            gain, influence, error = richardson, fast, fast_error
        else:
            gain, influence, error = extrapolated, free, free_error
        return Estimates(kl, u, gain, low, high, influence, error, bias + np.abs(extrapolated - richardson))

    def _minimum_bias(self, kl: Array, u: Array) -> Array:
        """The minimum of a noisy curve lies below the curve's minimum: ``Var(f') / (2 P f'')``, in ``log t``."""
        slopes = self.levels_at(u, derivative=1)[0]
        curve = self.curve
        second = self.grid.basis(u, derivative=2) @ (curve.log_partition / self.grid.t)
        curvature = np.abs(kl * np.exp(-u) + second)
        if self.n_prompts < 2:
            return np.zeros_like(kl)
        return np.asarray(slopes.var(axis=0, ddof=1) / (2 * self.n_prompts * np.maximum(curvature, 1e-300)))

    def _error(self, influence: Array, base: Array, u: Array) -> Array:
        """Standard error of a mean of influences, for the target."""
        n_prompts = self.n_prompts
        if self.target == "population":
            if n_prompts < 2:
                return np.full(influence.shape[1], np.inf)
            return np.asarray(influence.std(axis=0, ddof=1) / np.sqrt(n_prompts))
        within = self._within_variance(u).mean(axis=0)
        if n_prompts < 2:
            return np.sqrt(within)
        # A corrected estimate differs from its uncorrected base in noise within prompts only.
        between = np.maximum(base.var(axis=0, ddof=1) - within, 0.0)
        return np.sqrt(np.maximum(influence.var(axis=0, ddof=1) - between, within) / n_prompts)

    def _within_variance(self, u: Array) -> Array:
        """Sampling variance of each prompt's plug-in ``L(t)/t - rbar``, ``(P, K)``, by the delta method."""
        t = np.exp(u)
        share = np.exp(self.statistics.squares @ self.grid.basis(u).T)  # sum w^2 / (sum w)^2
        gain = self.plug_in_at(u) + self.plug_in_at(u, derivative=1)  # L'(t) - L'(0)
        n = self.counts[:, None]
        variance = (share - 1 / n) / t**2 - 2 * gain / (t * n) + self.variances[:, None] / n
        return np.maximum(variance, 0.0)

    @property
    def _quantile(self) -> float:
        from scipy.stats import norm, t

        tail = 0.5 + self.level / 2
        if self.target == "population" and self.n_prompts > 1:
            return float(t.ppf(tail, self.n_prompts - 1))
        return float(norm.ppf(tail))

    def _skew_shift(self, influence: Array) -> Array:
        """How much further the upper end lies for skewed influences (second-order Cornish-Fisher, one-sided)."""
        from scipy.stats import norm

        spread = influence.std(axis=0)
        third = (influence**3).mean(axis=0)
        skew = np.divide(third, spread**3, out=np.zeros_like(third), where=spread > 0)
        z = norm.ppf(0.5 + self.level / 2)
        shift = 3 * np.clip(skew, -_SKEW_CAP, _SKEW_CAP) * (1 + 2 * z**2) / (6 * np.sqrt(self.n_prompts))
        return np.asarray(np.clip(shift, 0.0, _SKEW_SHIFT_CAP))
