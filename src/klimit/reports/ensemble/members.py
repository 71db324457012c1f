"""What optimising the ensemble of some of its members does to gold, against their number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from klimit.proxies.by_members import HackingByMembers
from klimit.reports.axes import finish, new_axes, plain
from klimit.reports.labels import ABOVE, AROUND, BELOW, Labels
from klimit.reports.numbers import nats
from klimit.reports.style import BEST, LIMIT, POLICY, SMALL, TEXT
from klimit.values import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BESIDE = 0.12  # members: between two kinds of points


def plot_members(hacked: HackingByMembers, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw, against members, the most gold that best-of-N by the ensemble gains, and the gap along its tilt at one KL.

    Points are means over subsets of the members, broad bars run from the least to the most of them; the thin bar of the
    whole ensemble is its interval.

    Args:
        hacked: from :func:`klimit.proxies.by_members.hacking_by_members`.
        ax: axes to draw on; by default those of a new figure that no window or global state knows of.
        title: above the axes; by default none.

    Returns:
        The axes; ``ax.figure`` is the figure.
    """
    ax = _axes(hacked, ax, title)
    ax.set_ylabel("gold", fontsize=TEXT)
    size = hacked.size.astype(float)
    means(ax, size - _BESIDE / 2, hacked.best_n_gain, color=BEST, marker="o", label="best-of-N")
    whole = hacked.subsets[-1][0].best_n.gold_gain
    interval(ax, float(size[-1]) - _BESIDE / 2, whole, color=BEST)
    gap = hacked.gap
    known = bool(np.isfinite(gap[0]).any())
    ends = [0.0, whole.low, whole.high, *hacked.best_n_gain[1], *hacked.best_n_gain[2]]
    if known:
        means(ax, size + _BESIDE / 2, gap, color=LIMIT, marker="s", label="gap")
        ends += [*gap[1], *gap[2]]
    ends = [end for end in ends if math.isfinite(end)]
    ax.set_ylim(1.15 * min(ends), 1.25 * max(ends))
    finish(ax)
    labels = Labels(ax)
    keep_off_lines(labels)
    gains = anchors(size, hacked.best_n_gain[0])
    labels.put("best-of-N by the ensemble gains", gains, places=(*ABOVE, *BELOW), color=BEST, fontsize=SMALL)
    if known:
        text = f"gap to gold's limit at {nats(hacked.kl)}"
        labels.put(text, anchors(size, gap[0]), places=AROUND, color=LIMIT, fontsize=SMALL)
    return ax


def plot_thresholds(hacked: HackingByMembers, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw where gold turns down along the ensemble's tilt, against members; sizes without a threshold are left out.

    Args:
        hacked: as for :func:`plot_members`.
        ax: axes to draw on.
        title: above the axes.

    Returns:
        The axes.
    """
    ax = _axes(hacked, ax, title)
    ax.set_ylabel("gold turns down at, nats", fontsize=TEXT)
    means(ax, hacked.size.astype(float), hacked.threshold, color=POLICY, marker="o", label="threshold")
    whole = hacked.subsets[-1][0].threshold
    if whole.known:
        interval(ax, float(hacked.size[-1]), whole, color=POLICY)
    ends = [x for x in (*hacked.threshold[2], whole.high) if math.isfinite(x)]
    ax.set_ylim(0, 1.2 * max(ends, default=1.0))
    finish(ax)
    return ax


def thresholds_known(hacked: HackingByMembers) -> bool:
    """Whether thresholds of two sizes or more can be drawn."""
    return int(np.isfinite(hacked.threshold[0]).sum()) > 1


def _axes(hacked: HackingByMembers, ax: Axes | None, title: str | None) -> Axes:
    ax = new_axes() if ax is None else ax
    plain(ax, title)
    ax.set_xlabel("members", fontsize=TEXT)
    ax.set_xlim(hacked.size[0] - 0.5, hacked.size[-1] + 0.5)
    ax.set_xticks(hacked.size)
    return ax


def means(ax: Axes, x: Any, of: tuple[Any, Any, Any], *, color: str, marker: str, label: str) -> None:
    """Means over subsets as joined points, with broad bars from the least to the most."""
    mean, least, most = of
    style: dict[str, Any] = {"color": color, "markersize": 6.5, "linewidth": 1.4, "zorder": 4, "label": label}
    ax.plot(x, mean, marker=marker, **style)
    spread = np.maximum(np.stack([mean - least, most - mean]), 0.0)
    known = np.isfinite(spread).all(axis=0)
    ax.errorbar(
        x[known],
        mean[known],
        yerr=spread[:, known],
        fmt="none",
        ecolor=color,
        elinewidth=5.0,
        alpha=0.35,
        zorder=3,
    )


def interval(ax: Axes, x: float, value: Value, *, color: str) -> None:
    """A thin bar; none where an end is infinite."""
    if not (math.isfinite(value.low) and math.isfinite(value.high)):
        return
    ax.plot([x, x], [value.low, value.high], color=color, linewidth=1.3, zorder=4, label="interval")


def keep_off_lines(labels: Labels) -> None:
    """Keep labels off every line of their axes."""
    for x, y in _lines(labels.ax):
        labels.keep_off(x, y, width=6.0)


def _lines(ax: Axes) -> Iterator[tuple[Any, Any]]:
    left, right = ax.get_xlim()
    for line in ax.get_lines():
        x, y = (np.asarray(values, dtype=float) for values in line.get_data())
        spans = len(x) == 2 and y[0] == y[1] and list(x) == [0, 1]
        yield (np.array([left, right]), y) if spans else (x, y)


def anchors(x: Any, y: Any) -> list[tuple[float, float]]:
    """Points of a line, from its middle outwards."""
    known = np.isfinite(y)
    x, y = x[known], y[known]
    at = [x[0] + share * (x[-1] - x[0]) for share in (0.6, 0.75, 0.4, 0.9, 0.2)]
    return [(float(one), float(np.interp(one, x, y))) for one in at]
