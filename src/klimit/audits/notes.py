"""What the reader of an audit must know besides the numbers: one line each, the gravest first."""

from __future__ import annotations

import numpy as np

from klimit.audits.result import Audit
from klimit.limit.notes import warnings_of as warnings_of_limit

_FEW_COMPLETIONS = 16
_ROUNDING = 1e-6


def warnings_of(audit: Audit) -> list[str]:
    """Limitations that change how the account may be used."""
    lines = []
    if impossible(audit):
        lines.append(_impossible_line(audit))
    if audit.kl_estimator == "k2":
        lines.append("k2 is biased, and whatever is computed from it here: k1 is not")
    if audit.kl is None:
        lines.append(
            "no log-probabilities: only the gain and the least KL that it needs are known; "
            "columns logprob and ref_logprob would show the rest"
        )
    elif audit.wasted_kl is not None and audit.efficiency is None:
        lines.append(_no_kl(audit))
    if audit.kl is not None and audit.status == "bracket" and audit.efficiency is not None:
        lines.append(
            f"the KL lies beyond the horizon of the base samples ({audit.limit.horizon:.3g} nats): efficiency and "
            "missing reward are ranges; more base completions a prompt would narrow them"
        )
    parts = audit.parts
    if parts is not None and not parts.resolved:
        lines.append(
            "rewards hardly repeat, so shape and off-reward are parted at the resolution of the samples "
            f"(on average {parts.bins:.1f} bins a prompt); their intervals span what a finer look could find"
        )
    if parts is not None and not np.isfinite(parts.allocation.estimate) and audit.least_kl.known:
        lines.append(
            f"allocation and shape need {_FEW_COMPLETIONS} completions of every prompt, of policy and base; "
            "bounds are given"
        )
    flat = int(audit.limit.rewards.constant.sum()) if audit.transform == "standardised" else 0
    if flat:
        lines.append(
            f"{flat} of {audit.n_prompts} prompts have no spread among the base samples to standardise by: the "
            "policy's rewards there count as 0, whatever they are"
        )
    lines += warnings_of_limit(audit.limit)
    return lines


def impossible(audit: Audit) -> bool:
    """Whether the log-probabilities show less KL than the policy's gain takes: then they are of something else."""
    wasted, efficiency = audit.wasted_kl, audit.efficiency
    below = wasted is not None and wasted.high < -_ROUNDING
    beyond = (
        audit.kl is not None and not audit.least_kl.known and audit.kl.high < audit.least_kl.low - _ROUNDING
    )
    return below or beyond or (efficiency is not None and efficiency.known and efficiency.low > 1 + _ROUNDING)


def _impossible_line(audit: Audit) -> str:
    assert audit.kl is not None
    return (
        f"impossible: the gain needs a KL of {audit.least_kl.low:.3g} nats at least, the log-probabilities show "
        f"{audit.kl.high:.3g} at most: the reference is not the base policy, or the columns belong to other completions"
    )


def _no_kl(audit: Audit) -> str:
    if audit.kl is not None and audit.parts is None and abs(audit.kl.estimate) <= _ROUNDING:
        return "the policy equals its reference: KL 0, so efficiency is undefined"
    if audit.limit.rewards.constant.all():
        return "the base samples show no reward to gain at any KL, so efficiency is undefined"
    return "the KL cannot be told from 0, so efficiency is undefined; more completions or prompts would tell"
