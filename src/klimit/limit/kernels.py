"""The compiled pass over the rewards: log-mean-exps of each prompt, whole and in random blocks.

For one prompt with ``n`` rewards and every ``t`` of the grid, the pass returns

* ``plug_in``: ``log mean_i exp(t (r_i - rbar))``,
* ``jackknife``: its leave-one-out jackknife,

each for blocks of size ``n``, ``n/2`` and ``n/4`` (averaged over disjoint random blocks). The leave-one-out sum needs
``sum_i log(1 - w_i / S)``: the largest weights enter exactly, the rest by its series to fourth order, whose error is
below 3e-7.

The grid of ``t`` is split linearly inside each octave, so that all the powers of ``exp(t r)`` come from one
exponential a reward and multiplications: ``t = t0 * 2**o * (8 + j) / 8``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

STEPS = 8  # points of the t grid in each octave
LEVELS = 3  # block sizes n, n/2, n/4
MIN_COMPLETIONS = 4  # of a prompt, for a quarter not to be empty
EXACT = 16  # weights of each quarter whose factors are multiplied out; the others enter by power sums
_TINY = 1e-300
_WORTH_THREADS = 20_000
_MOST_WORK, _MOST_DEALS = 500_000, 16
_PROMPT_WORK = 400  # a prompt costs as much as that many completions

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PromptStatistics:
    """Per-prompt log-mean-exps on the grid; see the module.

    Attributes:
        t: grid of inverse temperatures, ``(T,)``, in units of one over the reward.
        plug_in: ``(LEVELS, P, T)``.
        jackknife: ``(LEVELS, P, T)``.
        share: ``sum_i w_i**2 / (sum_i w_i)**2``: one over the effective sample size, ``(P, T)``.
    """

    t: Array
    plug_in: Array
    jackknife: Array
    share: Array


def grid(t_low: float, octaves: int) -> Array:
    """The grid of ``t``: ``8 * octaves`` points from ``t_low``, linear inside each octave."""
    steps = 1.0 + np.arange(STEPS) / STEPS
    return (t_low * 2.0 ** np.arange(octaves)[:, None] * steps).reshape(-1)


@numba.njit(cache=True, nogil=True)
def _splitmix(state: np.uint64) -> np.uint64:
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def deal(
    values: NDArray[Any], start: int, n: int, edges: NDArray[np.int64], key: np.uint64, out: Array
) -> None:
    """Deal ``n`` ascending values into the blocks between ``edges`` at random; each block ends up descending.

    The labels of the blocks are shuffled (Fisher and Yates, a stream of its own for each key), not the values.
    """
    blocks = len(edges) - 1
    labels = np.empty(n, dtype=np.uint8)
    slots = edges[:-1].copy()
    for b in range(blocks):
        labels[edges[b] : edges[b + 1]] = b
    state = key
    for i in range(n - 1, 0, -1):
        state += np.uint64(0x9E3779B97F4A7C15)
        bits = _splitmix(state) >> np.uint64(32)
        j = np.int64((bits * np.uint64(i + 1)) >> np.uint64(32))
        labels[i], labels[j] = labels[j], labels[i]
    for i in range(n - 1, -1, -1):
        b = labels[i]
        out[slots[b]] = values[start + i]
        slots[b] += 1


@numba.njit(cache=True, nogil=True)
def prompt_key(seed: np.uint64, prompt: int) -> np.uint64:
    """The random stream of a prompt."""
    return _splitmix(seed + np.uint64(prompt) * np.uint64(0x9E3779B97F4A7C15))


@numba.njit(cache=True, nogil=True)
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


@numba.njit(cache=True, nogil=True, fastmath=True)
def fill_powers(base: Array, u: Array, w: Array, n: int, step: int) -> None:
    """Set ``w`` to ``u**(8 + step)``; ``base`` holds the power of the step before."""
    for i in range(n):
        if step == 0:
            x = u[i] * u[i]
            x *= x
            base[i] = x * x
        else:
            base[i] *= u[i]
        w[i] = base[i]


# These take slices: an index counted from 0 is known not to be negative, without which the loops do not vectorise.


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sum(w: Array) -> float:
    total = 0.0
    for i in range(len(w)):
        total += w[i]
    return total


@numba.njit(cache=True, nogil=True, fastmath=True)
def _square(w: Array) -> tuple[float, float]:
    """Square in place; the sums of the squares and of the cubes."""
    squares, cubes = 0.0, 0.0
    for i in range(len(w)):
        x = w[i] * w[i]
        cubes += x * w[i]
        squares += x
        w[i] = x
    return squares, cubes


@numba.njit(cache=True, nogil=True, fastmath=True)
def add_and_square(w: Array) -> tuple[float, float]:
    """The sum, and the sum of the squares, which take the weights' place."""
    total, squares = 0.0, 0.0
    for i in range(len(w)):
        total += w[i]
        w[i] *= w[i]
        squares += w[i]
    return total, squares


