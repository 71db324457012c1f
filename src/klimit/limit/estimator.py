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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from klimit.limit.dual import Array
from klimit.limit.levels import LevelMoments, Levels

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
_SKEW_CAP, _SKEW_SHIFT_CAP = 3.0, 1.2


@dataclass(frozen=True, eq=False)
class Estimates:
    """Means over prompts at ``K`` points, with intervals.

    Attributes:
        value: point estimates, ``(K,)``.
        low: lower end of the interval.
        high: upper end of the interval.
        standard_error: of ``value``, for the target asked for.
        bias: half-width allowed for the bias that remains.
        influences: gives the mean-zero influence of each prompt on ``value``, ``(P, K)``.
    """

    value: Array
    low: Array
    high: Array
    standard_error: Array
    bias: Array
    influences: Callable[[], Array]

    @cached_property
    def influence(self) -> Array:
        """Mean-zero influence of each prompt on ``value``, ``(P, K)``."""
        return self.influences()

    def times(self, factor: Array) -> Estimates:
        """The same of a multiple, by factors ``(K,)`` above 0."""
        names = ("value", "low", "high", "standard_error", "bias")
        scaled = {name: getattr(self, name) * factor for name in names}
        return Estimates(**scaled, influences=lambda: self.influence * factor)


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


def variance_of_difference(scatter: Array, n_prompts: int) -> Array:
    """The same from the sums of products of ``d1`` and ``d2`` less their means, ``(2, 2, T)``."""
    if n_prompts < 2:
        return np.full(scatter.shape[2:], np.inf)
    weights = np.array([1.0, -_RATIO_LOW])
    total = np.einsum("i,ijt,j->t", weights, scatter, weights)
    return np.asarray(np.maximum(total, 0.0) / (n_prompts - 1) / n_prompts)


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


def _weights(moments: LevelMoments, finest: ArrayLike, d1: ArrayLike, d2: ArrayLike) -> Array:
    shape = moments.skew.shape
    return np.stack([np.broadcast_to(np.asarray(each, dtype=np.float64), shape) for each in (finest, d1, d2)])


def _noise(moments: LevelMoments) -> Array:
    """Sampling variance of the mean of ``d1 - q d2``; see :func:`noise_of_difference`."""
    return moments.variance(_weights(moments, 0.0, 1.0, -_RATIO_LOW)) / moments.n_prompts


def _extrapolated_weights(moments: LevelMoments, *, smooth: bool) -> Array:
    """How the extrapolated mean moves with those of estimate and differences, by the delta method: ``(3, K)``."""
    (_, b1, b2), noise = moments.mean, _noise(moments)
    if not np.isfinite(noise).all():
        return np.zeros_like(moments.mean)
    q = _ratio(b1, b2, noise)
    if smooth:
        by_d1, by_d2 = _by_noisy_ratio(moments, noise)
        return _weights(moments, 1.0, q / (1 - q) + by_d1, by_d2)
    free = (q > _RATIO_LOW) & (q < _RATIO_HIGH)
    scale = np.where(free, b2**2 + noise, 1.0)
    # Where the ratio is clipped it does not move with the data; both differences are positive where it is not.
    by_q = np.where(free, b1 / (1 - q) ** 2 / scale, 0.0)
    return _weights(moments, 1.0, q / (1 - q) + by_q * b2, by_q * (b1 - 2 * q * b2))


