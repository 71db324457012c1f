"""A world's limit and policies in words: exact numbers beside estimates, and whether the intervals hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap

from klimit.lab.findings import LabFindings, LimitRow, PolicyRow
from klimit.lab.proxies import ProxyRow
from klimit.lab.study import Trained
from klimit.reports.lab.proxies import proxies_table
from klimit.reports.lab.trained import trained_table, verdict
from klimit.reports.numbers import RewardFormat, kl_text, nats, percent, plural
from klimit.reports.values import Unit, share
from klimit.values import Value

_WIDTH = 80


def lab_report(
    findings: LabFindings, trained: Sequence[Trained] = (), proxies: Sequence[ProxyRow] = ()
) -> str:
    """All of it, about 80 characters wide."""
    rows = [*findings.policies, *(each.rows[findings.prompts] for each in trained)]
    lines = [*_opening(findings), "", *_limit(findings), "", *_policies(rows), ""]
    if not trained:
        return "\n".join(lines)
    first = [line for said in verdict(findings, trained) for line in wrap(said, _WIDTH)]
    return "\n".join([*first, "", *trained_table(trained), "", *proxies_table(proxies), *lines])


def _opening(findings: LabFindings) -> list[str]:
    world, drawn = findings.world, findings.drawn
    count = len(world.rewards(prompts=findings.prompts))
    kind = {"train": "training ", "held_out": "held-out ", "all": ""}[findings.prompts]
    base = world.limit(prompts=findings.prompts).mean_reward
    return [
        f"{world.task.name}: {plural(count, f'{kind}prompt')}, {world.tree.n_leaves:,} completions each, all of them",
        f"enumerated; mean gold reward of the base model {base:.2f}.",
        f"Estimates are from {drawn.n_prompts:,} prompts drawn from these with {drawn.n_completions} completions each;",
        f"their horizon is {nats(findings.frontier.horizon)}.",
    ]


def _limit(findings: LabFindings) -> list[str]:
    form = RewardFormat.fitting(max(row.gain for row in findings.limit))
    unit = Unit(form, signed=True)
    lines = ["The limit", f"{'KL, nats':10}{'exact':9}klimit"]
    return [*lines, *(_limit_line(row, form, unit) for row in findings.limit)]


def _limit_line(row: LimitRow, form: RewardFormat, unit: Unit) -> str:
    estimate = f"{unit.full(row.estimate):32}{held(row.gain, row.estimate)}"
    return f"{kl_text(row.kl):10}{form.gain(row.gain):9}{estimate}".rstrip()


def _policies(rows: Sequence[PolicyRow]) -> list[str]:
    unit = Unit(RewardFormat.fitting(max(abs(row.exact["gain"]) for row in rows)), signed=True)
    nat = Unit(RewardFormat(2))
    width = max(12, *(len(row.name) + 1 for row in rows))
    head = _columns(width, "", "KL, nats", "gain", "of the limit")
    outside = misses(rows)
    last = (
        f"Outside their intervals: {', '.join(outside)}."
        if outside
        else "Every interval holds what is exact."
    )
    lines = [_policy_line(row, nat, unit, width) for row in rows]
    return ["Policies: exact, and [interval] from samples", head, *lines, *wrap(last, _WIDTH)]


def _policy_line(row: PolicyRow, nat: Unit, unit: Unit, width: int) -> str:
    cells = [
        f"{nat.number(row.exact['kl'])} {_ends(row.estimates['kl'], nat)}",
        f"{unit.number(row.exact['gain'])} {_ends(row.estimates['gain'], unit)}",
        f"{percent(row.exact['efficiency'], decimals=1)} {_share(row.estimates['efficiency'])}",
    ]
    return _columns(width, row.name, *cells)


def _columns(width: int, name: str, *cells: str) -> str:
    return "".join([f"{name:{width}}", *(f"{cell:23}" for cell in cells)]).rstrip()


def _ends(value: Value | None, unit: Unit) -> str:
    if value is None or not (math.isfinite(value.low) and math.isfinite(value.high)):
        return ""
    return unit.form.interval(value.low, value.high)


def _share(value: Value | None) -> str:
    if value is None:
        return ""
    return f"[{share(value).partition('[')[2]}" if value.known else f"({share(value)})"


def held(exact: float, estimate: Value) -> str:
    """Whether the interval holds the truth; a range that bounds it does as well."""
    return "covers" if exact in estimate else "misses"


def misses(rows: Sequence[PolicyRow]) -> list[str]:
    """Which exact numbers lie outside their intervals, as ``policy quantity``."""
    return [
        f"{row.name} {name}"
        for row in rows
        for name, value in {**row.estimates, **row.part_estimates}.items()
        if value is not None and {**row.exact, **row.parts}[name] not in value
    ]
