"""Rewards sorted within prompts, in groups of prompts with equally many completions, and their ties."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rewards handled at once: large enough to amortise the calls, small enough to stay in cache.
_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class SortedGroup:
    """Prompts with the same number ``n`` of completions: ``rewards`` (p, n) ascending in each row."""

    prompts: Ints
    rewards: NDArray[np.floating[Any]]

    @property
    def n(self) -> int:
        """Completions of each of these prompts."""
        return int(self.rewards.shape[1])

    def centred(self) -> tuple[Floats, Floats]:
        """Each prompt's mean reward (p,), and the rewards less it (p, n), exactly 0 where they are constant."""
        top = self.rewards[:, -1:].astype(np.float64)
        below_top = self.rewards - top
        mean = below_top.mean(axis=1)
        below_top -= mean[:, None]
        return top[:, 0] + mean, below_top


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


def sorted_groups(
    values: NDArray[np.floating[Any]], offsets: NDArray[np.integer[Any]], *, block: int = _BLOCK
) -> Iterator[SortedGroup]:
    """The prompts in groups of equal size, each prompt's rewards sorted; at most ``block`` rewards a group.

    Args:
        values: rewards, shape ``(n_completions,)``, grouped by prompt.
        offsets: shape ``(n_prompts + 1,)``; prompt ``i`` owns ``offsets[i]:offsets[i + 1]``.
        block: rewards a group (at least one prompt).
    """
    counts = np.diff(offsets)
    for n in np.unique(counts).tolist():
        members = np.flatnonzero(counts == n)
        step = max(1, block // n)
        for first in range(0, len(members), step):
            prompts = members[first : first + step]
            starts = offsets[prompts]
            if prompts[-1] - prompts[0] + 1 == len(prompts):
                rows = values[starts[0] : starts[0] + n * len(prompts)].reshape(-1, n)
            else:
                rows = values[starts[:, None] + np.arange(n)]
            yield SortedGroup(prompts, np.sort(rows, axis=1))


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