@numba.njit(cache=True, nogil=True, fastmath=True)
def _products(w: Array, a: float, b: float, c: float) -> tuple[float, float, float]:
    pa, pb, pc = 1.0, 1.0, 1.0
    for i in range(len(w)):
        pa *= 1.0 - w[i] * a
        pb *= 1.0 - w[i] * b
        pc *= 1.0 - w[i] * c
    return pa, pb, pc


@numba.njit(cache=True, nogil=True)
def _series(a: float, r1: float, r2: float, r3: float, r4: float) -> float:
    """``sum_i log(1 - a w_i)`` of small ``a w_i``, from their power sums."""
    return -a * (r1 + a * (r2 / 2.0 + a * (r3 / 3.0 + a * r4 / 4.0)))


@numba.njit(cache=True, nogil=True)
def _constants(m: float, out: Array) -> None:
    """What :func:`_jackknife` and the plug-in need of a block of size ``m``."""
    out[0] = np.log(m)
    out[1] = (m - 1.0) * np.log(m - 1.0) - m * np.log(m) if m > 1.0 else 0.0
    out[2] = (m - 1.0) / m


@numba.njit(cache=True, nogil=True)
def _jackknife(log_sum: float, log_product: float, constants: Array) -> float:
    """Leave-one-out jackknife of ``log(S / m)``, from ``log S`` and ``sum_i log(1 - w_i / S)``."""
    return log_sum + constants[1] - constants[2] * log_product


@numba.njit(cache=True, nogil=True)
def _leading(first: Array, others: Array, start: int, stop: int) -> tuple[float, float]:
    """The sum ``S`` of blocks ``start`` to ``stop``, and the product of ``1 - f / S`` over their largest weights ``f``.

    Where one weight is nearly all of ``S``, its factor is what the others add up to, free of cancellation.
    """
    top = start
    for b in range(start + 1, stop):
        if first[b] > first[top]:
            top = b
    without = 0.0
    for b in range(start, stop):
        without += others[b]
        if b != top:
            without += first[b]
    total = max(without + first[top], _TINY)
    product = without / total
    for b in range(start, stop):
        if b != top:
            product *= 1.0 - first[b] / total
    return total, product


