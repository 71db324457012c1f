"""From per-prompt estimates to the limit: bias correction and intervals.

The plug-in ``log mean exp(t r)`` over ``n`` samples of a prompt is biased low, however many prompts there are.
Three things are done about it, all of them after averaging over prompts:

1. estimates ``J_m`` without the ``1/m`` term of the bias (the jackknife) from blocks of ``m = n, n/2, n/4`` samples;
2. what is left is extrapolated from ``d1 = J_n - J_{n/2}`` and ``d2 = J_{n/2} - J_{n/4}``: once as if it fell like
   ``1/m**2`` (``richardson``: ``J_n + d1/3``), once at the rate that the data show (``extrapolated``:
   ``J_n + d1 q/(1-q)``, ``q = d1/d2``; Aitken's process);
3. the interval spans both, each with its own standard error over prompts, and is widened by a share of the
   last correction for the bias that may still remain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from klimit.limit.dual import Array
from klimit.limit.levels import PromptLevels

Estimator = Literal["extrapolated", "richardson", "jackknife", "plug-in"]
Target = Literal["population", "these-prompts"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)
TARGETS: tuple[str, ...] = get_args(Target)

# Aitken's ratio d1/d2 is pulled towards what a 1/m**2 bias has, by as much as d2 is noise, and kept from 1.
_RATIO_LOW, _RATIO_HIGH = 0.25, 0.8
_NODES = 40  # of a clipped ratio's law
_BIAS_SHARE = 0.3
_BIAS_SHARE_ESTIMATED, _CORRECTION_SHARE_ESTIMATED = 0.5, 0.1  # chosen by benchmarks/transform_cover.py
_DEGENERATE = 0.3  # of the variance within prompts: less between them is a coincidence
_ENOUGH = 256
_SKEW_CAP, _SKEW_SHIFT_CAP = 3.0, 1.2


@dataclass(frozen=True)
class Estimates:
    """Means over prompts at ``K`` points, with intervals.

    Attributes:
        value: point estimates, ``(K,)``.
        low: lower end of the interval.
        high: upper end of the interval.
        influence: mean-zero influence of each prompt on ``value``, ``(P, K)``.
        standard_error: of ``value``, for the target asked for.
        bias: half-width allowed for the bias that remains.
    """

    value: Array
    low: Array
    high: Array
    influence: Array
    standard_error: Array
    bias: Array


def _ratio(d1: Array, d2: Array, noise: Array) -> Array:
    """``d1/d2``, shrunk to the smallest ratio by the variance ``noise`` of ``d1 - q d2``.

    Negative differences are an overshoot of the jackknife at few samples, not a slow bias: they get that ratio too.
    """
    d1, d2 = np.maximum(d1, 0.0), np.maximum(d2, 0.0)
    noise = np.minimum(noise, 1e100)
    scale = d2**2 + noise
    raw = np.divide(d1 * d2 + _RATIO_LOW * noise, scale, out=np.full_like(d1, _RATIO_LOW), where=scale > 0)
    return np.clip(raw, _RATIO_LOW, _RATIO_HIGH)


def noise_of_difference(d1: Array, d2: Array) -> Array:
    """Sampling variance of the mean of ``d1 - q d2`` over prompts (first axis), at the smallest ratio ``q``."""
    n_prompts = d1.shape[0]
    if n_prompts < 2:
        return np.full(d1.shape[1:], np.inf)
    return np.asarray((d1 - _RATIO_LOW * d2).var(axis=0, ddof=1) / n_prompts)


def extrapolate(d1: Array, d2: Array, noise: Array) -> Array:
    """What Aitken's process adds to ``J_n`` on its way to infinitely many samples."""
    q = _ratio(d1, d2, noise)
    return np.asarray(d1 * q / (1 - q))


