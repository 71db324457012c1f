"""What a report on a proxy says, apart from how: whether gold turns down, what the intervals support, which rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from klimit.audits.measured import Array
from klimit.errors import InputError
from klimit.limit.result import Point
from klimit.proxies.falls import times_as_many
from klimit.proxies.gap import Gap
from klimit.proxies.result import Hacking
from klimit.reports.frontier.findings import round_down
from klimit.reports.values import Unit
from klimit.values import Value

Turn = Literal["certain", "likely", "start", "none", "unknown"]

_LADDER = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)  # nats
_LEAST = 0.04  # of the horizon: the smallest budget shown
_MOST_ROWS = 8
_MOST_SIZES = 8
_CLOSE = 0.96  # a budget this close to the horizon needs no second row


@dataclass(frozen=True)
class Row:
    """The proxy's tilt at one KL; everything nan beyond the horizon."""

    kl: float
    beta: float
    proxy_gain: float
    gold_gain: Value
    gold_limit: Value


@dataclass(frozen=True, eq=False)
class HackingFindings:
    """What a proxy does to gold, made ready to be told.

    Attributes:
        found: the result.
        asked: whether the reader chose the budgets: the table then shows those.
        asked_sizes: whether the reader chose each N.
    """

    found: Hacking
    asked: bool = False
    asked_sizes: bool = False

    @cached_property
    def turn(self) -> Turn:
        """Whether gold turns down along the tilt.

        ``"certain"``: it does, by the upper end of the interval; ``"likely"``: by the estimate alone; ``"start"``: from
        the base policy on; ``"none"``: not within the horizon; ``"unknown"``: there is no horizon.
        """
        threshold = self.found.threshold
        if self.found.horizon <= 0:
            return "unknown"
        if not threshold.known:
            return "none"
        if threshold.estimate <= 0:
            return "start"
        return "certain" if np.isfinite(threshold.high) else "likely"

    @property
    def turns(self) -> bool:
        """Whether gold turns down at some KL above 0, be it by the estimate alone."""
        return self.turn in ("certain", "likely")

    @cached_property
    def helps(self) -> bool:
        """Whether gold surely gains at some KL of the tilt."""
        if self.found.horizon <= 0:
            return False
        lows = self.found.gold_gain_low
        sure = bool((lows[np.isfinite(lows)] > 0).any())
        return sure or (np.isfinite(self.found.best.setting.estimate) and self.found.best.gold_gain.low > 0)

    @property
    def rises_again(self) -> bool:
        """Whether gold is highest, by the estimate, beyond where it surely first turns down."""
        return self.turn == "certain" and self.found.best.kl.estimate > self.found.threshold.high

    @property
    def selects(self) -> bool:
        """Whether best-of-N by the proxy surely gains gold at its best N."""
        best = self.found.best_of_n.best
        return best.setting.estimate > 1 and best.gold_gain.low > 0

    @property
    def selection_better(self) -> bool:
        """Whether best-of-N by the proxy surely gains more gold than any tilt that the samples show."""
        found = self.found
        if not self.selects or found.horizon <= 0:
            return False
        within = found.best_of_n.best.kl.estimate <= found.horizon
        return within and found.best_of_n.best.gold_gain.low > max(found.best.gold_gain.high, 0.0)

    @cached_property
    def ruinous_n(self) -> int | None:
        """The first N beyond the best at which gold is surely below the base policy's; None where none is."""
        chosen = self.found.best_of_n
        below = np.flatnonzero((chosen.setting > chosen.best.setting.estimate) & (chosen.gold_gain_high < 0))
        return int(chosen.setting[below[0]]) if len(below) else None

    def selected(self, i: int) -> Value:
        """Gold gain of best-of-N by the proxy at the i-th N."""
        chosen = self.found.best_of_n
        return Value(*(float(x[i]) for x in (chosen.gold_gain, chosen.gold_gain_low, chosen.gold_gain_high)))

    @cached_property
    def ideal(self) -> Point | None:
        """Gold's own limit at the KL of the best tilt; None where it is not known there."""
        limit, kl = self.found.gold_frontier, self.found.best.kl.estimate
        if limit is None or not kl > 0:
            return None
        point = limit.at(kl=kl)
        return point if point.status == "estimate" else None

    @cached_property
    def gap(self) -> Gap | None:
        """Gap and regret at the best beta; None where there is no such beta, or gold is known in part only."""
        beta = self.found.best.setting.estimate
        if self.found.horizon <= 0 or not np.isfinite(beta):
            return None
        try:
            return self.found.gap(beta=beta)
        except InputError:
            return None

    @property
    def n_completions(self) -> int:
        """All completions, labelled or not."""
        return self.found.samples.n_completions

    @property
    def partly_labelled(self) -> bool:
        """Whether some completions have no gold label."""
        return self.found.n_labels < self.n_completions

    @cached_property
    def times_as_many(self) -> float:
        """How many times the labels (or prompts) would settle the threshold; nan where there is none to settle."""
        times = times_as_many(self.found.threshold) if self.turns else None
        return float("nan") if times is None else times

    # How numbers are written.

    @cached_property
    def gains(self) -> Unit:
        """How gains in gold are written: with the digits of the largest one reached."""
        found = self.found
        sizes = [found.best.gold_gain.estimate, found.best_of_n.best.gold_gain.estimate]
        known = [Value(size, size, size) for size in sizes if np.isfinite(size)]
        if not any(value.estimate > 0 for value in known):
            low = float(np.nanmin(found.best_of_n.gold_gain))
            known = [Value(low, low, low)]
        return Unit.fitting(*known, signed=True)

    def gain(self, value: Value, *, signed: bool = True) -> str:
        """A gain in gold with its interval."""
        text = self.gains.form.estimate(value.estimate, value.low, value.high)
        return text if signed else text.removeprefix("+")

    @cached_property
    def proxies(self) -> Unit:
        """How gains in the proxy are written."""
        most = float(np.nanmax(self.found.best_of_n.proxy_gain))
        return Unit.fitting(Value(most, most, most), signed=True)

    # What the tables show.

    @cached_property
    def rows(self) -> list[Row]:
        """The tilt at the budgets asked for, else at round ones up to the horizon."""
        found = self.found
        if self.asked:
            return [self._row(k) for k in range(len(found.kl))]
        if found.horizon <= 0:
            return []
        inside = [kl for kl in _LADDER if _LEAST * found.horizon <= kl < _CLOSE * found.horizon]
        return [self._between(kl) for kl in sorted({*inside, round_down(found.horizon)})[-_MOST_ROWS:]]

    def _row(self, k: int) -> Row:
        found = self.found

        def value(name: str) -> Value:
            return Value(*(float(getattr(found, f"{name}{end}")[k]) for end in ("", "_low", "_high")))

        kl, beta, proxy = (float(x[k]) for x in (found.kl, found.beta, found.proxy_gain))
        return Row(kl, beta, proxy, value("gold_gain"), value("gold_limit"))

    def _between(self, kl: float) -> Row:
        """At a round KL between those of the result, which are dense and smooth."""
        found = self.found
        beta = float(np.exp(self._curve(np.log(found.beta), kl, start=None)))
        gold = Value(*(self._curve(getattr(found, f"gold_gain{end}"), kl) for end in ("", "_low", "_high")))
        limit = Value(float("nan"), float("nan"), float("nan"))
        if found.gold_frontier is not None:
            point = found.gold_frontier.at(kl=kl)
            estimate = point.gain if point.status == "estimate" else float("nan")
            limit = Value(estimate, point.gain_low, point.gain_high)
        return Row(kl, beta, self._curve(found.proxy_gain, kl), gold, limit)

    def _curve(self, values: Array, kl: float, start: float | None = 0.0) -> float:
        """A monotone cubic in the root of the KL, in which gains begin as straight lines."""
        from scipy.interpolate import PchipInterpolator

        known = np.isfinite(values)
        x, y = np.sqrt(self.found.kl[known]), values[known]
        if start is not None:
            x, y = np.concatenate([[0.0], x]), np.concatenate([[start], y])
        if len(x) < 2:
            return float("nan")
        return float(PchipInterpolator(x, y)(np.sqrt(kl)))

    @cached_property
    def sizes(self) -> list[int]:
        """Indices of the N shown: those asked for, or about one an octave with the best and the last."""
        chosen = self.found.best_of_n
        usable = [i for i in range(len(chosen.setting)) if chosen.setting[i] > 1]
        top = int(np.argmax(chosen.gold_gain))
        while len(usable) > _MOST_SIZES and not self.asked_sizes:
            usable = [i for place, i in enumerate(reversed(usable)) if place % 2 == 0 or i == top][::-1]
        return usable


def rounded_up(count: float) -> int:
    """A number of labels or prompts in two digits: more would pretend to know."""
    digits: int = max(0, math.floor(math.log10(max(count, 1.0))) - 1)
    # Rounding errors are no further label.
    return int(math.ceil(round(count / 10**digits, 6)) * 10**digits)
