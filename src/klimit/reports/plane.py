"""The plane of KL and gain: the limit with its band, where it can be trusted, what lies beyond, and best-of-N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from klimit.reports.axes import finish, plain
from klimit.reports.captions import Picture
from klimit.reports.labels import Labels
from klimit.reports.numbers import RewardFormat
from klimit.reports.style import BAND, BEST, BRACKET, GREY, HATCH, LIMIT, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from klimit.limit.result import Frontier
    from klimit.policies.curve import PolicyCurve
    from klimit.testsystems import Curve

_POINTS = 160


def paint(
    ax: Axes,
    limit: Frontier,
    *,
    end: float,
    best_of_n: PolicyCurve | None = None,
    truth: Curve | None = None,
    title: str | None = None,
    gains: Sequence[float] = (),
) -> tuple[Labels, Picture]:
    """Draw the limit and what belongs to it, without words.

    Args:
        ax: axes to draw on, their scale set.
        limit: the limit.
        end: right end of the axis.
        best_of_n: points to draw.
        truth: the true limit.
        title: above the axes.
        gains: further gains that the axes must show.

    Returns:
        What :func:`klimit.reports.captions.write_labels` needs to name it all.
    """
    kl = drawn_budgets(limit, end)
    curve = replace(limit, kl=kl)
    top = max([drawn_top(curve, best_of_n), *(1.12 * gain for gain in gains)])
    ax.set_xlim(0, end)
    ax.set_ylim(min([0.0, *(1.2 * gain for gain in gains)]), top)
    _frame(ax, limit, title)
    _draw_bracket(ax, curve, top)
    law = limit.square_root_law(kl)
    if law[-1] > 0:
        ax.plot(kl, law, color=GREY, linestyle=(0, (5, 3)), linewidth=1.4, zorder=2, label="square-root law")
    inside = kl <= limit.horizon
    if inside.any():
        _draw_limit(ax, curve, inside)
    if truth is not None:
        style: dict[str, Any] = {"color": "black", "linestyle": (0, (1, 1.2)), "linewidth": 1.8, "zorder": 5}
        ax.plot(truth.kl, truth.gain, label="truth", **style)
    if best_of_n is not None:
        _draw_points(ax, best_of_n)
    return Labels(ax), Picture(curve, law, best_of_n, _within(truth, end, top), end, top)


def right_end(limit: Frontier, best_of_n: PolicyCurve | None) -> float:
    """The horizon and best-of-N, but not so far out that the estimate becomes a corner of the figure."""
    points = 0.0 if best_of_n is None else 1.06 * float(np.nanmax(best_of_n.kl_high))
    if limit.horizon > 0:
        shown = limit.worth_showing
        return max(1.35 * shown, min(points, 4 * shown))
    return points if points > 0 else float(limit.kl[-1])


def _within(truth: Curve | None, end: float, top: float) -> Curve | None:
    """The truth as far as the axes show it."""
    if truth is None:
        return None
    kl, gain = np.asarray(truth.kl), np.asarray(truth.gain)
    shown = (kl <= end) & (gain <= top)
    return truth._replace(kl=kl[shown], gain=gain[shown])


def drawn_budgets(limit: Frontier, end: float) -> NDArray[np.float64]:
    """Dense in the root of the KL; both sides of the horizon and of the steps of the lower bound."""
    kl = np.linspace(0, np.sqrt(end), _POINTS + 1)[1:] ** 2
    steps = limit.bracket.steps_kl
    steps = steps[(steps > limit.horizon) & (steps < end)]
    edges = [limit.horizon, np.nextafter(limit.horizon, np.inf)] if 0 < limit.horizon < end else []
    return np.unique(np.concatenate([kl, edges, steps, np.nextafter(steps, 0)]))


def drawn_top(curve: Frontier, best_of_n: PolicyCurve | None) -> float:
    """Above everything but the bracket's upper end, which may be far up: of that, as much as fits."""
    inside = curve.kl <= curve.horizon
    highs = [float(curve.gain_low[-1]), *curve.gain[inside], *curve.gain_high[inside]]
    if best_of_n is not None:
        shown = best_of_n.kl <= curve.kl[-1]
        highs += [*best_of_n.gain[shown], *best_of_n.gain_high[shown]]
    highs = [float(high) for high in highs if np.isfinite(high)]
    need = max(highs, default=0.0)
    upper = float(curve.gain_high[-1])
    if np.isfinite(upper):
        need = max(need, min(upper, (1.25 if inside.any() else 3) * need))
    return 1.12 * need if need > 0 else max(abs(curve.base_reward), 1.0)


def _frame(ax: Axes, limit: Frontier, title: str | None) -> None:
    base = RewardFormat.fitting(limit.rewards.scale or 1.0).reward(limit.base_reward)
    ax.set_xlabel("KL(policy || base), nats per completion", fontsize=TEXT)
    ax.set_ylabel(
        f"gain in {limit.reward_label}\nover the base mean ({base})", fontsize=TEXT, parse_math=False
    )
    plain(ax, title)
    finish(ax)


def _draw_limit(ax: Axes, curve: Frontier, inside: NDArray[np.bool_]) -> None:
    kl = np.concatenate([[0.0], curve.kl[inside]])
    gain, low, high = (
        np.concatenate([[0.0], x[inside]]) for x in (curve.gain, curve.gain_low, curve.gain_high)
    )
    bounded = np.isfinite(low) & np.isfinite(high)
    ax.fill_between(kl, low, high, where=bounded, color=BAND, linewidth=0, zorder=3, label="interval")
    ax.plot(kl, gain, color=LIMIT, linewidth=2.6, zorder=4, label="limit", solid_capstyle="butt")


def _draw_bracket(ax: Axes, curve: Frontier, top: float) -> None:
    beyond = curve.kl > curve.horizon
    if not beyond.any():
        return
    kl = curve.kl[beyond]
    low, high = curve.gain_low[beyond], np.minimum(curve.gain_high[beyond], 2 * top)
    style: dict[str, Any] = {"facecolor": BRACKET, "edgecolor": HATCH, "hatch": "//", "linewidth": 0}
    ax.fill_between(kl, low, high, zorder=1, label="bracket", **style)
    for bound, name in ((low, "lower bound"), (high, "upper bound")):
        ax.plot(kl, bound, color=GREY, linewidth=1.0, zorder=2, label=name)
    if curve.horizon > 0:
        ax.axvline(
            curve.horizon, color="black", linestyle=(0, (2, 2)), linewidth=1.0, zorder=2, label="horizon"
        )


def _draw_points(ax: Axes, best: PolicyCurve) -> None:
    shown = best.n > 1
    if not shown.any():
        return
    kl, gain = best.kl[shown], best.gain[shown]
    ends = [
        np.nan_to_num(np.abs(np.stack(pair)))
        for pair in (
            (kl - best.kl_low[shown], best.kl_high[shown] - kl),
            (gain - best.gain_low[shown], best.gain_high[shown] - gain),
        )
    ]
    ax.errorbar(
        kl,
        gain,
        xerr=ends[0],
        yerr=ends[1],
        fmt="o",
        markersize=6,
        markerfacecolor="white",
        markeredgecolor=BEST,
        markeredgewidth=1.6,
        ecolor=BEST,
        elinewidth=0.9,
        zorder=6,
        label="best-of-N",
    )
