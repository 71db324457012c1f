"""An ensemble in words and tables: verdict first, one action last, 80 columns."""

from __future__ import annotations

import math

import numpy as np

from klimit.reports.ensemble.findings import EnsembleFindings
from klimit.reports.ensemble.verdict import action, correlation, verdict
from klimit.reports.layout import WIDTH, table, wrap
from klimit.reports.numbers import RewardFormat, kl_text, nats, percent, plural
from klimit.reports.values import Unit, short_name
from klimit.values import Value

Cells = tuple[str, ...]


def ensemble_report(findings: EnsembleFindings) -> str:
    """The whole report, ending in a newline."""
    blocks = [member_table(findings), law_table(findings), hacking_table(findings)]
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


def member_table(findings: EnsembleFindings) -> list[str]:
    """Every member: agreement with gold, what it adds, its best weight, its reliability by agreement alone.

    Where that is too wide, what it adds loses its interval, then names are cut.
    """
    found = findings.found
    if found.errors is None and found.collocation is None:
        return []
    lines: list[str] = []
    for full, names in ((True, list(found.proxies)), (False, list(found.proxies)), (False, _short(findings))):
        lines = table(list(zip(*_member_columns(findings, names, full=full), strict=True)))
        if max(map(len, lines)) <= WIDTH:
            break
    return lines


def _member_columns(findings: EnsembleFindings, names: list[str], *, full: bool) -> list[list[str]]:
    """Columns with their heads."""
    found, level = findings.found, _level(findings)
    columns = [["proxy", *names]]
    if found.errors is not None:
        columns.append(
            [f"corr. with gold [{level}]", *(correlation(one) for one in found.errors.correlation)]
        )
        columns.append(["adds", *(_signed(one, full=full) for one in found.errors.adds)])
        if found.weights is not None:
            columns.append(
                ["weight", *(f"{round(one.estimate, 2) + 0.0:.2f}" for one in found.weights.weights)]
            )
    if found.collocation is not None:
        told = [correlation(one) for one in found.collocation.reliability]
        if found.errors is None:
            columns.append([f"reliability [{level}]", *told])
        else:
            columns.append(["reliability", *(text.split(" ")[0] for text in told)])
    return columns


def _short(findings: EnsembleFindings) -> list[str]:
    return [short_name(name) for name in findings.found.proxies]


def law_table(findings: EnsembleFindings) -> list[str]:
    """The mean of k members: correlation with gold and error variance, measured and by the 1/K law with its floor."""
    errors = findings.found.errors
    if errors is None:
        return []
    law = errors.law
    unit = Unit.fitting(Value(*(float(np.nanmax(law.law)),) * 3))
    rows: list[Cells] = [
        ("mean of", "subsets", f"corr. with gold [{_level(findings)}]", "error variance", "by the law")
    ]
    for k in range(len(law.size)):
        value = Value(*(float(x[k]) for x in (law.correlation, law.correlation_low, law.correlation_high)))
        variance = float(law.error_variance[k])
        rows.append(
            (
                f"{law.size[k]}",
                _subsets(
                    int(law.subsets[k]),
                    int(law.subsets[k]) if law.complete[k] else None,
                    int(law.size[k]),
                    findings,
                ),
                correlation(value),
                unit.number(variance) if math.isfinite(variance) else "-",
                unit.number(float(law.law[k])),
            )
        )
    ceiling = errors.ceiling
    rows.append(
        ("ever more", "", _capped(ceiling), unit.number(max(errors.floor.estimate, 0.0)), "the floor")
    )
    return table(rows)


