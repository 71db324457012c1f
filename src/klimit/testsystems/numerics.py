"""Small functions that keep their accuracy where the obvious formula loses it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from klimit.limit.roots import Array


def lattice(low: float, high: float, step: float) -> Array:
    """Whole multiples of ``step`` from ``low`` to ``high``, for the trapezoidal rule (whose step must be exact)."""
    return np.asarray(step * np.arange(np.floor(low / step), np.ceil(high / step) + 1.0))


def categorical(rng: np.random.Generator, probabilities: Array, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Indices drawn with ``probabilities``."""
    uniform = rng.random(shape)
    cumulative = np.cumsum(probabilities)[:-1]
    if len(cumulative) > 16:
        return np.searchsorted(cumulative, uniform, side="right")
    which = np.zeros(shape, dtype=np.intp)  # a few comparisons are faster than a search
    for edge in cumulative:
        which += uniform >= edge
    return which


def log1p_minus(x: Array) -> Array:
    """``log(1 + x) - x``, accurate for small ``x`` as well."""
    x = np.asarray(x, dtype=float)
    out = np.asarray(np.log1p(x) - x)
    small = np.abs(x) < 0.3
    y = x[small] / (2.0 + x[small])
    square = y * y
    series = np.zeros_like(y)
    for k in range(23, 1, -2):
        series = square * (1.0 / k + series)
    out[small] = y * (2.0 * series - x[small])
    return out


def poisson_kl(mu: Array) -> Array:
    """KL of Best-of-Poisson without ties (arXiv:2506.19248): the integral of g log g over u = F(r) in (0, 1)."""
    # g(u) = (mu u + 1) exp(mu (u - 1)) with u = 1 - v / (1 + mu), in panels of v: unlike the closed form
    # log(1+mu) - 1 + e^{-(1+mu)} (Ei(1+mu) - Ei(1)) / mu it neither cancels at small mu nor overflows at large
    x, w = np.polynomial.legendre.leggauss(24)
    edges = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    rate = mu[..., None, None]
    ends = np.minimum(edges, 1.0 + mu[..., None])
    left, right = ends[..., :-1, None], ends[..., 1:, None]
    v = 0.5 * (left + right) + 0.5 * (right - left) * x
    weight = 0.5 * (right - left) * w / (1.0 + rate)
    drop = v / (1.0 + rate)
    log_g = np.log1p(rate * (1.0 - drop)) - rate * drop
    return np.asarray((weight * np.exp(log_g) * log_g).sum(axis=(-1, -2)))
