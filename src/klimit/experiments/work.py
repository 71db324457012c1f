"""The steps with models: each the function that also does it alone, in the experiment's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import klimit
from klimit.errors import InputError
from klimit.experiments.place import SPREAD, Place, policy_of, samples_of
from klimit.experiments.prepare import TRAIN
from klimit.experiments.recipe import Run
from klimit.models.prompts import read_prompts
from klimit.models.rewards import PREFIX
from klimit.samples import read_samples

_SPREAD_ROWS, _SPREAD_PROMPTS, _SPREAD_LEAST = 2048, 256, 8


def sample(place: Place, model: str, which: str, target: str, n: int) -> None:
    """Sample a model on one set of prompts."""
    klimit.sample(
        model=model,
        prompts=place.prompts(which),
        output=place.folder / target,
        n=n,
        max_new_tokens=place.recipe.max_new_tokens,
        seed=place.recipe.seed,
        dtype=place.recipe.dtype,
        **place.loading,
    )


def sample_for_spread(place: Place) -> None:
    """Sample the base model on some of the prompts to train on: enough to know the rewards' spread within prompts."""
    prompts = read_prompts(place.prompts(TRAIN))
    rng = np.random.default_rng(place.recipe.seed)
    count = min(len(prompts), _SPREAD_PROMPTS)
    chosen = [prompts[i] for i in np.sort(rng.choice(len(prompts), count, replace=False))]
    klimit.sample(
        model=place.model,
        prompts=chosen,
        output=place.folder / SPREAD,
        n=max(_SPREAD_LEAST, -(-_SPREAD_ROWS // count)),
        max_new_tokens=place.recipe.max_new_tokens,
        seed=place.recipe.seed,
        dtype=place.recipe.dtype,
        **place.loading,
    )


def score(place: Place, target: str, rewards: Sequence[str]) -> None:
    """Score samples by some rewards."""
    klimit.score(
        reward={name: place.reward(name) for name in rewards},
        input=place.folder / target,
        dtype=place.recipe.dtype,
        **place.loading,
    )


def logprob(place: Place, run: Run) -> None:
    """Score a policy's samples under it and the base model."""
    klimit.logprob(
        model=str(place.folder / policy_of(run)),
        ref_model=place.model,
        input=place.folder / samples_of(run),
        dtype=place.recipe.dtype,
        **place.loading,
    )


def train(place: Place, run: Run) -> None:
    """Train a policy."""
    recipe = place.recipe
    klimit.train(
        run.trainer,
        model=place.model,
        reward=place.reward(recipe.reward),
        prompts=place.prompts(TRAIN),
        beta=beta_of(place, run),
        output=place.folder / policy_of(run),
        max_new_tokens=recipe.max_new_tokens,
        seed=run.seed,
        **place.loading,
        **recipe.training[run.trainer],
    )


def beta_of(place: Place, run: Run) -> float:
    """What a run gives up for a nat, in reward."""
    return run.beta * spread_of(place) if run.in_spreads else run.beta


def spread_of(place: Place) -> float:
    """The standard deviation of the trained reward within prompts, under the base model.

    Raises:
        InputError: all completions of every prompt have one reward.
    """
    column = PREFIX + place.recipe.reward
    samples = read_samples(str(place.folder / SPREAD), rewards=[column])
    starts = np.cumsum(samples.counts)[:-1]
    within = [float(np.var(part, ddof=1)) for part in np.split(samples.reward(column), starts)]
    spread = float(np.sqrt(np.mean(within)))
    if spread <= 0:
        raise InputError(
            f"{Path(SPREAD).name}: all completions of a prompt have the same {place.recipe.reward}; there is nothing "
            "to train for, and no spread to count beta in: give another reward, or beta"
        )
    return spread
