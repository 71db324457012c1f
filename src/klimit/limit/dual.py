"""The dual of the average-budget limit: ``limit(kappa) = min over t of (kappa + L(t)) / t``.

``L`` is a log-partition averaged over prompts, of rewards centred within each prompt. Between the points of the
grid, ``h = L / t`` is a quintic spline in ``u = log t``, so the minimum is solved for, not searched on the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from klimit.limit.splines import combine

Array = NDArray[np.float64]
_DEGREE = 5
_SHORT_OF_SATURATION = 0.99
_DENSE = 8  # points between two of the grid, where the budget's minimiser is bracketed


@dataclass(frozen=True)
class Grid:
    """Spline interpolation on a fixed grid of ``t``: linear in the values, hence usable on prompts and means alike."""

    t: Array

    @cached_property
    def u(self) -> Array:
        """``log t``."""
        return np.log(self.t)

    @cached_property
    def _knots(self) -> Array:
        """Not-a-knot: the first and last intervals of the grid share their polynomials."""
        ends = np.ones(_DEGREE + 1)
        inner = self.u[_DEGREE // 2 + 1 : -(_DEGREE // 2) - 1]
        return np.concatenate([self.u[0] * ends, inner, self.u[-1] * ends])

    @cached_property
    def _to_coefficients(self) -> Array:
        values = combine(self._knots, _DEGREE, 0, self.u, np.eye(len(self.t)))
        return np.asarray(np.linalg.inv(values), dtype=np.float64)

    def basis(self, u: Array, *, derivative: int = 0) -> Array:
        """Weights ``(K, T)`` that turn values on the grid into values (or derivatives in ``u``) at ``u``, ``(K,)``."""
        return np.asarray(combine(self._knots, _DEGREE, derivative, u, self._to_coefficients))

    def coefficients(self, values: Array) -> Array:
        """Of the spline through values on the grid, ``(T,)``, for :meth:`along`."""
        return np.asarray(self._to_coefficients @ values)

    def along(self, coefficients: Array, u: Array, *, derivative: int = 0) -> Array:
        """A spline (or its derivative in ``u``) at ``u``, ``(K,)``."""
        return np.asarray(combine(self._knots, _DEGREE, derivative, u, coefficients[:, None])[:, 0])

    @cached_property
    def slope(self) -> Array:
        """Weights ``(T, T)`` that turn values on the grid into their derivative in ``u`` on the grid."""
        return self.basis(self.u, derivative=1)

    @cached_property
    def dense(self) -> Array:
        """A finer grid of ``u``."""
        steps = np.arange(_DENSE) / _DENSE
        inner = self.u[:-1, None] + np.diff(self.u)[:, None] * steps
        return np.append(inner.reshape(-1), self.u[-1])

    @cached_property
    def dense_slope(self) -> Array:
        """Weights of the first derivative on the finer grid."""
        return self.basis(self.dense, derivative=1)


@dataclass(frozen=True)
class DualCurve:
    """The limit that one averaged log-partition implies.

    Attributes:
        grid: where ``log_partition`` is known.
        log_partition: ``L(t)`` on the grid, ``(T,)``, of centred rewards.
    """

    grid: Grid
    log_partition: Array

    @cached_property
    def _h(self) -> Array:
        return self.log_partition / self.grid.t

    @cached_property
    def _spline(self) -> Array:
        return self.grid.coefficients(self._h)

    def _at(self, u: Array, derivative: int = 0) -> Array:
        return self.grid.along(self._spline, u, derivative=derivative)

    @cached_property
    def _budgets(self) -> Array:
        """KL of the tilted policy on the dense grid, up to where it stops growing (no longer a log-partition)."""
        budgets = np.exp(self.grid.dense) * (self.grid.dense_slope @ self._h)
        bad = ~(np.diff(budgets) > 0)
        stop = int(np.argmax(bad)) + 1 if bad.any() else len(budgets)
        return budgets[:stop]

    @property
    def kl_max(self) -> float:
        """The largest budget whose minimiser lies well on the grid: near saturation it runs off to infinity."""
        return _SHORT_OF_SATURATION * float(self._budgets[-1])

    @property
    def kl_min(self) -> float:
        """The smallest budget whose minimiser lies on the grid."""
        return float(self._budgets[0])

    def argmin(self, kl: Array) -> Array:
        """``log t`` of the minimiser, ``(K,)``; nan outside ``kl_min .. kl_max``."""
        budgets = self._budgets
        u = np.interp(kl, budgets, self.grid.dense[: len(budgets)], left=np.nan)
        u[kl > self.kl_max * (1 + 1e-12)] = np.nan
        inside = np.isfinite(u)
        v = u[inside]
        for _ in range(3):  # Newton on t h'(u) = kl, from a linear guess that is already close
            first = self._at(v, 1)
            second = self._at(v, 2)
            t = np.exp(v)
            step = (t * first - kl[inside]) / (t * (first + second))
            v = np.clip(v - np.clip(step, -0.02, 0.02), self.grid.u[0], self.grid.u[-1])
        u[inside] = v
        return u

    def kl_at(self, u: Array) -> Array:
        """KL of the tilted policy at ``u = log t``: ``t L' - L``; nan where the curve is no log-partition any more."""
        u = np.asarray(u, dtype=np.float64)
        last = self.grid.dense[len(self._budgets) - 1]
        inside = (u >= self.grid.u[0]) & (u <= last)
        out = np.full(u.shape, np.nan)
        out[inside] = np.exp(u[inside]) * self._at(u[inside], 1)
        return out

    def value(self, kl: Array, u: Array | None = None) -> Array:
        """The limit (gain in reward) at each budget, ``(K,)``, nan outside the grid's reach."""
        u = self.argmin(kl) if u is None else u
        out = np.full(len(kl), np.nan)
        inside = np.isfinite(u)
        out[inside] = kl[inside] * np.exp(-u[inside]) + self._at(u[inside])
        return out
