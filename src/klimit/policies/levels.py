"""Ties: the reward levels that prompts show more than once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from klimit.samples.sorting import SortedGroup

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Levels:
    """Reward values that occur at least twice in a prompt, ascending within each prompt.

    Attributes:
        prompt: the prompt's index, shape ``(n_levels,)``, in blocks of equal values.
        at: completions with exactly this reward.
        upto: completions with this reward or less.
    """

    prompt: Ints
    at: Ints
    upto: Ints


def tied_levels(group: SortedGroup) -> Levels:
    """The levels that a group's prompts show at least twice."""
    rewards = group.rewards
    new = np.ones(rewards.shape, dtype=bool)
    np.not_equal(rewards[:, 1:], rewards[:, :-1], out=new[:, 1:])
    tied = np.flatnonzero(~new.all(axis=1))
    new = new[tied]
    starts = np.flatnonzero(new)
    at = np.diff(starts, append=new.size)
    keep = at > 1
    starts, at = starts[keep], at[keep]
    row, below = np.divmod(starts, rewards.shape[1])
    return Levels(group.prompts[tied[row]], at, below + at)


def join_levels(parts: Sequence[Levels]) -> Levels:
    """The levels of several groups, one after the other."""
    return Levels(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("prompt", "at", "upto")))
