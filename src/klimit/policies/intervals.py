"""Intervals for means over prompts: of gains, and of KLs with the bias that is left in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.policies.levels import Floats


@dataclass(frozen=True, eq=False)
class Interval:
    """``mean`` with ``low`` and ``high``, each of shape ``(k,)``."""

    mean: Floats
    low: Floats
    high: Floats


def t_quantile(level: float, n_prompts: int) -> float:
    """The half-width of a t interval in standard errors; nan for a single prompt."""
    from scipy.special import stdtrit

    return float(stdtrit(n_prompts - 1, (1 + level) / 2)) if n_prompts > 1 else float("nan")


def z_quantile(level: float) -> float:
    """The half-width of a normal interval in standard errors."""
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def mean_interval(values: Floats, *, level: float, within: Floats | None = None) -> Interval:
    """The mean over prompts and its interval.

    About a population of prompts it is Student's, widened on the side to which the values are skewed by the
    first term of the Edgeworth expansion (Johnson 1978): rare successes among few prompts are skewed.

    Args:
        values: one unbiased estimate a prompt, shape ``(n_prompts, k)``.
        level: nominal cover.
        within: variances of the values given their prompts, same shape, for an interval about these prompts;
            without, the prompts are a sample of a population and their spread says all.

    Returns:
        The interval; its ends are nan for one prompt of a population.
    """
    n_prompts = len(values)
    mean = values.mean(axis=0)
    if within is not None:
        half = z_quantile(level) * np.sqrt(within.sum(axis=0)) / n_prompts
        return Interval(mean, mean - half, mean + half)
    if n_prompts == 1:
        return Interval(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    t = t_quantile(level, n_prompts)
    standard = values - mean
    spread = np.sqrt((standard * standard).sum(axis=0) / (n_prompts - 1))
    standard /= np.where(spread > 0, spread, 1.0)
    skew = np.clip((standard * standard * standard).mean(axis=0), -3, 3)
    shift = np.clip(skew * (1 + 2 * t**2) / (6 * np.sqrt(n_prompts)), -1.2, 1.2)
    error = spread / np.sqrt(n_prompts)
    return Interval(
        mean, mean - (t + np.maximum(-shift, 0)) * error, mean + (t + np.maximum(shift, 0)) * error
    )


def kl_interval(
    values: Floats,
    bias: Floats,
    bound: Floats,
    *,
    depth: Floats,
    level: float,
    within: Floats | None = None,
) -> Interval:
    """The mean KL over prompts, known to lie in [0, ``bound``], and its interval.

    Rare prompts or completions can carry much of a KL without showing in the sample. So each end also counts
    part of one more observation at that end of the range: ``depth`` squared of a prompt, and all of one where
    no prompt differs (none ever succeeds, say), which gives 3/P of the bound, the rule of three.

    Args:
        values: one estimate a prompt, shape ``(n_prompts, k)``.
        bias: allowance for the bias left in the mean, shape ``(k,)``, not negative.
        bound: what the KL cannot exceed, shape ``(k,)``.
        depth: draws an answer over draws at hand, at most 1, shape ``(k,)``: the part of the completions that
            an estimate rests on is the smaller, the nearer it is to 1.
        level: nominal cover.
        within: as in :func:`mean_interval`.

    Returns:
        The interval, cut to [0, ``bound``], like the mean.
    """
    n_prompts = len(values)
    interval = mean_interval(values, level=level, within=within)
    low, high = interval.low, interval.high
    if within is not None:
        # One more completion of a rare kind would move one prompt's value by about depth * bound.
        unit = depth * bound / n_prompts
        half = np.hypot(high - interval.mean, z_quantile(level) * unit)
        low, high = interval.mean - unit - half, interval.mean + unit + half
    elif n_prompts == 1:  # one prompt says nothing about a population
        low, high = np.zeros_like(bound), bound
    else:
        weight = np.where(np.ptp(values, axis=0) > 1e-12 * bound, depth**2, 1.0)
        low = np.minimum(low, _end_with_more(values, np.zeros_like(bound), weight, level)[0])
        high = np.maximum(high, _end_with_more(values, bound, weight, level)[1])
    low, high = np.clip(low - bias, 0.0, bound), np.clip(high + bias, 0.0, bound)
    return Interval(np.clip(interval.mean, 0.0, bound), low, high)


def _end_with_more(values: Floats, extra: Floats, weight: Floats, level: float) -> tuple[Floats, Floats]:
    """Student's interval with ``weight`` of one more observation ``extra``."""
    count = len(values) + weight
    mean = (values.sum(axis=0) + weight * extra) / count
    square = ((values - mean) ** 2).sum(axis=0) + weight * (extra - mean) ** 2
    half = t_quantile(level, len(values)) * np.sqrt(square / (count - 1) / count)
    return mean - half, mean + half
