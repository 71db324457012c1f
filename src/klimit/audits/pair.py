"""A policy and its base on the same prompts, as the arrays that the audit computes with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from klimit.audits.measured import Array

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pair:
    """Rewards and log ratios of both, prompts in the same order.

    Attributes:
        rewards: of the policy's completions, transformed, ``(n,)``.
        offsets: of the policy's prompts, ``(P + 1,)``.
        base_rewards: of the base policy's completions, transformed, ``(m,)``.
        base_offsets: ``(P + 1,)``.
        log_ratio: ``log pi/pi0`` of the policy's completions, nats, ``(n,)``; None where it is not known.
        token_kl: exact next-token KLs summed along each completion, nats, ``(n,)``; None where they are not known.
    """

    rewards: Array
    offsets: Ints
    base_rewards: Array
    base_offsets: Ints
    log_ratio: Array | None
    token_kl: Array | None

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.offsets) - 1

    @cached_property
    def counts(self) -> Array:
        """The policy's completions of each prompt."""
        return np.diff(self.offsets).astype(np.float64)

    @cached_property
    def base_counts(self) -> Array:
        """The base policy's completions of each prompt."""
        return np.diff(self.base_offsets).astype(np.float64)

    @cached_property
    def prompt(self) -> Ints:
        """The prompt of each of the policy's completions, ``(n,)``."""
        return np.repeat(np.arange(self.n_prompts), np.diff(self.offsets))

    @cached_property
    def base_prompt(self) -> Ints:
        """The prompt of each of the base policy's completions, ``(m,)``."""
        return np.repeat(np.arange(self.n_prompts), np.diff(self.base_offsets))

    def means(self, values: Array) -> Array:
        """Mean over each prompt's completions of the policy, ``(P,)``."""
        return prompt_means(values, self.offsets)

    @cached_property
    def mean(self) -> Array:
        """Mean reward of the policy on each prompt."""
        return self.means(self.rewards)

    @cached_property
    def base_mean(self) -> Array:
        """Mean reward of the base policy on each prompt."""
        return prompt_means(self.base_rewards, self.base_offsets)

    @cached_property
    def gain(self) -> Array:
        """Mean reward of the policy less the base policy's, ``(P,)``."""
        return self.mean - self.base_mean


def prompt_means(values: Array, offsets: Ints) -> Array:
    """Mean over each prompt's completions, ``(P,)``; exact where they are all the same."""
    first = values[offsets[:-1]]
    counts = np.diff(offsets)
    centred = values - np.repeat(first, counts)
    return np.asarray(first + np.add.reduceat(centred, offsets[:-1]) / counts)


def prompt_variances(values: Array, offsets: Ints) -> Array:
    """Variance (``ddof=1``) within each prompt, ``(P,)``; nan for a single completion."""
    return prompt_covariances(values, values, offsets)


def prompt_covariances(first: Array, second: Array, offsets: Ints) -> Array:
    """Covariance (``ddof=1``) within each prompt, ``(P,)``; nan for a single completion."""
    counts = np.diff(offsets)
    centred = [values - np.repeat(prompt_means(values, offsets), counts) for values in (first, second)]
    sums = np.add.reduceat(centred[0] * centred[1], offsets[:-1])
    out = np.full(len(counts), np.nan)
    np.divide(sums, counts - 1, out=out, where=counts > 1)
    return out
