"""What an ensemble is worth against the number of its members."""

from __future__ import annotations

from typing import Any

import numpy as np

from klimit.ensembles.result import Ensemble
from klimit.proxies.by_members import HackingByMembers
from klimit.reports.ensemble.members import thresholds_known
from klimit.reports.numbers import RewardFormat, nats
from klimit.reports.page.charts.chart import (
    Chart,
    Floats,
    axis,
    bars,
    escaped,
    hovering,
    line,
    number,
    numbers,
    points,
)
from klimit.reports.values import short_name
from klimit.values import Value

Ends = tuple[Floats, Floats, Floats]


def ensemble_charts(found: Ensemble, members: HackingByMembers | None) -> list[Chart]:
    """Agreement with gold, then gain, gap and threshold, each against the number of members."""
    charts = [_law(found)] if found.errors is not None else []
    if found.errors is None and found.collocation is not None:
        charts.append(_agreement(found))
    if members is not None:
        charts.append(_gap(found, members))
        if thresholds_known(members):
            charts.append(_thresholds(found, members))
    return charts


def _law(found: Ensemble) -> Chart:
    errors = found.errors
    assert errors is not None
    law = errors.law
    size = law.size.astype(np.float64)
    highs = [1.1 * float(np.nanmax(law.correlation_high))]
    ceiling = errors.ceiling.estimate
    if np.isfinite(ceiling) and ceiling <= 1.05:
        highs.append(1.1 * ceiling)
    low = min(0.0, 1.1 * float(np.nanmin(law.correlation_low)))
    chart = Chart(
        key="ensemble-law",
        title=f"Does a second reward model help to agree with {found.gold_name}?",
        caption=(
            f"Correlation with {found.gold_name} within prompts of the mean of k proxies: the mean over subsets with "
            f"its {100 * found.level:g}% interval, and from the least to the most of them. The dashed line is the law "
            "that errors average as 1/k down to what they share; the dotted line is where ever more members of this "
            "kind would end."
        ),
        tables=("ensemble", "ensemble_law"),
        height=360,
        layout={
            "xaxis": _members_axis(size),
            "yaxis": axis("correlation with gold", low, min(max(highs), 1.08)),
        },
    )
    dense = np.linspace(1, size[-1], 80)
    with np.errstate(invalid="ignore"):
        variance = errors.floor.estimate + errors.rest.estimate / dense
        curve = 1 / np.sqrt(1 + variance / errors.gold_variance.estimate)
    words = [f"1/k law at {k:.1f} members: {y:.2f}" for k, y in zip(dense, curve, strict=True)]
    chart.add("1/k law", "dash", "@grey", line(dense, curve, "@grey", words, width=1.8, dash="dash"))
    if np.isfinite(ceiling) and ceiling <= 1.05:
        words = [f"ever more members of this kind: {ceiling:.2f}"] * 8
        across = np.linspace(size[0] - 0.4, size[-1] + 0.4, 8)
        drawn = line(across, np.full(8, ceiling), "@text", words, width=1.6, dash="dot")
        chart.add("ever more of this kind", "dot", "@text", drawn)
    spread = (law.correlation, law.correlation_least, law.correlation_most)
    _spread(chart, "mean of k proxies", "@limit", size, spread, lambda x: f"{x:.2f}", "circle")
    drawn = points(size, law.correlation, hover=[""] * len(size), symbol="circle", size=1, color="@limit")
    drawn["error_y"] = bars(law.correlation, law.correlation_low, law.correlation_high, "@limit")
    chart.add("mean of k proxies", "square", "@limit", {**drawn, "hoverinfo": "skip"})
    return chart


def _agreement(found: Ensemble) -> Chart:
    agreed = found.collocation
    assert agreed is not None
    values = [*agreed.correlation, agreed.mean_correlation]
    names = [*(short_name(name) for name in found.proxies), "mean of all"]
    ends = [end for value in values for end in (value.low, value.high) if np.isfinite(end)]
    chart = Chart(
        key="ensemble-agreement",
        title="How far do the proxies agree?",
        caption=(
            "Correlation of each proxy with what they have in common, by their agreement alone: errors that they share "
            "cannot be seen without gold."
        ),
        tables=("ensemble",),
        height=150 + 40 * len(names),
        layout={
            "xaxis": axis(
                "correlation with what the proxies have in common", min(0.0, *ends), max(1.0, *ends)
            ),
            "yaxis": {"type": "category", "autorange": "reversed", "automargin": True, "ticksuffix": " "},
        },
    )
    drawn: dict[str, Any] = {
        "mode": "markers",
        "x": numbers(value.estimate for value in values),
        "y": [escaped(name) for name in names],
        "marker": {"size": 11, "color": "@limit"},
        "error_x": bars(
            [value.estimate for value in values],
            [value.low for value in values],
            [value.high for value in values],
            "@limit",
        ),
        **hovering([f"{name}: {value}" for name, value in zip(names, values, strict=True)]),
    }
    chart.add("by agreement", "disc", "@limit", drawn)
    return chart


