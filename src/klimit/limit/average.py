"""The average budget, ``E_x KL_x <= kappa``: one ``t = 1/beta`` shared by all prompts.

A prompt's part in the limit at budget ``kappa`` is ``(kappa + L_x(t)) / t`` at the shared minimiser ``t`` (its
influence, by the envelope theorem), where ``L_x`` is the log-partition of its rewards centred on their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from klimit.limit.dual import Array, DualCurve, Grid
from klimit.limit.estimator import Estimator, noise_of_difference
from klimit.limit.kernels import PromptStatistics
from klimit.limit.levels import MeanLevels, PromptLevels


@dataclass(frozen=True)
class AverageBudget:
    """The limit under an average budget, in scaled rewards.

    Attributes:
        statistics: of the scaled rewards, from :func:`klimit.limit.kernels.prompt_statistics`.
        grid: interpolation on ``statistics.t``.
        counts: completions of each prompt, ``(P,)``.
        variances: variance of the scaled rewards within each prompt (``ddof=1``), ``(P,)``.
        estimator: decides whose minimum is taken.
    """

    statistics: PromptStatistics
    grid: Grid
    counts: Array
    variances: Array
    estimator: Estimator = "extrapolated"

    @cached_property
    def _jackknife(self) -> Array:
        return np.asarray(self.statistics.jackknife.mean(axis=1))

    @cached_property
    def _plug_in(self) -> Array:
        return np.asarray(self.statistics.plug_in.mean(axis=1))

    @cached_property
    def _noise(self) -> Array:
        finest, half, quarter = self.statistics.jackknife
        return noise_of_difference(finest - half, half - quarter)

    @cached_property
    def curve(self) -> DualCurve:
        """The curve whose minimum is taken: the estimator's own, Richardson's for the extrapolated one.

        Aitken's ratio varies with ``t``, so its own curve need not be convex; by the envelope theorem, evaluating it
        at a minimiser that is off by ``du`` costs only a term in ``du**2``.
        """
        if self.estimator == "plug-in":
            return DualCurve(self.grid, self._plug_in[0])
        finest, half, _ = self._jackknife
        if self.estimator == "jackknife":
            return DualCurve(self.grid, finest)
        return DualCurve(self.grid, finest + (finest - half) / 3)

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

    def levels(self, kl: Array) -> PromptLevels:
        """Each prompt's part in the limit at the shared minimiser."""
        u = self.curve.argmin(kl)
        paid = kl * np.exp(-u)
        return PromptLevels(
            corrected=self._at(self.statistics.jackknife, u) + paid,
            plug_in=self._at(self.statistics.plug_in[0], u) + paid,
            shift=self._shift(kl, u),
            within=lambda prompts: self._within(u, prompts),
        )

    def means(self, kl: Array) -> MeanLevels:
        """Averages over prompts, straight from the averaged statistics."""
        u = self.curve.argmin(kl)
        paid = kl * np.exp(-u)
        # The noise is smooth in t: its root is interpolated, not its covariance over the grid.
        noise = np.interp(u, self.grid.u, np.sqrt(self._noise) / self.grid.t)
        return MeanLevels(
            corrected=self._at(self._jackknife, u) + paid,
            plug_in=self._at(self._plug_in[:2], u) + paid,
            noise=noise**2,
            share=np.interp(u, self.grid.u, self.statistics.share.mean(axis=0)),
        )

    def tilt_levels(self, t: Array) -> tuple[PromptLevels, PromptLevels, PromptLevels]:
        """At given tilts, each prompt's gain, ``KL(pi_t || pi0)`` and ``KL(pi0 || pi_t)``."""
        u = np.log(t)
        value = [self._at(s, u) for s in (self.statistics.jackknife, self.statistics.plug_in[0])]
        slope = [
            self._at(s, u, derivative=1) for s in (self.statistics.jackknife, self.statistics.plug_in[0])
        ]

        def pack(part: list[Array], variance: Array) -> PromptLevels:
            return PromptLevels(part[0], part[1], np.zeros(len(u)), lambda prompts: variance[prompts])

        # h = L/t and t h' = L' - L/t, so L' = h + h_u, t L' - L = t h_u and L = t h.
        variance = self._within(u, slice(None))
        gain = pack([h + d for h, d in zip(value, slope, strict=True)], variance)
        forward = pack([t * d for d in slope], variance * t**2)
        reverse = pack([t * h for h in value], variance * t**2)
        return gain, forward, reverse

    def correction(self, t: Array) -> Array:
        """What the jackknife adds to each prompt's part in the limit at given tilts, ``(P, K)``."""
        return self._at(self.statistics.jackknife[0] - self.statistics.plug_in[0], np.log(t))

    def _at(self, values: Array, u: Array, *, derivative: int = 0) -> Array:
        """``values / t`` (last axis: the grid) at ``u``, or its derivative in ``log t``."""
        weights = self.grid.basis(u, derivative=derivative) / self.grid.t
        return np.asarray(values @ weights.T)

    def _shift(self, kl: Array, u: Array) -> Array:
        """The minimum of a noisy curve lies below the curve's minimum: ``Var(f') / (2 P f'')``, in ``log t``."""
        n_prompts = len(self.counts)
        if n_prompts < 2:
            return np.zeros_like(kl)
        slopes = self._at(self.statistics.jackknife[0], u, derivative=1)
        curvature = kl * np.exp(-u) + self._at(self.curve.log_partition, u, derivative=2)
        return np.asarray(slopes.var(axis=0, ddof=1) / (2 * n_prompts * np.maximum(curvature, 1e-300)))

    def _within(self, u: Array, prompts: slice) -> Array:
        """Sampling variance of prompts' plug-in ``L(t)/t``, by the delta method: the mean is estimated too."""
        t = np.exp(u)
        share = np.exp(np.log(self.statistics.share[prompts]) @ self.grid.basis(u).T)  # sum w^2 / (sum w)^2
        plug_in = self.statistics.plug_in[0, prompts]
        gain = self._at(plug_in, u) + self._at(plug_in, u, derivative=1)  # L'(t) - L'(0)
        n = self.counts[prompts, None]
        variance = (share - 1 / n) / t**2 - 2 * gain / (t * n) + self.variances[prompts, None] / n
        return np.asarray(np.maximum(variance, 0.0))
