"""The limit of rewards whose transform is itself estimated from the samples: every block is transformed by its own.

``T_m`` is the plug-in ``log mean exp(t (r - rbar))`` of blocks of ``m = n, n/2, n/4, n/8`` samples, each transformed
by itself, averaged over the blocks of a prompt and over deals. Its bias falls like ``1/m``, whether it comes from the
logarithm or from the transform, so ``2 T_m - T_{m/2}`` gives the three levels that :mod:`klimit.limit.estimator`
extrapolates. A leave-one-out jackknife would be wrong: ranks without ties, say, are the same grid in every sample.
Under a per-prompt budget the same is done with each block's own minimum over ``t``.

The sampling variance of a prompt's estimate is taken from the spread of its quarters; where halves show more of it on
average over prompts (a quantile that jumps between modes, say), it is raised by as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from klimit.limit.average import AverageBudget
from klimit.limit.blocks import DEPTH, Blocks, deals_for_blocks, dealt
from klimit.limit.dual import Array, Grid
from klimit.limit.estimator import Estimator
from klimit.limit.grid_moments import GridMoments
from klimit.limit.kernels import PromptStatistics, grid
from klimit.limit.levels import MeanLevels, PromptLevels
from klimit.limit.per_prompt import PerPromptBudget, minima
from klimit.limit.plug_in import plug_in_statistics
from klimit.limit.preparation import T_LOW, Rewards, octaves_needed

_OCTAVES = 12  # of a per-prompt budget's grid
_AT_ONCE = 1_000_000  # statistics held at once
_HALVES, _QUARTERS = 1, 2  # the depths whose spread gives the sampling variance


def recomputed_budget(rewards: Rewards, *, estimator: Estimator, seed: int) -> AverageBudget:
    """The statistics of every block, averaged for each prompt."""
    octaves = octaves_needed(rewards)
    t_low = T_LOW / rewards.scale
    shares = np.empty((rewards.n_prompts, len(grid(T_LOW, octaves))))

    def log_partitions(blocks: Blocks, first: int, last: int) -> Array:
        offsets = blocks.offsets[first : last + 1]
        values = blocks.values[offsets[0] : offsets[-1]]
        plug_in, share = plug_in_statistics(values, offsets - offsets[0], t_low=t_low, octaves=octaves)
        if blocks.parts == 1:
            shares[first:last] = share
        return plug_in

    t = grid(t_low, octaves)
    means, spread = _block_means(rewards, seed, log_partitions, len(t))
    scaled = Grid(grid(T_LOW, octaves))
    statistics = PromptStatistics(t, means[:-1], 2 * means[:-1] - means[1:], shares)
    variances = rewards.variance / rewards.scale / rewards.scale
    return AverageBudget(
        moments=GridMoments.of(statistics, rewards.counts, variances, scaled),
        statistics=statistics,
        grid=scaled,
        estimator=estimator,
        spread=spread.mean(axis=0) / scaled.t**2,
        estimated=True,
    )


@dataclass(frozen=True, eq=False)
class RecomputedPerPromptBudget(PerPromptBudget):
    """The limit under a per-prompt budget, in scaled rewards."""

    def levels(self, kl: Array) -> PromptLevels:
        """Each prompt's own limit, interpolated between budgets kept from one pass."""
        blocks, within, _, _ = self._kept_blocks
        values, spread = self._between(blocks, kl), self._between(within, kl)
        return PromptLevels(
            corrected=2 * values[:-1] - values[1:],
            plug_in=values[0],
            shift=np.zeros(len(kl)),
            within=lambda prompts: np.maximum(spread[prompts], 0.0),
            estimated=True,
        )

    def means(self, kl: Array) -> MeanLevels:
        """Averages over prompts."""
        return replace(super().means(kl), estimated=True)

    def _run(self, kl: Array) -> tuple[Array, Array, Array, Array]:
        rewards, t = self.rewards, grid(T_LOW, _OCTAVES)
        beta, shares = np.empty((2, rewards.n_prompts, len(kl)))

        def lowest(blocks: Blocks, first: int, last: int) -> Array:
            offsets = blocks.offsets[first : last + 1]
            z, unit, top = _scaled(blocks.values[offsets[0] : offsets[-1]], offsets - offsets[0])
            plug_in, share = plug_in_statistics(z, offsets - offsets[0], t_low=T_LOW, octaves=_OCTAVES)
            value, at = minima(kl, plug_in, t, top)
            if blocks.parts == 1:
                price = np.where(at < len(t) - 1, 1 / t[at], 0.0)
                beta[first:last] = price * (unit / rewards.scale)[:, None]
                shares[first:last] = np.take_along_axis(share, at, axis=1)
            return np.asarray(value * (unit / rewards.scale)[:, None])

        means, within = _block_means(rewards, self.seed, lowest, len(kl))
        return means, within, beta, shares


def _scaled(values: Array, offsets: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Rewards of blocks less their mean, over their standard deviation; that deviation; and the largest."""
    counts = np.diff(offsets)
    top = values[offsets[1:] - 1]
    below = values - np.repeat(top, counts)
    mean = np.add.reduceat(below, offsets[:-1]) / counts
    below -= np.repeat(mean, counts)
    unit = np.sqrt(np.add.reduceat(below * below, offsets[:-1]) / counts)
    unit[values[offsets[:-1]] == top] = 0.0
    divisor = np.where(unit > 0, unit, 1.0)
    return (
        np.where(np.repeat(unit > 0, counts), below / np.repeat(divisor, counts), 0.0),
        unit,
        -mean / divisor,
    )


def _block_means(
    rewards: Rewards, seed: int, measure: Callable[[Blocks, int, int], Array], width: int
) -> tuple[Array, Array]:
    """A statistic of blocks, ``measure(blocks, first, last)``, averaged over the blocks of each prompt and deals.

    Returns:
        The means for blocks of ``n, n/2, n/4, n/8``, ``(4, P, width)``; and the sampling variance of the first.
    """
    assert rewards.raw is not None
    raw, n_prompts = rewards.raw, rewards.n_prompts
    means, spreads = np.zeros((DEPTH, n_prompts, width)), np.zeros((DEPTH, n_prompts, width))
    deals = deals_for_blocks(raw.offsets)

    def add(blocks: Blocks, depth: int, weight: float) -> None:
        step = max(1, _AT_ONCE // (width * blocks.parts))
        for first in range(0, n_prompts, step):
            last = min(first + step, n_prompts)
            found = measure(blocks, first * blocks.parts, last * blocks.parts)
            each = found.reshape(last - first, blocks.parts, width)
            means[depth, first:last] += weight * each.mean(axis=1)
            if depth in (_HALVES, _QUARTERS):
                spreads[depth, first:last] += weight * each.var(axis=1, ddof=1) / blocks.parts

    add(Blocks(np.asarray(rewards.values, dtype=np.float64), raw.offsets, 1), 0, 1.0)
    parts = tuple(2**depth for depth in range(1, DEPTH))
    for number in range(deals):
        every = dealt(raw.values, raw.offsets, rewards.transform, seed=seed, number=number, parts=parts)
        for depth, blocks in enumerate(every, start=1):
            add(blocks, depth, 1.0 / deals)
    halves, quarters = spreads[_HALVES].mean(axis=0), spreads[_QUARTERS].mean(axis=0)
    more = np.divide(halves, quarters, out=np.ones(width), where=quarters > 0)
    return means, spreads[_QUARTERS] * np.maximum(more, 1.0)
