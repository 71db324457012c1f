"""Within-prompt covariance matrices, prompt by prompt, and what is derived from their mean with its error.

Every prompt with its completions is one unit. A quantity is a smooth function of the mean matrix; its
influences are the function's gradient times each prompt's departure from that mean (the delta method).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from klimit.audits.measured import Array, Measured
from klimit.values import Value

Stack = NDArray[np.complexfloating]

_BLOCK = 1 << 21
_STEP = 1e-30  # imaginary: the derivative has no cancellation
_NOTHING = 1e-12  # of a variance: what leaving a completion out leaves of it by rounding alone


@dataclass(frozen=True, eq=False)
class PromptMoments:
    """Covariance matrices of the same variables within each prompt.

    Attributes:
        each: one unbiased matrix a prompt, ``(P, m, m)``.
    """

    each: Array

    @property
    def mean(self) -> Array:
        """Their mean over prompts, ``(m, m)``."""
        return np.asarray(self.each.mean(axis=0))

    def derive(self, function: Callable[[Stack], Stack]) -> Derived:
        """A smooth function of the mean matrix.

        Args:
            function: stacked matrices ``(b, m, m)``, complex with a tiny imaginary part, to ``(b, q)``: built
                of analytic operations alone (no absolute value, no comparison of complex numbers).
        """
        centre = self.mean
        m = len(centre)
        rows, columns = np.triu_indices(m)
        stack = np.repeat(centre[None].astype(complex), len(rows) + 1, axis=0)
        order = np.arange(len(rows)) + 1
        size = np.sqrt(np.abs(np.diag(centre)))
        step = _STEP * size[rows] * size[columns]
        stack[order, rows, columns] += 1j * step
        stack[order, columns, rows] += 1j * np.where(rows == columns, 0.0, step)
        values = function(stack)
        with np.errstate(invalid="ignore", divide="ignore"):
            gradient = values[1:].imag / step[:, None]
        departures = (self.each - centre)[:, rows, columns]
        return Derived(values[0].real, departures @ np.where(np.isnan(gradient), np.nan, gradient))


@dataclass(frozen=True, eq=False)
class Derived:
    """Several quantities: ``values`` ``(q,)`` and each prompt's influence on them ``(P, q)``."""

    values: Array
    influence: Array

    def __getitem__(self, i: int) -> Measured:
        return Measured(float(self.values[i]), self.influence[:, i])

    def __len__(self) -> int:
        return len(self.values)


def prompt_moments(values: Array, offsets: NDArray[np.int64], *, standardised: int = 0) -> PromptMoments:
    """Unbiased covariance matrices within prompts.

    The first ``standardised`` variables are divided by their standard deviation within the prompt (0 where
    constant). That of so few completions is itself an estimate: what it costs of order 1/n is removed by
    leaving out completions in turn (Quenouille's jackknife), so the matrices are those of variables
    standardised by the policy's own deviations.

    Args:
        values: ``(m, n_completions)`` float64, grouped by prompt.
        offsets: ``(P + 1,)``; at least 2 completions a prompt, 3 where variables are standardised.
        standardised: how many of the variables.
    """
    m, counts = len(values), np.diff(offsets)
    out = np.empty((len(counts), m, m))
    for n in np.unique(counts).tolist():
        members = np.flatnonzero(counts == n)
        step = max(1, _BLOCK // (n * m * (m if standardised else 1)))
        for first in range(0, len(members), step):
            prompts = members[first : first + step]
            rows = values[:, offsets[prompts][:, None] + np.arange(n)].transpose(1, 2, 0)
            out[prompts] = _matrices(rows, standardised)
    return PromptMoments(out)


def _matrices(rows: Array, standardised: int) -> Array:
    """Of ``(p, n, m)``: ``(p, m, m)``."""
    n = rows.shape[1]
    rows = rows - rows[:, :1]  # exactly 0 where constant
    rows = rows - rows.mean(axis=1, keepdims=True)
    whole = np.swapaxes(rows, 1, 2) @ rows / (n - 1)
    if not standardised:
        return np.asarray(whole)
    # Leaving completion i out takes n / (n - 1) d_i d_i' from the sum of squares.
    outer = rows[:, :, :, None] * rows[:, :, None, :]
    without = ((n - 1) * whole[:, None] - n / (n - 1) * outer) / (n - 2)
    full = _scaled(whole, whole, standardised)
    left = _scaled(without, whole[:, None], standardised).mean(axis=1)
    return np.asarray(n * full - (n - 1) * left)


def _scaled(matrices: Array, whole: Array, standardised: int) -> Array:
    variance = np.diagonal(matrices, axis1=-2, axis2=-1)
    varies = variance > _NOTHING * np.diagonal(whole, axis1=-2, axis2=-1)
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    scale[..., standardised:] = 1.0
    return np.asarray(matrices * scale[..., :, None] * scale[..., None, :])


def root(stack: Stack) -> Stack:
    """The square root where the real part is positive, else nan."""
    positive = stack.real > 0
    return np.where(positive, np.sqrt(np.where(positive, stack, 1.0)), np.nan)


def correlation_interval(found: Measured, level: float) -> Value:
    """A correlation's interval: Student's on Fisher's scale; on its own where the estimate is 1 or more."""
    value = found.value
    if not abs(value) < 1:
        return found.interval(level)
    if len(found.influence) < 2:
        return Value(value, -1.0, 1.0)
    scaled = Measured(float(np.arctanh(value)), found.influence / (1 - value**2)).interval(level)
    return Value(value, float(np.tanh(scaled.low)), float(np.tanh(scaled.high)))
