"""What the lines and points of a proxy's figure are called, each label beside its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.reports.hacking.findings import HackingFindings
from klimit.reports.hacking.verdict import kl_value
from klimit.reports.labels import ABOVE, AROUND, BELOW, NEAR, Labels
from klimit.reports.numbers import kl_text, nats
from klimit.reports.style import BEST, GREY, LIMIT, POLICY, SMALL

_LINES = ("gold", "gold limit", "proxy", "horizon", "threshold")


def write_labels(
    labels: Labels, findings: HackingFindings, points: NDArray[np.int64], *, height: float
) -> None:
    """Name everything; the more a label is tied to its place, the earlier it chooses.

    Args:
        labels: over the axes of gold, all drawn.
        findings: what is drawn.
        points: places of the N that are drawn.
        height: where the threshold's interval lies.
    """
    found, ax = findings.found, labels.ax
    for line in ax.get_lines():
        x, y = (np.asarray(values, dtype=float) for values in line.get_data())
        if line.get_label() in _LINES:
            bottom, top = ax.get_ylim()
            shown = (y >= bottom) & (y <= top) if len(x) > 2 else np.ones(len(x), dtype=bool)
            labels.keep_off(x[shown], np.clip(y[shown], bottom, top), width=3.0)
    labels.keep_off(np.array(ax.get_xlim()), np.zeros(2))
    chosen = found.best_of_n
    for i in points:
        labels.keep_off(chosen.kl[i : i + 1], chosen.gold_gain[i : i + 1], width=10.0)
        labels.keep_off(chosen.kl[[i, i]], np.array([chosen.gold_gain_low[i], chosen.gold_gain_high[i]]))
    _name_threshold(labels, findings, height)
    _name_points(labels, findings, points)
    _name_lines(labels, findings)
    if 0 < found.horizon < ax.get_xlim()[1]:
        bottom, top = ax.get_ylim()
        anchors = [(found.horizon, bottom + share * (top - bottom)) for share in (0.97, 0.88, 0.16, 0.25)]
        labels.put(f"horizon\n{nats(found.horizon)}", anchors, places=((1, -1), (-1, -1)), fontsize=SMALL)


def _name_threshold(labels: Labels, findings: HackingFindings, height: float) -> None:
    threshold = findings.found.threshold
    if not findings.turns:
        return
    right = min(threshold.high, findings.found.horizon)
    labels.keep_off(np.array([threshold.low, right]), np.full(2, height), width=9.0)
    if findings.turn == "certain":
        text = f"gold turns down:\n{kl_value(threshold)}"
    else:
        text = f"gold seems to turn down:\n{nats(threshold.estimate)}, not before {kl_text(threshold.low)}"
    style: dict[str, Any] = {"color": POLICY, "fontsize": SMALL, "fontweight": "bold"}
    anchors = [(x, height) for x in (threshold.estimate, right, threshold.low)]
    labels.put(text, anchors, places=((1, 1), (-1, 1), (1, 0), (-1, 0)), **style)


def _name_points(labels: Labels, findings: HackingFindings, points: NDArray[np.int64]) -> None:
    chosen = findings.found.best_of_n
    for i in reversed(points):
        last = i == points[-1]
        name = f"best-of-{chosen.setting[i]:g}" if last else f"{chosen.setting[i]:g}"
        anchor = [(float(chosen.kl[i]), float(chosen.gold_gain[i]))]
        labels.put(
            name, anchor, places=BELOW if last else NEAR, always=bool(last), color=BEST, fontsize=SMALL
        )


def _name_lines(labels: Labels, findings: HackingFindings) -> None:
    ax = labels.ax
    lines = {str(line.get_label()): line for line in ax.get_lines()}
    names: dict[str, tuple[str, Any, dict[str, Any]]] = {
        "gold": (
            f"gold, {100 * findings.found.level:g}% band",
            (*BELOW, *ABOVE),
            {"color": LIMIT, "fontweight": "bold"},
        ),
        "proxy": ("proxy goes on\n(right scale)", AROUND, {"color": GREY}),
        "gold limit": ("limit of gold", (*ABOVE, *NEAR), {"color": LIMIT, "fontstyle": "italic"}),
    }
    for label, (text, places, style) in names.items():
        if label not in lines:
            continue
        x, y = (np.asarray(values, dtype=float) for values in lines[label].get_data())
        shown = y <= ax.get_ylim()[1]
        x, y = x[shown], y[shown]
        at = [x[0] + share * (x[-1] - x[0]) for share in (0.55, 0.7, 0.4, 0.85, 0.25)]
        anchors = [(float(one), float(np.interp(one, x, y))) for one in at]
        labels.put(text, anchors, places=places, fontsize=SMALL, **style)
