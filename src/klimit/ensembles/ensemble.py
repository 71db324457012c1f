"""Several proxies as one reward: aggregated within prompts, judged by gold, or by each other where there is no gold."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from klimit.audits.measured import Array
from klimit.ensembles.aggregators import Aggregator, parse_aggregator
from klimit.ensembles.collocation import Collocation, collocate
from klimit.ensembles.errors import error_structure
from klimit.ensembles.inputs import read_members, standardise
from klimit.ensembles.law import correlations
from klimit.ensembles.members import MOST_SUBSETS
from klimit.ensembles.moments import PromptMoments, correlation_interval, prompt_moments
from klimit.ensembles.notes import warnings_of
from klimit.ensembles.result import Ensemble
from klimit.ensembles.weights import best_weights
from klimit.errors import InputError, KlimitWarning
from klimit.limit.options import check_number, check_options
from klimit.samples.container import Samples
from klimit.values import Value


def ensemble(
    samples: Any,
    *,
    proxies: Sequence[str],
    gold: str | None = None,
    aggregate: str | Aggregator = "mean",
    name: str | None = None,
    seed: int = 0,
    level: float = 0.95,
    folds: int = 5,
    most_subsets: int = MOST_SUBSETS,
    prompt: str | list[str] | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
) -> Ensemble:
    """Make one reward of several proxies, and say what it gets wrong.

    Proxies have no common unit: each is standardised within prompts, by the base samples' mean and standard
    deviation, before they are aggregated; where it is constant within a prompt it is 0 there. With gold: the
    errors' covariance, what more members remove of them and what not, the best weights and their worth on
    held-out prompts. With three proxies or more, gold or not: triple collocation, the reliabilities that the
    proxies show by their agreement alone.

    Args:
        samples: completions of the base policy scored by every proxy; as for :func:`klimit.frontier`.
        proxies: the members' reward columns.
        gold: the reward that is meant, known for every completion.
        aggregate: ``"mean"``, ``"median"``, ``"min"``, ``"uwo:LAMBDA"``, ``"soft-min:TAU"``, ``"quantile:Q"``,
            ``"log-sigmoid-centred"``, ``"weighted:W1,W2,..."``; see :func:`klimit.ensembles.parse_aggregator`.
        name: of the new reward column; by default ``ensemble_`` and the aggregator's.
        seed: of sampled subsets and of the folds.
        level: nominal cover of the intervals: about the population of prompts, every prompt with its
            completions one unit.
        folds: of the cross-validation over prompts.
        most_subsets: subsets of members of one size; more are sampled.
        prompt: columns that identify a prompt, when reading.
        where: SQL condition that chooses rows, when reading.
        lower_is_better: all are costs, when reading.

    Raises:
        InputError: no such columns, values missing, fewer than two proxies, a proxy or gold that never varies
            within a prompt, fewer than three completions of a prompt, proxies that do not rise with gold.

    Warns:
        KlimitWarning: the samples cannot support part of the answer; the rest is given.
    """
    check_options(budget="average", level=level, target="population", estimator="extrapolated", seed=seed)
    for option, number, least in (("folds", folds, 2), ("most_subsets", most_subsets, 1)):
        if check_number(option, number, positive=True) < least or int(number) != number:
            raise InputError(f"{option}={number!r}: give a whole number of at least {least}")
    how = parse_aggregator(aggregate)
    data = read_members(samples, proxies, gold, prompt=prompt, where=where, lower_is_better=lower_is_better)
    label = f"ensemble_{how.name}" if name is None else name
    if label in data.rewards:
        raise InputError(
            f"{data.source}: there is a reward {label!r} already; call the ensemble's another with name="
        )
    members = tuple(proxies)
    standardised = standardise(data, members)
    raw = np.stack([np.asarray(data.rewards[one], dtype=np.float64) for one in members])
    column = how(standardised)
    raw_moments = prompt_moments(raw, data.offsets)
    found = collocate(raw_moments, members, level=level)
    errors = weights = correlation = None
    if gold is not None:
        values = np.asarray(data.rewards[gold], dtype=np.float64)
        moments = prompt_moments(np.vstack([raw, values]), data.offsets, standardised=len(members))
        errors = error_structure(
            moments, _standardising(data, values, level), level=level, most_subsets=most_subsets, seed=seed
        )
        plain = prompt_moments(np.vstack([standardised, values]), data.offsets)
        weights = best_weights(plain, moments, level=level, folds=folds, seed=seed)
        correlation = _of_column(how, moments, column, values, data, level)
    result = Ensemble(
        samples=data.with_reward(label, column),
        name=label,
        proxies=members,
        gold_name=gold,
        aggregator=how,
        level=level,
        standardised=standardised,
        constant_prompts=(np.diagonal(raw_moments.each, axis1=1, axis2=2) == 0).sum(axis=0),
        correlation=correlation,
        errors=errors,
        weights=weights,
        collocation=found if isinstance(found, Collocation) else None,
        warnings=tuple(warnings_of(found, raw_moments.mean, members, errors, weights, data)),
    )
    for line in result.warnings:
        warnings.warn(line, KlimitWarning, stacklevel=2)
    return result


def _standardising(data: Samples, gold: Array, level: float) -> Value:
    """Correlation with gold of gold standardised within prompts."""
    moments = prompt_moments(np.stack([gold, gold]), data.offsets, standardised=1)
    return correlation_interval(moments.derive(lambda stack: correlations(stack, np.ones((1, 1))))[0], level)


def _of_column(
    how: Aggregator, moments: PromptMoments, column: Array, gold: Array, data: Samples, level: float
) -> Value:
    """Correlation with gold of the ensemble's reward: from the members' moments where it is linear in them."""
    n_members = len(moments.mean) - 1
    if how.weights(n_members) is not None:
        weights = np.array([how.weights(n_members)])
        return correlation_interval(moments.derive(lambda stack: correlations(stack, weights))[0], level)
    own = prompt_moments(np.stack([column, gold]), data.offsets)
    return correlation_interval(own.derive(lambda stack: correlations(stack, np.ones((1, 1))))[0], level)
