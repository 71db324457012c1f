"""What an ensemble is worth against the number of its members; without gold, what its members' agreement claims."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from klimit.ensembles.result import Ensemble
from klimit.errors import InputError
from klimit.reports.axes import finish, new_axes, plain
from klimit.reports.ensemble.findings import EnsembleFindings
from klimit.reports.ensemble.members import (
    anchors,
    interval,
    keep_off_lines,
    plot_members,
    plot_thresholds,
    thresholds_known,
)
from klimit.reports.ensemble.verdict import title as verdict_title
from klimit.reports.labels import BELOW, Labels
from klimit.reports.style import BEST, GREY, LIMIT, POLICY, SIZE, SMALL, TEXT
from klimit.reports.values import short_name
from klimit.values import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_ensemble(found: Ensemble, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw correlation with gold against the number of members: measured, by the law, and the ceiling of ever more.

    Without gold: each member's correlation with what they have in common, by their agreement alone.

    Args:
        found: the ensemble.
        ax: axes to draw on; by default those of a new figure that no window or global state knows of.
        title: above the axes; by default none.

    Returns:
        The axes; ``ax.figure`` is the figure.

    Raises:
        InputError: there is neither gold nor any agreement to draw.
    """
    if found.errors is None and found.collocation is None:
        raise InputError("nothing to draw: no gold, and the proxies' agreement tells nothing")
    ax = new_axes() if ax is None else ax
    plain(ax, title)
    if found.errors is None:
        _draw_agreement(ax, found)
    else:
        _draw_law(ax, found)
    return ax


def draw_ensemble(findings: EnsembleFindings) -> Figure:
    """The figure of a report, with its verdict above."""
    if findings.found.errors is None and findings.found.collocation is None:
        raise InputError("--plot: nothing to draw: no gold, and the proxies' agreement tells nothing")
    axes = new_axes()
    figure: Any = axes.figure
    if findings.hacked is not None:
        figure.clear()
        rows = 3 if thresholds_known(findings.hacked) else 2
        figure.set_size_inches(SIZE[0], 0.85 * rows * SIZE[1])
        axes, lower, *last = figure.subplots(rows, 1)
        plot_members(findings.hacked, ax=lower)
        for ax in last:
            plot_thresholds(findings.hacked, ax=ax)
    plot_ensemble(findings.found, ax=axes, title=verdict_title(findings))
    return figure  # type: ignore[no-any-return]


def _draw_law(ax: Axes, found: Ensemble) -> None:
    errors = found.errors
    assert errors is not None
    law = errors.law
    size = law.size.astype(float)
    ax.set_xlabel("members whose mean is taken", fontsize=TEXT)
    ax.set_ylabel(f"correlation with {found.gold_name}\nwithin prompts", fontsize=TEXT, parse_math=False)
    ax.set_xlim(0.5, size[-1] + 0.5)
    ax.set_xticks(law.size)
    dense = np.linspace(1, size[-1] + 0.5, 100)
    variance = errors.floor.estimate + errors.rest.estimate / dense
    with np.errstate(invalid="ignore"):
        curve = 1 / np.sqrt(1 + variance / errors.gold_variance.estimate)
    ax.plot(dense, curve, color=GREY, linestyle=(0, (5, 3)), linewidth=1.4, zorder=2, label="law")
    spread = np.stack([law.correlation - law.correlation_least, law.correlation_most - law.correlation])
    style: dict[str, Any] = {
        "ecolor": LIMIT,
        "elinewidth": 5.0,
        "alpha": 0.35,
        "zorder": 3,
        "label": "subsets",
    }
    ax.errorbar(size, law.correlation, yerr=np.maximum(spread, 0.0), fmt="none", **style)
    for k in range(len(size)):
        ends = Value(*(float(x[k]) for x in (law.correlation, law.correlation_low, law.correlation_high)))
        interval(ax, float(size[k]), ends, color=LIMIT)
    ax.plot(size, law.correlation, "o", color=LIMIT, markersize=7, zorder=5, label="measured")
    highs = [float(np.nanmax(law.correlation_high))]
    ceiling = min(errors.ceiling.estimate, 1.0) if math.isfinite(errors.ceiling.estimate) else float("nan")
    if math.isfinite(ceiling):
        ax.axhline(ceiling, color=POLICY, linestyle=(0, (2, 2)), linewidth=1.2, zorder=2, label="ceiling")
        highs.append(ceiling)
    claim = _claim(found)
    if claim is not None:
        ax.axhline(claim, color=BEST, linestyle=(0, (1, 1.2)), linewidth=1.8, zorder=2, label="agreement")
        highs.append(claim)
    least = min(0.0, float(np.nanmin(law.correlation_low)))
    ax.set_ylim(1.1 * least, min(1.12 * max(highs), 1.05))
    finish(ax)
    labels = Labels(ax)
    keep_off_lines(labels)
    right = [(float(x), ceiling) for x in (size[-1] + 0.4, size[0])]
    corners = ((-1, 1), (1, 1), (-1, -1), (1, -1))
    if claim is not None:
        at = [(float(x), claim) for x in (size[-1] + 0.4, size[0])]
        style = {"color": BEST, "fontsize": SMALL, "fontweight": "bold"}
        labels.put(
            f"their agreement alone claims {claim:.2f}", at, places=((-1, -1), (1, -1), (-1, 1)), **style
        )
    if math.isfinite(ceiling):
        text = f"ever more of this kind: {ceiling:.2f}"
        labels.put(text, right, places=corners, color=POLICY, fontsize=SMALL)
    middle = anchors(size, law.correlation)
    style = {"color": LIMIT, "fontsize": SMALL, "fontweight": "bold"}
    labels.put(f"mean of the proxies, {100 * found.level:g}%", middle, places=BELOW, **style)
    labels.put("1/K law", anchors(dense, curve), places=BELOW, always=False, color=GREY, fontsize=SMALL)


def _claim(found: Ensemble) -> float | None:
    """The correlation that collocation claims for the mean of all, where gold surely finds less."""
    if found.collocation is None or not EnsembleFindings(found).blind:
        return None
    return min(found.collocation.mean_correlation.estimate, 1.0)


def _draw_agreement(ax: Axes, found: Ensemble) -> None:
    agreed = found.collocation
    assert agreed is not None
    values = [*agreed.correlation, agreed.mean_correlation]
    names = [*(short_name(name) for name in found.proxies), "mean of all"]
    for i, value in enumerate(values):
        last = i == len(values) - 1
        low, high = (end if math.isfinite(end) else value.estimate for end in (value.low, value.high))
        color = POLICY if last else LIMIT
        ax.plot([low, high], [i, i], color=color, linewidth=2.0, zorder=3, label="interval")
        ax.plot(
            [value.estimate], [i], "D" if last else "o", color=color, markersize=7, zorder=4, label=names[i]
        )
    ends = [end for value in values for end in (value.low, value.high) if math.isfinite(end)]
    ax.set_xlim(min(0.0, *ends), max(1.0, min(max(ends), 1.5)))
    ax.axvline(1.0, color=GREY, linestyle=(0, (2, 2)), linewidth=1.0, zorder=1)
    ax.set_yticks(range(len(names)), names, parse_math=False)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel("correlation with what the proxies have in common,\nshared errors included", fontsize=TEXT)
