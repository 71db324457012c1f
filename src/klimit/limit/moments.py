"""The first compiled pass over a chunk of prompts: rewards sorted, with moments, ties and the gains of best-of-N.

Every prompt is worked on by itself and gives rows of the results: the same in whatever chunk it comes.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from klimit.limit.compiled import INNER, OUTER
from klimit.limit.dual import Array

Ints = NDArray[np.int64]

_SHORT = 512  # rows up to so long NumPy sorts several times as fast as longer ones
_VANISHING = 1e-30  # a share of subsets too small to matter


@numba.njit(**OUTER)
def _merge_pairs(pieces: NDArray[Any], out: NDArray[Any]) -> None:
    """Merge neighbouring sorted rows of ``(2 k, m)`` into ``(k, 2 m)``.

    Each step waits for the one before, so two rows are merged at a time, each from both ends. ``i`` counts the values
    taken from the left piece so far, ``left_i`` is the last of it not taken yet. Indices have no sign: a sign would be
    tested.
    """
    m, rows = pieces.shape[1], len(out)
    zero, last, end = np.uint64(0), np.uint64(m - 1), np.uint64(2 * m - 2)
    for row in range(0, rows, 2):
        other = min(row + 1, rows - 1)
        a, b, to = pieces[2 * row], pieces[2 * row + 1], out[row]
        c, d, into = pieces[2 * other], pieces[2 * other + 1], out[other]
        i, j, left_i, left_j = zero, zero, last, last
        for k in range(np.uint64(m)):
            x, y = a[i], b[k - i]
            first = x <= y
            to[k] = x if first else y
            i += np.uint64(first)
            x, y = c[j], d[k - j]
            first = x <= y
            into[k] = x if first else y
            j += np.uint64(first)
            x, y = a[left_i], b[end - k - left_i]
            first = x > y
            to[end + np.uint64(1) - k] = x if first else y
            left_i -= np.uint64(first)
            x, y = c[left_j], d[end - k - left_j]
            first = x > y
            into[end + np.uint64(1) - k] = x if first else y
            left_j -= np.uint64(first)


def sort_rows(rows: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Each row in ascending order: as ``np.sort(rows, axis=1)``, with long rows sorted in parts and merged.

    Args:
        rows: ``(P, n)``.
        out: where to put them.
    """
    count, n = rows.shape
    out = np.empty_like(rows) if out is None else out
    halvings = 0
    while n >> halvings > _SHORT and not (n >> halvings) % 2:
        halvings += 1
    if not halvings:
        out[:] = rows
        out.sort(axis=1)
        return out
    pieces = np.sort(rows.reshape(count << halvings, n >> halvings), axis=1)
    for step in range(halvings - 1, -1, -1):
        merged = np.empty((count << step, n >> step), dtype=rows.dtype) if step else out
        _merge_pairs(pieces, merged)
        pieces = merged
    return out


def sort_prompts(values: NDArray[Any], offsets: Ints, first: int, last: int, ordered: NDArray[Any]) -> None:
    """Set ``ordered`` to the rewards sorted within each of the prompts ``first`` to ``last``."""
    counts = np.diff(offsets[first : last + 1])
    cuts = np.flatnonzero(np.diff(counts)) + 1
    for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(counts)], strict=True):
        inside = slice(offsets[first + start], offsets[first + stop])
        shape = (stop - start, int(counts[start]))
        sort_rows(values[inside].reshape(shape), ordered[inside].reshape(shape))


def by_size(counts: Ints, first: int, last: int) -> Ints:
    """The prompts ``first`` to ``last``, those with equally many completions after each other."""
    return first + np.argsort(counts[first:last], kind="stable")


@numba.njit(**INNER)
def _weigh_best(n: int, size: int, weights: Array) -> int:
    """Weights of the ascending rewards in best-of-``size``, see :func:`klimit.order_statistics.best_weights`.

    Returns:
        Where they begin to matter; those before are not set.
    """
    share = 1.0
    i = n - 1
    weights[i] = size / n
    while i >= size and share > _VANISHING:
        share *= (i - size + 1.0) / i
        i -= 1
        weights[i] = share * (size / n)
    return i


@numba.njit(fastmath=True, **INNER)
def _below(values: NDArray[Any], top: float, out: Array) -> float:
    """Set ``out`` to the rewards less ``top``; their sum."""
    total = 0.0
    for i in range(len(values)):
        out[i] = values[i] - top
        total += out[i]
    return total


