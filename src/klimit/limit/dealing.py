"""Random blocks of each prompt's completions: every block is a random subset, drawn from the seed and the prompt."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from klimit.limit.compiled import INNER, OUTER
from klimit.limit.dual import Array

_GOLDEN = 0x9E3779B97F4A7C15
_PLACE_BITS = 16
_MOST_PLACES = (1 << _PLACE_BITS) - 1


@numba.njit(**INNER)
def _splitmix(state: np.uint64) -> np.uint64:
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(**OUTER)
def prompt_key(seed: np.uint64, prompt: int) -> np.uint64:
    """The random stream of a prompt."""
    return _splitmix(seed + np.uint64(prompt) * np.uint64(_GOLDEN))


@numba.njit(**INNER)
def draw_places(n: int, key: np.uint64, places: NDArray[np.int32]) -> None:
    """For every ``i`` below ``n``, a place from 0 to ``i`` at random (a stream of its own for each key)."""
    for i in range(n):
        state = key + np.uint64(n - i) * np.uint64(_GOLDEN)
        bits = _splitmix(state) >> np.uint64(32)
        places[i] = np.int32((bits * np.uint64(i + 1)) >> np.uint64(32))


@numba.njit(**INNER)
def _deal_quarters(
    values: NDArray[Any],
    start: int,
    n: int,
    edges: NDArray[np.int64],
    key: np.uint64,
    out: Array,
    labels: NDArray[np.uint8],
    places: NDArray[np.int32],
) -> None:
    """Deal fewer than 65,536 values into four blocks, whose next free places share one register."""
    free = np.uint64(0)
    for b in range(4):
        labels[edges[b] : edges[b + 1]] = _PLACE_BITS * b
        free |= np.uint64(edges[b]) << np.uint64(_PLACE_BITS * b)
    draw_places(n, key, places)
    for k in range(n):
        i = np.uint64(n - 1 - k)
        j = np.uint64(places[i])
        shift = np.uint64(labels[j])
        labels[j] = labels[i]
        out[(free >> shift) & np.uint64(_MOST_PLACES)] = values[np.uint64(start) + i]
        free += np.uint64(1) << shift


@numba.njit(**OUTER)
def deal(
    values: NDArray[Any], start: int, n: int, edges: NDArray[np.int64], key: np.uint64, out: Array
) -> None:
    """Deal ``n`` ascending values into the blocks between ``edges`` at random; each block ends up descending.

    The labels of the blocks are shuffled (Fisher and Yates), not the values.
    """
    labels, places = np.empty(n, dtype=np.uint8), np.empty(n, dtype=np.int32)
    deal_with(values, start, n, edges, key, out, labels, places)


@numba.njit(**INNER)
def deal_with(
    values: NDArray[Any],
    start: int,
    n: int,
    edges: NDArray[np.int64],
    key: np.uint64,
    out: Array,
    labels: NDArray[np.uint8],
    places: NDArray[np.int32],
) -> None:
    """:func:`deal` with room for the labels and the places they are drawn from, ``(n,)`` or more each."""
    if len(edges) == 5 and n <= _MOST_PLACES:
        _deal_quarters(values, start, n, edges, key, out, labels, places)
        return
    slots = edges[:-1].copy()
    for b in range(len(slots)):
        labels[edges[b] : edges[b + 1]] = b
    draw_places(n, key, places)
    for i in range(n - 1, -1, -1):
        j = places[i]
        b = labels[j]
        labels[j] = labels[i]
        out[slots[b]] = values[start + i]
        slots[b] += 1


@numba.njit(**OUTER)
def deal_prompts(
    values: NDArray[Any], offsets: NDArray[np.int64], parts: int, seed: np.uint64, out: Array
) -> None:
    """Deal every prompt's ascending values into ``parts`` blocks, as even as may be; see :func:`deal`."""
    edges = np.empty(parts + 1, dtype=np.int64)
    for p in range(len(offsets) - 1):
        start, n = offsets[p], offsets[p + 1] - offsets[p]
        for b in range(parts + 1):
            edges[b] = (b * n) // parts
        deal(values, start, n, edges, prompt_key(seed, p), out[start : start + n])