def remaining_bias(d1: Array, d2: Array, correction: Array | None = None) -> Array:
    """What the interval allows for bias beyond both extrapolations.

    Args:
        d1: the last difference of corrected estimates.
        d2: the one before.
        correction: what was corrected, where the transform of the rewards was estimated from the blocks too: the biases
            of the logarithm and of the transform may then cancel in a difference, and settle later.
    """
    if correction is not None:
        seen = _BIAS_SHARE_ESTIMATED * np.maximum(np.abs(d1), np.abs(d2))
        return np.maximum(seen, _CORRECTION_SHARE_ESTIMATED * np.abs(correction))
    return _BIAS_SHARE * np.maximum(np.abs(d1), np.abs(d2) / 2)


def _extrapolated_influence(level: Array, d1: Array, d2: Array, *, smooth: bool) -> Array:
    """Influence ``(P, K)`` of each prompt on the extrapolated mean, by the delta method."""
    b1, b2, noise = d1.mean(axis=0), d2.mean(axis=0), noise_of_difference(d1, d2)
    if not np.isfinite(noise).all():
        return np.zeros_like(level)
    q = _ratio(b1, b2, noise)
    if smooth:
        influence = level + q / (1 - q) * d1 + _by_noisy_ratio(d1, d2, noise)
        return np.asarray(influence - influence.mean(axis=0))
    free = (q > _RATIO_LOW) & (q < _RATIO_HIGH)
    scale = np.where(free, b2**2 + noise, 1.0)
    # Where the ratio is clipped it does not move with the data; both differences are positive where it is not.
    by_q = np.where(free, b1 / (1 - q) ** 2 / scale, 0.0)
    influence = level + (q / (1 - q) + by_q * b2) * d1 + by_q * (b1 - 2 * q * b2) * d2
    return np.asarray(influence - influence.mean(axis=0))


def _by_noisy_ratio(d1: Array, d2: Array, noise: Array) -> Array:
    """What the ratio's own sampling error adds to the influences, ``(P, K)``.

    The delta method gives the clipped ratio a huge error just below its highest value and none just above. Here it is
    the spread of ``q/(1-q)`` for a normal ratio that is clipped: the same where the ratio is well known, bounded where
    it is not, and without a leap.
    """
    b1, b2 = d1.mean(axis=0), d2.mean(axis=0)
    slow = (b1 > 0) & (b2 > 0)
    scale = np.where(slow, b2**2 + noise, 1.0)
    raw = (b1 * b2 + _RATIO_LOW * noise) / scale
    influence = (b2 * d1 + (b1 - 2 * raw * b2) * d2) / scale
    error = influence.std(axis=0, ddof=1) / np.sqrt(len(d1))
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    drawn = np.clip(raw + error * nodes[:, None], _RATIO_LOW, _RATIO_HIGH)
    weights, added = weights / weights.sum(), drawn / (1 - drawn)
    spread = np.sqrt(np.maximum(weights @ added**2 - (weights @ added) ** 2, 0.0))
    share = np.divide(spread, error, out=np.zeros_like(error), where=slow & (error > 0))
    return np.asarray(b1 * share * influence)


