"""Noisy preferences between a base model's completions, as reward models learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from klimit.lab.choice import Choice, as_prompt
from klimit.lab.recipe import ProxyRecipe, Recipe
from klimit.lab.task import Request, Task
from klimit.lab.tree import as_views
from klimit.models.engine import Draw

_BATCH = 512


@dataclass(frozen=True)
class Preferences:
    """Pairs of completions, as texts.

    Attributes:
        requests: of each pair.
        preferred: the one that was preferred.
        rejected: the other.
    """

    requests: list[Request]
    preferred: list[str]
    rejected: list[str]


def prefer(
    task: Task, recipe: Recipe, choice: Choice, proxy: ProxyRecipe, base_model: Path, rng: np.random.Generator
) -> Preferences:
    """Draw pairs from the base model, and prefer one of each with odds exp(difference of gold / noise).

    Args:
        task: whose rule is gold.
        recipe: of the world.
        choice: of prompts; none that is held out is asked.
        proxy: how many pairs, and how noisy.
        base_model: folder.
        rng: the randomness.
    """
    asked = [choice.shown[i] for i in rng.integers(len(choice.shown), size=proxy.pairs)]
    texts = _completions(task, recipe, [r for request in asked for r in (request, request)], base_model, rng)
    words = [[task.words.index(word) for word in text.split()] for text in texts]
    features = np.repeat(np.stack([request.features for request in asked]), 2, axis=0)
    seen, ended = as_views(words, recipe.length)
    gold = (task.points(features, seen, ended) * task.unit).reshape(-1, 2)
    first = rng.logistic(size=len(gold)) * proxy.noise < gold[:, 0] - gold[:, 1]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    better = [pair[0 if one else 1] for pair, one in zip(pairs, first, strict=True)]
    worse = [pair[1 if one else 0] for pair, one in zip(pairs, first, strict=True)]
    return Preferences(asked, better, worse)


def _completions(
    task: Task, recipe: Recipe, requests: list[Request], base_model: Path, rng: np.random.Generator
) -> list[str]:
    """One completion of each request, as the sampler of :func:`klimit.sample` draws them."""
    from klimit.models.loading import load_causal
    from klimit.models.local import local_engine
    from klimit.models.settings import Sampling

    loaded = load_causal(str(base_model), device="cpu")
    engine = local_engine(loaded, Sampling(max_new_tokens=recipe.length), int(rng.integers(2**31)))
    draws = [Draw(as_prompt(task, r, r.text), number) for number, r in enumerate(requests)]
    batches = [draws[start : start + _BATCH] for start in range(0, len(draws), _BATCH)]
    return [completion.text for batch in batches for completion in engine.sample(batch)]
