"""A policy against the limit: what its KL could have bought, and how little KL its gain needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.audits.measured import Measured, ratio
from klimit.limit.result import Frontier
from klimit.values import Value

_NAN = float("nan")
_NEWTON = 4


@dataclass(frozen=True, eq=False)
class Need:
    """The least KL that a gain needs.

    Attributes:
        measured: with its influences; None where only a range is known.
        value: with its interval, or the range.
    """

    measured: Measured | None
    value: Value


def limit_at(limit: Frontier, kl: Measured) -> Measured | None:
    """The limit at an estimated KL; None beyond the horizon, or at no KL."""
    if not 0 < kl.value <= limit.horizon:
        return None
    line = limit.linearise(kl.value)
    slope, bias = float(line.slope[0]), float(line.bias[0])
    return Measured(
        float(line.value[0]),
        line.influence[:, 0] + slope * kl.influence,
        below=bias + slope * kl.below,
        above=bias + slope * kl.above,
    )


def least_kl_of_gain(
    limit: Frontier, loss: Frontier | None, gain: Measured, kl: Measured | None, level: float
) -> Need:
    """The least KL with which any method has exactly this gain.

    Args:
        limit: of the reward.
        loss: of its negative, for gains below 0; None where the gain is above 0 for certain.
        gain: the policy's.
        kl: the policy's: enough, as it shows; None where it is not known.
        level: nominal cover.
    """
    curve, sign = (limit, 1.0) if gain.value >= 0 or loss is None else (loss, -1.0)
    size = gain.times(sign)
    most = np.inf if kl is None else max(kl.interval(level).high, 0.0)
    if size.value == 0.0:
        zero = Measured(0.0, np.zeros_like(gain.influence))
        return Need(zero, _mapped(limit, loss, gain.interval(level), 0.0, most))
    start = curve.kl_for(gain=min(size.value, curve.bracket.cap)).kl
    if not np.isfinite(start):
        lowest = curve.kl_for(gain=min(max(size.interval(level).low, 0.0), curve.bracket.cap))
        least = max(lowest.kl_low, 0.0)
        return Need(None, Value(_NAN, least, max(most, least)))
    found = start
    for _ in range(_NEWTON):
        line = curve.linearise(found)
        if not np.isfinite(line.value[0]):
            break
        step = (size.value - float(line.value[0])) / float(line.slope[0])
        found = float(np.clip(found + step, 0.2 * found, min(5 * found, curve.horizon)))
        if abs(step) <= 1e-9 * found:
            break
    line = curve.linearise(found)
    slope, bias = float(line.slope[0]), float(line.bias[0])
    # How far the gain lies from the limit at that KL, for certain 0: its error is the error of the inverse, times beta.
    gap = size - Measured(size.value, line.influence[:, 0], bias, bias)
    measured = gap.times(1 / slope)
    here = gap.interval(level)
    ends = Value(size.value, size.value + here.low, size.value + here.high)
    signed = ends if sign > 0 else Value(-ends.estimate, -ends.high, -ends.low)
    return Need(
        Measured(found, measured.influence, measured.below, measured.above),
        _mapped(limit, loss, signed, found, most),
    )


def _mapped(limit: Frontier, loss: Frontier | None, gains: Value, kl: float, most: float) -> Value:
    """The interval of gains turned into one of KLs: the inverse falls up to gain 0 and rises from there."""

    def inverse(gain: float) -> float:
        curve = limit if gain >= 0 else loss
        if gain == 0 or curve is None:
            return 0.0
        if not np.isfinite(gain):
            return np.inf
        found = curve.kl_for(gain=min(abs(gain), curve.bracket.cap))
        return found.kl if np.isfinite(found.kl) else np.inf

    low, high = inverse(gains.low), inverse(gains.high)
    least = 0.0 if gains.low <= 0 <= gains.high else min(low, high)
    highest = max(low, high)
    # Beyond the horizon the inverse is not known, but the policy itself has that gain.
    return Value(kl, min(least, kl), max(highest if np.isfinite(highest) else most, kl))


def efficiency(limit: Frontier, gain: Measured, kl: Measured, level: float) -> Value | None:
    """Gain over the limit at the same average KL; a range beyond the horizon; None where there is no KL to speak of."""
    spent = kl.interval(level)
    if not kl.value > 0 or not spent.high > 0:
        return None
    at = limit_at(limit, kl)
    if at is not None:
        return ratio(gain, at, level)
    most, least = _bounds(limit, spent)
    if not most > 0:
        return None
    found = gain.interval(level)
    ends = [found.low / most, found.high / least if least > 0 else np.inf]
    low = ends[0] if found.low > 0 else (found.low / least if least > 0 else -np.inf)
    return Value(_NAN, low, min(1.0, ends[1]) if found.high > 0 else found.high / most)


def missing_reward(limit: Frontier, gain: Measured, kl: Measured, level: float) -> Value:
    """The limit at the same KL less the gain; a range beyond the horizon."""
    at = limit_at(limit, kl)
    if at is not None:
        return (at - gain).interval(level)
    most, least = _bounds(limit, kl.interval(level))
    found = gain.interval(level)
    return Value(_NAN, max(least - found.high, 0.0), max(most - found.low, 0.0))


def wasted_kl(need: Need, kl: Measured, level: float) -> Value:
    """KL less the least KL of the gain."""
    if need.measured is not None:
        return (kl - need.measured).interval(level)
    spent = kl.interval(level)
    return Value(_NAN, max(spent.low - need.value.high, 0.0), max(spent.high - need.value.low, 0.0))


def distance_to_tilted(
    limit: Frontier, gain: Measured, kl: Measured, slope: Measured, level: float
) -> Value | None:
    """``E KL(pi || pi_beta) = KL - G/beta + L(1/beta)`` at the implied beta, ``L`` of centred rewards.

    None where the slope is not above 0 or the tilted policy lies beyond the horizon.
    """
    from klimit.limit.average import AverageBudget

    if not slope.value > 0 or not isinstance(limit.engine, AverageBudget):
        return None
    t = np.array([slope.value * limit.rewards.scale])
    grid = limit.engine.grid.t
    # Below the grid the log-partition is its leading term, t**2 V / 2, to a part in a hundred of next to nothing.
    shrink = min(1.0, float(t[0] / grid[0]))
    t = np.maximum(t, grid[0])
    if not t[0] <= grid[-1] or not float(limit.engine.kl_at(t)[0]) <= limit.horizon:
        return None
    tilted, _, partition = limit.engine.tilt_levels(t)
    found = limit.inference.estimate(partition)
    bias = float(found.bias[0])
    log_partition = Measured(float(found.value[0]), found.influence[:, 0], bias, bias).times(shrink**2)
    reached = float(limit.inference.estimate(tilted).value[0]) * limit.rewards.scale * shrink
    # The implied beta is estimated too; the distance changes with it by what the tilted policy gains more.
    moved = Measured(0.0, slope.influence * (reached - gain.value))
    whole = kl - gain.times(slope.value) + log_partition + moved
    value = whole.interval(level)
    return Value(value.estimate, max(value.low, min(value.estimate, 0.0)), max(value.high, 0.0))


def _bounds(limit: Frontier, spent: Value) -> tuple[float, float]:
    """Upper bound of the limit at the most KL spent, lower bound at the least."""
    most = limit.at(kl=spent.high).gain_high if np.isfinite(spent.high) else limit.bracket.cap
    least = limit.at(kl=spent.low).gain_low if spent.low > 0 else 0.0
    return most, least
