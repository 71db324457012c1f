"""What optimising a proxy does to gold, on the plane of KL and gain: the proxy goes on, gold turns down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from klimit.audits.measured import Array
from klimit.errors import InputError
from klimit.proxies.result import Hacking
from klimit.reports.axes import new_axes
from klimit.reports.hacking.captions import write_labels
from klimit.reports.hacking.findings import HackingFindings
from klimit.reports.hacking.verdict import title as verdict_title
from klimit.reports.labels import Labels
from klimit.reports.style import BAND, BEST, BRACKET, GREY, LIMIT, POLICY, SMALL, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROOM = 1.9  # of the height that gold needs: what its limit may take before it leaves the axes
PROXY_TOP = 0.82  # of the height: where the proxy ends, so that it can be read against its own scale
_ROOM_BELOW = 0.22  # of the height of the curves: for the threshold, its interval and its name
_BRACKET = 0.05  # of the height: where the threshold's interval is drawn


def plot_hacking(
    found: Hacking,
    *,
    ax: Axes | None = None,
    best_of_n: bool = True,
    kl_max: float | None = None,
    title: str | None = None,
) -> Axes:
    """Draw gold along the proxy's tilt with its band, where it turns down, gold's own limit, best-of-N by the proxy.

    The proxy's own gain is a thin line on a scale of its own, at the right. Where gold's limit lies far above what the
    proxy gets, it leaves the axes at the top. The curves are drawn at the budgets of the result.

    Args:
        found: the result.
        ax: axes to draw on; by default those of a new figure that no window or global state knows of.
        best_of_n: whether to draw it.
        kl_max: right end of the axis, nats per completion; by default everything fits.
        title: above the axes; by default none.

    Returns:
        The axes; ``ax.figure`` is the figure.

    Raises:
        InputError: ``kl_max`` is not a finite number above 0.
    """
    if kl_max is not None and not (np.isfinite(kl_max) and kl_max > 0):
        raise InputError(f"kl_max={kl_max!r}: give a finite number of nats above 0")
    ax = new_axes() if ax is None else ax
    findings = HackingFindings(found)
    points = points_shown(found) if best_of_n else np.zeros(0, dtype=np.int64)
    end = right_end(found, points) if kl_max is None else kl_max
    points = points[found.best_of_n.kl[points] <= end]
    bottom, top = heights(findings, points, end)
    ax.set_xlim(0, end)
    ax.set_ylim(bottom, top)
    proxy = _frame(ax, found, title)
    _draw_reach(ax, found, end)
    labels = Labels(ax)
    _draw_tilt(ax, found)
    if found.horizon > 0:
        _draw_proxy(ax, proxy, found)
    else:
        proxy.set_visible(False)
    _draw_threshold(ax, findings)
    _draw_selection(ax, found, points)
    write_labels(labels, findings, points, height=_height(ax))
    return ax


def draw_hacking(findings: HackingFindings) -> Figure:
    """The figure of a report, with its verdict above."""
    axes = plot_hacking(findings.found, title=verdict_title(findings))
    figure: Any = axes.figure
    return figure  # type: ignore[no-any-return]


def points_shown(found: Hacking) -> NDArray[np.int64]:
    """Places of the N shown as points."""
    return np.flatnonzero(found.best_of_n.setting > 1)


def right_end(found: Hacking, points: NDArray[np.int64]) -> float:
    """The horizon and best-of-N, but not so far out that the curves become a corner of the figure."""
    reach = 1.06 * float(found.best_of_n.kl[points].max()) if len(points) else 0.0
    if found.horizon <= 0:
        return reach or 1.0
    return max(1.12 * found.horizon, min(reach, 2.5 * found.horizon))


def heights(findings: HackingFindings, points: NDArray[np.int64], end: float) -> tuple[float, float]:
    """Lower and upper end of the axis: all of gold, and as much of its limit as leaves gold's turn to be seen."""
    found = findings.found
    inside = np.isfinite(found.gold_gain) & (found.kl <= end)
    chosen = found.best_of_n
    values = [0.0, *found.gold_gain[inside], *chosen.gold_gain[points]]
    ends = [*found.gold_gain_low[inside], *found.gold_gain_high[inside]]
    ends += [*chosen.gold_gain_low[points], *chosen.gold_gain_high[points]]
    values += [x for x in ends if np.isfinite(x)]
    low, high = float(min(values)), float(max(values))
    limit = found.gold_limit[inside]
    need = max(high, 0.35 * (high - low)) or 1.0
    most = float(np.nanmax(limit)) if np.isfinite(limit).any() else need
    top = 1.08 * min(max(need, most), _ROOM * need)
    room = _ROOM_BELOW if findings.turns else 0.05
    return low - room * (top - low), top


