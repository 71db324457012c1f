"""Which members to leave in: every subset of each size, or a seeded sample of them where there are many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from klimit.errors import InputError

MOST_SUBSETS = 200


@dataclass(frozen=True)
class Subsets:
    """Subsets of one size.

    Attributes:
        size: members of each.
        members: their places, ascending, one tuple a subset, each subset once.
        total: how many subsets of this size there are.
    """

    size: int
    members: tuple[tuple[int, ...], ...]
    total: int

    @property
    def complete(self) -> bool:
        """Whether these are all; else they are a random sample without replacement."""
        return len(self.members) == self.total


def subsets_of(n_members: int, size: int, *, most: int = MOST_SUBSETS, seed: int = 0) -> Subsets:
    """All subsets of one size, or a random sample of ``most`` of them; the same for the same seed.

    Raises:
        InputError: there is no subset of that size, or ``most`` is not positive.
    """
    if not 1 <= size <= n_members:
        raise InputError(f"subsets of {size} of {n_members} members: give a size from 1 to {n_members}")
    if most < 1:
        raise InputError(f"most={most}: give at least one subset")
    total = math.comb(n_members, size)
    if total <= most:
        return Subsets(size, tuple(combinations(range(n_members), size)), total)
    rng = np.random.default_rng([seed, n_members, size])
    found: set[tuple[int, ...]] = set()
    while len(found) < most:
        found.add(tuple(sorted(rng.choice(n_members, size, replace=False).tolist())))
    return Subsets(size, tuple(sorted(found)), total)


def all_sizes(n_members: int, *, most: int = MOST_SUBSETS, seed: int = 0) -> list[Subsets]:
    """:func:`subsets_of` for every size from 1 to ``n_members``."""
    return [subsets_of(n_members, size, most=most, seed=seed) for size in range(1, n_members + 1)]
