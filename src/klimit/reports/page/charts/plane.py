"""The plane of KL and gain: the limit, its band and horizon, what lies beyond, best-of-N, and the policies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from klimit.audits.result import Audits
from klimit.limit.result import Frontier
from klimit.policies.curve import PolicyCurve
from klimit.reports.audit.figure import FAR, spot_of
from klimit.reports.audit.several import runs
from klimit.reports.frontier.findings import Findings
from klimit.reports.numbers import RewardFormat, kl_text, nats, percent_interval
from klimit.reports.page.charts.chart import Chart, area, axis, bars, line, note, points, upright
from klimit.reports.page.charts.places import box_of, legible, sides
from klimit.reports.page.charts.policies import policies
from klimit.reports.page.charts.scale import Scale
from klimit.reports.plane import drawn_budgets, drawn_top, right_end
from klimit.reports.values import short_name

_LEFT = 0.18  # of the axis: room for the limit's name to the left of its line


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
    scale = Scale(end, root=end > FAR * near)
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

    def share_of(kl: float, gain: float) -> tuple[float, float]:
        return float(scale(kl) / scale(end)), (gain - bottom) / (top - bottom)

    standing = [box_of("top left", "limit", *share_of(*at)) for at in _limit_note(curve, scale)]
    passed = {i for run in runs(audits.names) for i in run[1:-1]} if audits else set()
    names = ["" if i in passed else spot.name for i, spot in enumerate(spots)]
    own = [share_of(spot.kl, spot.gain) for spot in spots]
    rings = [share_of(float(k), float(g)) for k, g in zip(best.kl, best.gain, strict=True)]
    places = sides(names, own, rings, standing)
    standing += [box_of(side, name, *at) for side, name, at in zip(places, names, own, strict=True) if name]
    shown = np.flatnonzero(best.n > 1)
    sizes = legible([f"{best.n[i]:g}" for i in shown], [rings[i] for i in shown], own, standing)
    _best_of_n(chart, best, scale, form, *sizes)
    if audits is not None:
        policies(chart, audits, spots, scale, names, places)
    return chart


def _caption(limit: Frontier, audits: Audits | None) -> str:
    band = f"{100 * limit.level:g}%"
    if limit.horizon > 0:
        words = [f"The line is the most reward that any method can reach at a KL, with its {band} band."]
        words.append(
            f"It can be trusted up to the horizon, {nats(limit.horizon)}; in the hatched region beyond it the samples "
            "give bounds only."
        )
    else:
        words = [
            "The hatched region lies between bounds on the most reward that any method can reach at a KL; these "
            "samples support no estimate of it."
        ]
    words.append("Rings are best-of-N, labelled by N where there is room.")
    known = [audit.kl is not None for audit in audits or ()]
    if any(known):
        words.append(
            "Diamonds are policies; the dotted line to the left of one is KL that its gain did not need."
        )
    if not all(known):
        words.append(
            "Open triangles are policies whose KL is unknown, at the least KL that their gain needs: they lie there or "
            "further to the right."
        )
    return " ".join(words)


def _notes(curve: Frontier, scale: Scale, top: float) -> list[dict[str, Any]]:
    found = []
    place: dict[str, Any]
    for kl, high in _limit_note(curve, scale):
        place = {"xanchor": "right", "yanchor": "bottom", "xshift": -4, "yshift": 4}
        found.append(note(float(scale(kl)), high, "limit", "@limit", **place))
    if 0 < curve.horizon < float(curve.kl[-1]):
        late = curve.horizon > 0.6 * float(curve.kl[-1])
        place = {"xanchor": "right" if late else "left", "yanchor": "bottom", "xshift": -5 if late else 5}
        found.append(note(float(scale(curve.horizon)), 0.0, f"horizon {nats(curve.horizon)}", **place))
    return found


def _limit_note(curve: Frontier, scale: Scale) -> list[tuple[float, float]]:
    """Where the limit's name stands, at its band's upper edge; nowhere without an estimate."""
    inside = np.flatnonzero(curve.kl <= curve.horizon)
    if not len(inside):
        return []
    roomy = np.flatnonzero(scale(curve.kl[inside]) >= _LEFT * scale(scale.end))
    at = int(inside[max(int(0.45 * len(inside)), int(roomy[0]) if len(roomy) else len(inside) - 1)])
    high = curve.gain_high[at] if np.isfinite(curve.gain_high[at]) else curve.gain[at]
    return [(float(curve.kl[at]), float(high))]


def _bracket(chart: Chart, curve: Frontier, scale: Scale, form: RewardFormat, top: float) -> None:
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


def _limit(chart: Chart, curve: Frontier, scale: Scale, form: RewardFormat) -> None:
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


def _square_root_law(chart: Chart, curve: Frontier, scale: Scale, form: RewardFormat, top: float) -> None:
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


def _best_of_n(
    chart: Chart,
    best: PolicyCurve,
    scale: Scale,
    form: RewardFormat,
    labels: list[str],
    places: list[str],
) -> None:
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
        labels=labels,
        place=places,
        symbol="circle",
        size=10,
        color="@paper",
        line={"color": "@best", "width": 2.2},
    )
    drawn["textfont"] = {"color": "@best", "size": 12}
    drawn["error_y"] = bars(y, best.gain_low[shown], best.gain_high[shown], "@best")
    drawn["error_x"] = bars(x, scale(best.kl_low[shown]), scale(best.kl_high[shown]), "@best")
    chart.add("best-of-N", "ring", "@best", drawn)
