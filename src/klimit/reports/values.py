"""Values as people read them: an estimate with its interval, or the range that is left."""

from __future__ import annotations

import math
from dataclasses import dataclass

from klimit.reports.numbers import RewardFormat, percent, percent_interval
from klimit.values import Value

UNKNOWN = "unknown"
_NONE = "-"
_LONGEST_NAME = 24


@dataclass(frozen=True)
class Unit:
    """How one kind of quantity is written throughout a report.

    Attributes:
        form: digits.
        signed: whether a plus is written.
    """

    form: RewardFormat
    signed: bool = False

    @classmethod
    def fitting(cls, *values: Value | None, signed: bool = False) -> Unit:
        """Three digits of the largest of the values."""
        sizes = [abs(_size(value)) for value in values if value is not None]
        largest = max((size for size in sizes if math.isfinite(size)), default=0.0)
        return cls(RewardFormat.fitting(largest), signed)

    @classmethod
    def for_one(cls, value: Value) -> Unit:
        """Three digits of the value or of the nearer end of its interval, whichever is larger."""
        sizes = [abs(x) for x in (value.low, value.high) if math.isfinite(x)]
        return cls(RewardFormat.fitting(max([abs(value.estimate), *([min(sizes)] if sizes else [])])))

    def number(self, x: float) -> str:
        """One number."""
        return self.form.gain(x) if self.signed else self.form.reward(x)

    def full(self, value: Value | None, of: str = "") -> str:
        """``0.31 [0.28, 0.34]``; ``0.5 to 1.2`` or ``at least 0.5`` for a range; then the unit."""
        unit = f" {of}" if of else ""
        if value is None:
            return _NONE
        if not value.known:
            return f"{self.range(value)}{unit}"
        if not math.isfinite(value.low) and not math.isfinite(value.high):
            return f"{self.number(value.estimate)}{unit}, no interval"
        return f"{self.number(value.estimate)} [{self._end(value.low)}, {self._end(value.high)}]{unit}"

    def short(self, value: Value | None) -> str:
        """The estimate alone, or the range."""
        if value is None:
            return _NONE
        return self.number(value.estimate) if value.known else self.range(value)

    def part(self, value: Value) -> str:
        """A part of a whole in one number: what it may be at most, where nothing of it was seen."""
        bounded = math.isfinite(value.high)
        if value.estimate <= 0 and bounded:
            return self.number(0.0) if value.high <= 0 else f"< {self.number(value.high)}"
        vague = value.estimate <= 0 or (not value.known and value.low <= 0)
        return UNKNOWN if vague and not bounded else self.short(value)

    def range(self, value: Value) -> str:
        """A range without an estimate."""
        if math.isfinite(value.low) and math.isfinite(value.high):
            return f"{self.number(value.low)} to {self.number(value.high)}"
        if math.isfinite(value.high):
            return f"at most {self.number(value.high)}"
        return f"at least {self.number(value.low)}" if math.isfinite(value.low) else UNKNOWN

    def _end(self, x: float) -> str:
        if not math.isfinite(x):
            return "unbounded"
        return self.number(x).removeprefix("+")


def share(value: Value | None) -> str:
    """A share in per cent: ``58% [54, 62]``, ``46-69%``, ``at least 46%``."""
    if value is None:
        return _NONE
    if value.known and not (math.isfinite(value.low) and math.isfinite(value.high)):
        return f"{percent(value.estimate)}, no interval"
    if value.known:
        return percent_interval(value.estimate, value.low, value.high)
    low, high = value.low, value.high
    if math.isfinite(high) and high < 1 and math.isfinite(low):
        return f"{percent(low)[:-1]}-{percent(high)}" if low >= 0 else f"at most {percent(high)}"
    if math.isfinite(low) and low > 0:
        return f"at least {percent(low)}"
    return f"at most {percent(high)}" if math.isfinite(high) and high < 1 else UNKNOWN


def short_name(name: str) -> str:
    """A policy's name, its middle left out where it is long."""
    half = (_LONGEST_NAME - 3) // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}...{name[-half:]}"


def _size(value: Value) -> float:
    if value.known:
        return value.estimate
    return value.high if math.isfinite(value.high) else value.low
