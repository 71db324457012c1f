"""The plane of KL and gain: the limit, its band and horizon, what lies beyond, best-of-N, and the policies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from klimit.audits.result import Audit, Audits
from klimit.limit.result import Frontier
from klimit.policies.curve import PolicyCurve
from klimit.reports.audit.figure import FAR, Spot, spot_of, with_waste
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.several import runs
from klimit.reports.frontier.findings import Findings
from klimit.reports.numbers import RewardFormat, kl_text, nats, percent_interval
from klimit.reports.page.charts.chart import Chart, Floats, area, axis, bars, line, note, points, upright
from klimit.reports.page.charts.places import sides
from klimit.reports.plane import drawn_budgets, drawn_top, right_end
from klimit.reports.values import share, short_name

_TICKS = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


@dataclass(frozen=True)
class _Scale:
    """The KL's axis: as it is, or by its root where policies lie far beyond the limit."""

    end: float
    root: bool

    def __call__(self, kl: Any) -> Floats:
        values = np.asarray(kl, dtype=np.float64)
        return np.asarray(np.sqrt(np.maximum(values, 0.0)) if self.root else values)

    def axis(self) -> dict[str, Any]:
        title = "KL(policy || base), nats per completion"
        if not self.root:
            return axis(title, 0.0, self.end)
        ticks = [tick for tick in _TICKS if tick <= self.end]
        shown = {
            "tickvals": [float(np.sqrt(tick)) for tick in ticks],
            "ticktext": [f"{tick:g}" for tick in ticks],
        }
        return axis(f"{title} (root scale)", 0.0, float(np.sqrt(self.end)), **shown)


def plane(findings: Findings, audits: Audits | None) -> Chart:
    """The chart that a page opens with.

    Args:
        findings: the limit and best-of-N.
        audits: policies; None without any.
    """
    limit, best, form = findings.limit, findings.best, findings.numbers
    spots = [spot_of(audit) for audit in audits or ()]
    near = right_end(limit, best)
    end = max([near, *(1.1 * spot.right for spot in spots)])
    scale = _Scale(end, root=end > FAR * near)
    curve = replace(limit, kl=drawn_budgets(limit, end))
    gains = [y for spot in spots for y in (spot.gain, *spot.gain_ends)]
    top = max([drawn_top(curve, best), *(1.12 * gain for gain in gains)])
    bottom = min([-0.02 * top, *(1.2 * gain for gain in gains)])
    chart = Chart(
        key="plane",
        title="How much reward can any method buy for a KL?",
        caption=_caption(limit, audits),
        tables=("limit", "best_of_n", *(("policies",) if audits else ())),
        height=520,
        layout={
            "xaxis": scale.axis(),
            "yaxis": axis(f"gain in {short_name(limit.reward_label)} over the base", bottom, top),
            "annotations": _notes(curve, scale, top),
        },
    )
    _bracket(chart, curve, scale, form, top)
    _limit(chart, curve, scale, form)
    _square_root_law(chart, curve, scale, form, top)
    if 0 < limit.horizon < end:
        words = f"horizon: {nats(limit.horizon)}\nbeyond it these samples give bounds only"
        chart.add("horizon", "dash", "@text", upright(float(scale(limit.horizon)), bottom, top, words))
    _best_of_n(chart, best, scale, form)
    if audits is not None:

        def share_of(kl: float, gain: float) -> tuple[float, float]:
            return float(scale(kl) / scale(end)), (gain - bottom) / (top - bottom)

        passed = {i for run in runs(audits.names) for i in run[1:-1]}
        names = ["" if i in passed else spot.name for i, spot in enumerate(spots)]
        others = [share_of(float(k), float(g)) for k, g in zip(best.kl, best.gain, strict=True)]
        places = sides(names, [share_of(spot.kl, spot.gain) for spot in spots], others)
        _policies(chart, audits, spots, scale, names, places)
    return chart


