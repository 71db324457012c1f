"""An audit in words and one table: verdict first, one action last, 80 columns."""

from __future__ import annotations

import numpy as np

from klimit.audits.result import Audit
from klimit.reports.audit.action import action
from klimit.reports.audit.findings import ESTIMATORS, AuditFindings
from klimit.reports.audit.verdict import verdict
from klimit.reports.layout import table, wrap
from klimit.reports.numbers import nats, percent, plural
from klimit.reports.values import Unit, share
from klimit.values import Value

Row = tuple[str, str, str]


def audit_report(findings: AuditFindings) -> str:
    """The report of one policy, ending in a newline."""
    lines = [
        *(wrap(line, indent="  ") for line in verdict(findings)),
        "",
        *quantities(findings),
        "",
        *(wrap(line, indent="  ") for line in legend(findings)),
        "",
        *(wrap(f"! {line}", indent="  ") for line in cautions(findings)),
        wrap(f"Next: {action(findings)}", indent="  "),
    ]
    return "\n".join(lines) + "\n"


def quantities(findings: AuditFindings) -> list[str]:
    """Every quantity with its interval and what it is, one row each."""
    level = f"{100 * findings.audit.level:g}%"
    rows: list[Row] = [("", f"estimate [{level}]", "what it is")]
    return table([*rows, *_kl_rows(findings), *_reward_rows(findings), *_regression_rows(findings)])


def legend(findings: AuditFindings) -> list[str]:
    """What was read, and what all the numbers have in common."""
    audit = findings.audit
    lines = [f"Read: {what_was_read(audit)}."]
    if audit.kl is not None:
        lines.append(
            f"KL(policy || base) of whole completions, not a mean over tokens, which trainers log. {_others(findings)}"
        )
    lines.append(
        "Intervals are about the population of prompts; a prompt counts with all its completions of both "
        "policies."
    )
    horizon = audit.limit.horizon
    lines.append(
        f"The limit is estimated up to {nats(horizon)} (its horizon), bounded beyond."
        if horizon > 0
        else "The base samples support bounds on the limit only."
    )
    return lines


def what_was_read(audit: Audit) -> str:
    """Prompts and completions of both policies, the reward and its transform."""
    values = audit.limit.samples.reward(audit.reward_name)
    binary = bool(((values == 0) | (values == 1)).all())
    scale = "0/1" if binary else f"{values.min():.3g} to {values.max():.3g}"
    transformed = "" if audit.transform == "identity" else f", transformed: {audit.transform}"
    return (
        f"{plural(audit.n_prompts, 'prompt')}, {_each(audit.policy.counts)} each of the policy, "
        f"{_each(audit.base.counts)} of the base; {audit.reward_name} ({scale}{transformed})"
    )


def cautions(findings: AuditFindings) -> list[str]:
    """Warnings, then what else the reader should see."""
    audit = findings.audit
    lines = list(audit.warnings)
    if findings.much_idle:
        count = int(audit.prompts.idle.sum())
        lines.append(
            f"{count:,} of {plural(audit.n_prompts, 'prompt')} took {percent(findings.idle_share)} of the KL and "
            "show no gain (--prompts-csv lists them)"
        )
    if findings.many_cut:
        base = (
            "" if audit.base_truncated is None else f" (of the base policy's: {share(audit.base_truncated)})"
        )
        lines.append(
            f"{share(audit.truncated)} of the policy's completions are cut at the token limit{base}: "
            "their KL stops there as well"
        )
    return lines


def _kl_rows(findings: AuditFindings) -> list[Row]:
    audit, unit = findings.audit, findings.nats
    if audit.kl is None:
        return [("least KL, nats", unit.full(audit.least_kl), "that any method needs for the gain")]
    rows = [("KL, nats", unit.full(audit.kl), f"per completion; {findings.estimator}")]
    parts = audit.parts
    necessary = audit.least_kl if parts is None else parts.necessary
    rows.append(("  necessary", unit.full(necessary), "least KL of that gain, any method"))
    if parts is not None:
        unsure = "" if parts.resolved else " (?)"
        rows += [
            ("  allocation", unit.full(parts.allocation), "on the wrong prompts"),
            (f"  shape{unsure}", unit.full(parts.shape), "on another law of the reward"),
            (f"  off-reward{unsure}", unit.full(parts.off_reward), "on what the reward does not see"),
        ]
        if not parts.resolved:
            rows.append(("  both (?)", unit.full(findings.beside_the_point), "known better than their split"))
    rows.append(("wasted KL, nats", unit.full(audit.wasted_kl), "all but the necessary"))
    if audit.noise_floor is not None:
        rows.append(("noise floor, nats", unit.full(audit.noise_floor), "KL between two engines"))
    return rows


def _reward_rows(findings: AuditFindings) -> list[Row]:
    audit, rewards = findings.audit, findings.rewards
    rows = [
        ("reward", rewards.full(audit.reward), "mean of the policy"),
        ("base reward", rewards.full(audit.base_reward), "mean of the base policy"),
        ("gain", findings.gains.full(audit.gain), "reward less base reward"),
        ("win rate", _plain(audit.win_rate), "against the base policy, ties half"),
    ]
    if audit.efficiency is not None:
        rows.append(("efficiency", share(audit.efficiency), "gain over the limit at the same KL"))
    if audit.missing_reward is not None:
        rows.append(("missing reward", rewards.full(audit.missing_reward), "that limit less the gain"))
    if audit.truncated is not None:
        rows.append(("truncated", share(audit.truncated), "cut at the token limit"))
    if audit.base_truncated is not None:
        rows.append(("base truncated", share(audit.base_truncated), "the same of the base policy"))
    return rows


def _regression_rows(findings: AuditFindings) -> list[Row]:
    audit = findings.audit
    rows: list[Row] = []
    if audit.regression is not None:
        fit = audit.regression
        rows.append(("slope", _plain(fit.slope), "log pi/pi0 on reward, nats/reward"))
        if fit.implied_beta is not None:
            rows.append(("implied beta", _plain(fit.implied_beta), "1/slope: reward per nat"))
        rows.append(("R2", share(fit.r_squared), "of log pi/pi0, by the reward"))
    if audit.distance is not None:
        rows.append(
            ("distance, nats", findings.nats.full(audit.distance), "to the tilted policy at that beta")
        )
    return rows


def _plain(value: Value) -> str:
    return Unit.for_one(value).full(value)


def _others(findings: AuditFindings) -> str:
    """The KL by the estimators that were not chosen."""
    texts = [
        f"{ESTIMATORS.get(name, name)}{' (biased)' if name == 'k2' else ''} {findings.nats.short(value)}"
        for name, value in findings.audit.kl_estimates.items()
        if name != findings.audit.kl_estimator
    ]
    return f"By other estimators: {', '.join(texts)}."


def _each(counts: np.ndarray) -> str:
    low, high = int(counts.min()), int(counts.max())
    return plural(low, "completion") if low == high else f"{low:,}-{high:,} completions"
