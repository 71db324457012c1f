"""What the reader of an audit must know besides the numbers: one line each, the gravest first."""

from __future__ import annotations

import numpy as np

from klimit.audits.result import Audit
from klimit.limit.notes import warnings_of as warnings_of_limit

_FEW_COMPLETIONS = 16
_LITTLE_MASS = 0.5
_MANY_IDLE = 0.1


def warnings_of(audit: Audit) -> list[str]:
    """Limitations that change how the account may be used."""
    lines = []
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
    lines += warnings_of_limit(audit.limit)
    return lines


def _no_kl(audit: Audit) -> str:
    if audit.policy.logprob is not None and np.array_equal(audit.policy.logprob, audit.policy.ref_logprob):  # type: ignore[arg-type]
        return "the policy equals its reference: KL 0, so efficiency is undefined"
    return "the KL cannot be told from 0, so efficiency is undefined; more completions or prompts would tell"
