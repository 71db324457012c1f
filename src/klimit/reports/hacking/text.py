"""A proxy against gold in words and tables: verdict first, one action last, 80 columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from klimit.proxies.result import Best
from klimit.reports.hacking.action import action
from klimit.reports.hacking.findings import HackingFindings, Row, rounded_up
from klimit.reports.hacking.verdict import verdict
from klimit.reports.layout import table, wrap
from klimit.reports.numbers import RewardFormat, kl_text, nats, percent, plural

Cells = tuple[str, ...]


def hacking_report(findings: HackingFindings) -> str:
    """The whole report, ending in a newline."""
    blocks = [tilt_table(findings), selection_table(findings), best_table(findings)]
    lines = [
        *(wrap(line, indent="  ") for line in verdict(findings)),
        "",
        *(line for block in blocks if block for line in (*block, "")),
        *(wrap(line, indent="  ") for line in legend(findings)),
        "",
        *(wrap(f"! {line}", indent="  ") for line in cautions(findings)),
        wrap(f"Next: {action(findings)}", indent="  "),
    ]
    return "\n".join(lines) + "\n"


def tilt_table(findings: HackingFindings) -> list[str]:
    """The proxy's tilt, one row a KL: beta, proxy gain, gold gain with its interval, gold's own limit."""
    if not findings.rows:
        return []
    head = ("KL, nats", "beta", "proxy", f"gold gain [{_level(findings)}]", "gold limit")
    return [
        "Along the tilt by the proxy:",
        *table([head, *(_tilt_row(row, findings) for row in findings.rows)]),
    ]


def selection_table(findings: HackingFindings) -> list[str]:
    """Best-of-N by the proxy, one row an N."""
    chosen = findings.found.best_of_n
    rows: list[Cells] = [("N", "KL, nats", "proxy", f"gold gain [{_level(findings)}]")]
    for i in findings.sizes:
        proxy = findings.proxies.number(float(chosen.proxy_gain[i]))
        rows.append(
            (
                f"{chosen.setting[i]:g}",
                kl_text(chosen.kl[i]),
                proxy,
                findings.gain(findings.selected(i)),
            )
        )
    return ["Best-of-N by the proxy:", *table(rows)] if len(rows) > 1 else []


def best_table(findings: HackingFindings) -> list[str]:
    """Where gold is highest, by beta, N and mu, with the settings that cannot be told to be worse."""
    found = findings.found
    bests = {"beta": found.best if findings.found.horizon > 0 else None, "N": found.best_of_n.best}
    bests["mu"] = None if found.best_of_poisson is None else found.best_of_poisson.best
    rows: list[Cells] = [("best", "as good", "nats", f"gold gain [{_level(findings)}]")]
    rows += [_best_row(name, best, findings) for name, best in bests.items() if best is not None]
    return ["Where gold is highest:", *table(rows)]


def legend(findings: HackingFindings) -> list[str]:
    """What was read, what a proxy's optimum costs, and what all the numbers have in common."""
    found = findings.found
    lines = [f"Read: {what_was_read(findings)}."]
    if findings.partly_labelled:
        lines.append(labels_line(findings))
    lines += gap_lines(findings)
    lines.append(
        "KL(policy || base) in nats per completion, mean over prompts; gains are over the base policy; intervals are "
        "about the population of prompts."
    )
    if found.horizon > 0:
        lines.append(
            f"Along the tilt all is estimated up to {nats(found.horizon)} (the horizon), nothing beyond."
        )
    if any(not math.isfinite(row.gold_gain.estimate) for row in findings.rows):
        lines.append("-: beyond the horizon.")
    return lines


def what_was_read(findings: HackingFindings) -> str:
    """Prompts, completions, and both rewards with their scales."""
    found = findings.found
    samples = found.samples
    low, high = int(samples.counts.min()), int(samples.counts.max())
    each = plural(low, "completion") if low == high else f"{low:,}-{high:,} completions"
    gold = gold_values(findings)
    known = gold[np.isfinite(gold)]
    scales = f"{found.proxy_name} ({_scale(samples.reward(found.proxy_name))}), {found.gold_name} ({_scale(known)})"
    return f"{plural(samples.n_prompts, 'prompt')}, {each} each; {scales}"


def gold_values(findings: HackingFindings) -> Any:
    """Gold of every completion, nan where it has no label, ``(n_completions,)``."""
    samples, name = findings.found.samples, findings.found.gold_name
    return samples.labels[name] if name in samples.labels else samples.reward(name)


