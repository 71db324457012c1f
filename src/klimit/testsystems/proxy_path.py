"""Along a proxy's tilt on tables: KL, gains and covariance exactly, and where the gold reward turns.

Tables have one row a prompt and one column an output, ``(P, K)``; results are averages over the rows at tilts
``t = 1 / beta`` shared by all of them. With pi_t = base exp(t s) / Z, s the proxy and r the gold reward,

    d E_x E_pi_t[r] / dt = E_x Cov_pi_t(r, s),

so that gold turns down where that covariance crosses zero from above.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar

from klimit.limit import exact
from klimit.limit.roots import Array

_BLOCK = 2_000_000  # table entries held at once
_PER_DECADE = (
    100  # nodes: outputs trade places within a relative width of 1 / log(p_i / p_j), wider than a step
)
_SATURATED = 1e-12  # mass off the proxy's best outputs, below which nothing turns that could be seen
_ROUNDING = 1e-12  # of a correlation: as good as zero


class ProxyPath(NamedTuple):
    """Averages over prompts along the tilt, each of the tilts' shape.

    Attributes:
        kl: KL(pi_t || base), nats.
        proxy_gain: mean proxy reward less the base policy's.
        gold_gain: mean gold reward less the base policy's.
        covariance: of gold and proxy under pi_t.
        spread: product of their standard deviations under pi_t: the covariance's natural size.
    """

    kl: Array
    proxy_gain: Array
    gold_gain: Array
    covariance: Array
    spread: Array


class Turns(NamedTuple):
    """Where the covariance changes its sign.

    Attributes:
        start: its sign at the base policy, 0 where it is not more than rounding.
        tilts: of the changes, ascending.
        downward: which of them are from above zero to below.
        end: a tilt at which the path is saturated.
    """

    start: int
    tilts: Array
    downward: Array
    end: float


def below_top(p: Array, reward: Array) -> Array:
    """Rewards less the largest of each row that has probability; 0 where there is none."""
    top = np.where(p > 0, reward, -np.inf).max(axis=-1, keepdims=True)
    return np.where(p > 0, reward - top, 0.0)


def log_ratio(p: Array, reward: Array, t: Array) -> Array:
    """log(pi_t / base) of the tilts ``t`` of :func:`below_top` rewards, shape ``(*t.shape, P, K)``; t may be inf."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        x = np.where(reward < 0, t[..., None, None] * reward, 0.0)
        x = np.where(p > 0, x, -np.inf)
        lost = (p * np.expm1(x)).sum(axis=-1, keepdims=True)
        # small tilts keep their relative accuracy, rare best outputs theirs
        log_z = np.where(lost > -0.5, np.log1p(lost), np.log((p * np.exp(x)).sum(axis=-1, keepdims=True)))
    return np.asarray(x - log_z)


def kl_terms(q: Array, p: Array, log_q_over_p: Array) -> Array:
    """KL(q || p) of every row from its log ratio, as a sum of terms q (e^-l - 1 + l), none of them negative."""
    near = np.abs(log_q_over_p) < 0.5
    close = q * exact.expm1_minus(-np.where(near, log_q_over_p, 0.0))
    far = q * np.where(q > 0, log_q_over_p, 0.0) + (p - q)
    return np.asarray(np.where(near, close, far).sum(axis=-1))


def follow(p: Array, gold: Array, proxy: Array, t: ArrayLike) -> ProxyPath:
    """The path at tilts of any shape, inf among them; ``gold`` centred under ``p``, ``proxy`` :func:`below_top`."""

    def block(tilts: Array) -> tuple[Array, ...]:
        ratio = log_ratio(p, proxy, tilts)
        change, q = p * np.expm1(ratio), p * np.exp(ratio)
        gains = (change * proxy).sum(axis=-1), (change * gold).sum(axis=-1)
        rows = (kl_terms(q, p, ratio), *gains, *_second_moments(q, gold, proxy))
        return tuple(row.mean(axis=-1) for row in rows)

    return ProxyPath(*_in_blocks(block, t, p.size))


