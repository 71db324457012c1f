"""Several members' rewards as one: plain functions of an array ``(members, ...)`` float64, giving ``(...)``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mean(members: Array) -> Array:
    """The mean over members."""
    return np.asarray(members.mean(axis=0))


def median(members: Array) -> Array:
    """The median over members."""
    return np.asarray(np.median(members, axis=0))


def minimum(members: Array) -> Array:
    """The worst member's."""
    return np.asarray(members.min(axis=0))


def uwo(members: Array, *, weight: float, ddof: int = 0) -> Array:
    """Mean less ``weight`` times the variance over members (arXiv:2310.02743)."""
    return np.asarray(members.mean(axis=0) - weight * members.var(axis=0, ddof=ddof))


def soft_minimum(members: Array, *, tau: float) -> Array:
    """``-tau log mean exp(-s / tau)`` (arXiv:2606.09073), without overflow, and exact to rounding for any ``tau``."""
    least = members.min(axis=0)
    with np.errstate(over="ignore"):  # a difference of many taus is infinitely many
        lost = np.expm1((least - members) / tau).mean(axis=0)
    return np.asarray(least - tau * np.log1p(lost))


def quantile(members: Array, *, q: float) -> Array:
    """The ``q`` quantile over members, linear between order statistics."""
    return np.asarray(np.quantile(members, q, axis=0))


def log_sigmoid_centred(members: Array, *, centre: float = 0.0, total: bool = False) -> Array:
    """Mean (or sum) over members of ``log sigmoid(s - centre)`` (arXiv:2402.00742)."""
    each = -np.logaddexp(0.0, centre - members)
    return np.asarray(each.sum(axis=0) if total else each.mean(axis=0))


def weighted(members: Array, *, weights: tuple[float, ...]) -> Array:
    """``sum_k weights_k s_k``."""
    return np.asarray(np.tensordot(np.array(weights), members, axes=1))
