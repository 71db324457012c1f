"""The limit on finite tables, exactly: tilts, KLs and frontiers of known probabilities and rewards.

A table is a pair of arrays ``p`` and ``r`` of shape ``(..., K)``: probability and reward of each of K outputs
of a prompt (zero probabilities are allowed, so tables may be padded); any leading axes are prompts. A tilt
``t = 1 / beta`` broadcasts against those leading axes, and so does every result. KLs are in nats, per whole completion.

Everything is computed from rewards centred on their mean, with sums of terms of one sign, so that small tilts
keep their relative accuracy and large tilts do not overflow. Formulas: L(t) = log E exp(t r); reward L'(t);
KL(pi_t || pi0) = t L'(t) - L(t); KL(pi0 || pi_t) = L(t) - t L'(0).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from klimit.errors import InputError
from klimit.limit.roots import Array, Cumulants, solve_frontier

_LARGE = 600.0  # exponents above this are shifted by their maximum
_TAYLOR = tuple(1.0 / k for k in range(18, 2, -1))


def expm1_minus(x: ArrayLike) -> Array:
    """``exp(x) - 1 - x``, never negative, accurate for small ``x`` as well."""
    x = np.asarray(x, dtype=float)
    out = np.asarray(np.expm1(x) - x)
    small = np.abs(x) < 0.5
    if small.any():
        y = x[small]
        series = np.ones_like(y)
        for coefficient in _TAYLOR:
            series = 1.0 + y * coefficient * series
        out[small] = 0.5 * y * y * series
    return out


def check_tables(p: ArrayLike, r: ArrayLike) -> tuple[Array, Array]:
    """Probabilities and rewards as float64 arrays of one shape ``(..., K)``.

    Raises:
        InputError: shapes differ or are empty, a value is not finite, a probability is negative, or a row does
            not sum to 1.
    """
    probabilities, rewards = np.asarray(p, dtype=float), np.asarray(r, dtype=float)
    if probabilities.shape != rewards.shape or probabilities.ndim == 0 or probabilities.size == 0:
        raise InputError(
            f"table: probabilities have shape {probabilities.shape} and rewards {rewards.shape}; "
            "both must be (..., K) with one entry an output"
        )
    if not (np.isfinite(probabilities).all() and np.isfinite(rewards).all()):
        raise InputError("table: probabilities and rewards must be finite; remove NaN and infinite entries")
    if (probabilities < 0).any():
        raise InputError(f"table: a probability is negative ({probabilities.min():.6g}); they must be >= 0")
    off = np.abs(probabilities.sum(axis=-1) - 1.0).max()
    if off > 1e-9:
        raise InputError(
            f"table: the probabilities of a prompt miss 1 by {off:.3g}; divide them by their sum"
        )
    return probabilities, rewards


def mean_reward(p: ArrayLike, r: ArrayLike) -> Array:
    """E r under the base policy, per prompt."""
    return np.asarray((np.asarray(p, dtype=float) * np.asarray(r, dtype=float)).sum(axis=-1))


def _centred(p: ArrayLike, r: ArrayLike) -> tuple[Array, Array]:
    """Probabilities, and rewards less their mean (twice, so that what rounding left goes too)."""
    p = np.asarray(p, dtype=float)
    d = np.asarray(r, dtype=float)
    d = d - (p * d).sum(axis=-1, keepdims=True)
    return p, d - (p * d).sum(axis=-1, keepdims=True)


def cumulants(p: ArrayLike, r: ArrayLike, t: ArrayLike) -> Cumulants:
    """Centred log-partition, gain, variance and KL of the tilt ``t`` (any sign), each relative-accurate."""
    p, d = _centred(p, r)
    t = np.asarray(t, dtype=float)[..., None]
    x = t * d
    top = np.where(p > 0, x, -np.inf).max(axis=-1, keepdims=True)
    if top.max() > _LARGE:
        large = _shifted(p, d, x, top)
        # the overflowing tilts are replaced before the plain route is taken, and the results merged
        small = cumulants(p, d, np.where(top > _LARGE, 0.0, t)[..., 0])
        return Cumulants(*(np.where(top[..., 0] > _LARGE, a, b) for a, b in zip(large, small, strict=True)))
    x = np.where(p > 0, x, 0.0)
    excess = (p * expm1_minus(x)).sum(axis=-1)
    partition = 1.0 + excess
    log_partition = np.log1p(excess)
    gain = (p * d * np.expm1(x)).sum(axis=-1) / partition
    variance = (p * np.exp(x) * (d - gain[..., None]) ** 2).sum(axis=-1) / partition
    return Cumulants(log_partition, gain, variance, np.maximum(t[..., 0] * gain - log_partition, 0.0))


def _shifted(p: Array, d: Array, x: Array, top: Array) -> Cumulants:
    """The same for large exponents, with the largest one taken out."""
    below = np.where(p > 0, x - top, -np.inf)
    q = p * np.exp(below)
    total = q.sum(axis=-1, keepdims=True)
    q = q / total
    gain = (q * d).sum(axis=-1)
    variance = (q * (d - gain[..., None]) ** 2).sum(axis=-1)
    kl = (q * np.where(q > 0, below, 0.0)).sum(axis=-1) - np.log(total[..., 0])
    return Cumulants((top + np.log(total))[..., 0], gain, variance, kl)


def log_partition(p: ArrayLike, r: ArrayLike, t: ArrayLike) -> Array:
    """L(t) = log E exp(t r), not centred."""
    return np.asarray(cumulants(p, r, t).log_partition + np.asarray(t, dtype=float) * mean_reward(p, r))


def tilted(p: ArrayLike, r: ArrayLike, t: ArrayLike) -> Array:
    """Probabilities of the tilted policy, p exp(t r) / Z, shape ``(..., K)``."""
    p, d = _centred(p, r)
    x = np.where(p > 0, np.asarray(t, dtype=float)[..., None] * d, -np.inf)
    q = p * np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(q / q.sum(axis=-1, keepdims=True))


def tilted_reward(p: ArrayLike, r: ArrayLike, t: ArrayLike) -> Array:
    """L'(t), the mean reward of the tilted policy."""
    return np.asarray(mean_reward(p, r) + cumulants(p, r, t).gain)


