"""The compiled pass without any correction: the log-mean-exp of prompts, or of blocks of them, each taken alone."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from klimit.limit.dual import Array
from klimit.limit.kernels import STEPS, in_chunks


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


# It takes a slice: an index counted from 0 is known not to be negative, without which the loop does not vectorise.


@numba.njit(cache=True, nogil=True, fastmath=True)
def add_and_square(w: Array) -> tuple[float, float]:
    """The sum, and the sum of the squares, which take the weights' place."""
    total, squares = 0.0, 0.0
    for i in range(len(w)):
        total += w[i]
        w[i] *= w[i]
        squares += w[i]
    return total, squares


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
