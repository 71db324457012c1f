"""The compiled pass over a chunk of prompts: log-mean-exps and their jackknives, whole and in random blocks.

Every prompt is worked on by itself and gives rows of the results: the same in whatever chunk it comes. The samples are
dealt into four quarters; two of them make a half, the halves the whole. These seven blocks are rows of most arrays
here: the whole is row 0, the halves 1 and 2, the quarters 3 to 6. Columns are the tilts.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from klimit.limit.compiled import INNER, OUTER
from klimit.limit.dealing import deal_with, prompt_key
from klimit.limit.dual import Array
from klimit.limit.elementary import exp, log, mantissa, power
from klimit.limit.lanes import (
    LANES,
    OCTAVES,
    first_octave,
    interpolate_ahead,
    multiply_and_square,
    tilted_sums,
)

EXACT = 16  # weights of each quarter whose factors are multiplied out; the others enter by power sums
BLOCKS = 7
QUARTERS = 3  # row of the first
_TINY = 1e-300
_VANISHING = 1e-90
_LOG_2 = 0.6931471805599453
_STENCIL = 8  # points of an interpolation
_NEGLIGIBLE = 1e-3  # of a quarter's second largest: to the eighth power and further, far below rounding


@numba.njit(fastmath=True, **INNER)
def _lower(z: Array, top: float) -> float:
    """Subtract ``top`` in place; the sum of what is left."""
    total = 0.0
    for i in range(len(z)):
        z[i] -= top
        total += z[i]
    return total


@numba.njit(fastmath=True, **INNER)
def _weigh(z: Array, scale: float, powers: Array) -> None:
    """Set the rows of ``powers`` to ``u, u**2, u**4, u**8`` of ``u = exp(scale z)``."""
    for i in range(len(z)):
        powers[0, i] = exp(z[i] * scale)
    for row in range(1, 4):
        for i in range(len(z)):
            powers[row, i] = powers[row - 1, i] * powers[row - 1, i]


@numba.njit(fastmath=True, **INNER)
def _raise(powers: Array, n: int) -> None:
    """From the weights of one group of octaves to those of the next."""
    for i in range(n):
        x = powers[3, i]
        for _ in range(OCTAVES - 3):
            x = x * x
        powers[0, i] = x
    for row in range(1, 4):
        for i in range(n):
            powers[row, i] = powers[row - 1, i] * powers[row - 1, i]


@numba.njit(fastmath=True, **INNER)
def _end(u: Array, start: int, stop: int) -> int:
    """The end of the descending weights ``u[start:stop]`` that count beside the second: the first is set apart."""
    if stop < start + 3:
        return stop
    least = u[start + 1] * _NEGLIGIBLE
    while stop > start + 2 and u[stop - 1] <= least:
        stop -= 1
    return stop


@numba.njit(fastmath=True, **INNER)
def _sum_quarters(
    powers: Array,
    edges: NDArray[np.int64],
    groups: int,
    first: Array,
    large: Array,
    rest: Array,
) -> None:
    """Of each quarter: the largest weight, the sum of the other large ones, and that of the rest."""
    ends = edges[1:].copy()
    flat, stride = powers.reshape(-1), powers.shape[1]
    for group in range(groups):
        at = group * OCTAVES * LANES
        if group:
            _raise(powers, edges[4])
        for b in range(4):
            start, row = edges[b], QUARTERS + b
            stop = _end(powers[0], start, ends[b]) if group else ends[b]
            ends[b] = stop
            top = min(start + EXACT, stop)
            tilted_sums(flat, stride, start, start + 1, first[b], at)
            tilted_sums(flat, stride, start + 1, top, large[b], at)
            tilted_sums(flat, stride, top, stop, rest[row], at)


def _cube_weights() -> Array:
    """Weights of ``log S`` two octaves from a tilt on, that interpolate it at three times the tilts of an octave.

    Sums of cubes of weights are sums of weights at three times the tilt. ``log S`` is smooth, and the cubes enter the
    result at below 1e-4 of it: Lagrange's polynomial through eight points is exact enough (below 1e-9).
    """
    points = np.concatenate([LANES * (1 + np.arange(LANES) / LANES) * 2**octave for octave in range(1, 3)])
    weights = np.zeros((len(points), LANES))
    for j in range(LANES):
        target = 3.0 * (LANES + j)
        nearest = np.sort(np.argsort(np.abs(np.log(points / target)), kind="stable")[:_STENCIL])
        for i in nearest:
            others = points[nearest[nearest != i]]
            weights[i, j] = np.prod((target - others) / (points[i] - others))
    return weights


_CUBE_WEIGHTS = _cube_weights().reshape(-1)


@numba.njit(fastmath=True, **INNER)
def _sum_cubes(sums: Array, octaves: int, weights: Array, logs: Array, cubes: Array) -> None:
    """Sums of the cubes of weights, from those of the weights; ``logs`` is room."""
    for k in range((octaves + 2) * LANES):
        logs[k] = log(max(sums[k], _TINY))
    interpolate_ahead(logs, weights, octaves, cubes)
    for k in range(octaves * LANES):
        # Cubes of sums so small vanish; what is interpolated between logarithms cut at the smallest need not.
        cubes[k] = exp(cubes[k]) if sums[k] > _VANISHING else 0.0


@numba.njit(fastmath=True, **INNER)
def _add(a: Array, b: Array, out: Array) -> None:
    for k in range(len(out)):
        out[k] = a[k] + b[k]


@numba.njit(fastmath=True, **INNER)
def _nest(rows: Array) -> None:
    """Sums of halves and the whole from those of the quarters."""
    _add(rows[3], rows[4], rows[1])
    _add(rows[5], rows[6], rows[2])
    _add(rows[1], rows[2], rows[0])


@numba.njit(fastmath=True, **INNER)
def _invert(without: Array, first: Array, inverse: Array, product: Array) -> None:
    """One over a block's sum ``S``, and its largest weight's factor: free of cancellation where it is nearly all."""
    for k in range(len(inverse)):
        inverse[k] = 1.0 / max(without[k] + first[k], _TINY)
        product[k] = without[k] * inverse[k]


@numba.njit(fastmath=True, **INNER)
def _multiply_first(first: Array, inverse: Array, product: Array) -> None:
    for k in range(len(product)):
        product[k] *= 1.0 - first[k] * inverse[k]


@numba.njit(fastmath=True, **INNER)
def _begin_products(
    first: Array, others: Array, tops: NDArray[np.int64], without: Array, inverses: Array, products: Array
) -> None:
    """One over each block's sum, and the product of ``1 - w / S`` over the largest weight of each quarter."""
    width = inverses.shape[1]
    for row in range(BLOCKS):
        begin = 0 if row < 2 else 2 if row == 2 else row - QUARTERS
        stop = 4 if row == 0 else begin + 2 if row < QUARTERS else begin + 1
        rest = others[row, :width]
        for b in range(begin, stop):
            if b != tops[row]:
                _add(rest, first[b, :width], without)
                rest = without
        _invert(rest, first[tops[row], :width], inverses[row], products[row])
        for b in range(begin, stop):
            if b != tops[row]:
                _multiply_first(first[b, :width], inverses[row], products[row])


