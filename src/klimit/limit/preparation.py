"""Rewards made ready for the limit: transformed, sorted within prompts, with the moments that set their scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.limit import closed_form
from klimit.limit.blocks import corrected_best_gains
from klimit.limit.dual import Array
from klimit.limit.kernels import in_chunks
from klimit.limit.moments import by_size, moments_pass, sort_prompts
from klimit.rewards.ties import shows_ties
from klimit.rewards.transforms import IDENTITY, RANK, Transform, transform_column
from klimit.samples.container import Samples

T_LOW = 0.03  # smallest scaled t: a KL of about 0.0004 nats
_MAX_OCTAVES = 15
_PROBE = 1 << 16  # rewards that decide how far the grid of t must reach
_ENOUGH_PAIRS = 100  # of completions of a prompt, none of them tied, to say that rewards do not tie


@dataclass(frozen=True, eq=False)
class Rewards:
    """One reward of some samples, sorted within prompts.

    Attributes:
        values: ascending within each prompt, ``(n_completions,)``, in the dtype given.
        offsets: ``(P + 1,)``.
        mean: of each prompt, ``(P,)``.
        variance: of each prompt, ``ddof=1``, ``(P,)``; 0 for a single completion.
        third: unbiased third cumulant of each prompt; 0 below three completions.
        top: largest reward of each prompt.
        at_top: completions that reach it.
        sizes: 2, 4, 8, ... up to the fewest completions of a prompt, ``(J,)``.
        best: unbiased gain of best-of-N of each prompt at these sizes, ``(P, J)``.
        pairs: neighbours in that order that are equal, of each prompt.
        transform: of the reward; all of the above is of the transformed rewards.
        raw: the reward before the transform; None where that is the same.
        known: whether the law of the transformed rewards is known: ranks without ties are uniform. Variance, third
            cumulant and best-of-N are then those of that law.
    """

    values: NDArray[np.floating[Any]]
    offsets: NDArray[np.int64]
    mean: Array
    variance: Array
    third: Array
    top: Array
    at_top: NDArray[np.int64]
    sizes: NDArray[np.int64]
    best: Array
    pairs: NDArray[np.int64]
    transform: Transform = IDENTITY
    raw: Rewards | None = None
    known: bool = False

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.mean)

    @cached_property
    def counts(self) -> Array:
        """Completions of each prompt."""
        return np.diff(self.offsets).astype(np.float64)

    @cached_property
    def scale(self) -> float:
        """Root mean square of the within-prompt standard deviations; 0 when every prompt is constant."""
        return root_mean_square(self.variance)

    def mean_error(self, *, given: bool) -> float:
        """Standard error of the base mean: for the prompts given, or for the population they were drawn from."""
        if self.transform.base_mean is not None:
            return 0.0  # the same for every prompt, by definition
        within = float((self.variance / self.counts).sum()) / self.n_prompts**2
        if given:
            return float(np.sqrt(within))
        if self.n_prompts < 2:
            return float("inf")
        # Prompts that agree by chance cannot be surer of their mean than their own completions are.
        return float(np.sqrt(max(self.mean.var(ddof=1) / self.n_prompts, within)))

    @cached_property
    def lowest(self) -> float:
        """The smallest reward."""
        return float(self.values[self.offsets[:-1]].min())

    @cached_property
    def binary(self) -> bool:
        """Whether every reward is 0 or 1."""
        return bool(((self.values == 0) | (self.values == 1)).all())

    @cached_property
    def constant(self) -> NDArray[np.bool_]:
        """Prompts all of whose completions have the same reward."""
        return np.asarray(self.at_top == self.counts)


def root_mean_square(variances: Array) -> float:
    """The root of the mean variance, through the largest: no size of rewards overflows or vanishes."""
    largest = float(variances.max(initial=0.0))
    return float(np.sqrt(largest) * np.sqrt(np.mean(variances / largest))) if largest > 0 else 0.0


def prepare(
    samples: Samples, reward: str | None, *, transform: Transform = IDENTITY, seed: int = 0
) -> Rewards:
    """A reward transformed and sorted within prompts, with its moments.

    Args:
        samples: the base samples.
        reward: the reward column.
        transform: of the reward.
        seed: of the blocks that show the bias of an estimated transform.
    """
    values, offsets = samples.reward(reward), samples.offsets
    raw = sort_rewards(values, offsets)
    if transform == IDENTITY:
        return raw
    if not transform.estimated:
        return replace(
            sort_rewards(transform_column(transform, values, offsets), offsets), transform=transform, raw=raw
        )
    return _estimated(raw, transform, seed)


def _estimated(raw: Rewards, transform: Transform, seed: int) -> Rewards:
    """Rewards transformed by the samples themselves, whole; the mean where it is known."""
    offsets = raw.offsets
    whole = sort_rewards(transform_column(transform, raw.values, offsets), offsets)
    result = replace(whole, transform=transform, raw=raw)
    if transform.base_mean is not None:
        result = replace(result, mean=np.full(raw.n_prompts, transform.base_mean))
    if transform == RANK and _ties_nowhere(raw):
        n = raw.sizes.astype(np.float64)
        return replace(
            result,
            variance=np.full(raw.n_prompts, closed_form.VARIANCE),
            third=np.zeros(raw.n_prompts),
            best=np.broadcast_to(n / (n + 1) - 0.5, (raw.n_prompts, len(n))),
            known=True,
        )
    corrected = corrected_best_gains(raw.values, offsets, transform, raw.sizes, seed=seed)
    return replace(result, best=corrected.gain)


def _ties_nowhere(raw: Rewards) -> bool:
    pairs = (raw.counts * (raw.counts - 1) / 2).sum()
    return bool(pairs >= _ENOUGH_PAIRS and not shows_ties(raw.values, raw.offsets))


def sort_rewards(
    values: NDArray[np.floating[Any]], offsets: NDArray[np.int64], *, fewest: int | None = None
) -> Rewards:
    """Sort rewards within prompts and take their moments, chunk by chunk.

    Args:
        values: ``(n_completions,)``, grouped by prompt.
        offsets: ``(P + 1,)``.
        fewest: completions of a prompt, where these prompts are a part of others.
    """
    counts = np.diff(offsets)
    n_prompts = len(counts)
    ordered = np.empty(len(values), dtype=values.dtype)
    moments, counted = np.empty((4, n_prompts)), np.empty((2, n_prompts), dtype=np.int64)
    sizes = 2 ** np.arange(1, int(counts.min() if fewest is None else fewest).bit_length())
    best = np.empty((n_prompts, len(sizes)))

    def work(first: int, last: int) -> None:
        sort_prompts(values, offsets, first, last, ordered)
        moments_pass(ordered, offsets, by_size(counts, first, last), sizes, moments, counted, best)

    in_chunks(work, offsets)
    mean, variance, third, top = moments
    at_top, pairs = counted
    return Rewards(ordered, offsets, mean, variance, third, top, at_top, sizes, best, pairs)


def octaves_needed(rewards: Rewards) -> int:
    """How often ``t`` must double from ``T_LOW`` until the samples can show no more KL (or have saturated)."""
    chosen = probed(rewards.offsets)
    values = rewards.values[np.repeat(chosen, np.diff(rewards.offsets))]
    return octaves_of(values, np.diff(rewards.offsets)[chosen], rewards.scale)


def probed(offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The prompts that decide how far the grid of ``t`` must reach, ``(P,)``."""
    stride = max(1, int(offsets[-1]) // _PROBE)
    return np.asarray(np.arange(len(offsets) - 1) % stride == 0)


def octaves_of(values: NDArray[np.floating[Any]], counts: NDArray[np.int64], scale: float) -> int:
    """See :func:`octaves_needed`.

    Args:
        values: rewards of some prompts, grouped.
        counts: completions of each.
        scale: of the rewards.
    """
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    top = np.maximum.reduceat(values, starts).astype(np.float64)
    below = (values - np.repeat(top, counts)) / scale
    most = float(np.log(counts).mean())
    previous = 0.0
    w = np.exp(T_LOW * 2.0**2 * below)
    for octave in range(3, _MAX_OCTAVES):
        t = T_LOW * 2.0**octave
        w *= w
        total = np.add.reduceat(w, starts)
        tilted = np.add.reduceat(w * below, starts) / total
        kl = float((t * tilted - np.log(total / counts)).mean())
        if kl > most - 0.8 or kl - previous < 0.003 * kl:
            return octave + 1
        previous = kl
    return _MAX_OCTAVES
