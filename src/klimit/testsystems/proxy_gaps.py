"""What optimising a proxy costs at a given beta, on tables: identities by quadrature, and bounds.

With gold reward r, proxy s, error e = s - r, and pi_u the base policy tilted by (r + u e) / beta, so that pi_0 is the
policy optimal for gold and pi_1 that for the proxy (averages over prompts throughout):

    gap    = E_pi_0[r] - E_pi_1[r] = -(1/beta) integral over u in [0, 1] of Cov_pi_u(r, e)
           <= E_x[span_x(r) span_x(e)] / (4 beta) in size,
    regret = beta KL(pi_1 || pi_0)  =  (1/beta) integral of u Var_pi_u(e)
           <= E_x[span_x(e)^2] / (8 beta).
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad_vec

from klimit.limit.roots import Array
from klimit.testsystems.proxy_path import below_top, kl_terms, log_ratio


def span(p: Array, values: Array) -> Array:
    """Largest less smallest of the outputs that have probability, ``(P,)``."""
    inside = p > 0
    most = np.where(inside, values, -np.inf).max(axis=-1)
    return np.asarray(most - np.where(inside, values, np.inf).min(axis=-1))


def divergence(p: Array, of: Array, other: Array, t: float) -> float:
    """KL of the policy tilted by ``of`` from that tilted by ``other``, both by ``t``."""
    first, second = (log_ratio(p, below_top(p, reward), np.asarray(t)) for reward in (of, other))
    inside = p > 0
    ratio = np.where(inside, first, 0.0) - np.where(inside, second, 0.0)
    return float(kl_terms(p * np.exp(first), p * np.exp(second), ratio).mean())


def along_errors(p: Array, gold: Array, error: Array, t: float) -> Array:
    """Integrals over u in [0, 1] of Cov_pi_u(r, e) and of u Var_pi_u(e), shape ``(2,)``."""

    def moments(u: float) -> Array:
        q = p * np.exp(log_ratio(p, below_top(p, gold + u * error), np.asarray(t)))
        of_gold = gold - (q * gold).sum(axis=-1, keepdims=True)
        of_error = error - (q * error).sum(axis=-1, keepdims=True)
        shared, own = ((q * of_error * other).sum(axis=-1).mean() for other in (of_gold, of_error))
        return np.array([shared, u * own])

    size = float((span(p, error) * (span(p, gold) + span(p, error))).mean())
    if size == 0.0:
        return np.zeros(2)
    integral, _ = quad_vec(moments, 0.0, 1.0, epsabs=1e-14 * size, epsrel=1e-13, norm="max", limit=2000)
    return np.asarray(integral)
