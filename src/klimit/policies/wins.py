"""Win rates against the base policy when rewards tie, averaged over all subsets of a prompt's completions."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np

from klimit.order_statistics import subset_ratio
from klimit.policies.levels import Floats, Ints, Levels


class WinTable(NamedTuple):
    """Chances by the number m = 0..n of given completions, each of shape ``(n + 1,)``.

    Attributes:
        among: that all of a random subset of N + 1 lie among the m, over 2 (N + 1).
        with_one: that one further given completion is in it and the other N lie among the m, over the same.
    """

    among: Floats
    with_one: Floats


def win_table(n: int, sizes: Sequence[int], chances: Sequence[float]) -> WinTable:
    """The table for N drawn from ``sizes``, all less than ``n``, with given chances (or coefficients)."""
    among, with_one = np.zeros(n + 1), np.zeros(n + 1)
    for size, chance in zip(sizes, chances, strict=True):
        among += chance / (2 * (size + 1)) * subset_ratio(n, size + 1)
        with_one[:n] += chance / (2 * n) * subset_ratio(n - 1, size)
    return WinTable(among, with_one)


def best_of_n_table(n: int, size: int) -> WinTable:
    """The table of best-of-``size``.

    At ``size = n``, where a base draw is missing, it is extrapolated from the sizes below: what ties take
    from the win rate is smooth in N, and its fourth difference, the error, is of the order N^-4 of it.
    """
    if size < n:
        return win_table(n, [size], [1.0])
    order = min(4, size - 1)
    steps = range(1, order + 1)
    return win_table(n, [size - j for j in steps], [-((-1) ** j) * comb(order, j) for j in steps])


def tie_excess(levels: Levels, table: WinTable, n_prompts: int) -> Floats:
    """What ties take from the win rate against one base draw, per prompt, unbiased.

    Of a random subset of N + 1 completions let one be the base draw and the others best-of-N. If t of them
    share the top, the win rate, ties counting half, is 1 - max(t, 2) / (2 (N + 1)): the untied N / (N + 1),
    less the mean of (t - 2)^+ / (2 (N + 1)), which is returned.

    Args:
        levels: tied levels of prompts with n completions each.
        table: of the policy, for n completions.
        n_prompts: length of the result; zero for the other prompts.
    """
    excess = level_excess(table, levels.at, levels.upto)
    return np.asarray(np.bincount(levels.prompt, weights=excess, minlength=n_prompts), dtype=np.float64)


def level_excess(table: WinTable, at: Ints, upto: Ints) -> Floats:
    """Each level's part in :func:`tie_excess`, by the completions at it and at or below it."""
    below = upto - at
    excess = at * (table.with_one[upto - 1] + table.with_one[below])
    excess -= 2 * (table.among[upto] - table.among[below])
    return excess
