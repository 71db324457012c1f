"""Policies that select by rank alone, best-of-N and its kin: their KL when rewards tie.

Such a policy maps the base policy's cdf u of the reward to its own, G(u). Without ties its KL is the integral of
G' log G' over [0, 1]; ties broken blindly average G' over each level, which takes from it (Jensen)

    loss(F-, F) = integral over [F-, F] of G' log G' - (G(F) - G(F-)) log [(G(F) - G(F-)) / (F - F-)]  >= 0,

a function of two multinomial shares, corrected for bias by a jackknife of order up to 4 as in
:mod:`klimit.policies.ties`, which is the same for best-of-N by a shorter way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from klimit.policies.levels import Floats, Ints, Levels
from klimit.policies.ties import choose, cubic_ratio, jackknife_order


@dataclass(frozen=True)
class RankPolicy:
    """A policy that selects by rank alone.

    Attributes:
        cdf: G(u) for u in [0, 1].
        entropy: the integral of G' log G' from 0 to u, up to a constant.
        draws: expected number of base draws, at least 1.
    """

    cdf: Callable[[Floats], Floats]
    entropy: Callable[[Floats], Floats]
    draws: float

    def untied_kl(self) -> float:
        """The KL without ties: an upper bound in every case."""
        ends = self.entropy(np.array([0.0, 1.0]))
        return float(ends[1] - ends[0])

    def loss(self, low: Floats, high: Floats) -> Floats:
        """What blindness to ties takes from the KL at levels between the cdf values ``low`` < ``high``."""
        mass, width = self.cdf(high) - self.cdf(low), high - low
        ratio = np.divide(mass, width, out=np.ones(mass.shape), where=(mass > 0) & (width > 0))
        return np.asarray(self.entropy(high) - self.entropy(low) - mass * np.log(ratio))


def best_of(n: int) -> RankPolicy:
    """Best of ``n`` draws: G = u^n."""

    def entropy(u: Floats) -> Floats:
        power = u**n
        log_u = np.log(u, out=np.zeros(u.shape), where=u > 0)
        return np.asarray(power * (math.log(n) - (n - 1) / n + (n - 1) * log_u))

    return RankPolicy(lambda u: u**n, entropy, n)


def best_of_poisson(mu: float) -> RankPolicy:
    """Best of 1 + Poisson(``mu``) draws: G = u exp(mu (u - 1)) (arXiv:2506.19248).

    With s = 1 + mu u the entropy is G log G' - G + exp(-1 - mu) Ei(s) / mu.
    """

    def cdf(u: Floats) -> Floats:
        return np.asarray(u * np.exp(mu * (u - 1)))

    def entropy(u: Floats) -> Floats:
        s = 1 + mu * u
        rest = np.exp(mu * (u - 1)) * _scaled_ei(s) / mu
        return np.asarray(cdf(u) * (np.log(s) + mu * (u - 1) - 1) + rest)

    return RankPolicy(cdf, entropy, 1 + mu)


def level_loss(policy: RankPolicy, at: Ints, upto: Ints, n: int) -> tuple[Floats, Floats]:
    """Estimates of the loss at levels with ``at`` of ``n`` completions and ``upto`` at or below them.

    Returns:
        The jackknife of full order, and of one order less.
    """
    order = int(jackknife_order(np.array(n), policy.draws))
    count, reached = at.astype(np.float64), upto.astype(np.float64)
    below, above = reached - count, n - reached
    means = []
    for d in range(order + 1):
        total = n - d
        mean = np.zeros(len(at))
        for i in range(d + 1):
            for j in range(d + 1 - i):
                chance = choose(below, i) * choose(count, j) * choose(above, d - i - j) / math.comb(n, d)
                left, top = np.maximum(count - j, 0.0), np.maximum(reached - i - j, 0.0)
                plug_in = policy.loss(np.maximum(top - left, 0.0) / total, np.minimum(top / total, 1.0))
                mean += np.where(chance > 0, chance * cubic_ratio(left, float(total)) * plug_in, 0.0)
        means.append(mean)

    def combine(k: int) -> Floats:
        terms = [
            (-1) ** d * math.comb(k, d) / math.factorial(k) * (n - d) ** k * means[d] for d in range(k + 1)
        ]
        return np.asarray(sum(terms))

    return combine(order), combine(order - 1) if order else np.zeros(len(at))


def kl_loss(policy: RankPolicy, levels: Levels, n: int, n_prompts: int) -> tuple[Floats, Floats]:
    """What ties take from the policy's KL, in nats, one estimate a prompt; see :func:`level_loss`.

    Args:
        policy: which one.
        levels: tied levels of prompts with ``n`` completions each.
        n: completions of each of these prompts.
        n_prompts: length of the results; zero for the other prompts.
    """
    key, place = np.unique(levels.upto * (n + 1) + levels.at, return_inverse=True)
    upto, at = np.divmod(key, n + 1)
    losses = level_loss(policy, at, upto, n)

    def total(loss: Floats) -> Floats:
        sums = np.bincount(levels.prompt, weights=loss[place], minlength=n_prompts)
        return np.asarray(sums, dtype=np.float64)

    return total(losses[0]), total(losses[1])


def _scaled_ei(x: Floats) -> Floats:
    """exp(-x) Ei(x) for x >= 1, by its asymptotic series where Ei overflows or nearly so."""
    from scipy.special import expi

    out = np.empty(x.shape)
    small = x <= 50
    out[small] = np.exp(-x[small]) * expi(x[small])
    large = x[~small]
    term, series = np.ones(large.shape), np.ones(large.shape)
    for k in range(1, 40 if len(large) else 1):
        term = term * (k / large)
        series = series + term
    out[~small] = series / large
    return out
