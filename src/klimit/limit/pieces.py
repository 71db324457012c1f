"""The identities of the limit on the samples themselves: both KL directions, and the gain by three routes.

These are exact statements about the empirical law of the samples (each prompt's completions, equally likely), not
estimates of the base policy's: the plug-in of :mod:`klimit.limit.estimator`, biased low. They show that the limit is a
Jeffreys divergence and a covariance under the base policy (arXiv:2605.07105).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.errors import InputError
from klimit.limit import exact
from klimit.limit.preparation import Rewards


@dataclass(frozen=True)
class Pieces:
    """Averages over prompts, of the samples tilted by ``exp(r / beta)``.

    Attributes:
        beta: reward per nat.
        kl: ``KL(pi_beta || pi0)``, nats per completion.
        kl_reverse: ``KL(pi0 || pi_beta)``.
        gain_jeffreys: ``beta * (kl + kl_reverse)``.
        gain_covariance: ``Cov(r, exp(r / beta)) / E exp(r / beta)``, all under the base policy.
        gain_difference: the tilted mean less the base mean.
    """

    beta: float
    kl: float
    kl_reverse: float
    gain_jeffreys: float
    gain_covariance: float
    gain_difference: float


def pieces(rewards: Rewards, beta: float) -> Pieces:
    """The pieces at ``beta``, each by a route of its own.

    Raises:
        InputError: beta is not a finite number above 0.
    """
    if not (np.isfinite(beta) and beta > 0):
        raise InputError(f"beta={beta!r}: give a finite number above 0, in reward per nat")
    t = 1 / beta
    totals = np.zeros(4)
    for n in np.unique(rewards.counts).astype(int):
        starts = rewards.offsets[:-1][rewards.counts == n]
        for first in range(0, len(starts), 256):
            r = rewards.values[starts[first : first + 256, None] + np.arange(n)].astype(np.float64)
            p = np.full(r.shape, 1 / n)
            totals += [
                exact.forward_kl(p, r, t).sum(),
                exact.reverse_kl(p, r, t).sum(),
                exact.covariance_gain(p, r, t).sum(),
                (exact.tilted_reward(p, r, t) - exact.mean_reward(p, r)).sum(),
            ]
    forward, reverse, covariance, difference = (float(x) for x in totals / rewards.n_prompts)
    return Pieces(beta, forward, reverse, beta * (forward + reverse), covariance, difference)
