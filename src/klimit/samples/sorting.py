"""Rewards sorted within prompts, in groups of prompts with equally many completions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    def centred(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Each prompt's mean reward (p,), and the rewards less it (p, n), exactly 0 where they are constant."""
        top = self.rewards[:, -1:].astype(np.float64)
        below_top = self.rewards - top
        mean = below_top.mean(axis=1)
        below_top -= mean[:, None]
        return top[:, 0] + mean, below_top


def _plan(offsets: NDArray[np.integer[Any]], block: int) -> Iterator[Ints]:
    """Prompts of equal size, at most ``block`` rewards together."""
    counts = np.diff(offsets)
    for n in np.unique(counts).tolist():
        members = np.flatnonzero(counts == n)
        step = max(1, block // n)
        for first in range(0, len(members), step):
            yield members[first : first + step]


def _sorted(
    values: NDArray[np.floating[Any]], offsets: NDArray[np.integer[Any]], prompts: Ints
) -> SortedGroup:
    return SortedGroup(prompts, np.sort(_rows(values, offsets, prompts), axis=1))


def _rows(
    values: NDArray[np.floating[Any]], offsets: NDArray[np.integer[Any]], prompts: Ints
) -> NDArray[np.floating[Any]]:
    """Rewards of prompts of equal size, one a row."""
    starts = offsets[prompts]
    n = int(offsets[prompts[0] + 1] - starts[0])
    if prompts[-1] - prompts[0] + 1 == len(prompts):
        return values[starts[0] : starts[0] + n * len(prompts)].reshape(-1, n)
    return np.asarray(values[starts[:, None] + np.arange(n)])


def groups_of_sorted(
    ordered: NDArray[np.floating[Any]],
    offsets: NDArray[np.integer[Any]],
    prompts: Ints | None = None,
    *,
    block: int = _BLOCK,
) -> Iterator[SortedGroup]:
    """Prompts (all, or those chosen) in groups of equal size, of rewards that are ascending within prompts already."""
    counts = np.diff(offsets)
    chosen = np.arange(len(counts)) if prompts is None else prompts
    for n in np.unique(counts[chosen]).tolist():
        members = chosen[counts[chosen] == n]
        step = max(1, block // n)
        for first in range(0, len(members), step):
            group = members[first : first + step]
            yield SortedGroup(group, _rows(ordered, offsets, group))


def sorted_groups(
    values: NDArray[np.floating[Any]], offsets: NDArray[np.integer[Any]], *, block: int = _BLOCK
) -> Iterator[SortedGroup]:
    """The prompts in groups of equal size, each prompt's rewards sorted; at most ``block`` rewards a group.

    Args:
        values: rewards, shape ``(n_completions,)``, grouped by prompt.
        offsets: shape ``(n_prompts + 1,)``; prompt ``i`` owns ``offsets[i]:offsets[i + 1]``.
        block: rewards a group (at least one prompt).
    """
    for prompts in _plan(offsets, block):
        yield _sorted(values, offsets, prompts)


def for_sorted_groups(
    work: Callable[[SortedGroup], None],
    values: NDArray[np.floating[Any]],
    offsets: NDArray[np.integer[Any]],
    *,
    block: int = _BLOCK,
) -> None:
    """Run ``work`` on each of :func:`sorted_groups`, in threads where that pays."""

    def one(prompts: Ints) -> None:
        work(_sorted(values, offsets, prompts))

    if offsets[-1] <= 4 * block:
        for prompts in _plan(offsets, block):
            one(prompts)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(one, _plan(offsets, block)):
            pass