def _frame(ax: Axes, found: Hacking, title: str | None) -> Axes:
    """Axes of gold, and those of the proxy at the right."""
    ax.set_xlabel("KL(policy || base), nats per completion", fontsize=TEXT)
    ax.set_ylabel(f"gain in {found.gold_name}", fontsize=TEXT, parse_math=False)
    ax.tick_params(labelsize=SMALL)
    ax.axhline(0, color="black", linewidth=0.8, zorder=1)
    proxy = ax.twinx()
    proxy.set_ylabel(f"gain in {found.proxy_name}", fontsize=SMALL, color=GREY, parse_math=False)
    proxy.tick_params(labelsize=SMALL, colors=GREY)
    for axes in (ax, proxy):
        axes.spines["top"].set_visible(False)
    proxy.spines["right"].set_color(GREY)
    ax.set_zorder(proxy.get_zorder() + 1)
    ax.patch.set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize=TEXT, fontweight="bold", loc="left", parse_math=False)
    bottom, top = ax.get_ylim()
    span = proxy_most(found) / (PROXY_TOP * top)
    proxy.set_ylim(bottom * span, top * span)
    ticks = [tick for tick in proxy.get_yticks() if 0 <= tick <= 1.05 * proxy_most(found)]
    proxy.set_yticks(ticks)
    # The layout must be final before labels are placed.
    figure: Any = ax.figure
    figure.draw_without_rendering()
    for axes in (ax, proxy):
        axes.set_autoscale_on(False)
    return proxy


def proxy_most(found: Hacking) -> float:
    """The proxy's highest gain along its tilt; 1 where there is none."""
    most = [float(x) for x in found.proxy_gain if np.isfinite(x)]
    return max(most, default=0.0) or 1.0


def _draw_reach(ax: Axes, found: Hacking, end: float) -> None:
    """Where the tilt can be trusted; beyond, nothing is known along it."""
    if not 0 < found.horizon < end:
        return
    ax.axvspan(found.horizon, end, color=BRACKET, linewidth=0, zorder=0, label="beyond the horizon")
    ax.axvline(found.horizon, color="black", linestyle=(0, (2, 2)), linewidth=1.0, zorder=2, label="horizon")


def from_zero(found: Hacking, values: Array) -> tuple[Array, Array]:
    """KL and values along the tilt where both are known, from the base policy on."""
    inside = np.isfinite(values) & np.isfinite(found.kl)
    return np.concatenate([[0.0], found.kl[inside]]), np.concatenate([[0.0], values[inside]])


def _draw_tilt(ax: Axes, found: Hacking) -> None:
    kl, gold = from_zero(found, found.gold_gain)
    if len(kl) < 2:
        return
    (_, low), (_, high) = from_zero(found, found.gold_gain_low), from_zero(found, found.gold_gain_high)
    ax.fill_between(kl, low, high, color=BAND, linewidth=0, zorder=3, label="interval")
    ax.plot(kl, gold, color=LIMIT, linewidth=2.8, zorder=6, label="gold", solid_capstyle="butt")
    at, limit = from_zero(found, found.gold_limit)
    if len(at) > 1:
        ax.plot(at, limit, color=LIMIT, linestyle=(0, (6, 2)), linewidth=1.5, zorder=4, label="gold limit")


def _draw_proxy(ax: Axes, proxy: Axes, found: Hacking) -> None:
    kl, gain = from_zero(found, found.proxy_gain)
    # On the axes of gold, scaled, so that labels can keep off it.
    scale = ax.get_ylim()[1] / proxy.get_ylim()[1]
    style: dict[str, Any] = {"color": GREY, "linestyle": (0, (1, 1.2)), "linewidth": 2.0, "zorder": 3}
    ax.plot(kl, scale * gain, label="proxy", **style)


def _draw_threshold(ax: Axes, findings: HackingFindings) -> None:
    """The threshold as a line down from gold, its interval as a bar below."""
    found = findings.found
    threshold = found.threshold
    if not findings.turns:
        return
    height = _height(ax)
    kl, gold = from_zero(found, found.gold_gain)
    style: dict[str, Any] = {"color": POLICY, "linewidth": 1.2, "zorder": 5}
    ends = [height, float(np.interp(threshold.estimate, kl, gold))]
    ax.plot([threshold.estimate] * 2, ends, label="threshold", **style)
    right = min(threshold.high, found.horizon)
    ax.plot([threshold.low, right], [height] * 2, label="threshold's interval", **{**style, "linewidth": 3.5})
    ax.plot([threshold.estimate], [height], marker="o", markersize=7, color=POLICY, zorder=7, label="at")
    if not np.isfinite(threshold.high):
        ax.plot([right], [height], marker=">", markersize=9, color=POLICY, zorder=7, label="unbounded")


def _height(ax: Axes) -> float:
    """Where the threshold's interval lies."""
    bottom, top = ax.get_ylim()
    return float(bottom + _BRACKET * (top - bottom))


def _draw_selection(ax: Axes, found: Hacking, points: NDArray[np.int64]) -> None:
    if not len(points):
        return
    chosen = found.best_of_n
    kl, gold = chosen.kl[points], chosen.gold_gain[points]
    ends = np.stack([gold - chosen.gold_gain_low[points], chosen.gold_gain_high[points] - gold])
    ends = np.maximum(np.where(np.isfinite(ends), ends, 0.0), 0.0)
    ax.errorbar(
        kl, gold, yerr=ends, fmt="o", markersize=5.5, markerfacecolor="white", markeredgecolor=BEST,
        markeredgewidth=1.6, ecolor=BEST, elinewidth=1.0, zorder=7, label="best-of-N",
    )  # fmt: skip