@numba.njit(cache=True, nogil=True)
def _pass(
    values: NDArray[Any],
    offsets: NDArray[np.int64],
    start_prompt: int,
    stop_prompt: int,
    t_low: float,
    octaves: int,
    seed: np.uint64,
    plug_in: Array,
    jackknife: Array,
    share: Array,
) -> None:
    longest = 0
    for p in range(start_prompt, stop_prompt):
        longest = max(longest, offsets[p + 1] - offsets[p])
    z, u, base, w = np.empty(longest), np.empty(longest), np.empty(longest), np.empty(longest)
    edges = np.empty(5, dtype=np.int64)
    tops = np.empty(4, dtype=np.int64)
    # Of each octave and quarter: the largest weight, the sum of the other large ones, the power sums of the rest,
    # and what the other large ones leave of the products over 1 - w/S, for S of the whole, the half and the quarter.
    first, large = np.zeros((octaves + 3, 4)), np.zeros((octaves + 3, 4))
    rest, cubes = np.zeros((octaves + 3, 4)), np.zeros((octaves + 3, 4))
    whole, half, quarter = np.empty((octaves, 4)), np.empty((octaves, 4)), np.empty((octaves, 4))
    others = np.empty(4)
    of_whole, of_half, of_quarter = np.empty(3), np.empty((2, 3)), np.empty((4, 3))
    for p in range(start_prompt, stop_prompt):
        start = offsets[p]
        n = offsets[p + 1] - start
        edges[0], edges[1], edges[2], edges[3], edges[4] = 0, n // 4, n // 2, (3 * n) // 4, n
        deal(values, start, n, edges, prompt_key(seed, p), z)
        top = np.float64(values[start + n - 1])
        below = 0.0
        for i in range(n):
            z[i] -= top
            below += z[i]
        rise = -below / n  # of the largest reward over the mean
        for i in range(n):
            u[i] = np.exp(z[i] * (t_low / STEPS))
        _constants(n, of_whole)
        for h in range(2):
            _constants(edges[2 * h + 2] - edges[2 * h], of_half[h])
        for b in range(4):
            _constants(edges[b + 1] - edges[b], of_quarter[b])
            tops[b] = min(edges[b] + EXACT, edges[b + 1])
        for j in range(STEPS):
            fill_powers(base, u, w, n, j)
            for b in range(4):
                first[0, b] = w[edges[b]]
                large[0, b] = _sum(w[edges[b] + 1 : tops[b]])
                rest[0, b] = _sum(w[tops[b] : edges[b + 1]])
            for o in range(octaves + 2):
                if o < octaves:
                    total, left, right = 0.0, 0.0, 0.0
                    for b in range(4):
                        others[b] = max(first[o, b] + large[o, b] + rest[o, b], _TINY)
                        total += others[b]
                    left, right = others[0] + others[1], others[2] + others[3]
                    for b in range(4):
                        pair = left if b < 2 else right
                        whole[o, b], half[o, b], quarter[o, b] = _products(
                            w[edges[b] + 1 : tops[b]], 1.0 / total, 1.0 / pair, 1.0 / others[b]
                        )
                for b in range(4):
                    first[o + 1, b] = first[o, b] * first[o, b]
                    large[o + 1, b], _ = _square(w[edges[b] + 1 : tops[b]])
                    rest[o + 1, b], cubes[o, b] = _square(w[tops[b] : edges[b + 1]])
            for o in range(octaves):
                k = o * STEPS + j
                shift = t_low * (1.0 + j / STEPS) * 2.0**o * rise
                of_squares = 0.0
                for b in range(4):
                    others[b] = large[o, b] + rest[o, b]
                    of_squares += first[o + 1, b] + large[o + 1, b] + rest[o + 1, b]
                total, product = _leading(first[o], others, 0, 4)
                series = 0.0
                for b in range(4):
                    product *= whole[o, b]
                    series += _series(1.0 / total, rest[o, b], rest[o + 1, b], cubes[o, b], rest[o + 2, b])
                log_sum = np.log(total)
                plug_in[0, p, k] = log_sum - of_whole[0] + shift
                share[p, k] = of_squares / (total * total)
                jackknife[0, p, k] = (
                    _jackknife(log_sum, np.log(max(product, _TINY)) + series, of_whole) + shift
                )
                plug, jack = 0.0, 0.0
                for h in range(2):
                    total, product = _leading(first[o], others, 2 * h, 2 * h + 2)
                    series = 0.0
                    for b in range(2 * h, 2 * h + 2):
                        product *= half[o, b]
                        series += _series(
                            1.0 / total, rest[o, b], rest[o + 1, b], cubes[o, b], rest[o + 2, b]
                        )
                    log_sum = np.log(total)
                    plug += 0.5 * (log_sum - of_half[h, 0])
                    jack += 0.5 * _jackknife(log_sum, np.log(max(product, _TINY)) + series, of_half[h])
                plug_in[1, p, k], jackknife[1, p, k] = plug + shift, jack + shift
                plug, jack = 0.0, 0.0
                for b in range(4):
                    total, product = _leading(first[o], others, b, b + 1)
                    product *= quarter[o, b]
                    series = _series(1.0 / total, rest[o, b], rest[o + 1, b], cubes[o, b], rest[o + 2, b])
                    log_sum = np.log(total)
                    plug += 0.25 * (log_sum - of_quarter[b, 0])
                    jack += 0.25 * _jackknife(log_sum, np.log(max(product, _TINY)) + series, of_quarter[b])
                plug_in[2, p, k], jackknife[2, p, k] = plug + shift, jack + shift


@numba.njit(cache=True, nogil=True)
def _plug_in_pass(
    values: NDArray[Any],
    offsets: NDArray[np.int64],
    first: int,
    last: int,
    t_low: float,
    octaves: int,
    plug_in: Array,
    share: Array,
) -> None:
    longest = 0
    for p in range(first, last):
        longest = max(longest, offsets[p + 1] - offsets[p])
    u, base, w = np.empty(longest), np.empty(longest), np.empty(longest)
    for p in range(first, last):
        start, n = offsets[p], offsets[p + 1] - offsets[p]
        top = np.float64(values[start + n - 1])
        below = 0.0
        for i in range(n):
            z = values[start + i] - top
            below += z
            u[i] = np.exp(z * (t_low / STEPS))
        for j in range(STEPS):
            fill_powers(base, u, w, n, j)
            for o in range(octaves):
                k = o * STEPS + j
                total, squares = add_and_square(w[:n])
                shift = -t_low * (1.0 + j / STEPS) * 2.0**o * below / n
                plug_in[p, k] = np.log(total / n) + shift
                share[p, k] = squares / (total * total)


