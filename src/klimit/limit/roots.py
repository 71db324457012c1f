"""Frontiers of any family whose cumulants are known: the tilt that spends a KL budget, found elementwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError

Array = NDArray[np.float64]


class Cumulants(NamedTuple):
    """At a tilt: centred log-partition L(t) - t E r, gain L'(t) - E r, variance L''(t), KL(pi_t || pi0)."""

    log_partition: Array
    gain: Array
    variance: Array
    kl: Array


def check_budget(kl: ArrayLike) -> Array:
    """Budgets as a float64 array.

    Raises:
        InputError: a budget is negative or NaN.
    """
    budgets = np.asarray(kl, dtype=float)
    if not (budgets >= 0).all():
        raise InputError(f"kl: budgets are in nats and must be >= 0; got {budgets[~(budgets >= 0)].flat[0]}")
    return budgets


def solve_frontier(
    along: Callable[[Array], Cumulants], kl: ArrayLike, *, variance: Array, top_kl: Array, top_gain: Array
) -> tuple[Array, Array]:
    """Gain and beta at KL budgets, elementwise, for whatever family of cumulants ``along`` gives.

    The tilt solves KL(t) = kl; the gain is the dual value there: an error of the root counts only squared.
    """
    budgets, variance, top_kl, top_gain = np.broadcast_arrays(check_budget(kl), variance, top_kl, top_gain)
    inner = (budgets > 0) & (budgets < top_kl) & (variance > 0)
    atom = inner & np.isfinite(top_kl)
    # an easy problem in the places where there is nothing to solve
    budget, spread = np.where(inner, budgets, 1.0), np.where(inner, variance, 1.0)
    room, unit = np.where(atom, top_kl, 2.0), np.where(atom, top_gain, 1.0)

    def tilt(x: Array) -> Array:
        # log t, or, where an atom is at the top, what turns into t itself once the tilt is large; tilts beyond
        # e^600 change no gain
        return np.where(atom, np.logaddexp(0.0, x) / unit, np.exp(np.where(atom, 0.0, np.minimum(x, 600.0))))

    def distance(x: Array) -> tuple[Array, Array]:
        # log KL, or the logit of KL / top KL: nearly straight lines in x, on which Newton's steps are good
        t = tilt(x)
        c = along(t)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            speed = np.where(atom, 1.0 / (unit * (1.0 + np.exp(-x))), t) * t * c.variance
            left = np.where(atom, np.maximum(room - c.kl, 0.0), 1.0)
            value = np.log(c.kl / budget) - np.log(left / np.where(atom, room - budget, 1.0))
            slope = speed * (1.0 / c.kl + np.where(atom, 1.0 / left, 0.0))
        # as near as the rounding of t L' - L lets it come
        reached = ~inner | (np.abs(c.kl - budget) <= 1e-15 * (budget + np.abs(t * c.gain)))
        return np.where(reached, 0.0, value), np.where(inner, slope, 1.0)

    with np.errstate(over="ignore"):
        small = np.sqrt(2.0 * budget / spread)
    start = np.minimum(small, np.where(atom, (room + 1.0) / unit, np.inf))
    scaled = start * unit
    t = tilt(solve_increasing(distance, np.where(atom, scaled + np.log(-np.expm1(-scaled)), np.log(start))))
    gains = np.where(inner, (budgets + along(t).log_partition) / t, np.where(budgets > 0, top_gain, 0.0))
    with np.errstate(divide="ignore"):
        betas = np.where(inner, 1.0 / t, np.where((budgets > 0) | (top_kl <= 0), 0.0, np.inf))
    return gains, betas


def solve_increasing(function: Callable[[Array], tuple[Any, Any]], start: Array) -> Array:
    """Roots of increasing functions, elementwise: Newton steps kept inside brackets that only shrink.

    Args:
        function: maps points to values and derivatives, all of the shape of ``start``.
        start: first guess, of any shape.
    """
    x = np.array(start, dtype=float)
    low, high = np.full(x.shape, -np.inf), np.full(x.shape, np.inf)
    done = np.zeros(x.shape, dtype=bool)
    for _ in range(200):
        value, slope = function(x)
        low, high = np.where(value <= 0, x, low), np.where(value >= 0, x, high)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = np.where(value == 0, 0.0, -value / slope)
        # a slope that says nothing still has a side
        # Near saturation roots lie far out: a step may double what is large already.
        most = np.maximum(3.0, np.abs(x))
        step = np.where(np.isfinite(step), np.clip(step, -most, most), np.where(value < 0, most, -most))
        close = np.abs(step) <= 1e-9 * (1.0 + np.abs(x))  # the next error is the square of this step
        new = x + step
        with np.errstate(invalid="ignore"):
            new = np.where(close | ((new > low) & (new < high)), new, 0.5 * (low + high))
        x = np.where(done, x, new)
        done |= close | (high - low <= 1e-14 * (1.0 + np.abs(x)))
        if done.all():
            break
    return x