@numba.njit(fastmath=True, **INNER)
def _multiply_large(
    lead: Array, counts: NDArray[np.int64], octaves: int, inverses: Array, products: Array
) -> None:
    """The same over the other large weights, eight tilts at a time."""
    width = octaves * LANES
    for o in range(octaves):
        for b in range(4):
            start, at = b * (EXACT - 1) * LANES, o * LANES
            stop = start + counts[b] * LANES
            half, quarter = at + (1 + b // 2) * width, at + (QUARTERS + b) * width
            multiply_and_square(lead, start, stop, inverses, products, at, half, quarter)


@numba.njit(fastmath=True, **INNER)
def _multiply_apart(values: Array, product: Array, powers: Array) -> None:
    """Multiply by positive values, with the powers of two apart: one logarithm does for many."""
    for k in range(len(values)):
        x = max(values[k], _TINY)
        product[k] *= mantissa(x)
        powers[k] += power(x)


@numba.njit(fastmath=True, **INNER)
def _add_series(inverse: Array, r1: Array, r2: Array, r3: Array, r4: Array, series: Array) -> None:
    """Add ``sum_i log(1 - w_i / S)`` of small weights, by its series."""
    for k in range(len(series)):
        a = inverse[k]
        series[k] -= a * (r1[k] + a * (r2[k] / 2.0 + a * (r3[k] / 3.0 + a * r4[k] / 4.0)))


@numba.njit(fastmath=True, **INNER)
def _add_logs(
    m: int,
    start: int,
    stop: int,
    weight: float,
    inverses: Array,
    products: Array,
    rest: Array,
    cubes: Array,
    room: Array,
    plug_in: Array,
    jackknife: Array,
) -> None:
    """Add ``log(S / m)`` and its leave-one-out jackknife, times ``weight``, of the blocks ``start`` to ``stop``."""
    width = len(plug_in)
    inverse, inverse_power, product, product_power, series = room[0], room[1], room[2], room[3], room[4]
    inverse[:], product[:] = 1.0, 1.0
    inverse_power[:], product_power[:], series[:] = 0.0, 0.0, 0.0
    for row in range(start, stop):
        _multiply_apart(inverses[row], inverse, inverse_power)
        _multiply_apart(products[row], product, product_power)
        r2, r4 = rest[row, LANES : LANES + width], rest[row, 2 * LANES : 2 * LANES + width]
        _add_series(inverses[row], rest[row, :width], r2, cubes[row, :width], r4, series)
    blocks = stop - start
    log_size = np.log(m)
    constant = (m - 1.0) * np.log1p(-1.0 / m) - log_size if m > 1 else 0.0
    share = (m - 1.0) / m
    for k in range(width):
        log_sum = -(log(inverse[k]) + inverse_power[k] * _LOG_2)
        left_out = log(product[k]) + product_power[k] * _LOG_2 + series[k]
        plug_in[k] += weight * (log_sum - blocks * log_size)
        jackknife[k] += weight * (log_sum + blocks * constant - share * left_out)


@numba.njit(fastmath=True, **INNER)
def _find_tops(z: Array, edges: NDArray[np.int64], tops: NDArray[np.int64]) -> None:
    """The quarter with the largest reward of each block; quarters begin with their largest."""
    for b in range(4):
        tops[QUARTERS + b] = b
    for row in (2, 1, 0):
        left, right = tops[2 * row + 1], tops[2 * row + 2]
        tops[row] = right if z[edges[right]] > z[edges[left]] else left


@numba.njit(fastmath=True, **INNER)
def _fill(t: Array, rise: float, out: Array) -> None:
    for k in range(len(t)):
        out[k] = t[k] * rise


@numba.njit(fastmath=True, **INNER)
def _effective_share(squares: Array, others: Array, inverse: Array, share: Array) -> None:
    for k in range(len(share)):
        share[k] = (squares[k] + others[k]) * inverse[k] * inverse[k]


@numba.njit(fastmath=True, **OUTER)
def statistics_pass(
    values: NDArray[Any],
    offsets: NDArray[np.int64],
    start_prompt: int,
    stop_prompt: int,
    t: Array,
    seed: np.uint64,
    plug_in: Array,
    jackknife: Array,
    share: Array,
) -> None:
    """Fill rows ``start_prompt`` to ``stop_prompt`` of the results; see :mod:`klimit.limit.kernels`.

    Args:
        values: rewards, ascending within prompts, ``(n_completions,)``.
        offsets: ``(P + 1,)``.
        start_prompt: the first prompt of the chunk.
        stop_prompt: the first after it.
        t: the grid, ``(T,)``.
        seed: of the random blocks.
        plug_in: ``(3, P, T)``.
        jackknife: ``(3, P, T)``.
        share: ``(P, T)``.
    """
    width = len(t)
    octaves = width // LANES
    groups = -(-(octaves + 2) // OCTAVES)
    longest = 0
    for p in range(start_prompt, stop_prompt):
        longest = max(longest, offsets[p + 1] - offsets[p])
    z, powers = np.empty(longest), np.empty((4, longest))
    labels, places = np.empty(longest, dtype=np.uint8), np.empty(longest, dtype=np.int32)
    edges, counts = np.empty(5, dtype=np.int64), np.empty(4, dtype=np.int64)
    tops = np.empty(BLOCKS, dtype=np.int64)
    room = groups * OCTAVES * LANES
    first, large = np.empty((4, room)), np.empty((4, room))
    rest, cubes, others = np.empty((BLOCKS, room)), np.empty((BLOCKS, room)), np.empty((BLOCKS, room))
    lead, without, logs = np.empty(4 * (EXACT - 1) * LANES), np.empty(width), np.empty(room)
    cube_weights, logs_room = _CUBE_WEIGHTS.copy(), np.empty((5, width))
    inverses, products = np.empty((BLOCKS, width)), np.empty((BLOCKS, width))
    for p in range(start_prompt, stop_prompt):
        start = offsets[p]
        n = offsets[p + 1] - start
        edges[0], edges[1], edges[2], edges[3], edges[4] = 0, n // 4, n // 2, (3 * n) // 4, n
        deal_with(values, start, n, edges, prompt_key(seed, p), z, labels, places)
        rise = -_lower(z[:n], np.float64(values[start + n - 1])) / n  # of the largest reward over the mean
        _weigh(z[:n], t[0] / LANES, powers)
        _find_tops(z, edges, tops)
        for b in range(4):
            end = min(edges[b] + EXACT, edges[b + 1])
            counts[b] = end - edges[b] - 1
            first_octave(powers.reshape(-1), longest, edges[b] + 1, end, lead, b * (EXACT - 1) * LANES)
        _sum_quarters(powers, edges, groups, first, large, rest)
        for b in range(4):
            _sum_cubes(rest[QUARTERS + b], octaves, cube_weights, logs, cubes[QUARTERS + b])
        for b in range(4):
            _add(large[b], rest[QUARTERS + b], others[QUARTERS + b])
        _nest(rest)
        _nest(cubes)
        _nest(others)
        _begin_products(first, others, tops, without, inverses, products)
        _multiply_large(lead, counts, octaves, inverses.reshape(-1), products.reshape(-1))

        _add(first[0], first[1], large[0])
        _add(first[2], first[3], large[1])
        _add(large[0], large[1], large[2])
        _effective_share(
            large[2, LANES : LANES + width], others[0, LANES : LANES + width], inverses[0], share[p]
        )
        for level in range(3):
            _fill(t, rise, plug_in[level, p])
            _fill(t, rise, jackknife[level, p])
        for level in range(3):
            blocks, quarters = 1 << level, 4 >> level
            even = n % blocks == 0  # blocks of one size are worked on together
            for block in range(0, blocks, blocks if even else 1):
                start_row = blocks - 1 + block
                _add_logs(
                    edges[(block + 1) * quarters] - edges[block * quarters],
                    start_row,
                    start_row + (blocks if even else 1),
                    1.0 / blocks,
                    inverses,
                    products,
                    rest,
                    cubes,
                    logs_room,
                    plug_in[level, p],
                    jackknife[level, p],
                )