def gain(p: ArrayLike, r: ArrayLike, t: ArrayLike) -> Array:
    """L'(t) - L'(0), what the tilt adds to the mean reward."""
    return cumulants(p, r, t).gain


def forward_kl(p: ArrayLike, r: ArrayLike, t: ArrayLike) -> Array:
    """KL(pi_t || pi0) = t L'(t) - L(t)."""
    return cumulants(p, r, t).kl


def reverse_kl(p: ArrayLike, r: ArrayLike, t: ArrayLike) -> Array:
    """KL(pi0 || pi_t) = L(t) - t L'(0)."""
    return cumulants(p, r, t).log_partition


def jeffreys(p: ArrayLike, r: ArrayLike, t: ArrayLike) -> Array:
    """Both divergences together; the gain is beta times it (arXiv:2605.07105)."""
    c = cumulants(p, r, t)
    return np.asarray(c.kl + c.log_partition)


def covariance_gain(p: ArrayLike, r: ArrayLike, t: ArrayLike) -> Array:
    """Cov(r, exp(t r)) / E exp(t r) under the base policy: the gain by its own route (arXiv:2605.07105)."""
    p = np.asarray(p, dtype=float)
    r = np.asarray(r, dtype=float)
    x = np.asarray(t, dtype=float)[..., None] * r
    x = np.where(p > 0, x, -np.inf)
    x = np.where(p > 0, x - x.max(axis=-1, keepdims=True), 0.0)
    small = np.abs(x).max(axis=-1, keepdims=True) < 1.0
    w = np.where(small, np.expm1(x), np.exp(x))
    centred_w = w - (p * w).sum(axis=-1, keepdims=True)
    centred_r = r - (p * r).sum(axis=-1, keepdims=True)
    return np.asarray((p * centred_r * centred_w).sum(axis=-1) / (p * np.exp(x)).sum(axis=-1))


def _average(values: Array, weights: ArrayLike | None) -> Array:
    """Mean over the last axis, the prompts."""
    if weights is None:
        return np.asarray(values.mean(axis=-1))
    w = np.asarray(weights, dtype=float)
    return np.asarray((values * w).sum(axis=-1) / w.sum())


def dual_value(
    p: ArrayLike, r: ArrayLike, t: ArrayLike, kl: ArrayLike, *, weights: ArrayLike | None = None
) -> Array:
    """(kl + Lbar(t)) / t - E r: bounds the gain from above at any shared tilt ``t > 0``, tight at the best.

    ``p`` and ``r`` have shape ``(K,)`` or ``(P, K)``; ``t`` and ``kl`` broadcast against each other.
    """
    p, r = np.atleast_2d(p), np.atleast_2d(r)
    t = np.asarray(t, dtype=float)
    centred = _average(cumulants(p, r, t[..., None]).log_partition, weights)
    return np.asarray((np.asarray(kl, dtype=float) + centred) / t)


def saturation(p: ArrayLike, r: ArrayLike) -> tuple[Array, Array]:
    """-log pi0(r = max) and max r - E r, per prompt."""
    p, d = _centred(p, r)
    top = np.where(p > 0, d, -np.inf).max(axis=-1, keepdims=True)
    return np.asarray(-np.log(np.where(d == top, p, 0.0).sum(axis=-1))), np.asarray(top[..., 0])


def frontier_average(
    p: ArrayLike, r: ArrayLike, kl: ArrayLike, *, weights: ArrayLike | None = None
) -> tuple[Array, Array]:
    """Largest gain at an average KL budget, and its price beta: one tilt shared by all prompts.

    Args:
        p: probabilities, ``(K,)`` or ``(P, K)``.
        r: rewards, of the same shape.
        kl: budgets in nats, any shape; at or above saturation the gain is the largest reachable, beta 0.
        weights: of the prompts, ``(P,)``; equal if not given.

    Raises:
        InputError: a budget is negative or NaN.
    """
    p, r = np.atleast_2d(p), np.atleast_2d(r)
    top_kl, top_gain = (_average(v, weights) for v in saturation(p, r))
    variance = _average(cumulants(p, r, 0.0).variance, weights)

    def along(t: Array) -> Cumulants:
        return Cumulants(*(_average(v, weights) for v in cumulants(p, r, t[..., None])))

    return solve_frontier(along, kl, variance=variance, top_kl=top_kl, top_gain=top_gain)


def frontier_per_prompt(p: ArrayLike, r: ArrayLike, kl: ArrayLike) -> tuple[Array, Array]:
    """Largest gain of every prompt at its own KL budget, and its beta.

    ``kl`` broadcasts against the leading axes of ``p`` and ``r``; average the results over prompts for the
    per-prompt frontier.

    Raises:
        InputError: a budget is negative or NaN.
    """
    top_kl, top_gain = saturation(p, r)
    variance = cumulants(p, r, 0.0).variance
    return solve_frontier(
        lambda t: cumulants(p, r, t), kl, variance=variance, top_kl=top_kl, top_gain=top_gain
    )
