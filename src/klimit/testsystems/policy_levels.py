"""Laws of the reward on tables: outputs of exactly equal reward within a prompt, taken together.

Tables are arrays ``(P, K)``: one row a prompt, one column an output. Laws are aligned with the outputs sorted by
reward: each level's mass stands at its first output, the others have 0.
"""

from __future__ import annotations

import numpy as np

from klimit.limit.roots import Array
from klimit.testsystems.numerics import log1p_minus
from klimit.testsystems.selection import merge_ties


def kl_rows(q: Array, p: Array) -> Array:
    """KL(q || p) of every row, nats; infinite where q has mass that p has not.

    Its terms, p phi(q / p) with phi(1 + e) = (1 + e) log(1 + e) - e, are all >= 0.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        e = np.where(q == p, 0.0, (q - p) / p)
        far = q * np.log(q / p) - (q - p)
    near = np.where(np.abs(e) < 0.5, e, 0.0)
    terms = np.where(np.abs(e) < 0.5, p * ((1.0 + near) * log1p_minus(near) + near**2), far)
    terms = np.where(q > 0, terms, p)
    return np.asarray(np.where((q > 0) & (p == 0), np.inf, terms).sum(axis=-1))


def reward_law(p: Array, r: Array) -> Array:
    """Mass of each level of the reward, ``(P, K)``."""
    return merge_ties(p, r)[0]


def spread_law(law: Array, p: Array, r: Array) -> Array:
    """The policy whose reward has the law given, outputs of one reward sharing its mass as they do in ``p``."""
    order = np.argsort(r, axis=-1, kind="stable")
    sorted_r = np.take_along_axis(r, order, axis=-1)
    first = np.ones(r.shape, dtype=bool)
    first[..., 1:] = sorted_r[..., 1:] != sorted_r[..., :-1]
    level = np.cumsum(first.reshape(-1)) - 1
    sorted_p = np.take_along_axis(p, order, axis=-1).reshape(-1)
    base, new = reward_law(p, r)[first], law[first]
    share = np.divide(new, base, out=np.zeros_like(base), where=base > 0)
    alone = (np.bincount(level, weights=sorted_p > 0) == 1)[level] & (sorted_p > 0)
    spread = np.where(alone, new[level], sorted_p * share[level])  # one output takes all, without rounding
    out = np.empty_like(p)
    np.put_along_axis(out, order, spread.reshape(p.shape), axis=-1)
    return out


def best_of_law(law: Array, n: float) -> Array:
    """The law of the largest of ``n`` independent draws: F^n - F-^n, both tails accurate."""
    above = np.zeros_like(law)
    above[..., :-1] = np.cumsum(law[..., :0:-1], axis=-1)[..., ::-1]
    below = np.cumsum(law, axis=-1)
    with np.errstate(divide="ignore"):
        log_f = np.where(above < 0.5, np.log1p(-np.minimum(above, 0.5)), np.log(below))
        share = np.where(below > law, np.divide(law, below, out=np.ones_like(law), where=below > 0), 1.0)
        kept = np.exp(n * log_f) * -np.expm1(n * np.log1p(-np.minimum(share, 1.0)))
    return np.where(law > 0, kept, 0.0)


def win_rates(law: Array, base_law: Array) -> Array:
    """Probability that a draw from ``law`` has more reward than one from ``base_law``, ties half, of every row."""
    below = np.cumsum(base_law, axis=-1) - 0.5 * base_law
    return np.asarray((law * below).sum(axis=-1))
