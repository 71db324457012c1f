"""One compiled pass over base samples scored by proxy and gold: what the proxy's tilt does to both, on a grid of tilts.

With ``w = exp(t s)`` and ``omega = w / E w`` over all of a prompt's completions, gold enters through covariances under
the base policy, ``E_t r - E r = Cov(omega, r)`` and ``Cov_t(r, s) = Cov(omega (s - E_t s), r)``. Both are sample
covariances over the completions that have a gold label, so a few labels of a prompt will do, and neither depends on a
shift of gold or proxy.

Every quantity is computed on random blocks of a prompt's completions, ``n, n/2, n/4, n/8`` of them: sums of eighths add
up to those of quarters, halves and the whole, in one pass.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from klimit.limit.blocks import EIGHTHS, block_offsets
from klimit.limit.kernels import deal_seed, in_chunks
from klimit.limit.shuffles import shuffled_rows

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

DEPTH = 4
QUANTITIES = ("kl", "proxy", "spread", "gold", "covariance")
_SUMS = 9
_TINY = 1e-300
_MOST_WORK, _MOST_DEALS = 300_000, 4


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add(s: Array, r: Array, labelled: Array, top: float, t: float, sums: Array) -> None:
    """Sums over one block: of the weights, their first two moments in ``s``, and what the labelled ones need."""
    s0, s1, s2, l0, l1, r0, r1, r2, m = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(len(s)):
        w = np.exp(t * (s[i] - top))
        ws = w * s[i]
        s0 += w
        s1 += ws
        s2 += ws * s[i]
        k = labelled[i]
        l0 += k * w
        l1 += k * ws
        r0 += r[i]
        r1 += w * r[i]
        r2 += ws * r[i]
        m += k
    sums[0], sums[1], sums[2], sums[3], sums[4] = s0, s1, s2, l0, l1
    sums[5], sums[6], sums[7], sums[8] = r0, r1, r2, m


@numba.njit(cache=True, nogil=True)
def _finish(sums: Array, n: float, top: float, t: float, out: Array) -> None:
    """The five quantities of a block from its sums; nan for those of gold where fewer than two labels are there."""
    total = max(sums[0], _TINY)
    mean = sums[1] / total
    out[0] = t * mean - (np.log(total / n) + t * top)
    out[1] = mean
    out[2] = max(sums[2] / total - mean * mean, 0.0)
    m = sums[8]
    if m < 2:
        out[3], out[4] = np.nan, np.nan
        return
    scale = n / total
    out[3] = scale * (sums[6] - sums[3] * sums[5] / m) / (m - 1)
    tilted, weight = sums[7] - mean * sums[6], sums[4] - mean * sums[3]
    out[4] = scale * (tilted - weight * sums[5] / m) / (m - 1)


@numba.njit(cache=True, nogil=True)
def _pass(
    s: Array, r: Array, labelled: Array, edges: Ints, first: int, last: int, grid: Array, out: Array
) -> None:
    """Fill ``out`` ``(DEPTH, 5, P, T)``: means over a prompt's blocks of each size; gold's over those with labels."""
    nodes = 2 * EIGHTHS - 1
    sums = np.empty((nodes, _SUMS))
    sizes = np.empty(nodes)
    found = np.empty(5)
    for p in range(first, last):
        start, stop = edges[p * EIGHTHS], edges[(p + 1) * EIGHTHS]
        top = s[start]
        for i in range(start, stop):
            top = max(top, s[i])
        for k in range(len(grid)):
            t = grid[k]
            for b in range(EIGHTHS):
                e0, e1 = edges[p * EIGHTHS + b], edges[p * EIGHTHS + b + 1]
                _add(s[e0:e1], r[e0:e1], labelled[e0:e1], top, t, sums[EIGHTHS - 1 + b])
                sizes[EIGHTHS - 1 + b] = e1 - e0
            for node in range(EIGHTHS - 2, -1, -1):
                sizes[node] = sizes[2 * node + 1] + sizes[2 * node + 2]
                for j in range(_SUMS):
                    sums[node, j] = sums[2 * node + 1, j] + sums[2 * node + 2, j]
            for depth in range(DEPTH):
                count = 1 << depth
                weight = 0.0
                for j in range(5):
                    out[depth, j, p, k] = 0.0
                for node in range(count - 1, 2 * count - 1):
                    _finish(sums[node], sizes[node], top, t, found)
                    for j in range(3):
                        out[depth, j, p, k] += found[j] / count
                    # Sample covariances of m labels weigh as their degrees of freedom.
                    m = sums[node, 8] - 1.0
                    if m > 0:
                        weight += m
                        out[depth, 3, p, k] += m * found[3]
                        out[depth, 4, p, k] += m * found[4]
                for j in range(3, 5):
                    out[depth, j, p, k] = out[depth, j, p, k] / weight if weight > 0 else np.nan


def tilt_statistics(
    proxy: Array, gold: Array, labelled: NDArray[np.bool_], offsets: Ints, grid: Array, *, seed: int
) -> Array:
    """What tilting by the proxy does, for blocks of four sizes; ``(DEPTH, 5, P, T)``, in :data:`QUANTITIES`' order.

    ``kl``: ``KL(pi_t || pi0)``; ``proxy``: tilted mean; ``spread``: tilted variance of the proxy; ``gold``: gain in
    gold; ``covariance``: of gold and proxy under the tilt. Plug-ins: their bias falls as blocks grow.

    Args:
        proxy: less its prompt's mean, over its scale, ``(n,)``.
        gold: anything where there is no label.
        labelled: which completions have a gold label.
        offsets: ``(P + 1,)``; at least eight completions a prompt.
        grid: tilts, ``(T,)``, in units of one over the scaled proxy.
        seed: of the random blocks.
    """
    prompts = len(offsets) - 1
    shape = (DEPTH, 5, prompts, len(grid))
    total = np.zeros(shape)
    deals = int(np.clip(_MOST_WORK // len(proxy), 1, _MOST_DEALS))
    edges = block_offsets(offsets, EIGHTHS)
    marks = labelled.astype(np.float64)
    values = np.where(labelled, gold, 0.0)
    values = np.where(
        labelled, values - np.repeat(_labelled_means(values, marks, offsets), np.diff(offsets)), 0.0
    )
    for number in range(deals):
        order = shuffled_rows(offsets, deal_seed(seed, number))
        out = np.empty(shape)
        s, r, k = proxy[order], values[order], marks[order]

        def work(first: int, last: int, s: Array = s, r: Array = r, k: Array = k, out: Array = out) -> None:
            _pass(s, r, k, edges, first, last, grid, out)

        in_chunks(work, offsets)
        total += out / deals
    return total


def _labelled_means(values: Array, marks: Array, offsets: Ints) -> Array:
    sums, counts = np.add.reduceat(values, offsets[:-1]), np.add.reduceat(marks, offsets[:-1])
    out = np.zeros(len(sums))
    np.divide(sums, counts, out=out, where=counts > 0)
    return out
