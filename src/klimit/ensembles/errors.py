"""What the members of an ensemble get wrong about gold, and what of it more members remove.

With standardised proxies ``z_k`` and gold ``r``, within prompts: ``z_k = a_k r + u_k``, where ``a_k = Cov(z_k,
r) / Var(r)`` is the slope of the **proxy on gold**, so that the residual ``u_k`` is uncorrelated with gold. The
error of member k on gold's
scale is ``e_k = u_k / a``, with one ``a``, the mean of the slopes. Why so:

- Slopes of gold on the proxy (``Cov / Var(z)``) would shrink every member towards 0 and leave all of them the
  common error ``-(1 - rho^2) r``: members with independent errors would seem to share a floor. It is a
  predictor's convention.
- Dividing each residual by its own slope would describe the mean of ``z_k / a_k``, which nobody uses and in
  which the worst member weighs most. With one slope, the error of the ensemble's mean is exactly the mean of
  the ``e_k``.

So the error variance of the mean of K members like these is ``floor + rest / K``: ``floor`` the mean covariance of two
members' errors, ``floor + rest`` the mean variance of one's. Where gold's spread differs from prompt to prompt,
standardising is itself an error that all members share: ``ErrorStructure.standardising`` says what it costs by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.audits.measured import Array
from klimit.ensembles.law import MembersLaw, correlations, members_law
from klimit.ensembles.members import all_sizes
from klimit.ensembles.moments import PromptMoments, Stack, correlation_interval, root
from klimit.errors import InputError
from klimit.values import Value


@dataclass(frozen=True, eq=False)
class ErrorStructure:
    """Errors of the standardised members about gold, within prompts (convention: :mod:`klimit.ensembles.errors`).

    Attributes:
        gold_variance: variance of gold within prompts, mean over prompts.
        slope: of each standardised member on gold; per unit of gold.
        correlation: of each member with gold within prompts: at small KL, the share of gold's limit that
            tilting by it gets.
        mean_correlation: of the mean of all members.
        covariance: of the errors, gold's unit squared, ``(K, K)``.
        covariance_error: its standard errors, ``(K, K)``.
        error_correlation: ``(K, K)``.
        mean_error_correlation: mean over pairs of members.
        floor: error variance that no number of members like these averages away.
        rest: what falls as 1/K.
        shared: ``floor / (floor + rest)``: the share of one member's error variance that is shared.
        ceiling: correlation with gold that the mean of ever more members like these would reach; above 1 where
            ``floor`` is estimated below 0; nan where that is by more than gold's variance.
        adds: what each member adds: correlation of the mean with gold, less that of the mean without it.
        law: the mean of k members, measured and by the law.
        standardising: correlation that gold standardised within prompts has with gold: what standardising alone
            costs.
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
            "the mean of the proxies does not rise with gold within prompts, so there is no error on gold's scale; "
            "check the proxies' signs (lower_is_better changes all of them)"
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
    law, whole = members_law(
        moments, all_sizes(n_members, most=most_subsets, seed=seed), floor, rest, gold, level
    )
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
    with np.errstate(
        invalid="ignore"
    ):  # no ceiling where the floor lies below 0 by more than gold's variance
        ceiling = 1 / root(1 + floor / gold)
    return np.stack([gold, floor, one - floor, floor / one, mean, ceiling], axis=1)


def _adds(stack: Stack) -> Stack:
    n_members = stack.shape[-1] - 1
    equal = np.ones((1, n_members)) / n_members
    without = (1 - np.eye(n_members)) / (n_members - 1)
    return np.asarray(correlations(stack, equal) - correlations(stack, without))
