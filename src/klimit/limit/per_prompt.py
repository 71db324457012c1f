"""The per-prompt budget, ``KL_x <= kappa`` for every prompt: each prompt has its own ``t``.

The minimum over ``t`` of a noisy curve is itself biased low, so blocks are taken of the whole functional
``min over t of (kappa + L_x(t)) / t``: from ``n, n/2, n/4, n/8`` samples. Twice the finer less the coarser removes
the ``1/m`` term and gives the three levels that :mod:`klimit.limit.estimator` extrapolates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from klimit.limit.dealing import deal, prompt_key
from klimit.limit.dual import Array
from klimit.limit.estimator import noise_of_difference
from klimit.limit.kernels import STEPS, deal_seed, deals_for, grid, in_chunks
from klimit.limit.levels import MeanLevels, PromptLevels
from klimit.limit.plug_in import add_and_square, fill_powers
from klimit.limit.preparation import T_LOW, Rewards

MIN_COMPLETIONS = 8
_OCTAVES = 12
_EIGHTHS = 8
_DEPTH = 4  # block sizes n, n/2, n/4, n/8
_SMALLEST_KL = 2e-3  # its minimiser lies well inside the grid
_KEPT_BUDGETS = 96


@numba.njit(cache=True, nogil=True)
def _minimum(kl: float, logs: Array, t: Array, top: float, start: int) -> tuple[float, int]:
    """Minimum over ``t`` of ``(kl + L(t)) / t``, which first falls and then rises, searched from ``start``."""
    last = len(t) - 1
    k = start
    here = (kl + logs[k]) / t[k]
    while k < last:
        ahead = (kl + logs[k + 1]) / t[k + 1]
        if ahead > here:
            break
        here = ahead
        k += 1
    if k == last:
        return min(top, here), k
    if k == 0:
        return here, k
    # The vertex of the parabola through three neighbours, in log t.
    before, ahead = (kl + logs[k - 1]) / t[k - 1], (kl + logs[k + 1]) / t[k + 1]
    left, right = np.log(t[k] / t[k - 1]), np.log(t[k + 1] / t[k])
    up, down = (ahead - here) / right, (here - before) / left
    curvature = (up - down) / (left + right)
    slope = (up * left + down * right) / (left + right)
    if curvature > 0:
        here -= slope * slope / (4 * curvature)
    return here, k


@numba.njit(cache=True, nogil=True)
def minima(kl: Array, log_partitions: Array, t: Array, tops: Array) -> tuple[Array, NDArray[np.int64]]:
    """Minima over ``t`` of ``(kl + L(t)) / t``, and where on the grid they lie, ``(B, K)`` each.

    Args:
        kl: budgets, ascending, ``(K,)``.
        log_partitions: ``L`` of each of ``B`` prompts or blocks, ``(B, T)``.
        t: the grid, ``(T,)``.
        tops: the largest (centred) reward of each, which the minimum tends to, ``(B,)``.
    """
    value = np.empty((len(tops), len(kl)))
    place = np.empty((len(tops), len(kl)), dtype=np.int64)
    for b in range(len(tops)):
        at = 0
        for c in range(len(kl)):
            value[b, c], at = _minimum(kl[c], log_partitions[b], t, tops[b], at)
            place[b, c] = at
    return value, place


@numba.njit(cache=True, nogil=True)
def _pass(
    values: NDArray[Any],
    offsets: NDArray[np.int64],
    means: Array,
    scales: Array,
    first: int,
    last: int,
    t: Array,
    octaves: int,
    seed: np.uint64,
    kl: Array,
    out: Array,
    within: Array,
    beta: Array,
    shares: Array,
) -> None:
    longest = 0
    for p in range(first, last):
        longest = max(longest, offsets[p + 1] - offsets[p])
    z, u, base, w = np.empty(longest), np.empty(longest), np.empty(longest), np.empty(longest)
    sums = np.empty((2 * _EIGHTHS - 1, len(t)))  # a tree: the whole, halves, quarters, eighths
    squares = np.empty(len(t))
    tops = np.empty(2 * _EIGHTHS - 1)
    edges = np.empty(_EIGHTHS + 1, dtype=np.int64)
    for p in range(first, last):
        start, n = offsets[p], offsets[p + 1] - offsets[p]
        if scales[p] == 0.0:
            within[p, :] = 0.0
            beta[p, :] = 0.0
            shares[p, :] = 1.0 / n
            continue
        for b in range(_EIGHTHS + 1):
            edges[b] = (b * n) // _EIGHTHS
        deal(values, start, n, edges, prompt_key(seed, p), z)
        for i in range(n):
            z[i] = (z[i] - means[p]) / scales[p]
        for b in range(_EIGHTHS):
            tops[_EIGHTHS - 1 + b] = z[edges[b]]
        for node in range(_EIGHTHS - 2, -1, -1):
            tops[node] = max(tops[2 * node + 1], tops[2 * node + 2])
        top = tops[0]
        for i in range(n):
            u[i] = np.exp((z[i] - top) * (t[0] / STEPS))
        for j in range(STEPS):
            fill_powers(base, u, w, n, j)
            for o in range(octaves):
                k = o * STEPS + j
                total = 0.0
                for b in range(_EIGHTHS):
                    part, of_squares = add_and_square(w[edges[b] : edges[b + 1]])
                    sums[_EIGHTHS - 1 + b, k] = max(part, 1e-300)
                    total += of_squares
                squares[k] = total
                for node in range(_EIGHTHS - 2, -1, -1):
                    sums[node, k] = sums[2 * node + 1, k] + sums[2 * node + 2, k]
        for k in range(len(t)):
            share = squares[k] / sums[0, k] ** 2
            for node in range(2 * _EIGHTHS - 1):
                depth = 0 if node == 0 else 1 if node < 3 else 2 if node < 7 else 3
                width = _EIGHTHS >> depth
                begin = (node + 1 - (1 << depth)) * width
                size = edges[begin + width] - edges[begin]
                sums[node, k] = np.log(sums[node, k] / size) + t[k] * top
            squares[k] = share
        for node in range(2 * _EIGHTHS - 1):
            depth = 0 if node == 0 else 1 if node < 3 else 2 if node < 7 else 3
            weight = 1.0 / (1 << depth)
            at = 0
            for c in range(len(kl)):
                least, at = _minimum(kl[c], sums[node], t, tops[node], at)
                out[depth, p, c] += weight * least
                if node == 0:
                    spread = (squares[at] - 1.0 / n) / t[at] ** 2 - 2 * least / (t[at] * n) + 1.0 / n
                    within[p, c] = max(spread, 0.0)
                    shares[p, c] = squares[at]
                    beta[p, c] = 1.0 / t[at] if at < len(t) - 1 else 0.0


@dataclass(frozen=True, eq=False)
class PerPromptBudget:
    """The limit under a per-prompt budget, in scaled rewards.

    Attributes:
        rewards: the rewards.
        seed: of the random blocks.
    """

    rewards: Rewards
    seed: int

    @property
    def reach(self) -> tuple[float, float]:
        """Budgets that the samples can show: up to the mean of ``log n``."""
        return _SMALLEST_KL, float(np.log(self.rewards.counts).mean())

    @cached_property
    def _kept(self) -> Array:
        low, high = self.reach
        return np.linspace(np.sqrt(low), np.sqrt(high), _KEPT_BUDGETS) ** 2

    @cached_property
    def _kept_blocks(self) -> tuple[Array, Array, Array, Array]:
        return self._run(self._kept)

    def _run(self, kl: Array) -> tuple[Array, Array, Array, Array]:
        """Block estimates ``(4, P, K)``; their sampling variance, price and weights' share, ``(P, K)``; scaled."""
        rewards = self.rewards
        n_prompts, n_budgets = rewards.n_prompts, len(kl)
        order = np.argsort(kl)
        out = np.zeros((_DEPTH, n_prompts, n_budgets))
        within, beta, shares = np.empty((3, n_prompts, n_budgets))
        scales = np.sqrt(rewards.variance * (rewards.counts - 1) / rewards.counts)
        t = grid(T_LOW, _OCTAVES)

        deals = deals_for(rewards.offsets)
        for number in range(deals):
            key = deal_seed(self.seed, number)

            def work(first: int, last: int, key: np.uint64 = key) -> None:
                _pass(
                    rewards.values,
                    rewards.offsets,
                    rewards.mean,
                    scales,
                    first,
                    last,
                    t,
                    _OCTAVES,
                    key,
                    kl[order],
                    out,
                    within,
                    beta,
                    shares,
                )

            in_chunks(work, rewards.offsets)
        out /= deals
        back = np.argsort(order)
        unit = (scales / rewards.scale)[:, None]
        return out[..., back] * unit, within[:, back] * unit**2, beta[:, back] * unit, shares[:, back]

    def levels(self, kl: Array) -> PromptLevels:
        """Each prompt's own limit at the budgets."""
        blocks, within, _, _ = self._run(kl)
        return PromptLevels(
            corrected=2 * blocks[:-1] - blocks[1:],
            plug_in=blocks[0],
            shift=np.zeros(len(kl)),
            within=lambda prompts: within[prompts],
        )

    def means(self, kl: Array) -> MeanLevels:
        """Averages over prompts, interpolated between budgets kept from one pass."""
        blocks, _, _, shares = self._kept_blocks
        corrected = 2 * blocks[:-1] - blocks[1:]
        d1, d2 = corrected[0] - corrected[1], corrected[1] - corrected[2]
        noise = np.sqrt(noise_of_difference(d1, d2))
        return MeanLevels(
            corrected=self._between(corrected.mean(axis=1), kl),
            plug_in=self._between(blocks[:2].mean(axis=1), kl),
            noise=self._between(noise, kl) ** 2,
            share=self._between(shares.mean(axis=0), kl),
        )

    def beta(self, kl: Array) -> Array:
        """Mean over prompts of each prompt's price of the next nat."""
        return self._between(self._kept_blocks[2].mean(axis=0), kl)

    def _between(self, values: Array, kl: Array) -> Array:
        if not np.isfinite(values).all():
            return np.full((*values.shape[:-1], len(kl)), np.inf)
        from scipy.interpolate import PchipInterpolator

        # Nearly linear in the square root of the budget.
        return np.asarray(PchipInterpolator(np.sqrt(self._kept), values, axis=-1)(np.sqrt(kl)))
