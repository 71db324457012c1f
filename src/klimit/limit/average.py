"""The average budget, ``E_x KL_x <= kappa``: one ``t = 1/beta`` shared by all prompts.

A prompt's part in the limit at budget ``kappa`` is ``(kappa + L_x(t)) / t`` at the shared minimiser ``t`` (its
influence, by the envelope theorem), where ``L_x`` is the log-partition of its rewards centred on their mean. All but
the influences of single prompts follows from moments over prompts on the grid (:mod:`klimit.limit.grid_moments`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from klimit.limit.blas import product
from klimit.limit.dual import Array, DualCurve, Grid
from klimit.limit.estimator import Estimator, variance_of_difference
from klimit.limit.grid_moments import SLOPE, SUM, VALUE, GridMoments
from klimit.limit.kernels import PromptStatistics
from klimit.limit.levels import LevelMoments, MeanLevels
from klimit.limit.projected import Projected, not_kept


@dataclass(frozen=True, eq=False)
class AverageBudget:
    """The limit under an average budget, in scaled rewards.

    Attributes:
        moments: over prompts of their log-partitions.
        statistics: the log-partitions of each prompt, from :func:`klimit.limit.kernels.prompt_statistics`, or kept
            elsewhere.
        grid: interpolation on ``statistics.t``.
        estimator: decides whose minimum is taken.
        spread: mean sampling variance of prompts' ``L(t) / t`` on the grid, ``(T,)``, where it is known otherwise than
            by the delta method.
        estimated: whether the rewards' transform was estimated from the blocks too.
    """

    moments: GridMoments
    statistics: PromptStatistics | Projected
    grid: Grid
    estimator: Estimator = "extrapolated"
    spread: Array | None = field(default=None, kw_only=True)
    estimated: bool = field(default=False, kw_only=True)

    @cached_property
    def curve(self) -> DualCurve:
        """The curve whose minimum is taken: the estimator's own, Richardson's for the extrapolated one.

        Aitken's ratio varies with ``t``, so its own curve need not be convex; by the envelope theorem, evaluating it
        at a minimiser that is off by ``du`` costs only a term in ``du**2``.
        """
        if self.estimator == "plug-in":
            chosen = self.moments.plug_in[0]
        elif self.estimator == "jackknife":
            chosen = self.moments.part(0)
        else:
            chosen = self.moments.part(0) + self.moments.part(1) / 3
        return DualCurve(self.grid, chosen * self.grid.t)

    @property
    def reach(self) -> tuple[float, float]:
        """Smallest and largest budget whose minimiser lies on the grid."""
        return self.curve.kl_min, self.curve.kl_max

    def beta(self, kl: Array) -> Array:
        """``1/t`` at each budget."""
        return np.exp(-self.curve.argmin(kl))

    def kl_at(self, t: Array) -> Array:
        """The budget whose shared tilt is ``t``: the KL of the tilted policy, averaged over prompts."""
        return self.curve.kl_at(np.log(t))

    def levels(self, kl: Array) -> GridLevels:
        """Each prompt's part in the limit at the shared minimiser."""
        u = self.curve.argmin(kl)
        return GridLevels(
            self, u, self.grid.basis(u), kl * np.exp(-u), self._shift(kl, u), VALUE, np.ones(len(u))
        )

    def means(self, kl: Array) -> MeanLevels:
        """Averages over prompts."""
        u = self.curve.argmin(kl)
        basis, paid = self.grid.basis(u), kl * np.exp(-u)
        finest, d1, d2 = (basis @ self.moments.part(i) for i in range(3))
        return MeanLevels(
            corrected=np.stack([finest, finest - d1, finest - d1 - d2]) + paid,
            plug_in=self.moments.plug_in[:2] @ basis.T + paid,
            # The noise is smooth in t: its root is interpolated, not its covariance over the grid.
            noise=np.interp(u, self.grid.u, np.sqrt(self.on_grid.noise)) ** 2,
            share=np.interp(u, self.grid.u, self.moments.share),
            estimated=self.estimated,
        )

    def tilt_levels(self, t: Array) -> tuple[GridLevels, GridLevels, GridLevels]:
        """At given tilts, each prompt's gain, ``KL(pi_t || pi0)`` and ``KL(pi0 || pi_t)``."""
        u = np.log(t)
        value, slope = self.grid.basis(u), self.grid.basis(u, derivative=1)
        none = np.zeros(len(u))
        # h = L/t and t h' = L' - L/t, so L' = h + h_u, t L' - L = t h_u and L = t h.
        gain = GridLevels(self, u, value + slope, none, none, SUM, np.ones(len(u)))
        forward = GridLevels(self, u, t[:, None] * slope, none, none, SLOPE, t)
        reverse = GridLevels(self, u, t[:, None] * value, none, none, VALUE, t)
        return gain, forward, reverse

    def correction(self, t: Array) -> Array:
        """What the jackknife adds to each prompt's part in the limit at given tilts, ``(P, K)``."""
        statistics = self.prompts("the correction of single prompts")
        weights = (self.grid.basis(np.log(t)) / self.grid.t).T
        return np.asarray(statistics.jackknife[0] @ weights - statistics.plug_in[0] @ weights)

    def prompts(self, what: str) -> PromptStatistics:
        """The log-partitions of each prompt.

        Raises:
            InputError: they are not in memory, and ``what`` needs them.
        """
        if not isinstance(self.statistics, PromptStatistics):
            raise not_kept(what)
        return self.statistics

    @cached_property
    def on_grid(self) -> OnGrid:
        """What is interpolated."""
        return OnGrid.of(self)

    def _shift(self, kl: Array, u: Array) -> Array:
        """The minimum of a noisy curve lies below the curve's minimum: ``Var(f') / (2 P f'')``, in ``log t``."""
        n_prompts = self.moments.n_prompts
        if n_prompts < 2:
            return np.zeros_like(kl)
        slopes = self.grid.basis(u, derivative=1)
        variance = _quadratic(slopes, self.moments.block(0, 0), slopes) / (n_prompts - 1)
        bend = self.grid.basis(u, derivative=2) @ (self.curve.log_partition / self.grid.t)
        return np.asarray(variance / (2 * n_prompts * np.maximum(kl * np.exp(-u) + bend, 1e-300)))


