"""What a report says, apart from how: the budgets shown, the one of the verdict, and best-of-N's match for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.limit.result import Frontier, Point
from klimit.policies.curve import PolicyCurve
from klimit.reports.numbers import RewardFormat

_ROWS_INSIDE = 4
_LADDER = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # budgets of the table, nats
_ROUND = (*_LADDER, 0.15, 0.2, 0.3, 0.4, 0.75, 1.5, 2.5, 3.0, 5.0, 6.0, 10.0)  # budgets of the verdict
_CLOSE = 0.96  # a budget this close to the horizon needs no second row
_BEYOND = 1.3  # the first budget shown beyond the horizon is at least this many times the horizon


@dataclass(frozen=True, eq=False)
class Findings:
    """A limit and best-of-N, made ready to be told.

    Attributes:
        limit: the limit.
        best: best-of-N of the same samples.
        points: the limit at the budgets shown.
        main: the limit at the budget of the verdict.
        pick: index in ``best`` of the N that the verdict speaks of; None where none fits.
        warnings: limitations, one line each.
        asked: whether the reader chose the budgets.
    """

    limit: Frontier
    best: PolicyCurve
    points: tuple[Point, ...]
    main: Point
    pick: int | None
    warnings: tuple[str, ...]
    asked: bool

    @property
    def numbers(self) -> RewardFormat:
        """How rewards are written: by the size of the gain of the verdict."""
        point = self.main
        sizes = [x for x in (point.gain, point.gain_low, point.gain_high) if np.isfinite(x) and x > 0]
        return RewardFormat.fitting(sizes[0] if sizes else max(abs(self.limit.base_reward), 0.0))

    @property
    def binary(self) -> bool:
        """Whether the rewards are 0 and 1."""
        return self.limit.rewards.binary

    @property
    def below_max(self) -> NDArray[Any]:
        """Ids of the prompts none of whose completions reaches the largest reward, where that is known."""
        return np.asarray(self.limit.samples.prompt_ids[self.limit.saturation.below_max])

    @property
    def constant(self) -> NDArray[Any]:
        """Ids of the prompts all of whose completions have the same reward."""
        return np.asarray(self.limit.samples.prompt_ids[self.limit.rewards.constant])

    @property
    def ties_matter(self) -> bool:
        """Whether equal rewards make best-of-N's KL visibly smaller than log N - (N - 1)/N."""
        return bool((self.best.kl_bound - self.best.kl > 0.02 * self.best.kl_bound).any())


def gather(
    limit: Frontier,
    best: PolicyCurve,
    *,
    kl: Sequence[float] | None = None,
    warnings: Sequence[str] = (),
) -> Findings:
    """Choose what is shown.

    Args:
        limit: the limit.
        best: best-of-N of the same samples.
        kl: budgets to be shown; by default round ones up to the horizon, the horizon, and one beyond.
        warnings: limitations found on the way, one line each.
    """
    budgets = shown_budgets(limit, best) if kl is None else list(kl)
    points = tuple(limit.at(kl=budget) for budget in budgets)
    inside = [budget for budget in budgets if budget <= limit.horizon]
    if kl is None and inside:
        main = limit.at(kl=round_down(limit.worth_showing))
    else:
        main = points[budgets.index(max(inside) if inside else max(budgets))]
    return Findings(
        limit=limit,
        best=best,
        points=points,
        main=main,
        pick=_pick(best, max(main.kl, limit.worth_showing) if kl is None else main.kl),
        warnings=tuple(dict.fromkeys(warnings)),
        asked=kl is not None,
    )


def round_down(kl: float) -> float:
    """The largest round budget that is at most ``kl``; ``kl`` itself where it is below them all."""
    return max((step for step in _ROUND if step <= kl), default=kl)


def shown_budgets(limit: Frontier, best: PolicyCurve) -> list[float]:
    """Round budgets up to the horizon, the horizon itself, and one beyond."""
    horizon = limit.worth_showing
    if horizon <= 0:
        top = float(best.kl.max())
        return [kl for kl in _LADDER if top / 8 <= kl < top] + [top] if top > 0 else [0.25, 0.5, 1.0]
    inside = [kl for kl in _LADDER if kl < _CLOSE * horizon][-_ROWS_INSIDE:]
    beyond = [kl for kl in _LADDER if kl >= _BEYOND * horizon][:1]
    rounded = round_down(horizon)
    edge = [horizon] if rounded < _CLOSE * horizon else []
    return sorted({*inside, rounded, *edge, *beyond})


def _pick(best: PolicyCurve, kl: float) -> int | None:
    """The largest N whose KL is at most ``kl``."""
    usable = np.flatnonzero((best.n > 1) & (best.kl > 0) & (best.kl <= kl))
    return int(usable[np.argmax(best.n[usable])]) if len(usable) else None
