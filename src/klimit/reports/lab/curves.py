"""What the trained policies miss of the limit: by completions drawn, by KL, and what their KL was spent on."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from klimit.errors import InputError
from klimit.lab.findings import PARTS, LabFindings
from klimit.lab.methods import GOLD
from klimit.lab.study import Trained
from klimit.lab.world import Which
from klimit.reports.axes import new_axes, plain
from klimit.reports.lab.marks import called, kinds_of, marks
from klimit.reports.numbers import percent
from klimit.reports.style import BARS, BEST, DPI, SIZE, SMALL, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ON = {"held_out": "held-out prompts", "train": "prompts trained on", "all": "all prompts"}


def followed(trained: Sequence[Trained]) -> list[Trained]:
    """The runs that were followed along their way: those of seed 0 on gold."""
    return [each for each in trained if each.plan.seed == 0 and each.plan.reward == GOLD]


def draw_curves(findings: LabFindings, trained: Sequence[Trained]) -> Figure:
    """The figure: filled marks on the prompts of ``findings``, hollow ones on those trained on.

    Raises:
        InputError: no run was followed.
    """
    runs = followed(trained)
    if not runs:
        raise InputError("no run of seed 0 on gold to draw curves of; train some")
    figure: Any = new_axes().figure
    figure.clf()
    figure.set_size_inches(SIZE[0], 8.6 + 0.28 * len(runs))
    figure.set_dpi(DPI)
    heights = [3.0, 3.0, 0.9 + 0.28 * (len(runs) + len(findings.policies[:1]))]
    along, missed, parts = figure.subplots(3, 1, height_ratios=heights)
    _along(along, findings, runs)
    _missed(missed, findings, runs)
    _parts(parts, findings, runs)
    handles, names = missed.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper left", ncols=2, fontsize=SMALL, frameon=False, alignment="left",
        title=_title(findings, runs), title_fontproperties={"weight": "bold", "size": TEXT},
    )  # fmt: skip
    return figure  # type: ignore[no-any-return]


def _title(findings: LabFindings, runs: Sequence[Trained]) -> str:
    """How much of the limit each way to train got in the end, on both kinds of prompts."""
    by_kind = {kind: [run for run in runs if run.plan.kind == kind] for kind in kinds_of(runs)}
    lines = [f"{findings.world.task.name}: of the limit in the end, mean of betas"]
    for which in runs[0].rows:
        means = {
            kind: mean(each.rows[which].exact["efficiency"] for each in of) for kind, of in by_kind.items()
        }
        shares = ", ".join(f"{kind} {percent(share)}" for kind, share in means.items())
        lines.append(f"{_ON[which]}: {shares}")
    return "\n".join(lines)


def _line(
    ax: Axes, kind: str, which: Which, shown: dict[str, tuple[str, str]], first: Which, x: Any, y: Any
) -> None:
    mark, colour = shown[kind]
    ax.plot(
        x, y, mark, color=colour, markersize=6.5, markerfacecolor=colour if which == first else "white",
        linestyle="-" if which == first else "--", linewidth=1.4, zorder=8 if which == first else 7,
        label=f"{kind}{called(which)}",
    )  # fmt: skip


def _along(ax: Axes, findings: LabFindings, runs: Sequence[Trained]) -> None:
    """Share of the limit by completions drawn, at the middle beta."""
    shown = marks(kinds_of(runs))
    betas = sorted({run.plan.multiple for run in runs})
    middle = [run for run in runs if run.plan.multiple == betas[len(betas) // 2]]
    for run in middle:
        for which in run.rows:
            x = [point.samples for point in run.points]
            y = [100 * point.exact[which]["efficiency"] for point in run.points]
            _line(ax, run.plan.kind, which, shown, findings.prompts, x, y)
    best = [100 * row.exact["efficiency"] for row in findings.policies]
    ax.axhspan(min(best), max(best), color=BEST, alpha=0.22, linewidth=0, zorder=1)
    ax.text(
        0.01, max(best), "best-of-N", transform=ax.get_yaxis_transform(), va="top", color=BEST, fontsize=SMALL
    )
    ax.set_xscale("log", base=2)
    ticks = sorted({point.samples for run in middle for point in run.points})
    ax.set_xticks(ticks, [f"{tick / 1000:.3g}k" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("completions drawn", fontsize=TEXT)
    ax.set_ylabel("% of the limit", fontsize=TEXT)
    plain(ax, None)
    ax.set_title(f"Of the limit at its own KL, beta {middle[0].plan.beta:.2g}", fontsize=TEXT, loc="left")


def _missed(ax: Axes, findings: LabFindings, runs: Sequence[Trained]) -> None:
    """Reward missed at the end, by KL; best-of-N's beside it."""
    shown = marks(kinds_of(runs))
    best = [row.exact for row in findings.policies]
    for kind in shown:
        mine = [run for run in runs if run.plan.kind == kind]
        for which in mine[0].rows:
            ends = sorted((run.rows[which].exact for run in mine), key=lambda exact: exact["kl"])
            missing = [exact["limit_gain"] - exact["gain"] for exact in ends]
            _line(ax, kind, which, shown, findings.prompts, [exact["kl"] for exact in ends], missing)
    ax.plot(
        [exact["kl"] for exact in best], [exact["limit_gain"] - exact["gain"] for exact in best], "o-", color=BEST,
        markerfacecolor="white", markeredgewidth=1.6, linewidth=1.2, markersize=6, zorder=6, label="best-of-N",
    )  # fmt: skip
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("KL(policy || base), nats per completion", fontsize=TEXT)
    ax.set_ylabel("gold reward", fontsize=TEXT)
    plain(ax, None)
    ax.set_title("Missing reward: the limit at its KL, less its gain", fontsize=TEXT, loc="left")


def _parts(ax: Axes, findings: LabFindings, runs: Sequence[Trained]) -> None:
    """Where the KL of each policy went, in % of it."""
    rows = [findings.policies[-1], *(run.rows[findings.prompts] for run in runs)]
    for i, row in enumerate(rows):
        left = 0.0
        for part in PARTS:
            width = 100 * row.parts[part] / row.exact["kl"]
            name = part.replace("_", "-")
            ax.barh(i, width, left=left, height=0.7, label=name if i == 0 else "", **BARS[name])
            left += width
    ax.set_xlim(0, 100)
    ax.set_ylim(len(rows) - 0.45, -0.55)
    ax.set_yticks(range(len(rows)), [row.name for row in rows])
    ax.set_xlabel(f"% of the KL, {_ON[findings.prompts]}", fontsize=TEXT)
    plain(ax, None)
    ax.tick_params(axis="y", length=0)
    ax.set_title("Where the KL went", fontsize=TEXT, loc="left", pad=22)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.99), ncols=4, fontsize=SMALL, frameon=False,
              handlelength=1.3, columnspacing=1.0, borderpad=0.1)  # fmt: skip
