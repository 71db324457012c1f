"""Numbers as people read them: rewards with the digits that matter, KLs in nats, shares in per cent."""

from __future__ import annotations

import math
from dataclasses import dataclass

_FIXED = (1e-3, 1e6)  # sizes of gains written without an exponent


@dataclass(frozen=True)
class RewardFormat:
    """Rewards and gains written alike throughout a report.

    Attributes:
        decimals: after the point; None for three digits and an exponent.
    """

    decimals: int | None

    @classmethod
    def fitting(cls, size: float) -> RewardFormat:
        """Three digits of a gain of this size."""
        size = abs(size)
        if size == 0 or not math.isfinite(size):
            return cls(3)
        if not _FIXED[0] <= size < _FIXED[1]:
            return cls(None)
        return cls(max(0, 2 - math.floor(math.log10(size))))

    def reward(self, value: float) -> str:
        """A reward."""
        if not math.isfinite(value):
            return "unbounded" if value > 0 else "unknown"
        return self._text(value, digits="6g")

    def gain(self, value: float) -> str:
        """A gain, with its sign."""
        if not math.isfinite(value):
            return self.reward(value)
        text = self._text(value)
        return text if text[0] == "-" else f"+{text}"

    def interval(self, low: float, high: float) -> str:
        """``[low, high]``."""
        return f"[{self._text(low)}, {self._text(high)}]"

    def estimate(self, value: float, low: float, high: float) -> str:
        """A gain with its interval, or words where there is none."""
        if not (math.isfinite(low) and math.isfinite(high)):
            return f"{self.gain(value)}, no interval"
        return f"{self.gain(value)} {self.interval(low, high)}"

    def price(self, value: float) -> str:
        """Three digits of a price (beta), whose size need not be the gains'."""
        return RewardFormat.fitting(value)._text(value) if math.isfinite(value) else "-"

    def _text(self, value: float, *, digits: str = "2e") -> str:
        if self.decimals is None:
            return f"{value:.{digits}}" if value else "0"
        text = f"{value:.{self.decimals}f}"
        return text.removeprefix("-") if float(text) == 0 else text


def kl_text(value: float) -> str:
    """A KL in nats: two decimals, three where it is small."""
    if not math.isfinite(value):
        return "-"
    if value == 0 or value >= 0.0995:
        return f"{value:.2f}"
    return f"{value:.3f}" if value >= 0.00095 else f"{value:.0e}"


def nats(value: float) -> str:
    """A KL with its unit, without needless zeros: ``1 nat``, ``0.25 nats``."""
    text = kl_text(value)
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text} nat" if text == "1" else f"{text} nats"


def percent(value: float, *, decimals: int = 0) -> str:
    """A share in per cent."""
    return f"{100 * value:.{decimals}f}%" if math.isfinite(value) else "-"


def percent_interval(value: float, low: float, high: float) -> str:
    """``98.9% [98.5, 99.3]``; whole numbers where the interval is two per cent wide or more, or there is none."""
    decimals = 1 if high - low < 0.02 else 0
    if not (math.isfinite(low) and math.isfinite(high)):
        return percent(value)
    low_text, high_text = (percent(x, decimals=decimals)[:-1] for x in (low, high))
    return f"{percent(value, decimals=decimals)} [{low_text}, {high_text}]"


def plural(count: int, word: str) -> str:
    """``1 prompt``, ``2,000 prompts``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