def _gap(found: Ensemble, members: HackingByMembers) -> Chart:
    size = members.size.astype(np.float64)
    gap, gain = members.gap, members.best_n_gain
    whole = members.subsets[-1][0].best_n.gold_gain
    known = bool(np.isfinite(gap[0]).any())
    ends = [
        0.0,
        whole.low,
        whole.high,
        *gain[1],
        *gain[2],
        *(gap[1] if known else ()),
        *(gap[2] if known else ()),
    ]
    finite = [float(end) for end in ends if np.isfinite(end)]
    form = RewardFormat.fitting(max(abs(end) for end in finite))
    at = f" at {nats(members.kl)}" if known else ""
    chart = Chart(
        key="ensemble-gap",
        title=f"What does optimising the ensemble get of {found.gold_name}?",
        caption=(
            f"Circles: the most {found.gold_name} that best-of-N by the mean of k proxies gains. "
            + (
                f"Squares: what tilting by it still lacks to the limit of {found.gold_name}{at}. "
                if known
                else ""
            )
            + "Means over subsets of the members; bars run from the least to the most of them."
        ),
        tables=("ensemble_subsets",),
        height=360,
        layout={
            "xaxis": _members_axis(size),
            "yaxis": axis(short_name(str(found.gold_name)), 1.1 * min(finite), 1.2 * max(finite) or 1.0),
        },
    )
    _spread(chart, "gain of best-of-N", "@best", size - 0.06, gain, form.gain, "circle")
    _whole(chart, "gain of best-of-N", "@best", float(size[-1]) - 0.06, whole)
    if known:
        _spread(chart, f"gap to the limit{at}", "@limit", size + 0.06, gap, form.reward, "square")
    return chart


def _thresholds(found: Ensemble, members: HackingByMembers) -> Chart:
    size, threshold = members.size.astype(np.float64), members.threshold
    whole = members.subsets[-1][0].threshold
    ends = [float(x) for x in (*threshold[2], whole.high) if np.isfinite(x)]
    chart = Chart(
        key="ensemble-threshold",
        title=f"Does {found.gold_name} turn down later?",
        caption=(
            f"KL at which {found.gold_name} turns down along the tilt by the mean of k proxies; sizes at which some "
            "subset does not turn down within its horizon are left out."
        ),
        tables=("ensemble_subsets",),
        height=320,
        layout={
            "xaxis": _members_axis(size),
            "yaxis": axis("turns down at, nats", 0.0, 1.2 * max(ends, default=1.0)),
        },
    )
    _spread(chart, "threshold", "@policy", size, threshold, nats, "diamond")
    _whole(chart, "threshold", "@policy", float(size[-1]), whole)
    return chart


def _members_axis(size: Floats) -> dict[str, Any]:
    ticks = [int(k) for k in size]
    return axis("members", size[0] - 0.5, size[-1] + 0.5, tickvals=ticks, ticktext=[str(k) for k in ticks])


def _spread(chart: Chart, name: str, color: str, x: Floats, of: Ends, form: Any, symbol: str) -> None:
    """Means over subsets, joined, with bars from the least to the most of them."""
    mean, least, most = of
    words = [
        f"{name}, {round(k)} members: {form(m)}\nover subsets {form(a)} to {form(b)}"
        for k, m, a, b in zip(x, mean, least, most, strict=True)
    ]
    drawn = points(x, mean, hover=words, symbol=symbol, size=11, color=color)
    drawn |= {"mode": "lines+markers", "line": {"color": color, "width": 1.6}}
    drawn["error_y"] = {**bars(mean, least, most, color), "thickness": 5, "width": 0}
    chart.add(name, {"circle": "disc"}.get(symbol, symbol), color, drawn)


def _whole(chart: Chart, name: str, color: str, x: float, value: Value) -> None:
    """The interval of the whole ensemble."""
    if not value.known:
        return
    drawn = points(
        [x], [value.estimate], hover=[f"all members: {value}"], symbol="line-ew", size=12, color=color
    )
    drawn["error_y"] = {**bars([value.estimate], [value.low], [value.high], color), "width": 8}
    drawn["x"] = [number(x)]
    chart.add(name, "square", color, drawn)
