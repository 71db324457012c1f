"""Samples: ragged prompts x completions, with one or several rewards and, optionally, log-probabilities.

Everything is stored flat, one entry a completion, grouped by prompt: the completions of prompt ``i`` are
``values[offsets[i]:offsets[i + 1]]``. Kernels read that layout directly; nothing is padded or reordered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError
from klimit.samples.columns import HeldBack, choose_reward
from klimit.samples.lazy import LazyColumn, chosen

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Completions of prompts, drawn i.i.d. from one policy per prompt, with their rewards.

    Attributes:
        rewards: reward columns by name, each of shape ``(n_completions,)``, float32 or float64, finite.
        offsets: shape ``(n_prompts + 1,)``; prompt ``i`` owns ``offsets[i]:offsets[i + 1]``.
        prompt_ids: shape ``(n_prompts,)``, one distinct key a prompt (a tuple where it has several columns).
        logprob: log-probability of each completion under the policy that sampled it, in nats, summed over
            its tokens; shape ``(n_completions,)``.
        ref_logprob: the same under the reference policy.
        token_kl: KL of the policy's next-token distribution from the reference's, exact at every token, summed along
            the completion; nats, shape ``(n_completions,)``.
        sampling_logprob: log-probability under the same policy, by the engine that sampled.
        n_tokens: tokens of each completion, shape ``(n_completions,)``, int64.
        truncated: which completions were cut at the token limit, shape ``(n_completions,)``, bool.
        prompts: prompt texts, shape ``(n_prompts,)``.
        completions: completion texts, shape ``(n_completions,)``.
        metadata: further columns, each of shape ``(n_completions,)``.
        source: where the samples came from, for messages.
        notes: what reading guessed, held back or changed, one line each.
        held: columns found but unusable (missing values, say), each with its reason.
        labels: rewards known for a part of the completions, nan for the others, each of shape ``(n_completions,)``.
        per_token: which of the four sums over tokens were given as lists of one number a token.

    Texts and metadata read from a file or frame are :class:`klimit.samples.lazy.LazyColumn`: read when first
    looked at, arrays to ``numpy.asarray``.
    """

    rewards: Mapping[str, Floats]
    offsets: NDArray[np.int64]
    prompt_ids: NDArray[Any]
    logprob: Floats | None = None
    ref_logprob: Floats | None = None
    token_kl: Floats | None = None
    sampling_logprob: Floats | None = None
    n_tokens: NDArray[np.int64] | None = None
    truncated: NDArray[np.bool_] | None = None
    prompts: NDArray[Any] | None = None
    completions: NDArray[Any] | LazyColumn | None = None
    metadata: Mapping[str, NDArray[Any] | LazyColumn] = field(default_factory=dict)
    source: str = "samples"
    notes: tuple[str, ...] = ()
    held: Mapping[str, HeldBack] = field(default_factory=dict)
    per_token: frozenset[str] = frozenset()
    labels: Mapping[str, Floats] = field(default_factory=dict)

    def __repr__(self) -> str:
        names = ", ".join(self.rewards)
        return f"Samples({self.n_prompts} prompts, {self.n_completions} completions, rewards: {names})"

    @property
    def in_memory(self) -> bool:
        """Whether the rewards are here, and not a summary of them alone."""
        return True

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.offsets) - 1

    @property
    def n_completions(self) -> int:
        """Number of completions over all prompts."""
        return int(self.offsets[-1])

    @property
    def counts(self) -> NDArray[np.int64]:
        """Completions of each prompt, shape ``(n_prompts,)``."""
        return np.diff(self.offsets)

    def reward(self, name: str | None = None) -> Floats:
        """One reward column, shape ``(n_completions,)``; without a name, the only one there is.

        Raises:
            InputError: no such column, or several and no name.
        """
        return self.rewards[self.reward_name(name)]

    def reward_name(self, name: str | None = None) -> str:
        """The reward column that ``name`` stands for (see :meth:`reward`)."""
        return choose_reward(tuple(self.rewards), name, source=self.source, held=self.held)

    def with_reward(self, name: str, values: ArrayLike) -> Samples:
        """A copy with one more reward column."""
        array = np.asarray(values)
        if array.shape != (self.n_completions,):
            raise InputError(
                f"{self.source}: reward {name!r} has shape {array.shape}; one value a completion is "
                f"({self.n_completions},)"
            )
        return replace(self, rewards={**self.rewards, name: array})

    def at_least(self, completions: int) -> Samples:
        """The prompts with at least so many completions; how many were left out is said in ``notes``.

        Raises:
            InputError: no prompt has so many.
        """
        kept = self.counts >= completions
        if kept.all():
            return self
        if not kept.any():
            raise InputError(
                f"{self.source}: no prompt has {completions} completions; the most are {self.counts.max()}"
            )
        short = (
            f"left out {(~kept).sum()} of {self.n_prompts} prompts with fewer than {completions} completions"
        )
        return replace(self.select(kept), notes=(*self.notes, short))

    def select(self, prompts: ArrayLike) -> Samples:
        """Some of the prompts, or all in another order, with all their completions.

        Args:
            prompts: places of the prompts wanted, each once, in the order wanted; or a mask of shape ``(n_prompts,)``.

        Raises:
            InputError: no prompt, a place that there is not, or one twice.
        """
        given = np.asarray(prompts)
        if given.dtype == np.bool_ and given.shape != (self.n_prompts,):
            raise InputError(
                f"{self.source}: the mask has shape {given.shape}; one value a prompt is ({self.n_prompts},)"
            )
        places = np.flatnonzero(given) if given.dtype == np.bool_ else given.astype(np.int64)
        if not len(places):
            raise InputError(f"{self.source}: no prompt is left")
        if places.min() < 0 or places.max() >= self.n_prompts or len(np.unique(places)) < len(places):
            raise InputError(
                f"{self.source}: prompts are chosen by distinct places from 0 to {self.n_prompts - 1}"
            )
        if np.array_equal(places, np.arange(self.n_prompts)):
            return self
        counts = self.counts[places]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(self.offsets[places] - offsets[:-1], counts) + np.arange(offsets[-1])
        return self._taken(places, offsets, rows)

    def rows(self, mask: ArrayLike) -> Samples:
        """Some of the completions; prompts left without any are left out, and counted in ``notes``.

        Args:
            mask: which to keep, shape ``(n_completions,)``, bool.

        Raises:
            InputError: the mask has another shape or keeps none.
        """
        kept = np.asarray(mask)
        if kept.shape != (self.n_completions,) or kept.dtype != np.bool_:
            raise InputError(
                f"{self.source}: the mask is {kept.dtype} of shape {kept.shape}; it must be bool, one value a "
                f"completion, ({self.n_completions},)"
            )
        if kept.all():
            return self
        if not kept.any():
            raise InputError(f"{self.source}: no completion is left")
        counts = np.diff(np.concatenate([[0], np.cumsum(kept)])[self.offsets])
        places = np.flatnonzero(counts)
        offsets = np.concatenate([[0], np.cumsum(counts[places])])
        taken = self._taken(places, offsets, np.flatnonzero(kept))
        if len(places) == self.n_prompts:
            return taken
        lost = f"left out {self.n_prompts - len(places)} of {self.n_prompts} prompts: no completion chosen"
        return replace(taken, notes=(*self.notes, lost))

    def _taken(
        self, prompts: NDArray[np.int64], offsets: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Samples:
        """The prompts and rows at these places, with everything known of them."""

        def of(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[rows]

        return replace(
            self,
            logprob=of(self.logprob),
            ref_logprob=of(self.ref_logprob),
            token_kl=of(self.token_kl),
            sampling_logprob=of(self.sampling_logprob),
            n_tokens=of(self.n_tokens),
            truncated=of(self.truncated),
            rewards={name: values[rows] for name, values in self.rewards.items()},
            labels={name: values[rows] for name, values in self.labels.items()},
            offsets=offsets,
            prompt_ids=self.prompt_ids[prompts],
            prompts=None if self.prompts is None else self.prompts[prompts],
            completions=None if self.completions is None else chosen(self.completions, rows),
            metadata={name: chosen(column, rows) for name, column in self.metadata.items()},
        )

    @classmethod
    def from_array(cls, rewards: ArrayLike, *, name: str = "reward") -> Samples:
        """Samples from a 2-D array of rewards, ``(n_prompts, n_completions_per_prompt)``.

        Raises:
            InputError: the array is not 2-D, not numeric, empty, or not finite.
        """
        from klimit.samples.checks import check_array

        array = check_array(rewards)
        n_prompts, n_per_prompt = array.shape
        return cls(
            rewards={name: array.reshape(-1)},
            offsets=np.arange(n_prompts + 1, dtype=np.int64) * n_per_prompt,
            prompt_ids=np.arange(n_prompts),
            source="array",
        )
