"""What optimising a proxy does to gold: the proxy goes on rising, gold turns down."""

from __future__ import annotations

from typing import Any

import numpy as np

from klimit.proxies.result import Hacking
from klimit.reports.hacking.figure import PROXY_TOP, from_zero, heights, points_shown, proxy_most, right_end
from klimit.reports.hacking.findings import HackingFindings
from klimit.reports.numbers import kl_text, nats
from klimit.reports.page.charts.chart import Chart, area, axis, bars, line, note, points, upright
from klimit.reports.page.charts.places import legible
from klimit.reports.values import short_name

_ROOM = 1.05  # of the axis beyond the last ring, which would be cut by its end


def hacking_chart(found: Hacking, place: int) -> Chart:
    """The chart of one proxy.

    Args:
        found: the result.
        place: of the proxy among all.
    """
    findings = HackingFindings(found)
    shown = points_shown(found)
    end = right_end(found, shown)
    shown = shown[found.best_of_n.kl[shown] <= end]
    end *= _ROOM
    bottom, top = heights(findings, shown, end)
    scale = PROXY_TOP * top / proxy_most(found)
    chart = Chart(
        key=f"hacking-{place}",
        title=f"When does optimising {found.proxy_name} stop helping {found.gold_name}?",
        caption=_caption(findings, end),
        tables=("proxies", "proxies_along", "proxies_best_of_n"),
        layout={
            "xaxis": axis("KL(policy || base), nats per completion", 0.0, end),
            "yaxis": axis(f"gain in {short_name(found.gold_name)}", bottom, top),
            "shapes": _beyond(found, end),
            "annotations": _notes(findings, end, bottom, top),
        },
    )
    _tilt(chart, findings, scale)
    if findings.turns:
        _threshold(chart, findings, bottom, top)
    at = [
        (float(x / end), float((y - bottom) / (top - bottom)))
        for x, y in zip(found.best_of_n.kl[shown], found.best_of_n.gold_gain[shown], strict=True)
    ]
    sizes = legible([f"{found.best_of_n.setting[i]:g}" for i in shown], at, ())
    _selection(chart, findings, shown, *sizes)
    return chart


def _caption(findings: HackingFindings, end: float) -> str:
    found = findings.found
    words = [
        f"The thick line is what {found.gold_name} gains when the policy is tilted by {found.proxy_name}, with its "
        f"{100 * found.level:g}% band; the dashed line is the most {found.gold_name} that any policy gains at that KL; "
        f"the dotted line is {found.proxy_name} itself, scaled to fit. Rings are best-of-N by {found.proxy_name}, "
        "labelled by N where there is room."
    ]
    if 0 < found.horizon < end:
        words.append(
            f"In the grey region, beyond the horizon at {nats(found.horizon)}, the samples support the tilt no more."
        )
    if findings.turns:
        words.append(
            f"The dot on the bottom line marks where {found.gold_name} turns down, with its interval."
        )
    return " ".join(words)


def _beyond(found: Hacking, end: float) -> list[dict[str, Any]]:
    if not 0 < found.horizon < end:
        return []
    region = {"type": "rect", "xref": "x", "yref": "paper", "x0": found.horizon, "x1": end, "y0": 0, "y1": 1}
    return [{**region, "fillcolor": "@bracket", "line": {"width": 0}, "layer": "below"}]


def _notes(findings: HackingFindings, end: float, bottom: float, top: float) -> list[dict[str, Any]]:
    found = findings.found
    notes: list[dict[str, Any]] = []
    if 0 < found.horizon < end:
        late = found.horizon > 0.6 * end
        place: dict[str, Any] = {"xanchor": "right" if late else "left", "yanchor": "top"}
        place["xshift"] = -5 if late else 5
        notes.append(note(found.horizon, top, f"horizon {nats(found.horizon)}", **place))
    if findings.turns:
        text = f"turns down at {nats(found.threshold.estimate)}"
        place = {"xanchor": "left", "yanchor": "bottom", "xshift": 8, "yshift": 4}
        if found.threshold.estimate > 0.6 * end:
            place |= {"xanchor": "right", "xshift": -8}
        notes.append(note(found.threshold.estimate, bottom + 0.05 * (top - bottom), text, **place))
    return notes