def labels_line(findings: HackingFindings) -> str:
    """How many completions have a gold label, and how many would settle the threshold."""
    found, total = findings.found, findings.n_completions
    share = percent(found.n_labels / total)
    text = f"{found.gold_name} is known for {found.n_labels:,} of {total:,} completions ({share})"
    wanted = labels_wanted(findings)
    if wanted is None:
        return f"{text}."
    number, exact = wanted
    if number <= found.n_labels:
        return f"{text}: enough to know the threshold to a quarter either way."
    about = "about" if exact else "at least"
    more = ", so more prompts as well" if number > total else ""
    return f"{text}; {about} {number:,} labels would settle the threshold to a quarter either way{more}."


def labels_wanted(findings: HackingFindings) -> tuple[int, bool] | None:
    """Gold labels in all that would settle the threshold, and whether that is an estimate or a lower bound."""
    found = findings.found
    if found.labels_needed is None:
        return None
    return rounded_up(found.labels_needed), math.isfinite(found.threshold.high)


def gap_lines(findings: HackingFindings) -> list[str]:
    """What the proxy's best tilt lacks against gold's own at the same beta, with the bounds."""
    gap = findings.gap
    if gap is None:
        return []
    at = f"At that beta ({RewardFormat.fitting(gap.beta).price(gap.beta)}, of proxy and gold alike) gold's own optimum"
    gap_bound, regret_bound = (
        f"at most {findings.gains.form.price(bound)}" for bound in (gap.gap_bound, gap.regret_bound)
    )
    if gap.status == "bracket":
        return [f"{at} lies beyond the horizon: the gap to it is {gap_bound}, the regret {regret_bound}."]
    gold, regret = (findings.gain(value, signed=False) for value in (gap.gap, gap.regret))
    return [
        f"{at} has {gold} more gold (gap; {gap_bound}); of gold less beta KL the proxy loses {regret} (regret; "
        f"{regret_bound})."
    ]


def cautions(findings: HackingFindings) -> list[str]:
    """Limitations, less those that the verdict or the legend says."""
    gold = repr(findings.found.gold_name)
    said = (f"{gold} does not turn down", f"{gold} is known for")
    lines = [line for line in findings.found.warnings if not line.startswith(said)]
    if findings.partly_labelled:
        lines.insert(0, f"which completions have a {gold} label must be up to chance, or nothing here holds")
    values, labels = findings.found.samples.reward(findings.found.proxy_name), gold_values(findings)
    known = np.isfinite(labels)
    if np.array_equal(values[known], labels[known]):
        lines.append(f"{findings.found.proxy_name!r} and {gold} are equal on every labelled completion")
    return lines


def _tilt_row(row: Row, findings: HackingFindings) -> Cells:
    if not math.isfinite(row.gold_gain.estimate):
        return kl_text(row.kl), "-", "-", "-", _limit(row, findings)
    beta = RewardFormat.fitting(row.beta).price(row.beta)
    proxy = findings.proxies.number(row.proxy_gain)
    return kl_text(row.kl), beta, proxy, findings.gain(row.gold_gain), _limit(row, findings)


def _limit(row: Row, findings: HackingFindings) -> str:
    if row.gold_limit.known:
        return findings.gains.short(row.gold_limit)
    return findings.gains.range(row.gold_limit) if math.isfinite(row.gold_limit.high) else "-"


def _best_row(name: str, best: Best, findings: HackingFindings) -> Cells:
    setting = best.setting
    if (
        not math.isfinite(setting.estimate)
        or best.gold_gain.estimate <= 0
        or (name, setting.estimate) == ("N", 1.0)
    ):
        return f"{name}: none", "-", kl_text(0.0), "+0: the base policy"
    form = RewardFormat.fitting(setting.estimate)

    def text(x: float) -> str:
        return (f"{x:g}" if name != "beta" else form.price(x)) if math.isfinite(x) else "any above"

    end = " (last)" if best.at_end else ""
    tied = text(setting.estimate)
    if setting.low < setting.high:
        tied = (
            f"{text(setting.low)} to {text(setting.high)}"
            if math.isfinite(setting.high)
            else f"{text(setting.low)} or more"
        )
    return (
        f"{name} {text(setting.estimate)}{end}",
        tied,
        kl_text(best.kl.estimate),
        findings.gain(best.gold_gain),
    )


def _scale(values: np.ndarray) -> str:
    binary = bool(((values == 0) | (values == 1)).all())
    return "0/1" if binary else f"{values.min():.3g} to {values.max():.3g}"


def _level(findings: HackingFindings) -> str:
    return f"{100 * findings.found.level:g}%"