@dataclass(frozen=True, eq=False)
class OnGrid:
    """What is interpolated between the points of the grid.

    Attributes:
        noise: of the difference that gives the extrapolation's ratio, ``(T,)``.
        skew: of prompts' curves, ``(3, T)``.
        within: sampling variance within prompts, ``(T,)``.
    """

    noise: Array
    skew: Array
    within: Array

    @classmethod
    def of(cls, budget: AverageBudget) -> OnGrid:
        """From the moments."""
        moments, grid = budget.moments, budget.grid
        scatter = np.array([[np.diag(moments.block(i, j)) for j in (1, 2)] for i in (1, 2)])
        noise = variance_of_difference(scatter, moments.n_prompts)
        within = moments.within(grid) if budget.spread is None else budget.spread
        return cls(noise, moments.skew(grid), within)


@dataclass(frozen=True, eq=False)
class GridLevels:
    """Estimates at ``K`` points that are linear in the log-partitions on the grid.

    Attributes:
        budget: whose.
        u: ``log t`` of each point, ``(K,)``.
        weights: of ``L(t) / t`` on the grid, ``(K, T)``.
        paid: what is the same for every prompt, ``(K,)``.
        shift: see :class:`klimit.limit.levels.Levels`.
        curve: whose skewness is theirs; see :mod:`klimit.limit.grid_moments`.
        scale: by which the sampling error of ``L(t) / t`` is multiplied, ``(K,)``.
    """

    budget: AverageBudget
    u: Array
    weights: Array
    paid: Array
    shift: Array
    curve: int
    scale: Array

    @property
    def estimated(self) -> bool:
        """See :class:`klimit.limit.levels.Levels`."""
        return self.budget.estimated

    @cached_property
    def corrected(self) -> Array:
        """Each prompt's estimates without the ``1/m`` term of the bias, ``(3, P, K)``."""
        return self._of_prompts(self.budget.prompts("each prompt's estimate").jackknife) + self.paid

    @cached_property
    def plug_in(self) -> Array:
        """Each prompt's uncorrected estimate, ``(P, K)``."""
        return self._of_prompts(self.budget.prompts("the uncorrected estimate").plug_in[0]) + self.paid

    def moments(self, *, given: bool) -> LevelMoments:
        """Means and covariances over prompts, from those on the grid."""
        moments, weights, u = self.budget.moments, self.weights, self.u
        mean = np.stack([weights @ moments.part(i) for i in range(3)])
        mean[0] += self.paid
        covariance = np.full((3, 3, len(u)), np.inf)
        if moments.n_prompts > 1:
            for i in range(3):
                for j in range(i + 1):
                    found = _quadratic(weights, moments.block(i, j), weights) / (moments.n_prompts - 1)
                    covariance[i, j] = covariance[j, i] = found
        on_grid = self.budget.on_grid
        return LevelMoments(
            moments.n_prompts,
            mean,
            covariance,
            np.interp(u, self.budget.grid.u, on_grid.skew[self.curve]),
            weights @ moments.plug_in[0] + self.paid,
            np.interp(u, self.budget.grid.u, on_grid.within) * self.scale**2,
        )

    def influence(self, weights: Array) -> Array:
        """Of each prompt on the mean that weighs estimate and differences by ``(3, K)``."""
        by_finest, by_d1, by_d2 = weights
        of_blocks = np.stack([by_finest + by_d1, by_d2 - by_d1, -by_d2])
        on_grid = self.weights / self.budget.grid.t
        influence = self.budget.statistics.project(of_blocks[:, :, None] * on_grid)
        return np.asarray(influence - influence.mean(axis=0))

    def _of_prompts(self, values: Array) -> Array:
        return product(values, (self.weights / self.budget.grid.t).T)


def _quadratic(left: Array, matrix: Array, right: Array) -> Array:
    """``left[k] @ matrix @ right[k]`` of every row, ``(K,)``."""
    return np.asarray(((left @ matrix) * right).sum(axis=1))
