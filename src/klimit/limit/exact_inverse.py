"""The limit on finite tables read backwards, exactly: the least KL that a gain needs, and the tilt that gets it.

Tables are those of :mod:`klimit.limit.exact`. A gain may be negative: a loss needs a KL as well, by a tilt t < 0.
With L_x the log-partition of the rewards centred on the prompt's base mean, the least KL is a convex conjugate,
sup over t in R of t gain - L_x(t) for a prompt and of t gain - E_x L_x(t) for the average over prompts; the supremum is
KL(pi_t || pi0) of the tilt whose gain is the one asked for. At the largest and the smallest reachable gain the tilt is
infinite and the KL -log of the base policy's mass on the best (worst) outputs; beyond them no policy gets there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from klimit.errors import InputError
from klimit.limit.exact import cumulants, saturation
from klimit.limit.roots import Array, Cumulants, solve_increasing

_SLACK = 16 * np.finfo(float).eps  # of the largest reward: how far rounding may put a gain from an end


class _Reach(NamedTuple):
    """The KL and the size of the largest gain on either side, and the rounding error of gains."""

    top_kl: Array
    top_gain: Array
    bottom_kl: Array
    bottom_gain: Array
    slack: Array


def _reach(p: Array, r: Array) -> _Reach:
    largest = np.abs(np.where(p > 0, r, 0.0)).max(axis=-1)
    return _Reach(*saturation(p, r), *saturation(p, -r), _SLACK * largest)


def least_kl_average(
    p: ArrayLike, r: ArrayLike, gain: ArrayLike, *, weights: ArrayLike | None = None
) -> tuple[Array, Array]:
    """Least average KL of any policy with that average gain, in nats, and its tilt, shared by all prompts.

    Args:
        p: probabilities, ``(K,)`` or ``(P, K)``.
        r: rewards, of the same shape.
        gain: mean rewards less the base policy's, any shape and sign.
        weights: of the prompts, ``(P,)``; equal if not given.

    Returns:
        KLs, infinite for gains that no policy reaches, and tilts ``1 / beta``, negative for losses and infinite where
        the gain is at an end; each of the shape of ``gain``.

    Raises:
        InputError: a gain is NaN.
    """
    p, r = np.atleast_2d(np.asarray(p, dtype=float)), np.atleast_2d(np.asarray(r, dtype=float))
    w = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=float)
    w = w / w.sum()
    reach = _Reach(*(np.asarray(v @ w) for v in _reach(p, r)))

    def along(t: Array) -> Cumulants:
        return Cumulants(*(v @ w for v in cumulants(p, r, t[..., None])))

    return _conjugate(along, gain, np.asarray(cumulants(p, r, 0.0).variance @ w), reach)


def least_kl_per_prompt(p: ArrayLike, r: ArrayLike, gain: ArrayLike) -> tuple[Array, Array]:
    """Least KL of every prompt's own gain, in nats, and its tilt: as :func:`least_kl_average`, prompt by prompt.

    ``gain`` broadcasts against the leading axes of ``p`` and ``r``.

    Raises:
        InputError: a gain is NaN.
    """
    p, r = np.asarray(p, dtype=float), np.asarray(r, dtype=float)
    return _conjugate(lambda t: cumulants(p, r, t), gain, cumulants(p, r, 0.0).variance, _reach(p, r))


def _conjugate(
    along: Callable[[Array], Cumulants], gain: ArrayLike, variance: Array, reach: _Reach
) -> tuple[Array, Array]:
    """Supremum over t of t gain - L(t), and its t, elementwise."""
    gains = np.asarray(gain, dtype=float)
    if np.isnan(gains).any():
        raise InputError("gain: NaN; gains must be numbers")
    gains, variance, *ends = np.broadcast_arrays(gains, variance, *reach)
    top_kl, top_gain, bottom_kl, bottom_gain, slack = ends
    sign = np.where(gains < 0, -1.0, 1.0)
    size = np.abs(gains)
    end_kl, end = np.where(gains < 0, bottom_kl, top_kl), np.where(gains < 0, bottom_gain, top_gain)
    still = (size == 0) | ((end <= slack) & (size <= slack))  # nothing asked for, or nothing to vary
    outside = size >= end * (1.0 - 2 * np.finfo(float).eps)
    inner = ~still & ~outside & (variance > 0)
    goal, last, spread = np.where(inner, size, 1.0), np.where(inner, end, 2.0), np.where(inner, variance, 1.0)

    def distance(x: Array) -> tuple[Array, Array]:
        # x = log |t|; the logit of the gain as a share of the largest: Newton's steps on it are good
        c = along(sign * np.exp(x))
        found = sign * c.gain
        with np.errstate(divide="ignore", invalid="ignore"):
            left = np.maximum(last - found, 0.0)
            value = np.log(found / goal) - np.log(left / (last - goal))
            slope = np.exp(x) * c.variance * (1.0 / found + 1.0 / left)
        return np.where(inner & (found != goal), value, 0.0), np.where(inner, slope, 1.0)

    t = sign * np.exp(solve_increasing(distance, np.log(goal / spread)))
    c = along(t)
    kl = c.kl + t * (gains - c.gain)  # an error of the tilt counts only squared
    at_end = np.where(size <= end + slack, end_kl, np.inf)
    kl = np.where(still, 0.0, np.where(inner, np.maximum(kl, 0.0), at_end))
    return kl, np.where(still, 0.0, np.where(inner, t, sign * np.inf))
