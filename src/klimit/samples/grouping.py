"""Grouping rows by prompt: prompts in order of first appearance, rows of a prompt in their own order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint64]
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it loses nothing


@dataclass(frozen=True)
class Groups:
    """Where the rows of each prompt are.

    Attributes:
        keys: shape ``(n_prompts,)``, the key of each prompt, in order of first appearance.
        offsets: shape ``(n_prompts + 1,)``, as in :class:`klimit.samples.Samples`.
        order: the row that goes to each place, shape ``(n_rows,)``; None where they stand grouped.
    """

    keys: Codes
    offsets: NDArray[np.int64]
    order: NDArray[np.int64] | None

    def sort(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values in row order, put in the order of the groups."""
        return values if self.order is None else values[self.order]

    def prompt_of(self) -> NDArray[np.int64]:
        """The prompt's place of each grouped row, shape ``(n_rows,)``."""
        return np.repeat(np.arange(len(self.keys)), np.diff(self.offsets))

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that went to these places."""
        return places if self.order is None else self.order[places]


def group_rows(keys: Codes) -> Groups:
    """Group rows by their keys, stably; linear in the rows where each prompt's rows stand together.

    Only runs of equal keys are sorted, so a table that is grouped already costs one comparison a row.
    """
    n_rows = len(keys)
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    lengths = np.diff(starts, append=n_rows)
    run_keys = keys[starts]
    distinct = np.unique(run_keys)
    if len(distinct) == len(starts):
        return Groups(run_keys, np.append(starts, n_rows).astype(np.int64), None)
    inverse = np.searchsorted(distinct, run_keys)
    first = np.empty(len(distinct), dtype=np.int64)
    first[inverse[::-1]] = np.arange(len(starts))[
        ::-1
    ]  # of several, the last one written stays: the first run
    by_appearance = np.argsort(first)
    # Few prompts make small numbers, which NumPy sorts by radix rather than by comparison.
    rank = np.empty(len(distinct), dtype=np.uint16 if len(distinct) <= 1 << 16 else np.int64)
    rank[by_appearance] = np.arange(len(distinct))
    prompt_of_run = rank[inverse]
    counts = np.bincount(prompt_of_run, weights=lengths).astype(np.int64)
    run_order = np.argsort(prompt_of_run, kind="stable")
    sorted_lengths = lengths[run_order]
    shift = starts[run_order] - (np.cumsum(sorted_lengths) - sorted_lengths)
    order = np.repeat(shift, sorted_lengths) + np.arange(n_rows)
    return Groups(distinct[by_appearance], np.concatenate([[0], np.cumsum(counts)]), order)


def repeated(groups: Groups, ids: Codes | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Places of grouped rows whose id already stood earlier in the same prompt.

    Args:
        groups: the grouping.
        ids: one id, or its hash, a grouped row; whole numbers.
    """
    rising = ids[1:] > ids[:-1]
    rising[groups.offsets[1:-1] - 1] = True  # a new prompt starts its ids afresh
    if rising.all():
        return np.empty(0, dtype=np.int64)
    if ids.dtype.itemsize < 8:
        ids = ids.astype(np.int64)
    prompt_of = groups.prompt_of()
    # Equal pairs have equal codes, and that no two codes are equal is seen faster than by sorting pairs.
    codes = np.sort(ids.view(np.uint64) + prompt_of.view(np.uint64) * SPREAD)
    if (codes[1:] != codes[:-1]).all():
        return np.empty(0, dtype=np.int64)
    order = np.lexsort((ids, prompt_of))
    same = (ids[order][1:] == ids[order][:-1]) & (prompt_of[order][1:] == prompt_of[order][:-1])
    return np.sort(order[1:][same])
