"""An ensemble as one reward in training: members' functions in, a function of prompts and completions out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from klimit.audits.measured import Array
from klimit.ensembles.aggregators import Aggregator
from klimit.errors import InputError
from klimit.samples.keys import canonical, show

RewardFunction = Callable[..., Sequence[float]]


@dataclass(frozen=True, eq=False)
class Scales:
    """Means and standard deviations that put members in one unit.

    Attributes:
        means: ``(K,)`` for all prompts alike, or ``(P, K)`` prompt by prompt.
        deviations: likewise; 0 where a member is constant: it is 0 there.
        places: row of each prompt's key; None where all prompts are alike.
    """

    means: Array
    deviations: Array
    places: Mapping[Any, int] | None = None

    def standardise(self, rewards: Array, keys: Sequence[Any]) -> Array:
        """Members' rewards ``(K, n)`` of completions of the prompts ``keys``, in standard units, ``(K, n)``.

        Raises:
            InputError: a prompt that the base samples do not have.
        """
        means, deviations = self.means, self.deviations
        if self.places is not None:
            rows = np.array([self._place(key) for key in keys], dtype=np.int64)
            means, deviations = means[rows], deviations[rows]
        else:
            means, deviations = means[None], deviations[None]
        varies = deviations > 0
        out = np.where(varies, (rewards.T - means) / np.where(varies, deviations, 1.0), 0.0)
        return np.asarray(out.T)

    def _place(self, key: Any) -> int:
        assert self.places is not None
        place = self.places.get(prompt_key(key))
        if place is None:
            raise InputError(
                f"prompt {show(key)} is not among the {len(self.places):,} prompts of the base samples, so there is "
                "nothing to standardise by; score base samples of it, or take scales='global'"
            )
        return place


@dataclass(frozen=True, eq=False)
class EnsembleReward:
    """``f(prompts, completions, **columns) -> list[float]``: what trainers such as TRL's take for a reward.

    Every member is called with the same arguments, by keyword; their rewards are standardised by stored means
    and deviations, then aggregated.

    Attributes:
        members: reward functions by name.
        aggregator: of the standardised rewards.
        scales: stored means and deviations, members in the same order.
        prompt_column: the column that identifies prompts in the base samples; None: the prompt itself does.
        name: what logs call it.
    """

    members: Mapping[str, RewardFunction]
    aggregator: Aggregator
    scales: Scales
    prompt_column: str | None = None
    name: str = "ensemble"
    __name__: str = field(init=False, default="ensemble")  # trainers log functions by this

    def __post_init__(self) -> None:
        object.__setattr__(self, "__name__", self.name)

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
        """One reward a completion.

        Raises:
            InputError: a member gives no finite reward for some completion, or the prompt is unknown.
        """
        n = len(completions)
        keys: Sequence[Any] = prompts
        if self.prompt_column is not None:
            if self.prompt_column not in columns:
                raise InputError(
                    f"reward {self.name!r}: no column {self.prompt_column!r} came with the completions; keep it in the "
                    "dataset"
                )
            keys = columns[self.prompt_column]
        if len(keys) != n:
            raise InputError(f"reward {self.name!r}: {len(keys)} prompts for {n} completions; give one each")
        if not n:
            return []
        rewards = np.stack(
            [
                _rewards(name, member(prompts=prompts, completions=completions, **columns), n)
                for name, member in self.members.items()
            ]
        )
        found: list[float] = self.aggregator(self.scales.standardise(rewards, keys)).tolist()
        return found


def prompt_key(prompt: Any) -> Any:
    """A prompt as a dictionary's key: chat messages as one text however they are written."""
    if isinstance(prompt, np.generic):
        prompt = prompt.item()
    if isinstance(prompt, list | dict):
        return canonical(json.dumps(prompt))
    return prompt


def _rewards(name: str, given: Any, n: int) -> Array:
    values = list(given)
    if len(values) != n:
        raise InputError(f"member {name!r} gave {len(values)} rewards for {n} completions")
    array = np.array([np.nan if value is None else float(value) for value in values])
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise InputError(
            f"member {name!r} gave {values[bad[0]]!r} for completion {bad[0]}: every member must score every completion"
        )
    return array
