"""Compiled sums over prompts of their log-partitions: chunk by chunk, added up in the order of the chunks."""

from __future__ import annotations

import numba
import numpy as np

from klimit.limit.blas import one_thread
from klimit.limit.compiled import INNER, OUTER
from klimit.limit.dual import Array
from klimit.limit.kernels import chunks_of, in_threads

_ROWS = 512  # prompts of a chunk
_BLOCK = 640  # prompts of a product of matrices
_AT_ONCE = 4


@numba.njit(fastmath=True, **OUTER)
def _add_rows(rows: Array, weights: Array, out: Array, weighted: Array) -> None:
    """Add the rows to ``out``, and times their weights to ``weighted``."""
    for p in range(len(rows)):
        row, weight = rows[p], weights[p]
        for k in range(len(out)):
            out[k] += row[k]
            weighted[k] += weight * row[k]


@numba.njit(**INNER)  # with its differences in the order written: those of a single prompt are exactly 0
def _centre_row(finest: Array, half: Array, quarter: Array, beta: Array, mean: Array, out: Array) -> None:
    """Set ``out`` to the estimate and its differences, less their means, times ``beta``."""
    width = len(beta)
    for k in range(width):
        out[k] = (finest[k] - mean[0, k]) * beta[k]
    for k in range(width):
        out[width + k] = ((finest[k] - mean[0, k]) - (half[k] - mean[1, k])) * beta[k]
    for k in range(width):
        out[2 * width + k] = ((half[k] - mean[1, k]) - (quarter[k] - mean[2, k])) * beta[k]


@numba.njit(fastmath=True, **INNER)
def _add_cubes(row: Array, derivative: Array, value: Array, slope: Array, out: Array) -> None:
    """Add the cubes of Richardson's estimate, of its slope, and of their sum, to the rows of ``out``."""
    width = len(value)
    for k in range(width):
        value[k] = row[k] + row[width + k] / 3.0
        slope[k] = 0.0
    for i in range(0, width, _AT_ONCE):  # the grid has eight points an octave
        x0, x1, x2, x3 = value[i], value[i + 1], value[i + 2], value[i + 3]
        for k in range(width):
            first = x0 * derivative[i, k] + x1 * derivative[i + 1, k]
            slope[k] += first + (x2 * derivative[i + 2, k] + x3 * derivative[i + 3, k])
    for k in range(width):
        both = value[k] + slope[k]
        out[0, k] += value[k] * value[k] * value[k]
        out[1, k] += slope[k] * slope[k] * slope[k]
        out[2, k] += both * both * both


@numba.njit(**OUTER)
def _centre_rows(
    jackknife: Array,
    first: int,
    last: int,
    beta: Array,
    mean: Array,
    derivative: Array,
    parts: Array,
    third: Array,
) -> None:
    value, slope = np.empty(len(beta)), np.empty(len(beta))
    for p in range(first, last):
        _centre_row(jackknife[0, p], jackknife[1, p], jackknife[2, p], beta, mean, parts[p])
        _add_cubes(parts[p], derivative, value, slope, third)


def column_means(arrays: list[Array], weights: Array) -> tuple[Array, Array]:
    """Means over prompts of ``A`` arrays ``(P, T)``, and of each times the prompt's weight: ``(A, T)`` both."""
    n_prompts, width = arrays[0].shape
    chunks = chunks_of(n_prompts, _ROWS)
    sums = np.zeros((len(chunks), 2, len(arrays), width))

    def work(number: int) -> None:
        rows = slice(*chunks[number])
        for a, array in enumerate(arrays):
            _add_rows(array[rows], weights[rows], sums[number, 0, a], sums[number, 1, a])

    in_threads(work, len(chunks))
    plain, weighted = sums.sum(axis=0) / n_prompts
    return plain, weighted


def scatter_of(parts: Array) -> Array:
    """Sums of products of columns, ``(C, C)`` from ``(P, C)``: by blocks of prompts, added up in their order."""
    blocks = chunks_of(len(parts), _BLOCK)
    found = np.empty((len(blocks), parts.shape[1], parts.shape[1]))

    def work(number: int) -> None:
        rows = parts[slice(*blocks[number])]
        np.matmul(rows.T, rows, out=found[number])

    with one_thread():
        in_threads(work, len(blocks))
    return np.asarray(found.sum(axis=0))


def centred_parts(jackknife: Array, t: Array, mean: Array, slope: Array) -> tuple[Array, Array]:
    """``V`` of each prompt less its mean, ``(P, 3 T)``, and sums of cubes, ``(3, T)``; see ``grid_moments``.

    Args:
        jackknife: ``(3, P, T)``.
        t: the grid, in scaled rewards.
        mean: of ``jackknife`` over prompts, ``(3, T)``.
        slope: weights of the derivative, ``(T, T)``.
    """
    n_prompts = jackknife.shape[1]
    chunks = chunks_of(n_prompts, _ROWS)
    parts, third = np.empty((n_prompts, 3 * len(t))), np.zeros((len(chunks), 3, len(t)))
    derivative = np.ascontiguousarray(slope.T)

    def work(number: int) -> None:
        _centre_rows(jackknife, *chunks[number], 1 / t, mean, derivative, parts, third[number])

    in_threads(work, len(chunks))
    return parts, third.sum(axis=0)
