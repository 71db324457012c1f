"""What the members of an ensemble get wrong about gold, and what of it more members remove.

With standardised proxies ``z_k`` and gold ``r``, within prompts: ``z_k = a_k r + u_k``, where ``a_k = Cov(z_k, r) / Var(r)`` is
the slope of the **proxy on gold**, so that the residual ``u_k`` is uncorrelated with gold. The error of member k on gold's
scale is ``e_k = u_k / a``, with one ``a``, the mean of the slopes. Why so:

- Slopes of gold on the proxy (``Cov / Var(z)``) would shrink every member towards 0 and leave all of them the common error
  ``-(1 - rho^2) r``: members with independent errors would seem to share a floor. It is a predictor's convention.
- Dividing each residual by its own slope would describe the mean of ``z_k / a_k``, which nobody uses and in which the worst
  member weighs most. With one slope, the error of the ensemble's mean is exactly the mean of the ``e_k``.

So the error variance of the mean of K members like these is ``floor + rest / K``: ``floor`` the mean covariance of two
members' errors, ``floor + rest`` the mean variance of one's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from klimit.audit.measured import Array
from klimit.ensembles.members import Subsets, all_sizes
from klimit.ensembles.moments import PromptMoments, Stack, correlation_interval, root
from klimit.errors import InputError
from klimit.values import Value


@dataclass(frozen=True, eq=False)
class MembersLaw:
    """The mean of k members against gold, k = 1 ... K; arrays ``(K,)``.

    Measured: over all subsets of k members, or a seeded sample of them, each subset's mean on gold's scale by its own slope;
    then the mean over subsets. Law: ``floor + rest / k``. They part where members differ; at k = K they are equal.

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


@dataclass(frozen=True, eq=False)
class ErrorStructure:
    """Errors of the standardised members about gold, within prompts (convention: :mod:`klimit.ensembles.errors`).

    Attributes:
        gold_variance: variance of gold within prompts, mean over prompts.
        slope: of each standardised member on gold; per unit of gold.
        correlation: of each member with gold within prompts: at small KL, the share of gold's limit that tilting by it gets.
        mean_correlation: of the mean of all members.
        covariance: of the errors, gold's unit squared, ``(K, K)``.
        covariance_error: its standard errors, ``(K, K)``.
        error_correlation: ``(K, K)``.
        mean_error_correlation: mean over pairs of members.
        floor: error variance that no number of members like these averages away.
        rest: what falls as 1/K.
        shared: ``floor / (floor + rest)``: the share of one member's error variance that is shared.
        ceiling: correlation with gold that the mean of ever more members like these would reach; above 1 where ``floor`` is
            estimated below 0.
        adds: what each member adds: correlation of the mean with gold, less that of the mean without it.
        law: the mean of k members, measured and by the law.
        standardising: correlation that gold standardised within prompts has with gold: what standardising alone costs.
    """

    gold_variance: Value
    slope: tuple[Value, ...]
    correlation: tuple[Value, ...]
    mean_correlation: Value
    covariance: Array
    covariance_error: Array
    error_correlation: Array
    mean_error_correlation: Value
    floor: Value
    rest: Value
    shared: Value
    ceiling: Value
    adds: tuple[Value, ...]
    law: MembersLaw
    standardising: Value

    @property
    def adds_most(self) -> int:
        """The place of the member without which the mean loses most."""
        return int(np.argmax([value.estimate for value in self.adds]))


def error_structure(
    moments: PromptMoments, standardising: Value, *, level: float, most_subsets: int, seed: int
) -> ErrorStructure:
    """From within-prompt moments of K standardised members and, last, gold.

    Raises:
        InputError: the mean of the members does not rise with gold: it has no scale on which to measure errors.
    """
    n_members = len(moments.mean) - 1
    if not moments.mean[:-1, -1].sum() > 0:
        raise InputError(
            "the mean of the proxies does not rise with gold within prompts: there is no error on gold's scale to speak "
            "of; check the proxies' signs"
        )
    rows, columns = np.triu_indices(n_members)
    basic = moments.derive(_basic)
    covariances = moments.derive(lambda stack: _errors(stack)[:, rows, columns])
    covariance, spread = np.empty((n_members, n_members)), np.empty((n_members, n_members))
    covariance[rows, columns] = covariance[columns, rows] = covariances.values
    deviations = [covariances[i].error for i in range(len(rows))]
    spread[rows, columns] = spread[columns, rows] = deviations
    gold, floor, rest, shared, mean_correlation = (basic[i].interval(level) for i in range(5))
    singles = moments.derive(lambda stack: correlations(stack, np.eye(n_members)))
    slopes = moments.derive(lambda stack: stack[:, :-1, -1] / stack[:, -1:, -1])
    adds = moments.derive(_adds)
    law, whole = _law(moments, all_sizes(n_members, most=most_subsets, seed=seed), floor, rest, gold, level)
    deviation = np.sqrt(np.diag(covariance))
    return ErrorStructure(
        gold_variance=gold,
        slope=tuple(slopes[k].interval(level) for k in range(n_members)),
        correlation=tuple(correlation_interval(singles[k], level) for k in range(n_members)),
        mean_correlation=whole,
        covariance=covariance,
        covariance_error=spread,
        error_correlation=covariance / np.outer(deviation, deviation),
        mean_error_correlation=mean_correlation,
        floor=floor,
        rest=rest,
        shared=shared,
        ceiling=basic[5].interval(level),
        adds=tuple(adds[k].interval(level) for k in range(n_members)),
        law=law,
        standardising=standardising,
    )


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


def _errors(stack: Stack) -> Stack:
    """Covariances of the errors, ``(b, K, K)``."""
    cross, gold = stack[:, :-1, -1], stack[:, -1, -1]
    residual = stack[:, :-1, :-1] - cross[:, :, None] * cross[:, None, :] / gold[:, None, None]
    slope = cross.mean(axis=1) / gold
    return np.asarray(residual / slope[:, None, None] ** 2)


def _basic(stack: Stack) -> Stack:
    """Gold's variance, floor, rest, shared part, mean error correlation, ceiling: ``(b, 6)``."""
    errors, gold = _errors(stack), stack[:, -1, -1]
    n_members = errors.shape[-1]
    own = np.diagonal(errors, axis1=1, axis2=2)
    pairs = n_members * (n_members - 1)
    floor = (errors.sum(axis=(1, 2)) - own.sum(axis=1)) / pairs
    one = own.mean(axis=1)
    deviation = root(own)
    correlation = errors / deviation[:, :, None] / deviation[:, None, :]
    mean = (correlation.sum(axis=(1, 2)) - n_members) / pairs
    return np.stack([gold, floor, one - floor, floor / one, mean, 1 / root(1 + floor / gold)], axis=1)


def _adds(stack: Stack) -> Stack:
    n_members = stack.shape[-1] - 1
    equal = np.ones((1, n_members)) / n_members
    without = (1 - np.eye(n_members)) / (n_members - 1)
    return np.asarray(correlations(stack, equal) - correlations(stack, without))


def _law(
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
