"""Intervals for means over prompts: of gains, and of KLs with the bias that is left in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.policies.groups import Floats


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

    Args:
        values: one unbiased estimate a prompt, shape ``(n_prompts, k)``.
        level: nominal cover.
        within: variances of the values given their prompts, same shape, for an interval about these prompts;
            without, the prompts are a sample of a population and their spread says all.
    """
    mean = values.mean(axis=0)
    half = half_width(values, level=level, within=within)
    return Interval(mean, mean - half, mean + half)


def half_width(values: Floats, *, level: float, within: Floats | None = None) -> Floats:
    """Half the length of :func:`mean_interval`, shape ``(k,)``; nan for one prompt of a population."""
    n_prompts = len(values)
    if within is not None:
        return np.asarray(z_quantile(level) * np.sqrt(within.sum(axis=0)) / n_prompts)
    if n_prompts == 1:
        return np.full(values.shape[1], np.nan)
    return np.asarray(t_quantile(level, n_prompts) * values.std(axis=0, ddof=1) / np.sqrt(n_prompts))


def kl_interval(
    values: Floats, bias: Floats, bound: Floats, *, level: float, unit: Floats, within: Floats | None = None
) -> Interval:
    """The mean KL over prompts, known to lie in [0, ``bound``], and its interval.

    A few rare prompts or completions can carry much of a KL without showing in the sample. So either end
    counts one more observation at that end of the range, beyond those seen: where none was seen (no prompt
    ever succeeds) the upper end is about 3/P of the bound, the rule of three. Ends are cut to [0, ``bound``].

    Args:
        values: one estimate a prompt, shape ``(n_prompts, k)``.
        bias: allowance for the bias left in the mean, shape ``(k,)``, not negative.
        bound: what the KL cannot exceed, shape ``(k,)``.
        level: nominal cover.
        unit: for an interval about these prompts, how far one more completion of a rare kind could move one
            prompt's value, shape ``(k,)``.
        within: as in :func:`mean_interval`.
    """
    mean = values.mean(axis=0)
    if within is None:
        low = _with_one_more(values, np.zeros_like(bound), level)[0]
        high = _with_one_more(values, bound, level)[1]
    else:
        n_prompts = len(values)
        half = z_quantile(level) * np.sqrt(within.sum(axis=0) + unit**2) / n_prompts
        low, high = mean - unit / n_prompts - half, mean + unit / n_prompts + half
    low, high = np.maximum(low - bias, 0.0), np.minimum(high + bias, bound)
    return Interval(np.clip(mean, 0.0, bound), low, high)


def _with_one_more(values: Floats, extra: Floats, level: float) -> tuple[Floats, Floats]:
    n_prompts = len(values)
    if n_prompts == 1:  # one prompt says nothing about a population
        return np.zeros_like(extra), np.full_like(extra, np.inf)
    count = n_prompts + 1
    mean = (values.sum(axis=0) + extra) / count
    square = ((values - mean) ** 2).sum(axis=0) + (extra - mean) ** 2
    half = t_quantile(level, n_prompts) * np.sqrt(square / (count - 1) / count)
    return mean - half, mean + half