def plug_in_statistics(
    values: NDArray[np.floating[Any]], offsets: NDArray[np.int64], *, t_low: float, octaves: int
) -> tuple[Array, Array]:
    """``log mean_i exp(t (r_i - rbar))`` of each prompt alone, and ``share``, both ``(P, T)``; see the module.

    Args:
        values: rewards grouped by prompt, ascending within prompts, ``(n_completions,)``.
        offsets: ``(n_prompts + 1,)``.
        t_low: the smallest ``t``, in units of one over the reward.
        octaves: how often the grid doubles.
    """
    plug_in, share = np.empty((2, len(offsets) - 1, STEPS * octaves))

    def work(first: int, last: int) -> None:
        _plug_in_pass(values, offsets, first, last, t_low, octaves, plug_in, share)

    in_chunks(work, offsets)
    return plug_in, share


def in_chunks(
    work: Callable[[int, int], None], offsets: NDArray[np.int64], *, threads: int | None = None
) -> None:
    """Run ``work(first, last)`` over all prompts, in threads, each with about as many completions."""
    threads = threads or os.cpu_count() or 1
    n_prompts = len(offsets) - 1
    # Below this, starting threads costs more than they save.
    if threads == 1 or offsets[-1] < _WORTH_THREADS:
        work(0, n_prompts)
        return
    cuts = np.searchsorted(offsets, np.linspace(0, offsets[-1], 4 * threads + 1)[1:-1])
    edges = np.unique(np.concatenate([[0], cuts, [n_prompts]])).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, edges[:-1], edges[1:]))


def deals_for(offsets: NDArray[np.int64]) -> int:
    """How often to deal the samples into random blocks: small samples can afford to average the luck of it away."""
    work = int(offsets[-1]) + _PROMPT_WORK * (len(offsets) - 1)
    return min(_MOST_DEALS, max(1, _MOST_WORK // work))


def deal_seed(seed: int, deal: int) -> np.uint64:
    """The seed of one deal."""
    return np.uint64((seed + deal * 0xD1B54A32D192ED03) % 2**64)


def prompt_statistics(
    values: NDArray[np.floating[Any]],
    offsets: NDArray[np.int64],
    *,
    t_low: float,
    octaves: int,
    seed: int,
    deals: int = 1,
    threads: int | None = None,
) -> PromptStatistics:
    """Run the pass over every prompt; see the module for what it returns.

    Args:
        values: rewards grouped by prompt, ``(n_completions,)``, sorted within prompts (so that the result does
            not depend on the order of the rows; the blocks are drawn from ``seed`` and the prompt's position).
        offsets: ``(n_prompts + 1,)``.
        t_low: the smallest ``t``, in units of one over the reward.
        octaves: how often the grid doubles.
        seed: of the random blocks.
        deals: how many times to draw the blocks; their statistics are averaged.
        threads: worker threads; by default, one a core.

    Raises:
        ValueError: a prompt has fewer than :data:`MIN_COMPLETIONS` completions.
    """
    if np.diff(offsets).min() < MIN_COMPLETIONS:
        raise ValueError(
            f"every prompt needs {MIN_COMPLETIONS} completions; the fewest are {np.diff(offsets).min()}"
        )

    def once(deal: int) -> PromptStatistics:
        out = _empty(grid(t_low, octaves), len(offsets) - 1)
        key = deal_seed(seed, deal)

        def work(first: int, last: int) -> None:
            _pass(values, offsets, first, last, t_low, octaves, key, out.plug_in, out.jackknife, out.share)

        in_chunks(work, offsets, threads=threads)
        return out

    out = once(0)
    for deal in range(1, deals):
        again = once(deal)
        out.plug_in[1:] += again.plug_in[1:]
        out.jackknife[1:] += again.jackknife[1:]
    out.plug_in[1:] /= deals
    out.jackknife[1:] /= deals
    return out


def _empty(t: Array, n_prompts: int) -> PromptStatistics:
    shape = (n_prompts, len(t))
    return PromptStatistics(
        t=t, plug_in=np.empty((LEVELS, *shape)), jackknife=np.empty((LEVELS, *shape)), share=np.empty(shape)
    )