def _by_noisy_ratio(moments: LevelMoments, noise: Array) -> tuple[Array, Array]:
    """What the ratio's own sampling error adds to the weights of ``d1`` and ``d2``.

    The delta method gives the clipped ratio a huge error just below its highest value and none just above. Here it is
    the spread of ``q/(1-q)`` for a normal ratio that is clipped: the same where the ratio is well known, bounded where
    it is not, and without a leap.
    """
    _, b1, b2 = moments.mean
    slow = (b1 > 0) & (b2 > 0)
    scale = np.where(slow, b2**2 + noise, 1.0)
    raw = (b1 * b2 + _RATIO_LOW * noise) / scale
    weights = _weights(moments, 0.0, b2 / scale, (b1 - 2 * raw * b2) / scale)
    error = np.sqrt(moments.variance(weights) / moments.n_prompts)
    nodes, shares = np.polynomial.hermite_e.hermegauss(_NODES)
    drawn = np.clip(raw + error * nodes[:, None], _RATIO_LOW, _RATIO_HIGH)
    shares, added = shares / shares.sum(), drawn / (1 - drawn)
    spread = np.sqrt(np.maximum(shares @ added**2 - (shares @ added) ** 2, 0.0))
    share = np.divide(spread, error, out=np.zeros_like(error), where=slow & (error > 0))
    return b1 * share * weights[1], b1 * share * weights[2]


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

    def estimate(self, levels: Levels) -> Estimates:
        """The mean over prompts and its interval."""
        if self.name == "plug-in":
            return self._plain(levels)
        if self.name == "jackknife":
            return self._jackknifed(levels)
        return self._corrected(levels)

    def _plain(self, levels: Levels) -> Estimates:
        """Without any correction."""
        values = levels.plug_in
        variance = values.var(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.inf)
        moments = levels.moments(given=self._given)
        return self._simple(values.mean(axis=0), variance, moments, lambda: values - values.mean(axis=0))

    def _jackknifed(self, levels: Levels) -> Estimates:
        """Without the extrapolation."""
        moments = levels.moments(given=self._given)
        weights = _weights(moments, 1.0, 0.0, 0.0)
        mean, variance = moments.mean[0], moments.covariance[0, 0]
        return self._simple(mean, variance, moments, lambda: levels.influence(weights))

    def _simple(
        self, mean: Array, variance: Array, moments: LevelMoments, influences: Callable[[], Array]
    ) -> Estimates:
        error = self._error(variance, variance, moments)
        half = self.quantile(moments.n_prompts) * error
        return Estimates(mean, mean - half, mean + half, error, np.zeros_like(mean), influences)

    def _corrected(self, levels: Levels) -> Estimates:
        moments = levels.moments(given=self._given)
        finest, b1, b2 = moments.mean
        by_fast = _weights(moments, 1.0, 1 / 3, 0.0)
        by_free = _extrapolated_weights(moments, smooth=self.smooth)
        base = moments.covariance[0, 0]
        fast_error, free_error, plain_error = (
            self._error(variance, base, moments)
            for variance in (moments.variance(by_fast), moments.variance(by_free), base)
        )
        free_error = np.maximum(free_error, plain_error)
        start = finest + np.minimum(levels.shift, 0.5 * fast_error)
        richardson = start + b1 / 3
        extrapolated = start + extrapolate(b1, b2, _noise(moments))
        correction = finest - moments.plug_in if levels.estimated else None
        bias = remaining_bias(b1, b2, correction)
        quantile = self.quantile(moments.n_prompts)
        skewed = quantile + self._skew_shift(moments)
        low = np.minimum(richardson, extrapolated) - quantile * fast_error - bias
        high = np.maximum(richardson + skewed * fast_error, extrapolated + skewed * free_error) + bias
        allowance = bias + np.abs(extrapolated - richardson)
        if self.name == "richardson":
            return Estimates(richardson, low, high, fast_error, allowance, lambda: levels.influence(by_fast))
        return Estimates(extrapolated, low, high, free_error, allowance, lambda: levels.influence(by_free))

    @property
    def _given(self) -> bool:
        return self.target == "these-prompts"

    def _error(self, variance: Array, base: Array, moments: LevelMoments) -> Array:
        """Standard error of a mean over prompts.

        Args:
            variance: over prompts, of what is averaged.
            base: the same before extrapolation.
            moments: how many prompts there are, and what varies within them.
        """
        n_prompts, within = moments.n_prompts, moments.within
        if not self._given:
            if n_prompts < 2:
                return np.full(variance.shape, np.inf)
            # Prompts that agree by chance are no surer than their own completions.
            return np.asarray(
                np.sqrt(np.where(variance < _DEGENERATE * within, within, variance) / n_prompts)
            )
        within = within * (1 + 1 / n_prompts)
        if n_prompts < 2:
            return np.asarray(np.sqrt(within))
        # What the extrapolation itself adds shows between prompts only: few of them get an allowance for it.
        # A corrected estimate differs from its uncorrected base in noise within prompts only.
        between = np.maximum(base - within, 0.0)
        return np.asarray(np.sqrt(np.maximum(variance - between, within) / n_prompts))

    def quantile(self, n_prompts: int) -> float:
        """Two-sided quantile of Student's t over prompts, or of the normal law when the prompts are given."""
        from scipy.special import ndtri, stdtrit

        tail = 0.5 + self.level / 2
        if self.target == "population" and n_prompts > 1:
            return float(stdtrit(n_prompts - 1, tail))
        return float(ndtri(tail))

    def _skew_shift(self, moments: LevelMoments) -> Array:
        """How much further the upper end lies for skewed influences (Cornish-Fisher, Student's t with skewness)."""
        from scipy.special import ndtri

        z = float(ndtri(0.5 + self.level / 2))
        skew = np.clip(moments.skew, -_SKEW_CAP, _SKEW_CAP)
        shift = 3 * skew * (1 + 2 * z**2) / (6 * np.sqrt(moments.n_prompts))
        return np.asarray(np.clip(shift, 0.0, _SKEW_SHIFT_CAP))
