"""Trained policies in words: the verdict, held-out prompts first, and the table of what each got."""

from __future__ import annotations

from collections.abc import Sequence

from klimit.lab.findings import PARTS, LabFindings, PolicyRow
from klimit.lab.study import Trained
from klimit.reports.lab.columns import columns
from klimit.reports.lab.marks import kinds_of
from klimit.reports.numbers import RewardFormat, percent

_ON = {"held_out": "on held-out prompts", "train": "on the prompts trained on", "all": "on all prompts"}


def verdict(findings: LabFindings, trained: Sequence[Trained]) -> list[str]:
    """Which method gets how much of the limit at its KL, and whether the runs came to rest."""
    by_kind = {kind: [each for each in trained if each.plan.kind == kind] for kind in kinds_of(trained)}
    lines = []
    for which in trained[0].rows:
        shares = [f"{kind} {_range([each.rows[which] for each in runs])}" for kind, runs in by_kind.items()]
        if which == findings.prompts:
            shares.append(f"best-of-{_sizes(findings)} {_range(findings.policies)}")
        lines.append(f"Of the exact limit at its own KL, {_ON[which]}: {', '.join(shares)}.")
    return [*lines, _rest(trained)]


def short_verdict(findings: LabFindings, trained: Sequence[Trained]) -> str:
    """Two lines above a figure."""
    which = findings.prompts
    names = {kind: [t.rows[which] for t in trained if t.plan.kind == kind] for kind in kinds_of(trained)}
    shares = [f"{kind} {_range(rows)}" for kind, rows in names.items()][:3]
    first = f"{findings.world.task.name}, {_ON[which]}: of the limit"
    return f"{first}\n{', '.join([*shares, f'best-of-N {_range(findings.policies)}'])}"


def _sizes(findings: LabFindings) -> str:
    sizes = [row.name.removeprefix("best-of-") for row in findings.policies]
    return f"{sizes[0]} to {sizes[-1]}"


def _range(rows: Sequence[PolicyRow]) -> str:
    shares = sorted(row.exact["efficiency"] for row in rows)
    low, high = (percent(share, decimals=1) for share in (shares[0], shares[-1]))
    return low if low == high else f"{low[:-1]}-{high}"


def _rest(trained: Sequence[Trained]) -> str:
    """Whether training had come to rest."""
    if not any(each.convergence.long_enough for each in trained):
        return "The runs are too short to tell whether training had come to rest."
    moving = [each.plan.name for each in trained if not each.convergence.settled]
    rule = "objectives changed by under 1% of their optimum in the last 100 steps"
    if not moving:
        return f"Training had come to rest: all {rule}."
    return f"{len(trained) - len(moving)} of {len(trained)} {rule}; not those of {'; '.join(moving)}."


def trained_table(trained: Sequence[Trained]) -> list[str]:
    """One line a policy: KL, gain and share of the limit on both kinds of prompts, where the KL went, convergence."""
    lines = []
    for which in trained[0].rows:
        rows = [each.rows[which] for each in trained]
        lines += [f"Trained policies {_ON[which]}, exact", *_plane(rows), ""]
    return [
        *lines,
        "Training: the KL-penalised objective on training prompts, of its optimum",
        *_objectives(trained),
    ]


def _plane(rows: Sequence[PolicyRow]) -> list[str]:
    gains = RewardFormat.fitting(max(abs(row.exact["gain"]) for row in rows))
    head = ["", "KL", "gain", "of limit", "necessary", "allocation", "shape", "off-reward"]
    body = [
        [
            row.name,
            f"{row.exact['kl']:.3f}",
            gains.gain(row.exact["gain"]),
            percent(row.exact["efficiency"], decimals=1),
            *(f"{row.parts[part]:.3f}" for part in PARTS),
        ]
        for row in rows
    ]
    return columns([head, *body])


def _objectives(trained: Sequence[Trained]) -> list[str]:
    body = [
        [
            each.plan.name,
            percent(each.convergence.share, decimals=2),
            f"{100 * each.convergence.change:+.2f} points",
            f"in the last {each.convergence.steps} of {each.plan.steps} steps",
        ]
        for each in trained
    ]
    return columns(body)
