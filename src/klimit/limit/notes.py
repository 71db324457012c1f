"""What the reader of a limit must know besides the numbers: one line each, the gravest first."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from klimit.errors import KlimitWarning
from klimit.limit.blocks import MIN_COMPLETIONS as MIN_COMPLETIONS_RECOMPUTED
from klimit.limit.kernels import MIN_COMPLETIONS
from klimit.limit.per_prompt import MIN_COMPLETIONS as MIN_COMPLETIONS_PER_PROMPT

if TYPE_CHECKING:
    from klimit.limit.result import Frontier

_FEW_PROMPTS = 20
_FEW_CARRY = 10
_ALIKE = 1e-4

REASONS = {
    "shrink": "the bias of few completions a prompt no longer shrinks fast enough; sample more completions a prompt",
    "correction": "the correction for few completions a prompt grows too large; sample more completions a prompt",
    "disagreement": "the ways to correct for few completions a prompt disagree; sample more completions or prompts",
    "weights": "so few prompts cannot show the bias of few completions; sample more prompts, or completions",
    "samples": "one prompt's completions cannot show a larger KL; sample more completions a prompt",
    "reach": "the best reward seen is reached",
    "completions": "the samples support no estimate",
    "known": "ranks without ties have a limit that is known at every budget",
}


def warnings_of(limit: Frontier) -> list[str]:
    """Limitations that change how the result may be used; also raised as :class:`klimit.errors.KlimitWarning`."""
    rewards = limit.rewards
    lines = []
    n_prompts = limit.n_prompts
    needed = completions_needed(limit)
    few = np.flatnonzero(rewards.counts < needed)
    if rewards.scale == 0.0:
        lines.append(
            "the rewards are the same within every prompt: nothing can be said about any KL above 0 "
            "except by a known largest reward; sample more completions, or check the reward"
        )
    elif len(few):
        lines.append(
            f"{len(few)} of {n_prompts} prompts have fewer than {needed} completions (prompt "
            f"{prompt_name(limit, few[0])} has {int(rewards.counts[few[0]])}){_for(limit)}: the limit is bracketed, "
            f"not estimated; sample more there, or leave them out: samples.at_least({needed}), "
            f"--min-completions {needed}"
        )
    if rewards.known:
        return lines
    if n_prompts == 1 and limit.inference.target == "population":
        lines.append(
            "one prompt says nothing about others, so the intervals are unbounded; "
            "target='these-prompts' gives the limit of this prompt"
        )
    elif n_prompts < _FEW_PROMPTS:
        some = "1 prompt" if n_prompts == 1 else f"{n_prompts} prompts"
        lines.append(f"{some}: interval and horizon of so few are rough; use more prompts")
    alike = normalised(limit)
    if alike:
        lines.append(
            "every prompt's rewards have the same mean and spread, as if normalised within prompts: "
            "completions are then no independent draws; give the raw rewards"
        )
    if limit.horizon <= 0 and not lines:
        lines.append(f"no budget can be trusted: {REASONS[limit.horizon_reason]}")
    carrying = None if alike else few_carry(limit)
    if carrying is not None:
        lines.append(carrying)
    return lines


def completions_needed(limit: Frontier) -> int:
    """Completions of a prompt below which the limit is bracketed only."""
    if limit.rewards.known:
        return 1
    if limit.rewards.transform.estimated:
        return MIN_COMPLETIONS_RECOMPUTED
    return MIN_COMPLETIONS if limit.budget == "average" else MIN_COMPLETIONS_PER_PROMPT


def _for(limit: Frontier) -> str:
    return f", too few for {limit.transform!r}" if limit.rewards.transform.estimated else ""


def normalised(limit: Frontier) -> bool:
    """Whether all prompts share mean and spread, which independent draws never do, before any transform.

    Where the transform standardises or ranks within prompts, it does not matter if someone has standardised before.
    """
    rewards = limit.rewards if limit.rewards.raw is None else limit.rewards.raw
    if limit.rewards.transform.invariant:
        return False
    if limit.n_prompts < 3 or rewards.scale == 0.0 or rewards.counts.max() < 3:
        return False
    spread = np.sqrt(rewards.variance * (rewards.counts - 1) / rewards.counts)
    alike = [np.ptp(x) < _ALIKE * rewards.scale for x in (rewards.mean, spread)]
    also = np.ptp(np.sqrt(rewards.variance)) < _ALIKE * rewards.scale
    return bool(alike[0] and (alike[1] or also))


def prompt_name(limit: Frontier, index: int) -> str:
    """A prompt's key as a reader would write it."""
    key = limit.samples.prompt_ids[index]
    return repr(key.item() if isinstance(key, np.generic) else key)


def few_carry(limit: Frontier) -> str | None:
    """A line when a few prompts carry the uncertainty of the limit, so that its interval leans on them."""
    if limit.horizon <= 0 or limit.n_prompts < _FEW_PROMPTS:
        return None
    # Half way, where the influence is the prompts' own and not the extrapolation's.
    line = limit.linearise([limit.horizon / 2])
    squares = line.influence[:, 0] ** 2
    total = squares.sum()
    if not total > 0:
        return None
    if limit.rewards.transform.estimated and np.sqrt(total) / limit.n_prompts <= line.bias[0]:
        return None  # it is the allowance for bias that the interval leans on
    effective = total**2 / (squares**2).sum()
    if effective >= min(_FEW_CARRY, limit.n_prompts / 8):
        return None
    order = np.argsort(squares)[::-1]
    first = int(np.searchsorted(np.cumsum(squares[order]) / total, 0.5)) + 1
    names = ", ".join(prompt_name(limit, i) for i in order[: min(first, 3)])
    return (
        f"half of the limit's variance comes from {first} of {limit.n_prompts} prompts ({names}): "
        "the interval may be too narrow; use more prompts, or look at these"
    )


def warn_about(limit: Frontier) -> None:
    """Raise the warnings of a new result."""
    for line in warnings_of(limit):
        warnings.warn(line, KlimitWarning, stacklevel=3)
