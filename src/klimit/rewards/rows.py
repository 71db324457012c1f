"""The transforms themselves: rewards of prompts, one a row, in the light of base samples of the same prompts.

``base`` is ``(p, n)``, ascending in each row; ``values`` is ``(p, m)``; results are ``(p, m)`` float64 and do not
decrease in the reward within a prompt.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]


def identity(base: Rows, values: Rows) -> Array:
    """The reward itself."""
    return np.asarray(values, dtype=np.float64)


def clipped(base: Rows, values: Rows, *, low: float, high: float) -> Array:
    """The reward, kept within ``low`` and ``high``."""
    return np.clip(np.asarray(values, dtype=np.float64), low, high)


def standardised(base: Rows, values: Rows) -> Array:
    """Less the base samples' mean, over their standard deviation (``ddof=1``); 0 where they are constant."""
    n = base.shape[1]
    # In units of their range from the largest: neither the level nor the size of the rewards costs digits.
    top = base[:, -1:].astype(np.float64)
    span = top - base[:, :1]
    varies = span > 0
    unit = np.where(varies, span, 1.0)
    own = (base - top) / unit
    mean = own.mean(axis=1, keepdims=True)
    own -= mean
    spread = np.sqrt((own * own).sum(axis=1, keepdims=True) / max(n - 1, 1))
    return np.asarray(np.where(varies, ((values - top) / unit - mean) / np.where(varies, spread, 1.0), 0.0))


def rank(base: Rows, values: Rows) -> Array:
    """Win rate against the base samples, ties half; a base sample against them all counts itself as a tie."""
    n = base.shape[1]
    if values is base:
        return np.asarray(_midranks(base) / n)
    wins = _counts(base, values, equal=False) + _counts(base, values, equal=True)
    return np.asarray(wins / (2 * n))


def log_sigmoid_centred(base: Rows, values: Rows, *, quantile: float) -> Array:
    """``log sigmoid(r - c)``, ``c`` the base samples' quantile (Wang et al., arXiv:2402.00742)."""
    centre = np.quantile(base.astype(np.float64), quantile, axis=1)[:, None]
    return np.asarray(-np.logaddexp(0.0, centre - values))


def _midranks(ordered: Rows) -> Array:
    """Less, and half the equal, of every entry of ascending rows."""
    p, n = ordered.shape
    new = np.ones((p, n), dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=new[:, 1:])
    starts = np.flatnonzero(new)
    lengths = np.diff(starts, append=new.size)
    return np.repeat(starts % n + lengths / 2, lengths).reshape(p, n)


def _counts(base: Rows, values: Rows, *, equal: bool) -> Array:
    """How many of the base samples lie below each value (or are equal to it, too)."""
    m = values.shape[1]
    # In one stable order, values come before base samples equal to them, or after.
    parts = (base, values) if equal else (values, base)
    order = np.argsort(np.concatenate(parts, axis=1), axis=1, kind="stable")
    is_value = order >= base.shape[1] if equal else order < m
    below = np.cumsum(~is_value, axis=1)
    out = np.empty(values.shape)
    row, place = np.nonzero(is_value)
    out[row, order[row, place] - (base.shape[1] if equal else 0)] = below[row, place]
    return out