def _caption(limit: Frontier, audits: Audits | None) -> str:
    band = f"{100 * limit.level:g}%"
    words = [f"The line is the most reward that any method can reach at a KL, with its {band} band."]
    if limit.horizon > 0:
        words.append(
            f"It can be trusted up to the horizon, {nats(limit.horizon)}; in the hatched region beyond it the samples "
            "give bounds only."
        )
    else:
        words.append("These samples are too few for an estimate: the hatched region lies between bounds.")
    words.append("Rings are best-of-N, labelled by N.")
    if audits is not None:
        words.append(
            "Diamonds are policies; the dotted line to the left of one is KL that its gain did not need."
        )
    return " ".join(words)


def _notes(curve: Frontier, scale: _Scale, top: float) -> list[dict[str, Any]]:
    inside = curve.kl <= curve.horizon
    found = []
    place: dict[str, Any]
    if inside.any():
        at = int(np.flatnonzero(inside)[int(0.45 * inside.sum())])
        high = curve.gain_high[at] if np.isfinite(curve.gain_high[at]) else curve.gain[at]
        place = {"xanchor": "right", "yanchor": "bottom", "xshift": -4, "yshift": 4}
        found.append(note(float(scale(curve.kl[at])), float(high), "limit", "@limit", **place))
    if 0 < curve.horizon < float(curve.kl[-1]):
        late = curve.horizon > 0.6 * float(curve.kl[-1])
        place = {"xanchor": "right" if late else "left", "yanchor": "bottom", "xshift": -5 if late else 5}
        found.append(note(float(scale(curve.horizon)), 0.0, f"horizon {nats(curve.horizon)}", **place))
    return found


def _bracket(chart: Chart, curve: Frontier, scale: _Scale, form: RewardFormat, top: float) -> None:
    beyond = curve.kl > curve.horizon
    if not beyond.any():
        return
    kl, low, high = curve.kl[beyond], curve.gain_low[beyond], curve.gain_high[beyond]
    words = [
        f"{nats(k)}: bounds only\nat least {form.gain(a)}, "
        + (f"at most {form.gain(b)}" if np.isfinite(b) else "no upper bound")
        for k, a, b in zip(kl, low, high, strict=True)
    ]
    x, shown = scale(kl), np.minimum(np.where(np.isfinite(high), high, 2 * top), 2 * top)
    chart.add(
        "bounds beyond the horizon" if curve.horizon > 0 else "bounds",
        "hatch",
        "@bracket",
        area(x, low, shown, "@bracket", hatch="/"),
        line(x, low, "@grey", words, width=1.2),
        line(x, np.where(high <= top, high, np.nan), "@grey", words, width=1.2),
    )


def _limit(chart: Chart, curve: Frontier, scale: _Scale, form: RewardFormat) -> None:
    inside = curve.kl <= curve.horizon
    if not inside.any():
        return
    kl = np.concatenate([[0.0], curve.kl[inside]])
    gain, low, high = (
        np.concatenate([[0.0], values[inside]]) for values in (curve.gain, curve.gain_low, curve.gain_high)
    )
    beta = np.concatenate([[np.inf], curve.beta[inside]])
    words = [
        f"limit at {nats(k)}\n{form.estimate(g, a, b)}"
        + (f"\nbeta {form.price(p)}" if np.isfinite(p) else "")
        for k, g, a, b, p in zip(kl, gain, low, high, beta, strict=True)
    ]
    name = f"limit, {100 * curve.level:g}% band"
    chart.add(name, "line", "@limit", area(scale(kl), low, high, "@band"))
    chart.add(name, "line", "@limit", line(scale(kl), gain, "@limit", words, width=3.2))


