"""Selection by a proxy on tables: best-of-N and Best-of-Poisson, with what they do to the gold reward.

Ties of the proxy are broken blindly: the outputs of one proxy level share its new mass as they do in the base policy,
so that gold only counts by its mean over each level.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from klimit.limit.roots import Array
from klimit.testsystems.selection import Selection, merge_ties, table_curve


class ProxyCurve(NamedTuple):
    """Policies on the planes of KL and reward, averages over prompts.

    Attributes:
        kl: KL(policy || base), nats per completion.
        proxy_gain: mean proxy reward less the base policy's.
        gold_gain: mean gold reward less the base policy's.
    """

    kl: Array
    proxy_gain: Array
    gold_gain: Array


class Levels(NamedTuple):
    """Each row's proxy levels in ascending order: base mass, reward, and mean of the gold reward there, ``(P, K)``.

    A level's mass stands at its first entry; the others have 0.
    """

    mass: Array
    proxy: Array
    gold: Array


def proxy_levels(p: Array, gold: Array, proxy: Array) -> Levels:
    """Levels of the proxy, both rewards centred under the base policy."""
    mass, ordered = merge_ties(p, proxy)
    ordered = ordered - (mass * ordered).sum(axis=-1, keepdims=True)
    # what lies on a level is summed by where its first entry stands
    order = np.argsort(proxy, axis=-1, kind="stable")
    level = np.take_along_axis(proxy, order, axis=-1)
    first = np.ones(level.shape, dtype=bool)
    first[:, 1:] = level[:, 1:] != level[:, :-1]
    total = np.zeros_like(mass)
    shares = np.take_along_axis(p * gold, order, axis=-1).reshape(-1)
    total[first] = np.bincount(np.cumsum(first.reshape(-1)) - 1, weights=shares)
    return Levels(mass, ordered, np.divide(total, mass, out=np.zeros_like(mass), where=mass > 0))


def selected_mass(p: Array, select: Selection) -> Array:
    """New mass G(F) - G(F-) of every level, both tails accurate."""
    above = np.zeros_like(p)
    above[..., :-1] = np.cumsum(p[..., :0:-1], axis=-1)[..., ::-1]
    below = np.cumsum(p, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_f = np.where(above < 0.5, np.log1p(-np.minimum(above, 0.5)), np.log(below))
        share = np.where(below > p, np.minimum(p / below, 1.0), 1.0)
        mass = np.exp(select.log_cdf(log_f, above)) * -np.expm1(select.log_drop(np.log1p(-share), p))
    return np.where(p > 0, mass, 0.0)


def selection_curve(levels: Levels, select: Selection) -> tuple[float, float, float]:
    """KL, proxy gain and gold gain of one selection."""
    kl, proxy_gain = table_curve(levels.mass, levels.proxy, select)
    gold_gain = ((selected_mass(levels.mass, select) - levels.mass) * levels.gold).sum(axis=-1)
    return float(kl.mean()), float(proxy_gain.mean()), float(gold_gain.mean())
