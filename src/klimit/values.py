"""Numbers with their intervals, as results hand them out."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """An estimate and its interval; or, where only a range is known, that range around nan.

    Attributes:
        estimate: point estimate; nan where the samples leave a range only.
        low: lower end.
        high: upper end; infinite where nothing bounds it.
    """

    estimate: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an estimate, not only a range."""
        return math.isfinite(self.estimate)

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high

    def __str__(self) -> str:
        ends = f"[{self.low:.3g}, {self.high:.3g}]"
        return f"{self.estimate:.3g} {ends}" if self.known else ends
