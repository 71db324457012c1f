"""Where gold turns down, where it falls below the base policy's, and where it is highest; each with an interval.

If a curve first falls through zero at ``u*``, its band at ``u*`` holds 0: the band's lower edge has reached 0 by then.
And once the upper edge lies below 0, the curve has fallen. The interval runs from the one to the other. Gold has also
turned down, for certain, where it lies below what it was at a smaller tilt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from klimit.audits.measured import Array, Measured, intervals
from klimit.proxies.curves import Curves
from klimit.proxies.result import Best
from klimit.values import Value

_SETTLED = 0.25  # half-width of the threshold, as a share, that counts as settled


@dataclass(frozen=True)
class Fall:
    """Where a curve first falls below zero, on its axis; ``-inf``: from the start, ``inf``: not within reach.

    Attributes:
        estimate: of the curve.
        low: no fall before.
        high: a fall by then.
    """

    estimate: float
    low: float
    high: float


def first_fall(u: Array, curve: Sequence[Measured], level: float) -> Fall:
    """The first fall of a curve below zero at points ``u``, ``(K,)``."""
    bands = intervals(curve, level)
    edges = ([one.estimate for one in bands], [one.low for one in bands], [one.high for one in bands])
    return Fall(*(_first_below(u, np.array(edge)) for edge in edges))


def _first_below(u: Array, curve: Array) -> float:
    below = np.flatnonzero(curve <= 0)
    if not len(below):
        return float("inf")
    k = int(below[0])
    if k == 0:
        return float("-inf")
    step = curve[k - 1] / (curve[k - 1] - curve[k])
    return float(u[k - 1] + step * (u[k] - u[k - 1]))


def below_its_past(curve: Sequence[Measured], level: float) -> int | None:
    """The first point at which a curve lies, for certain, below its highest estimate so far; None where none does."""
    values = np.array([one.value for one in curve])
    tops = [int(np.argmax(values[: k + 1])) for k in range(len(curve))]
    less = intervals([one - curve[top] for one, top in zip(curve, tops, strict=True)], level)
    return next((k for k, one in enumerate(less) if tops[k] != k and one.high < 0), None)


def turn(curves: Curves, level: float) -> Fall:
    """Where gold turns down: its slope, the covariance, falls below zero."""
    fall = first_fall(curves.u, curves.covariance, level)
    past = below_its_past(curves.gold, level)
    if past is None:
        return fall
    return Fall(fall.estimate, fall.low, max(min(fall.high, float(curves.u[past])), fall.estimate, fall.low))


def kl_of(fall: Fall, curves: Curves, level: float) -> Value:
    """The KL at a fall; an estimate of nan and an infinite end where there is none within the horizon."""
    bands = intervals(curves.kl, level)

    def at(u: float, numbers: list[float], beyond: float) -> float:
        if not np.isfinite(u):
            return 0.0 if u < 0 else beyond
        return float(np.interp(u, curves.u, np.maximum.accumulate(np.maximum(numbers, 0.0))))

    return Value(
        at(fall.estimate, [one.estimate for one in bands], float("nan")),
        at(fall.low, [one.low for one in bands], curves.horizon),
        at(fall.high, [one.high for one in bands], float("inf")),
    )


def times_as_many(threshold: Value) -> float | None:
    """How many times the labels (or prompts) would bring a threshold to a quarter either way, by the root-n law.

    Where nothing bounds it above, as many as its lower end alone would take: so many at least. None where there is no
    threshold above 0.
    """
    if not (np.isfinite(threshold.estimate) and threshold.estimate > 0):
        return None
    width = threshold.high - threshold.low
    half = width / 2 if np.isfinite(width) else threshold.estimate - threshold.low
    return float(max(half / threshold.estimate / _SETTLED, 1.0) ** 2)


def beta_of(fall: Fall, scale: float) -> Value:
    """The beta at a fall: betas fall as the tilt grows."""

    def at(u: float, beyond: float) -> float:
        return beyond if u == np.inf else np.inf if u == -np.inf else scale / float(np.exp(u))

    return Value(at(fall.estimate, float("nan")), at(fall.high, 0.0), at(fall.low, np.inf))


def not_worse(found: Sequence[Measured], best: int, level: float) -> list[int]:
    """The settings that cannot be told to be worse than the best."""
    less = intervals([one - found[best] for one in found], level)
    return [i for i, one in enumerate(less) if i == best or one.high >= 0]


def best_along(curves: Curves, scale: float, level: float) -> Best:
    """The beta at which gold is highest; infinite, the base policy, where no tilt gains anything."""
    base = Measured(0.0, np.zeros_like(curves.gold[0].influence))
    gains = [base, *curves.gold]
    kls = [0.0, *(max(one.value, 0.0) for one in curves.kl)]
    betas = [np.inf, *(scale / np.exp(curves.u))]
    top = int(np.argmax([one.value for one in gains]))
    tied = not_worse(gains, top, level)
    return Best(
        Value(float(betas[top]), float(betas[tied[-1]]), float(betas[tied[0]])),
        Value(kls[top], kls[tied[0]], kls[tied[-1]]),
        gains[top].interval(level),
        at_end=top == len(gains) - 1,
    )
