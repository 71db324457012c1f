"""Policies in the plane: where each lies, and the KL that its gain did not need."""

from __future__ import annotations

import numpy as np

from klimit.audits.result import Audit, Audits
from klimit.reports.audit.figure import Spot, with_waste
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.several import runs
from klimit.reports.numbers import nats
from klimit.reports.page.charts.chart import Chart, bars, line, points
from klimit.reports.page.charts.scale import Scale
from klimit.reports.values import share


def policies(
    chart: Chart, audits: Audits, spots: list[Spot], scale: Scale, names: list[str], places: list[str]
) -> None:
    """Draw them.

    Args:
        chart: to draw on.
        audits: the policies.
        spots: where each lies.
        scale: of the KL.
        names: written beside them; empty ones are not.
        places: on which side.
    """
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
            line={"color": "@paper", "width": 1} if spot.known else {"width": 2.4},
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
