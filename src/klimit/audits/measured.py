"""Means over prompts that remember what each prompt contributed, so that what is derived from them has its error.

Policy and base samples of a prompt are one unit: an influence holds what that prompt, with all its completions, adds to
the estimate. Its spread over prompts is what resampling prompts (policy and base together) would show, to first order;
sums, differences and ratios of estimates of the same prompts combine their influences, so common errors cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from klimit.policies.intervals import mean_interval
from klimit.values import Value

Array = NDArray[np.float64]

_MOST_RATIO = 1e6


@dataclass(frozen=True, eq=False)
class Measured:
    """An estimate that is linear in the prompts, to first order.

    Attributes:
        value: the estimate.
        influence: mean-zero influence of each prompt, ``(P,)``; the standard error is that of their mean.
        below: how much lower the truth may lie besides sampling error (bias that may remain).
        above: how much higher.
    """

    value: float
    influence: Array
    below: float = 0.0
    above: float = 0.0

    @classmethod
    def mean(cls, values: Array, *, below: float = 0.0, above: float = 0.0) -> Measured:
        """The mean of one estimate a prompt, ``(P,)``."""
        centre = float(values.mean())
        return cls(centre, values - centre, below, above)

    @property
    def error(self) -> float:
        """Standard error over prompts; infinite for one prompt."""
        n_prompts = len(self.influence)
        if n_prompts < 2:
            return float("inf")
        return float(np.sqrt((self.influence**2).sum() / (n_prompts - 1) / n_prompts))

    def __add__(self, other: Measured) -> Measured:
        return Measured(
            self.value + other.value,
            self.influence + other.influence,
            self.below + other.below,
            self.above + other.above,
        )

    def __sub__(self, other: Measured) -> Measured:
        return self + other.times(-1.0)

    def times(self, factor: float) -> Measured:
        """Scaled by a constant."""
        below, above = (self.below, self.above) if factor >= 0 else (self.above, self.below)
        return Measured(
            factor * self.value, factor * self.influence, abs(factor) * below, abs(factor) * above
        )

    def interval(self, level: float) -> Value:
        """Student's interval, widened for skewed influences and by what may remain of the bias.

        For one prompt it is unbounded: one prompt says nothing about others.
        """
        if len(self.influence) < 2:
            return Value(self.value, -np.inf, np.inf)
        found = mean_interval((self.value + self.influence)[:, None], level=level)
        return Value(self.value, float(found.low[0]) - self.below, float(found.high[0]) + self.above)


def intervals(measured: Sequence[Measured], level: float) -> list[Value]:
    """:meth:`Measured.interval` of several at once."""
    if not measured or len(measured[0].influence) < 2:
        return [one.interval(level) for one in measured]
    found = mean_interval(np.stack([one.value + one.influence for one in measured], axis=1), level=level)
    return [
        Value(one.value, float(low) - one.below, float(high) + one.above)
        for one, low, high in zip(measured, found.low, found.high, strict=True)
    ]


def ratio(top: Measured, bottom: Measured, level: float) -> Value:
    """``top / bottom`` with Fieller's interval: all ``e`` for which ``top - e * bottom`` may be 0.

    Unlike the delta method it stays honest where ``bottom`` is not far from 0; its ends are then infinite.
    """
    if not bottom.value > 0:
        return Value(float("nan"), -np.inf, np.inf)
    centre = top.value / bottom.value

    def compatible(e: float) -> bool:
        return 0.0 in (top - bottom.times(e)).interval(level)

    return Value(centre, _last(compatible, centre, -1.0), _last(compatible, centre, 1.0))


def _last(compatible: Callable[[float], bool], start: float, direction: float) -> float:
    """The farthest compatible number on one side of ``start``; infinite where none ends it."""
    inside, step = start, 1e-6 * max(abs(start), 1.0)
    while compatible(start + direction * step):
        inside = start + direction * step
        step *= 2
        if step > _MOST_RATIO * max(abs(start), 1.0):
            return direction * np.inf
    outside = start + direction * step
    for _ in range(40):
        middle = (inside + outside) / 2
        if compatible(middle):
            inside = middle
        else:
            outside = middle
    return inside