@numba.njit(fastmath=True, **INNER)
def _centre(z: Array, mean: float) -> tuple[float, float]:
    """Subtract the mean in place; sums of squares and cubes."""
    squares, cubes = 0.0, 0.0
    for i in range(len(z)):
        x = z[i] - mean
        z[i] = x
        squares += x * x
        cubes += x * x * x
    return squares, cubes


@numba.njit(fastmath=True, **INNER)
def _dot(a: Array, b: Array) -> float:
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@numba.njit(**INNER)
def _equal_neighbours(values: NDArray[Any]) -> int:
    count = 0
    for i in range(1, len(values)):
        count += values[i] == values[i - 1]
    return count


@numba.njit(**INNER)
def _reach_top(values: NDArray[Any]) -> int:
    i = len(values) - 1
    while i > 0 and values[i - 1] == values[-1]:
        i -= 1
    return len(values) - i


@numba.njit(**INNER)
def _weights_of(n: int, sizes: Ints, weights: Array, starts: Ints) -> None:
    for s in range(len(sizes)):
        starts[s] = _weigh_best(n, sizes[s], weights[s])


@numba.njit(**INNER)
def _best(z: Array, sizes: Ints, weights: Array, starts: Ints, out: Array) -> None:
    """Gains of best-of-N from centred rewards; by definition none for N = 1, whose rounding is no gain."""
    for s in range(len(sizes)):
        out[s] = _dot(z[starts[s] :], weights[s, starts[s] : len(z)]) if sizes[s] > 1 else 0.0


@numba.njit(**OUTER)
def moments_pass(
    ordered: NDArray[Any],
    offsets: Ints,
    prompts: Ints,
    sizes: Ints,
    moments: Array,
    counted: Ints,
    best: Array,
) -> None:
    """Fill what belongs to ``prompts`` in the results.

    Args:
        ordered: rewards, ascending within prompts, ``(n_completions,)``.
        offsets: ``(P + 1,)``.
        prompts: which; those with equally many completions should follow each other, as they share weights.
        sizes: each N, at most the completions of each prompt, ``(J,)``.
        moments: mean, variance (``ddof=1``), unbiased third cumulant, largest reward, ``(4, P)``.
        counted: completions with the largest reward, and pairs of neighbours that are equal, ``(2, P)``.
        best: unbiased gains of best-of-N, ``(P, J)``.
    """
    longest = 1
    for p in prompts:
        longest = max(longest, offsets[p + 1] - offsets[p])
    weights, starts = np.empty((len(sizes), longest)), np.empty(len(sizes), dtype=np.int64)
    room = np.empty(longest)
    known = 0
    for p in prompts:
        values = ordered[offsets[p] : offsets[p + 1]]
        n = len(values)
        if n != known:
            _weights_of(n, sizes, weights, starts)
            known = n
        top = np.float64(values[-1])
        z = room[:n]
        mean = _below(values, top, z) / n
        squares, cubes = _centre(z, mean)
        counted[0, p] = _reach_top(values)
        counted[1, p] = _equal_neighbours(values)
        varied = counted[0, p] < n
        moments[0, p] = top + mean
        moments[1, p] = squares / max(n - 1, 1) if varied else 0.0
        moments[2, p] = cubes * (n / ((n - 1.0) * (n - 2.0))) if varied and n > 2 else 0.0
        moments[3, p] = top
        _best(z, sizes, weights, starts, best[p])


@numba.njit(**OUTER)
def best_pass(ordered: NDArray[Any], offsets: Ints, prompts: Ints, sizes: Ints, best: Array) -> None:
    """Fill the rows of ``best`` that belong to ``prompts``, as :func:`moments_pass`."""
    longest = 1
    for p in prompts:
        longest = max(longest, offsets[p + 1] - offsets[p])
    weights, starts = np.empty((len(sizes), longest)), np.empty(len(sizes), dtype=np.int64)
    room = np.empty(longest)
    known = 0
    for p in prompts:
        values = ordered[offsets[p] : offsets[p + 1]]
        n = len(values)
        if n != known:
            _weights_of(n, sizes, weights, starts)
            known = n
        z = room[:n]
        _centre(z, _below(values, np.float64(values[-1]), z) / n)
        _best(z, sizes, weights, starts, best[p])
