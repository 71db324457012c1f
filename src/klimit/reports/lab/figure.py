"""A world's plane: the exact limit, best-of-N, and the trained policies on prompts trained on and held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from klimit.lab.findings import LabFindings
from klimit.lab.study import Trained
from klimit.lab.world import Which
from klimit.reports.axes import finish, new_axes, plain
from klimit.reports.lab.marks import called, kinds_of, marks
from klimit.reports.lab.trained import short_verdict
from klimit.reports.labels import ABOVE, NEAR, Labels
from klimit.reports.style import BEST, GREY, LIMIT, POLICY, SMALL, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 120


def draw_lab(findings: LabFindings, trained: Sequence[Trained]) -> Figure:
    """The figure: filled marks on the prompts of ``findings``, hollow ones on those trained on."""
    ax = new_axes()
    world, prompts = findings.world, findings.prompts
    rows = [each.rows[which] for each in trained for which in each.rows]
    best = findings.policies
    end = 1.08 * max(row.exact["kl"] for row in (*rows, *best))
    kl = np.linspace(0, np.sqrt(end), _POINTS)[1:] ** 2
    shown: tuple[Which, ...] = (prompts,) if prompts == "train" or not trained else (prompts, "train")
    limits = {which: world.limit(prompts=which).frontier(kl) for which in shown}
    ax.set_xlim(0, end)
    lowest = min(0.0, *(1.2 * row.exact["gain"] for row in (*rows, *best)))
    ax.set_ylim(lowest, 1.14 * max(float(gain[-1]) for gain in limits.values()))
    ax.set_xlabel("KL(policy || base), nats per completion", fontsize=TEXT)
    ax.set_ylabel("gain in gold reward over the base mean", fontsize=TEXT)
    plain(ax, short_verdict(findings, trained))
    for which, gain in limits.items():
        style: dict[str, Any] = (
            {"linewidth": 2.6} if which == prompts else {"linewidth": 1.2, "linestyle": "--"}
        )
        name = called(which) if len(limits) > 1 else ""
        ax.plot([0, *kl], [0, *gain], color=LIMIT, zorder=3, label=f"exact limit{name}", **style)
    at = np.array([[row.exact["kl"], row.exact["gain"]] for row in best]).T
    ax.plot(
        *at,
        "o",
        color=BEST,
        markerfacecolor="white",
        markeredgewidth=1.6,
        markersize=6,
        zorder=6,
        label="best-of-N",
    )
    _draw_trained(ax, trained, prompts)
    ax.legend(loc="lower right", fontsize=SMALL, frameon=False)
    finish(ax)
    _write(ax, findings, kl, limits[prompts], at, trained)
    figure: Any = ax.figure
    return figure  # type: ignore[no-any-return]


def _draw_trained(ax: Axes, trained: Sequence[Trained], prompts: Which) -> None:
    for kind, (mark, colour) in marks(kinds_of(trained)).items():
        mine = [each for each in trained if each.plan.kind == kind]
        for each in mine:
            both = [each.rows[which].exact for which in each.rows]
            ax.plot([x["kl"] for x in both], [x["gain"] for x in both], color=GREY, linewidth=0.8, zorder=4)
        for which in mine[0].rows:
            points = [each.rows[which].exact for each in mine]
            filled = which == prompts
            ax.plot(
                [x["kl"] for x in points], [x["gain"] for x in points], mark, color=colour, markersize=6.5,
                markerfacecolor=colour if filled else "white", zorder=8 if filled else 7,
                label=f"{kind}{called(which)}",
            )  # fmt: skip


def _write(
    ax: Axes, findings: LabFindings, kl: Any, gain: Any, best: Any, trained: Sequence[Trained]
) -> None:
    """N beside best-of-N and beta beside the policies, as far as there is room."""
    labels = Labels(ax)
    labels.keep_off(kl, gain, width=3.0)
    for row in (*findings.policies, *(row for each in trained for row in each.rows.values())):
        labels.keep_off(np.array([row.exact["kl"]]), np.array([row.exact["gain"]]), width=10.0)
    for x, y, row in zip(*best, findings.policies, strict=True):
        number = row.name.removeprefix("best-of-")
        labels.put(number, [(float(x), float(y))], places=ABOVE, always=False, color=BEST, fontsize=SMALL)
    for each in trained:
        row = each.rows[findings.prompts]
        spot = [(row.exact["kl"], row.exact["gain"])]
        labels.put(f"{each.plan.beta:.2g}", spot, places=NEAR, always=False, color=POLICY, fontsize=SMALL)
