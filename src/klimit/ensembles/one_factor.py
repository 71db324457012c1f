"""One common factor behind several proxies: ``R_ij = l_i l_j`` off the diagonal of their correlation matrix.

Three proxies determine it (``l_i^2 = R_ij R_ik / R_jk``: triple collocation in the covariance notation). More
than three determine it more than once: it is fitted by least squares to all correlations together, and what it
cannot fit tests it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from klimit.audits.measured import Array
from klimit.ensembles.moments import Derived, Stack, root

_NEWTON_STEPS = 6
_SINGULAR = 1e-10


@dataclass(frozen=True)
class OverIdentification:
    """Whether one factor explains all correlations of more than three proxies.

    The squared distance of the correlations from the fitted ``l_i l_j``, against its law when they are those of
    one factor: a weighted sum of chi-squares, by its mean and variance (Satterthwaite).

    Attributes:
        statistic: the distance, scaled to a chi-square.
        freedom: its degrees of freedom.
        p_value: probability of so large a distance if one factor were all. Small: some proxies share an error
            that others do not have, or the relation is not linear. It cannot see an error that **all** proxies
            share: that is a factor.
    """

    statistic: float
    freedom: float
    p_value: float


def triples(covariance: Array) -> tuple[list[tuple[int, int, int]], Array]:
    """Reliabilities ``C_ij C_ik / (C_jk C_ii)`` by every triple.

    Returns:
        The triples, and for each its members' reliabilities, ``(T, 3)``, nan where the three covariances have a
        negative product, so that there is no common factor.
    """
    places = list(combinations(range(len(covariance)), 3))
    i, j, k = np.array(places).T
    found = np.empty((len(places), 3))
    sides = {0: (i, j, k), 1: (j, i, k), 2: (k, i, j)}
    possible = covariance[i, j] * covariance[i, k] * covariance[j, k] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        for column, (one, two, three) in sides.items():
            ratio = (
                covariance[one, two] * covariance[one, three] / covariance[two, three] / covariance[one, one]
            )
            found[:, column] = np.where(possible, ratio, np.nan)
    return places, found


def to_correlations(stack: Stack) -> Stack:
    """Covariance matrices ``(b, K, K)`` as correlation matrices: what the fit sees knows no unit."""
    deviation = root(np.diagonal(stack, axis1=-2, axis2=-1))
    return np.asarray(stack / deviation[..., :, None] / deviation[..., None, :])


def fit(correlation: Array) -> Array | None:
    """Loadings ``(K,)`` that fit the correlations off the diagonal best; the majority's are positive.

    Returns:
        None where no factor is determined, because the product of three correlations is not positive, or fewer than
        three proxies have anything in common.
    """
    from scipy.optimize import least_squares

    n = len(correlation)
    rows, columns = np.triu_indices(n, 1)
    if n == 3:
        first, second, third = correlation[0, 1], correlation[0, 2], correlation[1, 2]
        if not first * second * third > 0:
            return None
        largest = np.sqrt(first * second / third)
        return _signed(np.array([largest, first / largest, second / largest]))
    reduced = correlation - np.diag(np.diag(correlation))
    reduced += np.diag(np.abs(reduced).max(axis=1))
    size, vectors = np.linalg.eigh(reduced)
    start = vectors[:, -1] * np.sqrt(size[-1])

    def misfit(loadings: Array) -> Array:
        return np.asarray(correlation[rows, columns] - loadings[rows] * loadings[columns])

    found = least_squares(misfit, start, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    curvature = np.linalg.eigvalsh(
        _hessian(correlation[None].astype(complex), found[None].astype(complex))[0].real
    )
    if not curvature[0] > _SINGULAR:
        return None
    return _signed(found)


def refit(stack: Stack, loadings: Array) -> Stack:
    """Loadings of matrices a hair away from the one that ``loadings`` fit, by Newton's method: ``(b, K)``."""
    found = np.repeat(loadings[None].astype(complex), len(stack), axis=0)
    for _ in range(_NEWTON_STEPS):
        found = found - np.linalg.solve(_hessian(stack, found), _gradient(stack, found)[..., None])[..., 0]
    return found


def residuals(stack: Stack, loadings: Stack) -> Stack:
    """What the factor leaves of the correlations off the diagonal, ``(b, K (K - 1) / 2)``."""
    rows, columns = np.triu_indices(stack.shape[-1], 1)
    return np.asarray(stack[:, rows, columns] - loadings[:, rows] * loadings[:, columns])


def over_identification(misfit: Derived) -> OverIdentification | None:
    """The test, from the residuals and each prompt's influence on them; None where prompts do not differ."""
    from scipy.special import chdtrc

    n_prompts, n_members = len(misfit.influence), (1 + np.sqrt(1 + 8 * len(misfit))) / 2
    spread = misfit.influence.T @ misfit.influence / (n_prompts - 1)
    mean = float(np.trace(spread))
    if not mean > 0:
        return None
    # The trace of a squared sample covariance is too large by that of few prompts: removed (exactly, for Gaussians).
    p = n_prompts - 1
    square = p**2 / ((p - 1) * (p + 2)) * (float((spread**2).sum()) - mean**2 / p)
    most = n_members * (n_members - 3) / 2
    freedom = float(np.clip(mean**2 / square, 1.0, most)) if square > 0 else most
    statistic = n_prompts * float((misfit.values**2).sum()) / mean * freedom
    return OverIdentification(statistic, freedom, float(chdtrc(freedom, statistic)))


def _signed(loadings: Array) -> Array:
    return loadings if loadings.sum() >= 0 else -loadings


def _off_diagonal(stack: Stack, loadings: Stack) -> Stack:
    left = stack - loadings[:, :, None] * loadings[:, None, :]
    return np.asarray(left * (1 - np.eye(stack.shape[-1])))


def _gradient(stack: Stack, loadings: Stack) -> Stack:
    """Half the gradient of the sum of squared residuals over pairs."""
    return np.asarray(-(_off_diagonal(stack, loadings) @ loadings[..., None])[..., 0])


def _hessian(stack: Stack, loadings: Stack) -> Stack:
    n = stack.shape[-1]
    outer = loadings[:, :, None] * loadings[:, None, :]
    square = (loadings**2).sum(axis=1, keepdims=True) - loadings**2
    off = (2 * outer - stack) * (1 - np.eye(n))
    return np.asarray(off + square[:, :, None] * np.eye(n))
