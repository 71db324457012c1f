"""The best weights of an ensemble's members, and what they are worth on prompts that did not choose them.

Within-prompt correlation with gold is largest for weights proportional to ``C^-1 c``: ``C`` the members'
covariance, ``c`` theirs with gold (generalised least squares). With weights that cannot be negative it is a
non-negative least-squares problem in the same moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from klimit.audits.measured import Array
from klimit.ensembles.moments import PromptMoments, Stack
from klimit.policies.intervals import t_quantile
from klimit.values import Value

_WAYS = ("best", "nonnegative", "equal", "single")
_DEPENDENT = 1e-8  # smallest eigenvalue of the members' correlations, below which no weights are unique
_FEWEST_PROMPTS = 10
_REPEATS = 4
_GROUPS = 20


@dataclass(frozen=True, eq=False)
class BestWeights:
    """Weights of the standardised members, their absolute values summing to 1, and their worth on held-out prompts.

    Held out: prompts fall into random folds, several times over; weights, and the best single member, are
    chosen on the other folds. Differences are paired: the same held-out prompts. Intervals are those of the
    jackknife over groups of prompts with the whole cross-validation done anew, so that they hold the chance of
    what was chosen as well; where members hardly differ they are wide rather than short.

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


def best_weights(
    chosen_by: PromptMoments, judged_by: PromptMoments, *, level: float, folds: int, seed: int
) -> BestWeights | None:
    """From within-prompt moments of K members and, last, gold.

    Args:
        chosen_by: moments that choose weights: positive semi-definite, so those of members as they are standardised.
        judged_by: moments that judge them on held-out prompts: those without the bias of few completions.
        level: nominal cover.
        folds: of the cross-validation.
        seed: of the folds.

    Returns:
        None where members depend linearly on each other, or the prompts are too few to hold any out.
    """
    n_prompts, n_members = len(chosen_by.each), len(chosen_by.mean) - 1
    if n_prompts < _FEWEST_PROMPTS or _dependent(chosen_by.mean):
        return None
    rng = np.random.default_rng(seed)
    splits = [rng.permutation(n_prompts) % min(folds, n_prompts) for _ in range(_REPEATS)]
    group = rng.permutation(n_prompts) % min(_GROUPS, n_prompts)
    worth = _cross_validated(chosen_by, judged_by, np.ones(n_prompts, dtype=bool), splits)
    without = np.stack(
        [_cross_validated(chosen_by, judged_by, group != one, splits) for one in np.unique(group)]
    )
    if np.isnan(worth[:1]).any():
        return None
    signs = np.sign(linear(chosen_by.mean))
    chosen = chosen_by.derive(lambda stack: _normalised(stack, signs))
    nonnegative = nonnegative_weights(chosen_by.mean)
    total = nonnegative.sum()
    worth_of = dict(zip(_WAYS, np.vstack([worth, without]).T, strict=True))

    def value(way: str, less: str | None = None) -> Value:
        found = worth_of[way] - (worth_of[less] if less is not None else 0.0)
        return _jackknife(float(found[0]), found[1:], level)

    return BestWeights(
        weights=tuple(chosen[k].interval(level) for k in range(n_members)),
        nonnegative=nonnegative / total if total > 0 else nonnegative,
        folds=min(folds, n_prompts),
        best=value("best"),
        best_nonnegative=value("nonnegative"),
        equal=value("equal"),
        single=value("single"),
        best_less_equal=value("best", "equal"),
        nonnegative_less_equal=value("nonnegative", "equal"),
        best_less_single=value("best", "single"),
        equal_less_single=value("equal", "single"),
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


def _cross_validated(
    chosen_by: PromptMoments,
    judged_by: PromptMoments,
    kept: NDArray[np.bool_],
    splits: list[NDArray[np.int64]],
) -> Array:
    """Held-out correlations with gold of each way to choose weights, ``(4,)``; nan where none can be."""
    covariance, variance = np.zeros(len(_WAYS)), np.zeros(len(_WAYS))
    for fold in splits:
        for one in np.unique(fold[kept]):
            others = chosen_by.each[kept & (fold != one)].mean(axis=0)
            if _dependent(others):
                return np.full(len(_WAYS), np.nan)
            out = judged_by.each[kept & (fold == one)].sum(axis=0)
            weights = np.stack(_choices(others))
            # Of one variance in training, so that folds can be pooled.
            scale = np.sqrt(np.einsum("qk,kl,ql->q", weights, others[:-1, :-1], weights))
            weights /= np.where(scale > 0, scale, 1.0)[:, None]
            covariance += weights @ out[:-1, -1]
            variance += np.einsum("qk,kl,ql->q", weights, out[:-1, :-1], weights)
    gold = len(splits) * judged_by.each[kept, -1, -1].sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(covariance / np.sqrt(variance * gold))


def _jackknife(value: float, without: Array, level: float) -> Value:
    """Student's interval from the values without each group of prompts, ``(G,)``."""
    groups = len(without)
    error = np.sqrt((groups - 1) / groups * ((without - without.mean()) ** 2).sum())
    half = t_quantile(level, groups) * float(error)
    return Value(value, value - half, value + half)


def _choices(matrix: Array) -> list[Array]:
    """Weights by each of the ways, in their order."""
    n_members = len(matrix) - 1
    alone = matrix[:-1, -1] / np.sqrt(np.diag(matrix)[:-1])
    best_one = np.eye(n_members)[int(np.argmax(alone))]
    return [linear(matrix), nonnegative_weights(matrix), np.ones(n_members), best_one]


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
