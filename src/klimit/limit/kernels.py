"""The compiled pass over the rewards: log-mean-exps of each prompt, whole and in random blocks.

For one prompt with ``n`` rewards and every ``t`` of the grid, the pass returns

* ``plug_in``: ``log mean_i exp(t (r_i - rbar))``,
* ``jackknife``: its leave-one-out jackknife,

each for blocks of size ``n``, ``n/2`` and ``n/4`` (averaged over disjoint blocks of a random permutation). The leave-one-out sum needs one product over ``1 - w_i / S``.

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
_TINY = 1e-300
_WORTH_THREADS = 20_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PromptStatistics:
    """Per-prompt log-mean-exps on the grid; see the module.

    Attributes:
        t: grid of inverse temperatures, ``(T,)``, in units of one over the reward.
        plug_in: ``(LEVELS, P, T)``.
        jackknife: ``(LEVELS, P, T)``.
        squares: ``log sum_i w_i**2 - 2 log sum_i w_i``: minus the log of the effective sample size, ``(P, T)``.
    """

    t: Array
    plug_in: Array
    jackknife: Array
    squares: Array


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
def shuffle(values: Array, n: int, key: np.uint64) -> None:
    """Fisher and Yates, in place, with a stream of its own for each key."""
    state = key
    for i in range(n - 1, 0, -1):
        state += np.uint64(0x9E3779B97F4A7C15)
        bits = _splitmix(state) >> np.uint64(32)
        j = np.int64((bits * np.uint64(i + 1)) >> np.uint64(32))
        values[i], values[j] = values[j], values[i]


@numba.njit(cache=True, nogil=True)
def prompt_key(seed: np.uint64, prompt: int) -> np.uint64:
    """The random stream of a prompt."""
    return _splitmix(seed + np.uint64(prompt) * np.uint64(0x9E3779B97F4A7C15))


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


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sum(w: Array, start: int, stop: int) -> float:
    total = 0.0
    for i in range(start, stop):
        total += w[i]
    return total


@numba.njit(cache=True, nogil=True, fastmath=True)
def _products(w: Array, start: int, stop: int, a: float, b: float, c: float) -> tuple[float, float, float]:
    pa, pb, pc = 1.0, 1.0, 1.0
    for i in range(start, stop):
        pa *= 1.0 - w[i] * a
        pb *= 1.0 - w[i] * b
        pc *= 1.0 - w[i] * c
    return pa, pb, pc


@numba.njit(cache=True, nogil=True, fastmath=True)
def _square(w: Array, n: int) -> float:
    total = 0.0
    for i in range(n):
        w[i] *= w[i]
        total += w[i]
    return total


@numba.njit(cache=True, nogil=True)
def _jackknife(log_sum: float, log_product: float, m: float) -> float:
    """Leave-one-out jackknife of ``log(S / m)``, from ``log S`` and ``sum_i log(1 - w_i / S)``."""
    if m < 2.0:
        return log_sum
    return log_sum - m * np.log(m) + (m - 1.0) * np.log(m - 1.0) - (m - 1.0) / m * log_product


@numba.njit(cache=True, nogil=True)
def _pass(
    values: NDArray[Any],
    offsets: NDArray[np.int64],
    first: int,
    last: int,
    t_low: float,
    octaves: int,
    seed: np.uint64,
    plug_in: Array,
    jackknife: Array,
    squares: Array,
) -> None:
    longest = 0
    for p in range(first, last):
        longest = max(longest, offsets[p + 1] - offsets[p])
    z = np.empty(longest)
    u = np.empty(longest)
    base = np.empty(longest)
    w = np.empty(longest)
    sums = np.empty(4)
    logs = np.empty(4)
    for p in range(first, last):
        start = offsets[p]
        n = offsets[p + 1] - start
        top = -np.inf
        mean = 0.0
        for i in range(n):
            z[i] = values[start + i]
            top = max(top, z[i])
            mean += z[i]
        mean /= n
        shuffle(z, n, prompt_key(seed, p))
        for i in range(n):
            u[i] = np.exp((z[i] - top) * (t_low / STEPS))
        q1, q2, q3 = n // 4, n // 2, (3 * n) // 4
        edges = (0, q1, q2, q3, n)
        blocks = n >= MIN_COMPLETIONS
        for j in range(STEPS):
            fill_powers(base, u, w, n, j)
            t_octave = t_low * (1.0 + j / STEPS)
            for o in range(octaves):
                k = o * STEPS + j
                t = t_octave * 2.0**o
                shift = t * (top - mean)
                total = 0.0
                for b in range(4):
                    sums[b] = max(_sum(w, edges[b], edges[b + 1]), _TINY)
                    total += sums[b]
                first_half, second_half = sums[0] + sums[1], sums[2] + sums[3]
                full, halves, quarters, quarter_logs = 1.0, 0.0, 0.0, 0.0
                for b in range(4):
                    half = first_half if b < 2 else second_half
                    pa, pb, pc = _products(w, edges[b], edges[b + 1], 1.0 / total, 1.0 / half, 1.0 / sums[b])
                    full *= pa
                    logs[b] = np.log(max(pb, _TINY))
                    m = edges[b + 1] - edges[b]
                    if blocks:
                        quarter_logs += 0.25 * np.log(sums[b] / m)
                        quarters += 0.25 * _jackknife(np.log(sums[b]), np.log(max(pc, _TINY)), m)
                if blocks:
                    plug_in[1, p, k] = (
                        0.5 * np.log(first_half / q2) + 0.5 * np.log(second_half / (n - q2)) + shift
                    )
                    plug_in[2, p, k] = quarter_logs + shift
                    halves = 0.5 * _jackknife(np.log(first_half), logs[0] + logs[1], q2)
                    halves += 0.5 * _jackknife(np.log(second_half), logs[2] + logs[3], n - q2)
                else:
                    halves, quarters = np.nan, np.nan
                    plug_in[1, p, k], plug_in[2, p, k] = np.nan, np.nan
                log_total = np.log(total)
                plug_in[0, p, k] = log_total - np.log(n) + shift
                if n > 1:
                    jackknife[0, p, k] = _jackknife(log_total, np.log(max(full, _TINY)), n) + shift
                else:
                    jackknife[0, p, k] = np.nan
                jackknife[1, p, k] = halves + shift
                jackknife[2, p, k] = quarters + shift
                squares[p, k] = np.log(_square(w, n)) - 2.0 * log_total


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


def prompt_statistics(
    values: NDArray[np.floating[Any]],
    offsets: NDArray[np.int64],
    *,
    t_low: float,
    octaves: int,
    seed: int,
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
        threads: worker threads; by default, one a core.
    """
    n_prompts = len(offsets) - 1
    t = grid(t_low, octaves)
    out = PromptStatistics(
        t=t,
        plug_in=np.empty((LEVELS, n_prompts, len(t))),
        jackknife=np.empty((LEVELS, n_prompts, len(t))),
        squares=np.empty((n_prompts, len(t))),
    )

    def work(first: int, last: int) -> None:
        _pass(
            values,
            offsets,
            first,
            last,
            t_low,
            octaves,
            np.uint64(seed),
            out.plug_in,
            out.jackknife,
            out.squares,
        )

    in_chunks(work, offsets, threads=threads)
    return out
