"""How much of the limit a policy gets: its gain over the most reward that its KL could have bought."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from klimit.policies.intervals import Interval, t_quantile
from klimit.policies.levels import Floats


class LinearisedLimit(Protocol):
    """The estimated limit near KLs of shape ``(k,)``, for a delta method."""

    @property
    def value(self) -> Floats:
        """Gain, nan beyond the horizon, shape ``(k,)``."""
        ...

    @property
    def slope(self) -> Floats:
        """Its derivative in the KL, shape ``(k,)``."""
        ...

    @property
    def influence(self) -> Floats:
        """Mean-zero influence of each prompt on ``value``, shape ``(n_prompts, k)``.

        The standard error is ``sqrt(sum(influence**2)) / n_prompts``.
        """
        ...

    @property
    def bias(self) -> Floats:
        """Allowance for the bias that is left, shape ``(k,)``."""
        ...


class AverageLimit(Protocol):
    """What is needed of a frontier: the limit at an average KL budget."""

    def linearise(self, kl: Floats, /) -> LinearisedLimit:
        """The limit at KLs of shape ``(k,)``, all above 0."""
        ...

    def at(self, *, kl: float | None = None, beta: float | None = None) -> Any:
        """The point at a KL, or at a beta: a :class:`klimit.limit.result.Point`."""
        ...


def efficiency(
    gain: Floats,
    kl: Floats,
    *,
    gain_interval: Interval,
    kl_interval: Interval,
    kl_bias: Floats,
    limit: AverageLimit,
    level: float,
    given_prompts: bool,
    gain_bias: Floats | None = None,
) -> Interval:
    """Gain over the limit at the same average KL, each of shape ``(k,)``.

    Within the horizon the interval follows from each prompt's influence on gain, KL and limit together (the
    delta method: what resampling prompts would give, their common error cancelling), widened by the biases
    left in KL and limit. About these prompts only, the three errors are taken as independent, which is
    conservative. Beyond the horizon there is no estimate (nan); the interval is the range that the bracket
    leaves, at most 1. At KL 0 or a limit of 0 all is nan.

    Args:
        gain: estimates, one a prompt and setting, shape ``(n_prompts, k)``.
        kl: the same of the KL.
        gain_interval: their mean and interval.
        kl_interval: the same of the KL.
        kl_bias: allowance for the bias in the mean KL, shape ``(k,)``.
        limit: the limit for the same prompts, in the same order.
        level: nominal cover.
        given_prompts: whether the intervals are about these prompts.
        gain_bias: allowance for the bias in the mean gain, shape ``(k,)``, where there is any; about these prompts
            the interval of the gain has it already.
    """
    mean_gain, mean_kl = gain_interval.mean, kl_interval.mean
    out = Interval(*(np.full(mean_gain.shape, np.nan) for _ in range(3)))
    spent = np.flatnonzero(mean_kl > 0)
    if not len(spent):
        return out
    lines = limit.linearise(mean_kl[spent])
    ratio = Interval(*(np.full(len(spent), np.nan) for _ in range(3)))
    positive = np.isfinite(lines.value) & (np.nan_to_num(lines.value) > 0)
    value = np.where(positive, lines.value, np.nan)
    ratio.mean[:] = mean_gain[spent] / value
    allowance = np.abs(ratio.mean) / value * (lines.bias + lines.slope * kl_bias[spent])
    if given_prompts:
        half = _independent_half(ratio.mean, value, lines.slope, spent, gain_interval, kl_interval, limit)
    else:
        if gain_bias is not None:
            allowance = allowance + gain_bias[spent] / value
        half = _joint_half(ratio.mean, value, lines, gain[:, spent], kl[:, spent], level)
    ratio.low[:], ratio.high[:] = ratio.mean - half - allowance, ratio.mean + half + allowance
    for j in np.flatnonzero(np.isnan(lines.value)):
        ratio.low[j], ratio.high[j] = _bracket(int(spent[j]), gain_interval, kl_interval, limit)
    for whole, part in ((out.mean, ratio.mean), (out.low, ratio.low), (out.high, ratio.high)):
        whole[spent] = part
    return out


def _joint_half(
    ratio: Floats, value: Floats, lines: LinearisedLimit, gain: Floats, kl: Floats, level: float
) -> Floats:
    n_prompts = len(gain)
    if n_prompts == 1:
        return np.full(ratio.shape, np.nan)
    limit_error = lines.influence + lines.slope * (kl - kl.mean(axis=0))
    error = (gain - gain.mean(axis=0) - ratio * limit_error) / value
    spread = np.sqrt((error**2).sum(axis=0) / (n_prompts - 1) / n_prompts)
    return np.asarray(t_quantile(level, n_prompts) * spread)


def _independent_half(
    ratio: Floats,
    value: Floats,
    slope: Floats,
    spent: NDArray[np.integer[Any]],
    gain: Interval,
    kl: Interval,
    limit: AverageLimit,
) -> Floats:
    points = [limit.at(kl=float(x)) for x in kl.mean[spent]]
    of_limit = np.array([point.gain_high - point.gain_low for point in points]) / 2
    of_gain = (gain.high - gain.low)[spent] / 2
    of_kl = (kl.high - kl.low)[spent] / 2
    return np.asarray(np.hypot(of_gain, ratio * np.hypot(of_limit, slope * of_kl)) / value)


def _bracket(j: int, gain: Interval, kl: Interval, limit: AverageLimit) -> tuple[float, float]:
    """The range of efficiencies that the limit's bracket allows at the j-th setting."""
    ends = [x if np.isfinite(x) else kl.mean[j] for x in (kl.low[j], kl.high[j])]
    most = limit.at(kl=float(ends[1])).gain_high
    least = limit.at(kl=float(ends[0])).gain_low if ends[0] > 0 else 0.0
    low = gain.low[j] / most if most > 0 else float("nan")
    high = min(1.0, gain.high[j] / least) if least > 0 else 1.0
    return float(low), float(high)