def _in_blocks(function: Callable[[Array], tuple[Array, ...]], t: ArrayLike, size: int) -> list[Array]:
    """The function's arrays at tilts of any shape, so many at a time that memory stays small."""
    tilts = np.asarray(t, dtype=float)
    flat = tilts.reshape(-1)
    parts = [function(block) for block in np.array_split(flat, max(1, -(-flat.size * size // _BLOCK)))]
    return [np.concatenate(arrays).reshape(tilts.shape) for arrays in zip(*parts, strict=True)]


def _second_moments(q: Array, gold: Array, proxy: Array) -> tuple[Array, Array]:
    """Covariance and product of the standard deviations, of every row."""
    of_gold = gold - (q * gold).sum(axis=-1, keepdims=True)
    of_proxy = proxy - (q * proxy).sum(axis=-1, keepdims=True)
    shared = of_gold * q
    spread = np.sqrt((shared * of_gold).sum(axis=-1) * (q * of_proxy**2).sum(axis=-1))
    return (shared * of_proxy).sum(axis=-1), spread


def correlation(p: Array, gold: Array, proxy: Array, t: ArrayLike) -> Array:
    """``covariance / spread`` along the path; 0 where nothing varies."""

    def block(tilts: Array) -> tuple[Array, ...]:
        q = p * np.exp(tilts[..., None, None] * proxy)
        q /= q.sum(axis=-1, keepdims=True)
        shared, spread = (row.mean(axis=-1) for row in _second_moments(q, gold, proxy))
        return (np.divide(shared, spread, out=np.zeros_like(spread), where=spread > 0),)

    return _in_blocks(block, t, p.size)[0]


def _saturated(p: Array, proxy: Array) -> float:
    """A tilt at which hardly any mass is off the proxy's best outputs; 0 where the proxy never varies."""
    others = (proxy < 0) & (p > 0)
    if not others.any():
        return 0.0
    t = -1.0 / proxy.min()
    while True:
        q = p * np.exp(log_ratio(p, proxy, np.asarray(t)))
        if np.where(others, q, 0.0).sum(axis=-1).mean() < _SATURATED:
            return float(t)
        t *= 2.0


def find_turns(p: Array, gold: Array, proxy: Array) -> Turns:
    """All sign changes of the covariance up to saturation: a dense scan, dips between its nodes, then roots."""
    end = _saturated(p, proxy)
    if end == 0.0:
        return Turns(0, np.empty(0), np.empty(0, dtype=bool), 0.0)

    def shared(t: ArrayLike) -> Array:
        return correlation(p, gold, proxy, t)

    low = -1e-3 / proxy.min()
    nodes = int(np.ceil(_PER_DECADE * np.log10(end / low))) + 2
    t = np.concatenate([[0.0], np.geomspace(low, end, nodes)])
    value = shared(t)
    dips = _dips(shared, t, value)
    t, value = np.concatenate([t, dips]), np.concatenate([value, shared(dips)])
    order = np.argsort(t)
    t, value = t[order], value[order]
    sign = np.where(np.abs(value) > _ROUNDING, np.sign(value), 0.0)
    start = int(sign[0])
    t, sign = t[sign != 0], sign[sign != 0]
    at = np.flatnonzero(sign[1:] != sign[:-1])
    roots = [brentq(lambda x: float(shared(x)), t[i], t[i + 1], xtol=1e-15 * low, rtol=1e-15) for i in at]
    return Turns(start, np.asarray(roots, dtype=float), sign[at] > 0, end)


def _dips(function: Callable[[ArrayLike], Array], t: Array, value: Array) -> Array:
    """Where the function touches or passes zero and comes back between two nodes that do not show it."""
    size = np.abs(value)
    lowest = (size[1:-1] < size[:-2]) & (size[1:-1] < size[2:]) & (size[1:-1] < 0.05)
    same = (np.sign(value[1:-1]) == np.sign(value[:-2])) & (np.sign(value[1:-1]) == np.sign(value[2:]))
    found = []
    for i in np.flatnonzero(lowest & same) + 1:
        side = np.sign(value[i])
        least = minimize_scalar(
            lambda x, side=side: side * float(function(x)), bounds=(t[i - 1], t[i + 1]), method="bounded"
        )
        if least.fun < 0:
            found.append(float(least.x))
    return np.asarray(found, dtype=float)


def first_loss(gain: Callable[[float], float], turns: Turns, rounding: float) -> float:
    """The tilt from which the gold gain is first below 0; inf if never, 0 if it starts by falling."""
    left = 0.0
    for right in (*turns.tilts.tolist(), turns.end):
        if gain(right) < -rounding:
            if left == 0.0 or gain(left) <= rounding:
                return float(left)
            return float(brentq(gain, left, right, xtol=1e-15 * right, rtol=1e-15))
        left = right
    return float("inf")