def _square_root_law(chart: Chart, curve: Frontier, scale: _Scale, form: RewardFormat, top: float) -> None:
    law = curve.square_root_law(curve.kl)
    if not law[-1] > 0:
        return
    shown = law <= top
    words = [
        f"square-root law of prior work at {nats(k)}\n{form.gain(g)}"
        for k, g in zip(curve.kl[shown], law[shown], strict=True)
    ]
    drawn = line(scale(curve.kl[shown]), law[shown], "@grey", words, width=1.6, dash="dash")
    chart.add("square-root law", "dash", "@grey", drawn)


def _best_of_n(chart: Chart, best: PolicyCurve, scale: _Scale, form: RewardFormat) -> None:
    shown = np.flatnonzero(best.n > 1)
    if not len(shown):
        return
    words = []
    for i in shown:
        text = f"best-of-{best.n[i]:g}\nKL {kl_text(best.kl[i])} nats"
        text += f"\n{form.estimate(best.gain[i], best.gain_low[i], best.gain_high[i])}"
        if np.isfinite(best.efficiency[i]):
            ends = (best.efficiency[i], best.efficiency_low[i], best.efficiency_high[i])
            text += f"\n{percent_interval(*ends)} of the limit there"
        words.append(text)
    x, y = scale(best.kl[shown]), best.gain[shown]
    drawn = points(
        x,
        y,
        hover=words,
        labels=[f"{best.n[i]:g}" for i in shown],
        symbol="circle",
        size=10,
        color="@paper",
        line={"color": "@best", "width": 2.2},
    )
    drawn["textfont"] = {"color": "@best", "size": 12}
    drawn["error_y"] = bars(y, best.gain_low[shown], best.gain_high[shown], "@best")
    drawn["error_x"] = bars(x, scale(best.kl_low[shown]), scale(best.kl_high[shown]), "@best")
    chart.add("best-of-N", "ring", "@best", drawn)


def _policies(
    chart: Chart, audits: Audits, spots: list[Spot], scale: _Scale, names: list[str], places: list[str]
) -> None:
    joined = runs(audits.names)
    for spot in with_waste(spots, joined):
        if np.isfinite(spot.least):
            ends = np.linspace(spot.least, spot.kl, 10)
            words = [f"{spot.name}: {nats(spot.kl - spot.least)} more than its gain needs"] * 10
            drawn = line(scale(ends), np.full(10, spot.gain), "@policy", words, width=1.6, dash="dot")
            chart.add("wasted KL", "dot", "@policy", drawn)
    for run in joined:
        path = np.array([[spots[i].kl, spots[i].gain] for i in run])
        drawn = line(scale(path[:, 0]), path[:, 1], "@policy", [], width=1.8)
        chart.add("policies", "diamond", "@policy", {**drawn, "hoverinfo": "skip"})
    for i, (audit, spot) in enumerate(zip(audits, spots, strict=True)):
        x = scale([spot.kl])
        drawn = points(
            x,
            [spot.gain],
            hover=[_words(audit)],
            labels=[names[i]] if names[i] else [],
            place=places[i],
            symbol="diamond" if spot.known else "triangle-right-open",
            size=12,
            color="@policy",
            line={"color": "@paper", "width": 1},
        )
        drawn["textfont"] = {"color": "@policy", "size": 13}
        drawn["error_y"] = bars([spot.gain], [spot.gain_ends[0]], [spot.gain_ends[1]], "@policy")
        drawn["error_x"] = bars(x, scale([spot.kl_ends[0]]), scale([spot.kl_ends[1]]), "@policy")
        chart.add("policies", "diamond", "@policy", drawn)


def _words(audit: Audit) -> str:
    findings = AuditFindings(audit)
    lines = [audit.name]
    kl = "KL unknown" if audit.kl is None else f"KL {findings.nats.full(audit.kl, 'nats')}"
    lines += [kl, f"gain {findings.gains.full(audit.gain)}"]
    if audit.efficiency is not None:
        lines.append(f"{share(audit.efficiency)} of the limit at its KL")
    lines.append(f"the same gain needs {findings.nats.full(audit.least_kl, 'nats')}")
    return "\n".join(lines)