def hacking_table(findings: EnsembleFindings) -> list[str]:
    """Optimising the ensemble of k members: best-of-N, the gap at one KL, and where gold turns down."""
    hacked = findings.hacked
    if hacked is None:
        return []
    gains = Unit(RewardFormat.fitting(3 * hacked.subsets[-1][0].best_n.gold_gain.estimate), signed=True)
    where = f"gap at {nats(hacked.kl)}" if math.isfinite(hacked.kl) else "gap"

    def rows(spread: bool) -> list[str]:
        cells: list[Cells] = [("of", "subsets", "best-of-N", where, "turns down, nats")]
        for k in range(len(hacked.size)):
            same = hacked.subsets[k]
            of = f"{len(same)} of {hacked.total[k]}"
            best = _spread(gains, hacked.best_n_gain, k)
            gap = _spread(Unit(gains.form), hacked.gap, k, full=spread)
            turned = _turned(hacked.threshold, k, int(hacked.turned[k]), len(same))
            cells.append((f"{hacked.size[k]}", of, best, gap, turned))
        return table(cells)

    lines = rows(True)
    if max(map(len, lines)) > WIDTH:
        lines = rows(False)
    limit = hacked.gold_limit
    least = f", gold's own limit there is {gains.short(limit)}" if limit.known else ""
    head = f"Optimising the ensemble of some members, mean over subsets (least to most){least}:"
    return [*wrap(head).split("\n"), *lines]


def legend(findings: EnsembleFindings) -> list[str]:
    """What was read, how it was put together, and what the numbers have in common."""
    found = findings.found
    samples = found.samples
    low, high = int(samples.counts.min()), int(samples.counts.max())
    each = plural(low, "completion") if low == high else f"{low:,}-{high:,} completions"
    gold = "" if found.gold_name is None else f"; gold: {found.gold_name}"
    lines = [
        f"Read: {plural(samples.n_prompts, 'prompt')}, {each} each; {findings.n_members} proxies{gold}.",
        f"{found.name}: {found.aggregator.meaning}, standardised {found.standardisation}.",
    ]
    if found.errors is not None:
        lines.append(
            "Correlations are within prompts: at small KL, the share of gold's limit that optimising gets. Adds: "
            "correlation of the mean of all less that of the mean without it. Errors are on gold's scale."
        )
    if found.collocation is not None:
        lines.append(
            "Reliability: squared correlation with what the proxies have in common, by their agreement alone (triple "
            f"collocation); it takes for granted that {'; that '.join(found.collocation.assumptions)}."
        )
        test = found.collocation.test
        if test is not None:
            lines.append(f"One common factor: {_verdict_of(test.p_value)} (p = {test.p_value:.2g}).")
        if found.errors is None:
            missed = percent(found.collocation.gap.estimate)
            lines.append(
                f"If no error is shared, optimising the ensemble misses {missed} of the limit at small KL."
            )
    lines.append(f"Intervals ({_level(findings)}) are about the population of prompts.")
    return lines


def cautions(findings: EnsembleFindings) -> list[str]:
    """Warnings, and why something is missing."""
    lines = list(findings.found.warnings)
    if findings.why_not:
        lines.append(f"no gap and threshold by members: {findings.why_not}")
    return lines


def _verdict_of(p_value: float) -> str:
    return "rejected" if p_value < 0.05 else "not rejected"


def _spread(unit: Unit, of: tuple[np.ndarray, np.ndarray, np.ndarray], k: int, *, full: bool = True) -> str:
    mean, least, most = (float(x[k]) for x in of)
    if not math.isfinite(mean):
        return "-"
    if least == most or not full:
        return unit.number(mean)
    return f"{unit.number(mean)} ({unit.form.reward(least)} to {unit.form.reward(most)})"


def _turned(of: tuple[np.ndarray, np.ndarray, np.ndarray], k: int, turned: int, asked: int) -> str:
    if turned < asked:
        return f"{turned} of {asked} seen" if turned else "not seen"
    mean, least, most = (float(x[k]) for x in of)
    return kl_text(mean) if least == most else f"{kl_text(mean)} ({kl_text(least)} to {kl_text(most)})"


def _subsets(asked: int, total: int | None, size: int, findings: EnsembleFindings) -> str:
    all_there_are = math.comb(findings.n_members, size) if total is None else total
    return f"{asked} of {all_there_are:,}"


def _capped(value: Value) -> str:
    """A correlation that may be estimated above 1."""
    low, estimate, high = (min(x, 1.0) for x in (value.low, value.estimate, value.high))
    return correlation(Value(estimate, low, high)) if math.isfinite(estimate) else "-"


def _signed(value: Value, *, full: bool) -> str:
    ends = f" [{value.low:+.3f}, {value.high:+.3f}]" if full else ""
    return f"{value.estimate:+.3f}{ends}"


def _level(findings: EnsembleFindings) -> str:
    return f"{100 * findings.found.level:g}%"