@dataclass(frozen=True)
class Inference:
    """How means over prompts are estimated: which estimator, for which target, at which level.

    Attributes:
        name: of the estimator.
        target: what the interval is about.
        level: nominal cover.
        smooth: whether the error of the extrapolation's ratio is that of a clipped normal one: for curves, in which the
            delta method's leaps would show.
    """

    name: Estimator = "extrapolated"
    target: Target = "population"
    level: float = 0.95
    smooth: bool = False

    def estimate(self, levels: PromptLevels) -> Estimates:
        """The mean over prompts and its interval."""
        if self.name == "plug-in":
            return self._simple(levels.plug_in, levels)
        if self.name == "jackknife":
            return self._simple(levels.corrected[0], levels)
        return self._corrected(levels)

    def _simple(self, values: Array, levels: PromptLevels) -> Estimates:
        mean = values.mean(axis=0)
        influence = values - mean
        error = self._error(influence, influence, levels)
        half = self.quantile(len(values)) * error
        return Estimates(mean, mean - half, mean + half, influence, error, np.zeros_like(mean))

    def _corrected(self, levels: PromptLevels) -> Estimates:
        finest = levels.corrected[0]
        d1, d2 = finest - levels.corrected[1], levels.corrected[1] - levels.corrected[2]
        b1, b2 = d1.mean(axis=0), d2.mean(axis=0)
        base = finest - finest.mean(axis=0)
        fast = base + (d1 - b1) / 3
        free = _extrapolated_influence(finest, d1, d2, smooth=self.smooth)
        fast_error = self._error(fast, base, levels)
        free_error = np.maximum(self._error(free, base, levels), self._error(base, base, levels))
        start = finest.mean(axis=0) + np.minimum(levels.shift, 0.5 * fast_error)
        richardson = start + b1 / 3
        extrapolated = start + extrapolate(b1, b2, noise_of_difference(d1, d2))
        correction = finest.mean(axis=0) - levels.plug_in.mean(axis=0) if levels.estimated else None
        bias = remaining_bias(b1, b2, correction)
        quantile = self.quantile(len(finest))
        skewed = quantile + self._skew_shift(fast)
        low = np.minimum(richardson, extrapolated) - quantile * fast_error - bias
        high = np.maximum(richardson + skewed * fast_error, extrapolated + skewed * free_error) + bias
        allowance = bias + np.abs(extrapolated - richardson)
        if self.name == "richardson":
            return Estimates(richardson, low, high, fast, fast_error, allowance)
        return Estimates(extrapolated, low, high, free, free_error, allowance)

    def _error(self, influence: Array, base: Array, levels: PromptLevels) -> Array:
        """Standard error of the mean of ``influence``; ``base`` is that of the estimate before extrapolation."""
        n_prompts = len(influence)
        if self.target == "population":
            if n_prompts < 2:
                return np.full(influence.shape[1], np.inf)
            total = influence.var(axis=0, ddof=1)
            # A few prompts are enough to tell a coincidence.
            within = levels.within(slice(None, None, max(1, n_prompts // _ENOUGH))).mean(axis=0)
            # Prompts that agree by chance are no surer than their own completions.
            return np.asarray(np.sqrt(np.where(total < _DEGENERATE * within, within, total) / n_prompts))
        # What the extrapolation itself adds shows between prompts only: few of them get an allowance for it.
        within = levels.within(slice(None)).mean(axis=0) * (1 + 1 / n_prompts)
        if n_prompts < 2:
            return np.asarray(np.sqrt(within))
        # A corrected estimate differs from its uncorrected base in noise within prompts only.
        between = np.maximum(base.var(axis=0, ddof=1) - within, 0.0)
        total = np.maximum(influence.var(axis=0, ddof=1) - between, within)
        return np.asarray(np.sqrt(total / n_prompts))

    def quantile(self, n_prompts: int) -> float:
        """Two-sided quantile of Student's t over prompts, or of the normal law when the prompts are given."""
        from scipy.special import ndtri, stdtrit

        tail = 0.5 + self.level / 2
        if self.target == "population" and n_prompts > 1:
            return float(stdtrit(n_prompts - 1, tail))
        return float(ndtri(tail))

    def _skew_shift(self, influence: Array) -> Array:
        """How much further the upper end lies for skewed influences (Cornish-Fisher, Student's t with skewness)."""
        spread = influence.std(axis=0)
        third = (influence * influence * influence).mean(axis=0)
        skew = np.divide(third, spread**3, out=np.zeros_like(third), where=spread > 0)
        from scipy.special import ndtri

        z = float(ndtri(0.5 + self.level / 2))
        shift = 3 * np.clip(skew, -_SKEW_CAP, _SKEW_CAP) * (1 + 2 * z**2) / (6 * np.sqrt(len(influence)))
        return np.asarray(np.clip(shift, 0.0, _SKEW_SHIFT_CAP))
