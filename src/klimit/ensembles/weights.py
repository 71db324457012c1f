"""The best weights of an ensemble's members, and what they are worth on prompts that did not choose them.

Within-prompt correlation with gold is largest for weights proportional to ``C^-1 c``: ``C`` the members' covariance, ``c``
theirs with gold (generalised least squares). With weights that cannot be negative it is a non-negative least-squares
problem in the same moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.audit.measured import Array, Measured
from klimit.ensembles.moments import PromptMoments, Stack, correlation_interval
from klimit.values import Value

_DEPENDENT = 1e-8  # smallest eigenvalue of the members' correlations, below which no weights are unique
_FEWEST_PROMPTS = 4


@dataclass(frozen=True, eq=False)
class BestWeights:
    """Weights of the standardised members, their absolute values summing to 1, and their worth on held-out prompts.

    Held out: prompts fall into random folds; weights, and the best single member, are chosen on the other folds. Differences
    are paired: the same held-out prompts.

    Attributes:
        weights: that maximise correlation with gold within prompts.
        nonnegative: the same among weights that are not negative, ``(K,)``; all 0 where no member rises with gold.
        folds: how many.
        best: held-out correlation with gold of the best weights.
        best_nonnegative: of the best that are not negative.
        equal: of equal weights.
        single: of the member that is best on the other folds.
        best_less_equal: ``best`` less ``equal``.
        nonnegative_less_equal: ``best_nonnegative`` less ``equal``.
        best_less_single: ``best`` less ``single``.
        equal_less_single: ``equal`` less ``single``.
    """

    weights: tuple[Value, ...]
    nonnegative: Array
    folds: int
    best: Value
    best_nonnegative: Value
    equal: Value
    single: Value
    best_less_equal: Value
    nonnegative_less_equal: Value
    best_less_single: Value
    equal_less_single: Value


def best_weights(moments: PromptMoments, *, level: float, folds: int, seed: int) -> BestWeights | None:
    """From within-prompt moments of K members and, last, gold.

    Returns:
        None where members depend linearly on each other, or the prompts are too few to hold any out.
    """
    n_prompts, n_members = len(moments.each), len(moments.mean) - 1
    if n_prompts < _FEWEST_PROMPTS or _dependent(moments.mean):
        return None
    signs = np.sign(linear(moments.mean))
    chosen = moments.derive(lambda stack: _normalised(stack, signs))
    nonnegative = nonnegative_weights(moments.mean)
    total = nonnegative.sum()
    folds = min(folds, n_prompts)
    fold = np.random.default_rng(seed).permutation(n_prompts) % folds
    ways: dict[str, Array] = {
        name: np.empty((n_prompts, n_members)) for name in ("best", "nonnegative", "equal", "single")
    }
    for one in range(folds):
        others = moments.each[fold != one].mean(axis=0)
        if _dependent(others):
            return None
        for name, weights in _choices(others).items():
            # Of one variance in training, so that folds can be pooled.
            scale = np.sqrt(weights @ others[:-1, :-1] @ weights)
            ways[name][fold == one] = weights / scale if scale > 0 else weights
    worth = {name: held_out(moments, weights) for name, weights in ways.items()}
    return BestWeights(
        weights=tuple(chosen[k].interval(level) for k in range(n_members)),
        nonnegative=nonnegative / total if total > 0 else nonnegative,
        folds=folds,
        best=correlation_interval(worth["best"], level),
        best_nonnegative=correlation_interval(worth["nonnegative"], level),
        equal=correlation_interval(worth["equal"], level),
        single=correlation_interval(worth["single"], level),
        best_less_equal=(worth["best"] - worth["equal"]).interval(level),
        nonnegative_less_equal=(worth["nonnegative"] - worth["equal"]).interval(level),
        best_less_single=(worth["best"] - worth["single"]).interval(level),
        equal_less_single=(worth["equal"] - worth["single"]).interval(level),
    )


def linear(matrix: Array) -> Array:
    """``C^-1 c`` from a covariance matrix of members and, last, gold."""
    return np.asarray(np.linalg.solve(matrix[:-1, :-1], matrix[:-1, -1]))


def nonnegative_weights(matrix: Array) -> Array:
    """The weights, not negative, that maximise correlation with gold; up to scale.

    They minimise ``w'Cw - 2w'c``: with ``C = L L'``, the non-negative least squares of ``L'w`` against ``L^-1 c``.
    """
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import nnls

    lower = cholesky(matrix[:-1, :-1], lower=True)
    found, _ = nnls(lower.T, solve_triangular(lower, matrix[:-1, -1], lower=True))
    return np.asarray(found)


def held_out(moments: PromptMoments, weights: Array) -> Measured:
    """Correlation with gold within prompts of sums weighted prompt by prompt, ``(P, K)``, the weights taken as given."""
    each = moments.each
    covariance = Measured.mean(np.einsum("pk,pk->p", weights, each[:, :-1, -1]))
    variance = Measured.mean(np.einsum("pk,pkl,pl->p", weights, each[:, :-1, :-1], weights))
    gold = Measured.mean(each[:, -1, -1])
    if not (variance.value > 0 and gold.value > 0):
        return Measured(float("nan"), np.full(len(each), np.nan))
    unit = 1 / np.sqrt(variance.value * gold.value)
    value = covariance.value * unit
    lost = variance.influence / variance.value + gold.influence / gold.value
    return Measured(value, covariance.influence * unit - value / 2 * lost)


def _choices(matrix: Array) -> dict[str, Array]:
    n_members = len(matrix) - 1
    alone = matrix[:-1, -1] / np.sqrt(np.diag(matrix)[:-1])
    return {
        "best": linear(matrix),
        "nonnegative": nonnegative_weights(matrix),
        "equal": np.ones(n_members),
        "single": np.eye(n_members)[int(np.argmax(alone))],
    }


def _normalised(stack: Stack, signs: Array) -> Stack:
    weights = np.linalg.solve(stack[:, :-1, :-1], stack[:, :-1, -1:])[..., 0]
    return np.asarray(weights / (weights * signs).sum(axis=1, keepdims=True))


def _dependent(matrix: Array) -> bool:
    variance = np.diag(matrix)[:-1]
    if not (variance > 0).all():
        return True
    deviation = np.sqrt(variance)
    correlation = matrix[:-1, :-1] / np.outer(deviation, deviation)
    return bool(np.linalg.eigvalsh(correlation)[0] < _DEPENDENT)
