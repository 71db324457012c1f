"""Policies that keep one of several draws, on grids and tables: best-of-N, Best-of-Poisson, soft best-of-N.

A selection maps the base law's distribution function F of the reward to that of the kept draw, G(F): F^N for
best-of-N, F exp(mu (F - 1)) for Best-of-Poisson. S = 1 - F is passed beside F: both tails keep their accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from klimit.limit.roots import Array
from klimit.testsystems.numerics import lattice


class Selection(NamedTuple):
    """log G as a function of (log F, S), and log(G(F - p) / G(F)) as a function of (log(1 - p / F), p)."""

    log_cdf: Callable[[Array, Array], Array]
    log_drop: Callable[[Array, Array], Array]


def best_of(n: float) -> Selection:
    """Best of ``n`` draws."""
    return Selection(lambda log_f, s: n * log_f, lambda log_ratio, p: n * log_ratio)


def poisson(mu: float) -> Selection:
    """Best of 1 + Poisson(``mu``) draws."""
    return Selection(lambda log_f, s: log_f - mu * s, lambda log_ratio, p: log_ratio - mu * p)


class Grid(NamedTuple):
    """A continuous law on nodes: reward, its increment, probability, F and S, each of shape ``(K,)``."""

    reward: Array
    width: Array
    probability: Array
    cdf: Array
    survival: Array

    @property
    def log_cdf(self) -> Array:
        """log F, accurate where F is near 1."""
        with np.errstate(divide="ignore"):
            return np.where(self.survival < 0.5, np.log1p(-self.survival), np.log(self.cdf))


def grid_gain(grid: Grid, select: Selection) -> float:
    """E of the kept reward less the mean: the integral of F - G(F)."""
    log_f = grid.log_cdf
    with np.errstate(invalid="ignore"):
        log_g_over_f = np.where(grid.cdf > 0, select.log_cdf(log_f, grid.survival) - log_f, 0.0)
    return float(-(grid.width * grid.cdf * np.expm1(log_g_over_f)).sum())


def merge_ties(p: Array, r: Array) -> tuple[Array, Array]:
    """Tables sorted by reward within each prompt, equal rewards merged into one entry (others get 0)."""
    order = np.argsort(r, axis=-1, kind="stable")
    p, r = np.take_along_axis(p, order, axis=-1), np.take_along_axis(r, order, axis=-1)
    first = np.ones(r.shape, dtype=bool)
    first[..., 1:] = r[..., 1:] != r[..., :-1]
    group = np.cumsum(first.reshape(-1)) - 1
    mass = np.bincount(group, weights=p.reshape(-1))
    merged = np.zeros(p.size)
    merged[first.reshape(-1)] = mass
    return merged.reshape(p.shape), r


def table_curve(p: Array, d: Array, select: Selection) -> tuple[Array, Array]:
    """KL and gain of a selection on tables with merged ties ``(B, K)``: shapes ``(B,)``.

    KL_N = sum (G(F) - G(F-)) log((G(F) - G(F-)) / p) over the reward's levels.
    """
    above = np.zeros_like(p)
    above[..., :-1] = np.cumsum(p[..., :0:-1], axis=-1)[..., ::-1]
    below = np.cumsum(p, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_f = np.where(above < 0.5, np.log1p(-np.minimum(above, 0.5)), np.log(below))
        f = np.exp(log_f)
        ratio = np.where(below > p, np.minimum(p / below, 1.0), 1.0)
        log_ratio = np.log1p(-ratio)
        # log of the level's new mass: log G(F) + log(1 - G(F-) / G(F))
        log_mass = select.log_cdf(log_f, above) + np.log(-np.expm1(select.log_drop(log_ratio, p)))
        log_density = np.where(p > 0, log_mass - np.log(p), 0.0)
        mass = np.where(p > 0, np.exp(log_mass), 0.0)
        # p (rho log rho - rho + 1): the terms added sum to zero and leave nothing negative
        kl = (mass * np.where(mass > 0, log_density, 0.0) + (p - mass)).sum(axis=-1)
        lift = np.where(p > 0, -f * np.expm1(select.log_cdf(log_f, above) - log_f), 0.0)
    # F - G(F) is constant up to the next level that has probability
    steps = _next_level(p, d) - d
    return kl, (np.where(p > 0, lift, 0.0) * steps).sum(axis=-1)


def _next_level(p: Array, d: Array) -> Array:
    """The next reward above each entry that has probability, its own where there is none."""
    out = d.copy()
    following = d[..., -1].copy()
    seen = p[..., -1] > 0
    for k in range(d.shape[-1] - 2, -1, -1):
        out[..., k] = np.where(seen, following, d[..., k])
        alive = p[..., k] > 0
        following, seen = np.where(alive, d[..., k], following), seen | alive
    return out


def soft_curve(p: Array, d: Array, n: int, beta: float) -> tuple[Array, Array]:
    """KL and gain of soft best-of-N on tables ``(B, K)`` of centred rewards ``d``: shapes ``(B,)``.

    The density ratio to the base is rho = n E[w / (w + W)], w = exp(r / beta) and W the sum of n - 1 other draws'
    odds. It is the integral over x > 0 of n w exp(-w x) phi(x)^(n - 1), phi(x) = E exp(-w x): trapezoidal in
    log x, where the rule converges exponentially.
    """
    kl, gain = np.zeros(len(p)), np.zeros(len(p))
    if n == 1:
        return kl, gain
    for b in range(len(p)):
        kept = p[b] > 1e-32  # rho is at most n
        q, reward = p[b][kept], d[b][kept]
        log_rho = _soft_density(q, reward / beta, n)
        rho = np.exp(log_rho)
        log_rho = np.where(rho > 0, log_rho, 0.0)
        # the terms added sum to zero and leave nothing negative
        kl[b], gain[b] = (q * (rho * log_rho - rho + 1.0)).sum(), (q * (rho - 1.0) * reward).sum()
    return kl, gain


def _soft_density(p: Array, log_w: Array, n: int) -> Array:
    step = 0.25
    v = lattice(-log_w.max() - np.log(n) - 40.0, -log_w.min() + 4.5, step)
    log_phi = np.empty_like(v)
    for block in np.array_split(np.arange(v.size), p.size * v.size // 500_000 + 1):
        wx = np.exp(np.minimum(log_w[:, None] + v[block], 7.0))
        lost = -(p @ np.expm1(-wx))  # 1 - phi, accurate for small x
        with np.errstate(divide="ignore", invalid="ignore"):
            log_phi[block] = np.where(lost < 0.5, np.log1p(-lost), np.log(p @ np.exp(-wx)))
    out = np.empty_like(p)
    for block in np.array_split(np.arange(p.size), p.size * v.size // 500_000 + 1):
        exponent = np.minimum(log_w[block, None] + v, 7.0)
        out[block] = np.exp(exponent - np.exp(exponent) + (n - 1) * log_phi).sum(axis=1)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(n * step * out))
