"""What optimising a proxy instead of gold costs at one beta, beside the bounds on it.

With error ``e = s - r`` (a constant per prompt does not matter), ``pi_s`` and ``pi_r`` tilted at the same beta, and
``pi_u`` tilted by ``r + u e``:

* gap ``E_pi_r[r] - E_pi_s[r] = -(1/beta) * integral over u in [0, 1] of Cov_pi_u(r, e)``, hence at most
  ``span(r) span(e) / (4 beta)`` in size; not monotone in the error or in beta;
* regret ``beta KL(pi_s || pi_r) = (1/beta) * integral of u Var_pi_u(e) <= span(e)**2 / (8 beta)``: the loss in the
  KL-penalised objective, which grows with the error's scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from klimit.audits.measured import Array
from klimit.values import Value

Ints = NDArray[np.int64]

_NODES = 16  # of each piece of the path
_PIECE = 8.0  # by how much the exponent may vary on a piece
_MOST_PIECES = 64


@dataclass(frozen=True)
class Gap:
    """Gap and regret at one beta.

    Attributes:
        beta: proxy (and gold) reward per nat.
        gap: gold of the gold-tilted policy less gold of the proxy-tilted one.
        gap_bound: ``E_x span_x(r) span_x(e) / (4 beta)``, by the spans seen in the samples: larger ones may be unseen.
        regret: ``beta KL(pi_s || pi_r)``.
        regret_bound: ``E_x span_x(e)**2 / (8 beta)``, by the spans seen.
        status: ``"estimate"``; ``"bracket"`` where a tilt lies beyond its horizon: then only the bounds are given.
        plug_in_gap: the gap of the samples taken for the policy itself (biased), for the identities below.
        path_gap: the same as an integral of covariances along the path from gold to proxy.
        plug_in_regret: the regret of the samples.
        path_regret: the same as an integral of variances.
    """

    beta: float
    gap: Value
    gap_bound: float
    regret: Value
    regret_bound: float
    status: str
    plug_in_gap: float
    path_gap: float
    plug_in_regret: float
    path_regret: float


@dataclass(frozen=True)
class Path:
    """The identities on the samples themselves, averaged over prompts; see :class:`Gap`."""

    plug_in_gap: float
    path_gap: float
    plug_in_regret: float
    path_regret: float
    gap_bound: float
    regret_bound: float


def along_path(proxy: Array, gold: Array, offsets: Ints, beta: float) -> Path:
    """Both sides of the identities, and the bounds, for each prompt's samples as its law.

    Args:
        proxy: ``(n,)``.
        gold: ``(n,)``.
        offsets: ``(P + 1,)``.
        beta: above 0.
    """
    starts = offsets[:-1]
    prompt = np.repeat(np.arange(len(starts)), np.diff(offsets))
    error = proxy - gold
    r, e = gold - _of(np.maximum, gold, starts)[prompt], error - _of(np.maximum, error, starts)[prompt]
    spans = [_of(np.maximum, x, starts) - _of(np.minimum, x, starts) for x in (gold, error)]
    nodes, weights = _path_rule(float(spans[1].max()) / beta)
    points = np.concatenate([[0.0, 1.0], nodes])
    moments = np.array([_tilted(r, e, u, beta, starts, prompt) for u in points])
    mean_r, covariance, variance, log_partition, mean_e = moments.transpose(1, 0, 2)
    path_gap = -(weights @ covariance[2:]) / beta
    path_regret = (weights * nodes) @ variance[2:] / beta
    # KL(pi_s || pi_r) = E_s[e] / beta - L_s + L_r.
    regret = mean_e[1] - beta * (log_partition[1] - log_partition[0])
    return Path(
        plug_in_gap=float((mean_r[0] - mean_r[1]).mean()),
        path_gap=float(path_gap.mean()),
        plug_in_regret=float(regret.mean()),
        path_regret=float(path_regret.mean()),
        gap_bound=float((spans[0] * spans[1]).mean() / (4 * beta)),
        regret_bound=float((spans[1] ** 2).mean() / (8 * beta)),
    )


def _path_rule(exponent: float) -> tuple[Array, Array]:
    """Nodes and weights on [0, 1]: Gauss and Legendre's rule on pieces, finer where the exponent varies much."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    pieces = int(np.clip(np.ceil(exponent / _PIECE), 1, _MOST_PIECES))
    starts = np.arange(pieces)[:, None]
    return ((starts + (nodes + 1) / 2) / pieces).reshape(-1), np.tile(weights / 2 / pieces, pieces)


def _of(ufunc: np.ufunc, values: Array, starts: Ints) -> Array:
    return np.asarray(ufunc.reduceat(values, starts), dtype=np.float64)


def _tilted(r: Array, e: Array, u: float, beta: float, starts: Ints, prompt: Ints) -> Array:
    """Of each prompt's samples tilted by ``r + u e``: ``E r, Cov(r, e), Var e, log-partition, E e``; ``(5, P)``."""
    x = (r + u * e) / beta
    top = _of(np.maximum, x, starts)
    w = np.exp(x - top[prompt])
    total = np.add.reduceat(w, starts)
    w /= total[prompt]
    mean_r, mean_e = np.add.reduceat(w * r, starts), np.add.reduceat(w * e, starts)
    dr, de = r - mean_r[prompt], e - mean_e[prompt]
    counts = np.bincount(prompt).astype(np.float64)
    log_partition = top + np.log(total / counts)
    covariance, variance = np.add.reduceat(w * dr * de, starts), np.add.reduceat(w * de**2, starts)
    return np.stack([mean_r, covariance, variance, log_partition, mean_e])
