"""The limit's summary of any number of prompts: means and covariances of their log-partitions on the grid of ``t``.

Estimate, interval and horizon at every budget follow from it alone. Summaries of disjoint sets of prompts merge into
that of their union, in any order; one takes ``8 (3 T)**2`` bytes and a little more, whatever the number of prompts
(``T`` is 80 to 120).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.limit.dual import Array, Grid
from klimit.limit.kernels import PromptStatistics
from klimit.limit.pooled import centred_parts, column_means, scatter_of

# Curves whose third moments are kept: the limit's part, its derivative in log t, and their sum (the tilt's gain).
VALUE, SLOPE, SUM = 0, 1, 2


@dataclass(frozen=True, eq=False)
class GridMoments:
    """Moments over prompts of ``h = L(t) / t`` on a grid of ``T`` points, in scaled rewards.

    ``V`` holds, one after the other, the finest jackknife ``J_n``, and the differences ``J_n - J_{n/2}`` and
    ``J_{n/2} - J_{n/4}``, each divided by ``t``.

    Attributes:
        n_prompts: how many.
        mean: of ``V``, ``(3 T,)``.
        scatter: sum over prompts of the products of ``V`` less its mean, ``(3 T, 3 T)``.
        third: sums of cubes of ``J_n + (J_n - J_{n/2}) / 3`` over ``t``, less its mean, of its derivative in ``log t``,
            and of both together, ``(3, T)``.
        plug_in: means of the uncorrected ``L(t) / t`` from blocks of ``n, n/2, n/4``, ``(3, T)``.
        share: mean of one over the effective sample size, ``(T,)``.
        by_count: mean of the uncorrected ``L(t) / t`` over the number of completions, ``(T,)``.
        inverse_count: mean of one over the number of completions.
        variance_by_count: mean of the scaled reward's variance over the number of completions.
    """

    n_prompts: int
    mean: Array
    scatter: Array
    third: Array
    plug_in: Array
    share: Array
    by_count: Array
    inverse_count: float
    variance_by_count: float

    @classmethod
    def of(cls, statistics: PromptStatistics, counts: Array, variances: Array, grid: Grid) -> GridMoments:
        """The summary of some prompts.

        Args:
            statistics: theirs, of the scaled rewards.
            counts: completions of each, ``(P,)``.
            variances: of the scaled rewards within each (``ddof=1``), ``(P,)``.
            grid: of ``statistics.t`` in scaled rewards.
        """
        names = [*statistics.jackknife, *statistics.plug_in, statistics.share]
        means, weighted = column_means(names, 1 / counts)
        finest, half, quarter = means[:3] / grid.t
        mean = np.concatenate([finest, finest - half, half - quarter])
        parts, third = centred_parts(statistics.jackknife, grid.t, means[:3], grid.slope)
        return cls(
            n_prompts=len(counts),
            mean=mean,
            scatter=scatter_of(parts),
            third=third,
            plug_in=means[3:6] / grid.t,
            share=means[6],
            by_count=weighted[3] / grid.t,
            inverse_count=float((1 / counts).mean()),
            variance_by_count=float((variances / counts).mean()),
        )

    def merged(self, other: GridMoments, grid: Grid) -> GridMoments:
        """The summary of both; Chan, Golub and LeVeque (1983), and its third-order analogue."""
        n, m = self.n_prompts, other.n_prompts
        total, step = n + m, other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(step, step) * (n * m / total)
        between = _curves(step, grid)
        spread = other.squares(grid) * n - self.squares(grid) * m
        third = (
            self.third
            + other.third
            + between**3 * (n * m * (n - m) / total**2)
            + 3 * between * spread / total
        )

        def pooled(a: Array, b: Array) -> Array:
            return a + (b - a) * (m / total)

        return GridMoments(
            n_prompts=total,
            mean=pooled(self.mean, other.mean),
            scatter=scatter,
            third=third,
            plug_in=pooled(self.plug_in, other.plug_in),
            share=pooled(self.share, other.share),
            by_count=pooled(self.by_count, other.by_count),
            inverse_count=self.inverse_count + (other.inverse_count - self.inverse_count) * (m / total),
            variance_by_count=self.variance_by_count
            + (other.variance_by_count - self.variance_by_count) * (m / total),
        )

    def block(self, i: int, j: int) -> Array:
        """Scatter between the ``i``-th and the ``j``-th part of ``V``, ``(T, T)``."""
        n_points = len(self.share)
        return self.scatter[i * n_points : (i + 1) * n_points, j * n_points : (j + 1) * n_points]

    def part(self, i: int) -> Array:
        """Mean of the ``i``-th part of ``V``, ``(T,)``."""
        n_points = len(self.share)
        return self.mean[i * n_points : (i + 1) * n_points]

    def squares(self, grid: Grid) -> Array:
        """Sums of squares of the curves whose third moments are kept, ``(3, T)``."""
        value = self.block(0, 0) + (self.block(0, 1) + self.block(1, 0)) / 3 + self.block(1, 1) / 9
        slope = grid.slope @ value
        own, mixed = np.diag(value), np.diag(slope)
        squares = np.stack([own, (slope * grid.slope).sum(axis=1), np.zeros_like(own)])
        squares[SUM] = squares[VALUE] + 2 * mixed + squares[SLOPE]
        return np.asarray(np.maximum(squares, 0.0))

    def skew(self, grid: Grid) -> Array:
        """Skewness over prompts of these curves, ``(3, T)``; 0 where all prompts are equal."""
        spread = np.sqrt(self.squares(grid) / self.n_prompts)
        third = self.third / self.n_prompts
        return np.asarray(np.divide(third, spread**3, out=np.zeros_like(third), where=spread > 0))

    def within(self, grid: Grid) -> Array:
        """Mean sampling variance of prompts' ``L(t) / t`` on the grid, ``(T,)``.

        By the delta method: the mean that rewards are centred on is estimated too.
        """
        gain = self.by_count + grid.slope @ self.by_count  # (L'(t) - L'(0)) / n
        share = (self.share - self.inverse_count) / grid.t**2
        return np.asarray(np.maximum(share - 2 * gain / grid.t + self.variance_by_count, 0.0))


def _curves(mean: Array, grid: Grid) -> Array:
    """Value, slope and their sum, ``(3, T)``, of a mean of ``V``."""
    finest, d1, _ = mean.reshape(3, -1)
    value = finest + d1 / 3
    slope = grid.slope @ value
    return np.stack([value, slope, value + slope])
