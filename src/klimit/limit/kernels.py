"""Log-mean-exps of each prompt on a grid of ``t``, whole and in random blocks: what the limit is made of.

For one prompt with ``n`` rewards and every ``t`` of the grid there are

* ``plug_in``: ``log mean_i exp(t (r_i - rbar))``,
* ``jackknife``: its leave-one-out jackknife,

each for blocks of size ``n``, ``n/2`` and ``n/4`` (averaged over disjoint random blocks). The leave-one-out sum needs
``sum_i log(1 - w_i / S)``: the largest weights enter exactly, the rest by its series to fourth order, whose error is
below 3e-7.

The grid of ``t`` is split linearly inside each octave, so that all the powers of ``exp(t r)`` come from one
exponential a reward and multiplications: ``t = t0 * 2**o * (8 + j) / 8`` (:mod:`klimit.limit.corrected` has the pass).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from klimit.limit.blas import product
from klimit.limit.corrected import statistics_pass
from klimit.limit.dual import Array
from klimit.limit.lanes import LANES

STEPS = LANES  # points of the t grid in each octave
LEVELS = 3  # block sizes n, n/2, n/4
MIN_COMPLETIONS = 4  # of a prompt, for a quarter not to be empty
_WORTH_THREADS = 20_000
_CHUNK = 1 << 16  # rewards: few enough to stay in cache
_MOST_WORK, _MOST_DEALS = 500_000, 16
_PROMPT_WORK = 400  # a prompt costs as much as that many completions


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

    def project(self, weights: Array) -> Array:
        """Combinations of each prompt's jackknifed log-partitions: weights ``(3, K, T)`` give ``(P, K)``."""
        combined = sum(product(values, some.T) for values, some in zip(self.jackknife, weights, strict=True))
        return np.asarray(combined)


def grid(t_low: float, octaves: int) -> Array:
    """The grid of ``t``: ``8 * octaves`` points from ``t_low``, linear inside each octave."""
    steps = 1.0 + np.arange(STEPS) / STEPS
    return (t_low * 2.0 ** np.arange(octaves)[:, None] * steps).reshape(-1)


def n_threads() -> int:
    """Worker threads: one a core, or as many as the environment's NUMBA_NUM_THREADS says."""
    return int(numba.config.NUMBA_NUM_THREADS)


def in_threads(work: Callable[[int], None], number: int) -> None:
    """Run ``work(0)`` to ``work(number - 1)``, in threads."""
    if n_threads() == 1 or number == 1:
        for i in range(number):
            work(i)
        return
    with ThreadPoolExecutor(n_threads()) as pool:
        for _ in pool.map(work, range(number)):
            pass


def chunks_of(number: int, size: int) -> list[tuple[int, int]]:
    """``number`` things in chunks of about equal size, ``size`` at most: first and after last of each."""
    edges = np.linspace(0, number, -(-number // size) + 1).astype(np.int64).tolist()
    return list(itertools.pairwise(edges))


def in_chunks(
    work: Callable[[int, int], None], offsets: NDArray[np.int64], *, threads: int | None = None
) -> None:
    """Run ``work(first, last)`` over all prompts, in threads, chunks with about equally many completions."""
    threads = threads or n_threads()
    n_prompts = len(offsets) - 1
    # Below this, starting threads costs more than they save.
    if threads == 1 or offsets[-1] < _WORTH_THREADS:
        work(0, n_prompts)
        return
    pieces = max(4 * threads, int(offsets[-1]) // _CHUNK)
    cuts = np.searchsorted(offsets, np.linspace(0, offsets[-1], pieces + 1)[1:-1])
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


def shifted(seed: np.uint64, first_prompt: int) -> np.uint64:
    """The seed that gives prompts counted from ``first_prompt`` the streams that ``seed`` gives them among all."""
    return np.uint64((int(seed) + first_prompt * 0x9E3779B97F4A7C15) % 2**64)


def prompt_statistics(
    values: NDArray[np.floating[Any]],
    offsets: NDArray[np.int64],
    *,
    t_low: float,
    octaves: int,
    seed: int,
    deals: int = 1,
    threads: int | None = None,
    first_prompt: int = 0,
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
        first_prompt: position of the first of these prompts among all.

    Raises:
        ValueError: a prompt has fewer than :data:`MIN_COMPLETIONS` completions.
    """
    if np.diff(offsets).min() < MIN_COMPLETIONS:
        raise ValueError(
            f"every prompt needs {MIN_COMPLETIONS} completions; the fewest are {np.diff(offsets).min()}"
        )

    def once(deal: int) -> PromptStatistics:
        out = _empty(grid(t_low, octaves), len(offsets) - 1)
        key = shifted(deal_seed(seed, deal), first_prompt)

        def work(first: int, last: int) -> None:
            statistics_pass(values, offsets, first, last, out.t, key, out.plug_in, out.jackknife, out.share)

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
