"""The report in words and tables: verdict first, one action last, 80 columns."""

from __future__ import annotations

import numpy as np

from klimit.limit.notes import REASONS
from klimit.limit.result import Point
from klimit.reports.frontier.findings import Findings
from klimit.reports.frontier.verdict import action, verdict
from klimit.reports.layout import table, wrap
from klimit.reports.numbers import kl_text, nats, percent, percent_interval, plural

_MOST_SIZES = 7  # rows of best-of-N


def report(findings: Findings) -> str:
    """The whole report, ending in a newline."""
    parts = [
        wrap(header(findings)),
        *(wrap(line) for line in verdict(findings)),
        "",
        *limit_table(findings),
        "",
        *best_of_n_table(findings),
        "",
        *(wrap(line, indent="  ") for line in legend(findings)),
        "",
        *(wrap(f"! {line}", indent="  ") for line in cautions(findings)),
        wrap(f"Next: {action(findings)}", indent="  "),
    ]
    return "\n".join(parts) + "\n"


def header(findings: Findings) -> str:
    """What was read: prompts, completions, the reward and its scale, the base mean, prompts without a signal."""
    limit = findings.limit
    counts = limit.rewards.counts
    low, high = int(counts.min()), int(counts.max())
    each = f"{low:,}" if low == high else f"{low:,}-{high:,} (median {np.median(counts):g})"
    form = findings.numbers
    ends = (limit.rewards.lowest, float(limit.rewards.top.max()))
    scale = "0/1" if findings.binary else f"{ends[0]:.3g} to {ends[1]:.3g}"
    parts = [
        f"{plural(limit.n_prompts, 'prompt')} x {each} completions",
        f"{limit.reward_label} ({scale})",
        f"base mean {form.reward(limit.base_reward)}",
    ]
    return "; ".join([", ".join(parts), *_without_signal(findings)])


def limit_table(findings: Findings) -> list[str]:
    """KL, gain with its interval, beta and status, one row a budget."""
    rows: list[tuple[str, ...]] = [("KL, nats", f"limit gain [{_level(findings)}]", "beta", "status")]
    rows += [_limit_row(point, findings) for point in findings.points]
    return table(rows)


def best_of_n_table(findings: Findings) -> list[str]:
    """N, KL, gain and efficiency with their intervals, one row an N; the log N formula where ties matter."""
    best, form = findings.best, findings.numbers
    head = ["N", "KL, nats", "gain", "efficiency"]
    if findings.ties_matter:
        head.append("untied KL")
    rows: list[tuple[str, ...]] = [tuple(head)]
    for i in _sizes_shown(findings):
        kl = kl_text(best.kl[i])
        if best.kl_high[i] > best.kl_low[i]:
            kl += f" [{kl_text(best.kl_low[i])}, {kl_text(best.kl_high[i])}]"
        row = [f"{best.n[i]:g}", kl, form.estimate(best.gain[i], best.gain_low[i], best.gain_high[i])]
        row.append(_efficiency(best.efficiency[i], best.efficiency_low[i], best.efficiency_high[i]))
        if findings.ties_matter:
            row.append(kl_text(best.kl_bound[i]))
        rows.append(tuple(row))
    return table(rows) if len(rows) > 1 else ["best-of-N: no prompt has two completions to choose from"]


def legend(findings: Findings) -> list[str]:
    """Units, direction, estimators and cover of the numbers above, and why the horizon is where it is."""
    limit = findings.limit
    over = "mean over prompts" if limit.budget == "average" else "on every prompt"
    whom = "the population of prompts" if limit.inference.target == "population" else "these prompts"
    how = "closed form" if limit.rewards.known else f"{limit.inference.name} dual"
    lines = [
        f"KL(policy || base) in nats per completion, {over}; beta: reward/nat.",
        f"[{_level(findings)}] intervals: for {whom}; estimator: {how}.",
    ]
    if limit.transform != "identity":
        lines.append(f"Rewards are transformed, {limit.transform}: {limit.rewards.transform.meaning}.")
    if findings.ties_matter:
        lines.append("Equal rewards make best-of-N's KL less than the untied log N - (N-1)/N.")
    lines.append("Efficiency: gain over the average-budget limit at the same KL.")
    if limit.saturation.status == "estimate" and limit.rewards.scale > 0:
        top = limit.saturation
        lines.append(
            f"As far as seen, it saturates at {findings.numbers.gain(top.gain)}, from {nats(top.kl)} on."
        )
    if limit.rewards.known:
        lines.append("No horizon: without ties the limit of ranks is known, at every KL.")
    elif limit.horizon > 0:
        lines.append(f"Horizon {nats(limit.horizon)}: {REASONS[limit.horizon_reason]}.")
    unbounded = np.isinf(limit.ceiling) and not limit.rewards.transform.estimated
    if unbounded and any(point.status == "bracket" for point in findings.points):
        lines.append("Bracket: --reward-max, the largest possible reward, would tighten it.")
    return lines


def cautions(findings: Findings) -> list[str]:
    """Warnings, then what else limits the answer."""
    lines = list(findings.warnings)
    count, limit = len(findings.below_max), findings.limit
    if count and limit.rewards.scale > 0:
        what = "never pass" if findings.binary else f"never reach {limit.reward_max:g}"
        lines.append(
            f"{count:,} of {plural(limit.n_prompts, 'prompt')} {what}: whether they can, and at which KL, is unknown; "
            "sample more there (ids: --json)"
        )
    return lines


def _limit_row(point: Point, findings: Findings) -> tuple[str, ...]:
    form, horizon = findings.numbers, findings.limit.horizon
    kl = kl_text(point.kl)
    if point.status == "estimate":
        gain = form.estimate(point.gain, point.gain_low, point.gain_high)
        status = "estimate (horizon)" if point.kl == horizon else "estimate"
        return kl, gain, form.price(point.beta), status
    high = f"to {form.gain(point.gain_high)}" if np.isfinite(point.gain_high) else "or more"
    return kl, f"{form.gain(point.gain_low)} {high}", "-", "bracket"


def _efficiency(value: float, low: float, high: float) -> str:
    if np.isfinite(value):
        return percent_interval(value, low, high)
    if np.isfinite(low) and np.isfinite(high) and low > 0:
        return f"{percent(low)} to {percent(high)}"
    return "-"


def _without_signal(findings: Findings) -> list[str]:
    never = len(findings.below_max)
    constant = findings.limit.rewards.constant
    if findings.binary:
        always = int((constant & (findings.limit.rewards.top == 1)).sum())
        parts = [(never, "never"), (always, "always")]
        texts = [f"{plural(count, 'prompt')} {word} {_verb(count)}" for count, word in parts if count]
        return [", ".join(texts)] if texts else []
    count = int(constant.sum())
    return [f"{plural(count, 'prompt')} never {'varies' if count == 1 else 'vary'}"] if count else []


def _verb(count: int) -> str:
    return "passes" if count == 1 else "pass"


def _sizes_shown(findings: Findings) -> list[int]:
    best = findings.best
    usable = [i for i in range(len(best)) if best.n[i] > 1]
    while len(usable) > _MOST_SIZES:
        kept = {usable[-1], findings.pick}
        usable = [i for place, i in enumerate(reversed(usable)) if place % 2 == 0 or i in kept][::-1]
    return usable


def _level(findings: Findings) -> str:
    return f"{100 * findings.limit.level:g}%"
