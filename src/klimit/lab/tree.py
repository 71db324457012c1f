"""The completions of a world as a tree: K words and an end, cut after ``length`` words.

Leaves, one a completion, stand in this order: for each number of words ``d`` below ``length`` those that end after
``d`` words, then those that are cut; each in the order of their words read as digits. Rewards do not look at the last
word of a completion that is cut, so that K cut leaves at a time share a *view*: views are the completions that end,
then the first ``length - 1`` words of those that are cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError

Ints = NDArray[np.int64]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    """All completions.

    Attributes:
        words: how many there are, K.
        length: words after which a completion is cut.
    """

    words: int
    length: int

    @property
    def n_ended(self) -> int:
        """Leaves that end."""
        return int(sum(self.words**d for d in range(self.length)))

    @property
    def n_leaves(self) -> int:
        """Leaves: ended and cut."""
        return int(self.n_ended + self.words**self.length)

    @property
    def n_views(self) -> int:
        """What rewards tell apart."""
        return int(self.n_ended + self.words ** (self.length - 1))

    def prefixes(self, depth: int) -> Ints:
        """Words of all prefixes of ``depth`` words, in order, ``(K ** depth, depth)``."""
        places = self.words ** np.arange(depth)[::-1]
        return np.asarray(np.arange(self.words**depth)[:, None] // places % self.words, dtype=np.int64)

    @cached_property
    def view_of_leaf(self) -> Ints:
        """The view of each leaf, ``(n_leaves,)``."""
        cut = self.n_ended + np.arange(self.words**self.length) // self.words
        return np.concatenate([np.arange(self.n_ended), cut])

    @cached_property
    def views(self) -> tuple[Ints, NDArray[np.bool_]]:
        """Words that rewards see, ``(n_views, length - 1)`` with -1 where there are none, and whether they end."""
        seen = [self.prefixes(depth) for depth in (*range(self.length), self.length - 1)]
        words = np.concatenate(
            [np.pad(p, ((0, 0), (0, self.length - 1 - p.shape[1])), constant_values=-1) for p in seen]
        )
        return words, np.arange(self.n_views) < self.n_ended

    def leaf(self, words: Any) -> int:
        """The leaf of a completion given by its words; one with ``length`` words is cut.

        Raises:
            InputError: more words than there can be, or one that is none of the K.
        """
        given = [int(word) for word in words]
        if len(given) > self.length or any(not 0 <= word < self.words for word in given):
            raise InputError(
                f"completion {given}: at most {self.length} words, each from 0 to {self.words - 1}"
            )
        number = sum(word * self.words**place for place, word in enumerate(reversed(given)))
        return int(sum(self.words**d for d in range(len(given))) + number)

    def view(self, words: Any) -> int:
        """The view of a completion given by its words."""
        return int(self.view_of_leaf[self.leaf(words)])

    def by_view(self, law: NDArray[Any]) -> NDArray[Any]:
        """Probabilities of leaves ``(..., n_leaves)`` summed to those of views ``(..., n_views)``."""
        ended, cut = law[..., : self.n_ended], law[..., self.n_ended :]
        shared = cut.reshape(*law.shape[:-1], -1, self.words).sum(axis=-1)
        return np.concatenate([ended, shared], axis=-1)


def as_views(words: Sequence[Sequence[int]], length: int) -> tuple[Ints, NDArray[np.bool_]]:
    """What rewards see of completions: their words ``(N, length - 1)``, -1 where none are, and whether they end."""
    seen = np.full((len(words), length - 1), -1, dtype=np.int64)
    for row, said in enumerate(words):
        kept = list(said)[: length - 1]
        seen[row, : len(kept)] = kept
    return seen, np.array([len(said) < length for said in words], dtype=bool)


def by_level(p: Array, r: Array) -> tuple[Array, Array]:
    """Tables with one column a level of the reward, from those with one a completion: all that limits depend on."""
    levels, which = np.unique(r, return_inverse=True)
    if len(levels) > p.shape[1]:
        return p, r
    place = which.reshape(r.shape) + len(levels) * np.arange(len(r))[:, None]
    mass = np.asarray(
        np.bincount(place.reshape(-1), weights=p.reshape(-1), minlength=len(r) * len(levels)), dtype=float
    )
    return mass.reshape(len(r), -1), np.broadcast_to(levels, (len(r), len(levels)))
