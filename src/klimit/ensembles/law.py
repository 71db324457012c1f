"""The mean of k members against gold: what is measured over subsets of members, beside the law floor + rest / k."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from klimit.audits.measured import Array
from klimit.ensembles.members import Subsets
from klimit.ensembles.moments import PromptMoments, Stack, correlation_interval, root
from klimit.values import Value


@dataclass(frozen=True, eq=False)
class MembersLaw:
    """The mean of k members against gold, k = 1 ... K; arrays ``(K,)``.

    Measured: over all subsets of k members, or a seeded sample of them, each subset's mean on gold's scale by
    its own slope; then the mean over subsets. Law: ``floor + rest / k``. They part where members differ; at k =
    K they are equal.

    Attributes:
        size: k.
        subsets: subsets measured.
        complete: whether these are all there are.
        error_variance: measured, in gold's unit squared; nan where the mean of some subset does not rise with gold.
        error_variance_low: lower end.
        error_variance_high: upper end.
        law: the law's error variance.
        correlation: measured correlation with gold within prompts.
        correlation_low: lower end.
        correlation_high: upper end.
        law_correlation: the law's.
        correlation_least: of the subset that agrees least with gold.
        correlation_most: of the one that agrees most (chosen with hindsight).
    """

    size: NDArray[np.int64]
    subsets: NDArray[np.int64]
    complete: NDArray[np.bool_]
    error_variance: Array
    error_variance_low: Array
    error_variance_high: Array
    law: Array
    correlation: Array
    correlation_low: Array
    correlation_high: Array
    law_correlation: Array
    correlation_least: Array
    correlation_most: Array


def members_law(
    moments: PromptMoments, sizes: list[Subsets], floor: Value, rest: Value, gold: Value, level: float
) -> tuple[MembersLaw, Value]:
    """The law, and the correlation of the mean of all members."""
    n_members = len(sizes)
    size = np.arange(1, n_members + 1)
    weights = [_equal(subsets, n_members) for subsets in sizes]
    variances = moments.derive(lambda stack: np.stack([_calibrated(stack, w) for w in weights], axis=1))
    found = moments.derive(
        lambda stack: np.stack([correlations(stack, w).mean(axis=1) for w in weights], axis=1)
    )
    centre = moments.mean[None].astype(complex)
    single = [correlations(centre, w)[0].real for w in weights]
    expected = floor.estimate + rest.estimate / size
    bands = [variances[i].interval(level) for i in range(n_members)]
    correlation = [correlation_interval(found[i], level) for i in range(n_members)]
    law = MembersLaw(
        size=size,
        subsets=np.array([len(subsets.members) for subsets in sizes]),
        complete=np.array([subsets.complete for subsets in sizes]),
        **_ends("error_variance", bands),
        law=expected,
        **_ends("correlation", correlation),
        law_correlation=1 / np.sqrt(1 + expected / gold.estimate),
        correlation_least=np.array([one.min() for one in single]),
        correlation_most=np.array([one.max() for one in single]),
    )
    return law, correlation[-1]


def correlations(stack: Stack, weights: Array) -> Stack:
    """Correlation with the last variable of weighted sums of the others.

    Args:
        stack: ``(b, m, m)``.
        weights: ``(q, m - 1)``.

    Returns:
        ``(b, q)``; nan where a variance is not positive.
    """
    covariance, variance = _sums(stack, weights)
    return np.asarray(covariance / root(variance) / root(stack[:, -1:, -1]))


def _sums(stack: Stack, weights: Array) -> tuple[Stack, Stack]:
    covariance = stack[:, :-1, -1] @ weights.T
    variance = ((stack[:, :-1, :-1] @ weights.T) * weights.T).sum(axis=1)
    return np.asarray(covariance), np.asarray(variance)


def _equal(subsets: Subsets, n_members: int) -> Array:
    weights = np.zeros((len(subsets.members), n_members))
    for row, members in enumerate(subsets.members):
        weights[row, list(members)] = 1 / subsets.size
    return weights


def _calibrated(stack: Stack, weights: Array) -> Stack:
    """Mean over weighted sums of the error variance of each on gold's scale by its own slope."""
    covariance, variance = _sums(stack, weights)
    gold = stack[:, -1:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        error = (variance - covariance**2 / gold) * gold**2 / covariance**2
    return np.asarray(np.where(covariance.real > 0, error, np.nan).mean(axis=1))


def _ends(name: str, values: list[Value]) -> dict[str, Array]:
    return {
        name: np.array([value.estimate for value in values]),
        f"{name}_low": np.array([value.low for value in values]),
        f"{name}_high": np.array([value.high for value in values]),
    }
