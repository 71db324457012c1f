"""How well proxies agree with the truth, from the proxies alone: triple collocation.

If each proxy is ``s_i = a_i T + e_i`` within prompts, with one ``T`` and errors uncorrelated with each other
and with it, then ``C_ij = a_i a_j Var(T)``, and the squared correlation of proxy i with T is ``C_ij C_ik /
(C_jk C_ii)``. It is found from the **raw** proxies' covariances, whose ratios know no unit; standardising every
prompt first would change the relation from prompt to prompt, and the three-cornered hat (differences of
standardised proxies) is biased by standardising alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.audits.measured import Array, Measured
from klimit.ensembles.moments import PromptMoments, Stack, correlation_interval
from klimit.ensembles.one_factor import (
    OverIdentification,
    fit,
    over_identification,
    refit,
    residuals,
    to_correlations,
    triples,
)
from klimit.values import Value

ASSUMPTIONS = (
    "each proxy is linear in one truth within prompts, with the same slope for every prompt",
    "errors of different proxies are uncorrelated: what all proxies get wrong together counts as truth",
    "errors are uncorrelated with the truth",
)
FEWEST = 3


@dataclass(frozen=True)
class Triple:
    """Three proxies and the reliability of each by these three alone.

    Attributes:
        members: names of the three.
        reliability: of each; nan where they have no common factor.
    """

    members: tuple[str, str, str]
    reliability: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Collocation:
    """Proxies against a truth that nobody labelled.

    Attributes:
        proxies: names.
        reliability: squared correlation of each with the truth within prompts. Above 1 (an error variance below
            0) where the assumptions fail or the samples are too few.
        correlation: with the truth, whose sign is the majority's. At small KL (for Gaussian rewards at any)
            this is the share of the truth's limit that tilting by the proxy gets.
        mean_correlation: of the mean of all, each over its own standard deviation within prompts.
        gap: ``1 - mean_correlation``: the share of the limit that optimising the mean misses.
        triples: every triple by itself.
        test: whether one factor explains more than three proxies; None for three.
        covariance: of the raw proxies within prompts, mean over prompts, ``(K, K)``.
        assumptions: what all this takes for granted.
        blind_to_shared_errors: True: an error shared by all proxies is indistinguishable from the truth.
    """

    proxies: tuple[str, ...]
    reliability: tuple[Value, ...]
    correlation: tuple[Value, ...]
    mean_correlation: Value
    gap: Value
    triples: tuple[Triple, ...]
    test: OverIdentification | None
    covariance: Array
    assumptions: tuple[str, ...] = ASSUMPTIONS
    blind_to_shared_errors: bool = True


@dataclass(frozen=True)
class NoCollocation:
    """Why there is no collocation, and what can be said all the same.

    Attributes:
        reason: one line.
    """

    reason: str


def collocate(moments: PromptMoments, names: tuple[str, ...], *, level: float) -> Collocation | NoCollocation:
    """From the raw proxies' within-prompt covariances."""
    covariance = moments.mean
    if len(names) < FEWEST:
        one, two = names
        found = float(to_correlations(covariance[None].astype(complex))[0, 0, 1].real)
        return NoCollocation(
            f"collocation needs three proxies; {one} and {two} have correlation {found:.3g} within prompts: the "
            "product of their correlations with the truth, if their errors are uncorrelated"
        )
    centre = np.asarray(to_correlations(covariance[None].astype(complex))[0].real)
    loadings = fit(centre)
    if loadings is None:
        return NoCollocation(_no_factor(centre, names))
    n = len(names)

    def derived(stack: Stack) -> Stack:
        correlation = to_correlations(stack)
        found = refit(correlation, loadings)
        mean = found.sum(axis=1) / np.sqrt(correlation.sum(axis=(1, 2)))
        return np.concatenate([found, mean[:, None], residuals(correlation, found)], axis=1)

    everything = moments.derive(derived)
    correlation = [correlation_interval(everything[i], level) for i in range(n)]
    mean = correlation_interval(everything[n], level)
    test = None
    if n > FEWEST and len(moments.each) > FEWEST:
        test = over_identification(
            type(everything)(everything.values[n + 1 :], everything.influence[:, n + 1 :])
        )
    places, alone = triples(covariance)
    return Collocation(
        proxies=names,
        reliability=tuple(_squared(everything[i], correlation[i], level) for i in range(n)),
        correlation=tuple(correlation),
        mean_correlation=mean,
        gap=Value(1 - mean.estimate, 1 - mean.high, 1 - mean.low),
        triples=tuple(
            Triple((names[i], names[j], names[k]), (float(row[0]), float(row[1]), float(row[2])))
            for (i, j, k), row in zip(places, alone, strict=True)
        ),
        test=test,
        covariance=covariance,
    )


def _squared(loading: Measured, correlation: Value, level: float) -> Value:
    """The reliability's interval: the correlation's, squared; its own where the estimate is 1 or more."""
    value = loading.value
    if not abs(value) < 1:
        return Measured(value**2, 2 * value * loading.influence).interval(level)
    low, high = sorted((abs(correlation.low), abs(correlation.high)))
    return Value(value**2, 0.0 if 0.0 in correlation else low**2, high**2)


def _no_factor(correlation: Array, names: tuple[str, ...]) -> str:
    rows, columns = np.triu_indices(len(names), 1)
    pairs = correlation[rows, columns]
    least = int(np.argmin(pairs))
    weakest = (
        f"{names[rows[least]]} and {names[columns[least]]} have correlation {pairs[least]:.3g} within prompts"
    )
    return (
        f"collocation: the proxies have no one thing in common ({weakest}): there are only these correlations, and no "
        "reliability; check the proxies' signs"
    )