def _tilt(chart: Chart, findings: HackingFindings, scale: float) -> None:
    found = findings.found
    kl, gold = from_zero(found, found.gold_gain)
    if len(kl) < 2:
        return
    (_, low), (_, high) = from_zero(found, found.gold_gain_low), from_zero(found, found.gold_gain_high)
    words = [
        f"{found.gold_name} at {nats(k)} along {found.proxy_name}\n{findings.gains.form.estimate(g, a, b)}"
        for k, g, a, b in zip(kl, gold, low, high, strict=True)
    ]
    name = f"{found.gold_name}, {100 * found.level:g}% band"
    chart.add(name, "line", "@limit", area(kl, low, high, "@band"))
    chart.add(name, "line", "@limit", line(kl, gold, "@limit", words, width=3.2))
    at, limit = from_zero(found, found.gold_limit)
    if len(at) > 1:
        words = [
            f"limit of {found.gold_name} at {nats(k)}\n{findings.gains.number(g)}"
            for k, g in zip(at, limit, strict=True)
        ]
        drawn = line(at, limit, "@limit", words, width=1.8, dash="dash")
        chart.add(f"limit of {found.gold_name}", "dash", "@limit", drawn)
    at, proxy = from_zero(found, found.proxy_gain)
    words = [
        f"{found.proxy_name} at {nats(k)}\n{findings.proxies.number(g)} (drawn to another scale)"
        for k, g in zip(at, proxy, strict=True)
    ]
    drawn = line(at, scale * proxy, "@grey", words, width=2.2, dash="dot")
    chart.add(f"{found.proxy_name}, own scale", "dot", "@grey", drawn)


def _threshold(chart: Chart, findings: HackingFindings, bottom: float, top: float) -> None:
    found, threshold = findings.found, findings.found.threshold
    height = bottom + 0.05 * (top - bottom)
    kl, gold = from_zero(found, found.gold_gain)
    right = min(threshold.high, found.horizon)
    words = (
        f"{found.gold_name} turns down at {nats(threshold.estimate)}\nbetween {kl_text(threshold.low)} and "
        + (nats(threshold.high) if np.isfinite(threshold.high) else "beyond the horizon")
    )
    across = np.linspace(threshold.low, right, 9)
    chart.add(
        "where it turns down",
        "line",
        "@policy",
        upright(
            threshold.estimate, height, float(np.interp(threshold.estimate, kl, gold)), words, dash="solid"
        ),
        line(across, np.full(9, height), "@policy", [words] * 9, width=5),
        points([threshold.estimate], [height], hover=[words], symbol="circle", size=11, color="@policy"),
    )


def _selection(
    chart: Chart, findings: HackingFindings, shown: np.ndarray, labels: list[str], places: list[str]
) -> None:
    if not len(shown):
        return
    found, chosen = findings.found, findings.found.best_of_n
    gold = chosen.gold_gain[shown]
    words = [
        f"best-of-{chosen.setting[i]:g} by {found.proxy_name}\nKL {kl_text(chosen.kl[i])} nats\n"
        f"{found.gold_name} {findings.gain(findings.selected(int(i)))}"
        for i in shown
    ]
    drawn = points(
        chosen.kl[shown],
        gold,
        hover=words,
        labels=labels,
        place=places,
        symbol="circle",
        size=10,
        color="@paper",
        line={"color": "@best", "width": 2.2},
    )
    drawn["textfont"] = {"color": "@best", "size": 12}
    drawn["error_y"] = bars(gold, chosen.gold_gain_low[shown], chosen.gold_gain_high[shown], "@best")
    chart.add("best-of-N", "ring", "@best", drawn)
