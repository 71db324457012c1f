"""Rewards sorted within prompts, in groups of prompts with equally many completions."""

from __future__ import annotations

from collections.abc import Iterator
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
