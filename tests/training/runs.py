"""Short runs, and the exact policies that long ones tend to."""

from __future__ import annotations

import numpy as np
from enumeration import Laws, law
from transformers import AutoModelForCausalLM, AutoTokenizer

import klimit
from klimit.models.loading import load_causal

LENGTH = 2


def more_a(completions, **_):
    """One for every ``a``, half of one off for every ``b``."""
    texts = [each if isinstance(each, str) else each[0]["content"] for each in completions]
    return [float(text.split().count("a") - 0.5 * text.split().count("b")) for text in texts]


def short(algorithm, model, prompts, output, **more):
    """A run of a few steps."""
    settings = {
        "reward": more_a,
        "beta": 0.5,
        "steps": 4,
        "batch_size": 16,
        "generations": 1 if algorithm == "ppo" else 4,
        "learning_rate": 1e-2,
        "max_new_tokens": 3,
        "save_every": 2,
        "log_every": 1,
    }
    return klimit.train(algorithm, model=str(model), prompts=prompts, output=output, **{**settings, **more})


def weights(folder) -> str:
    """A name for the weights in a folder."""
    return load_causal(str(folder)).fingerprint


def law_of(folder, prompt: str) -> Laws:
    """The law of a model's completions of two tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    return law(model, tokenizer(prompt)["input_ids"], LENGTH, tokenizer.eos_token_id)


def rewards_of(completions, folder) -> dict[tuple[int, ...], float]:
    """The reward of every completion."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in completions]
    return dict(zip(completions, more_a(texts), strict=True))


def normalised(weighted: Laws) -> Laws:
    """Log weights as log-probabilities."""
    total = np.logaddexp.reduce(list(weighted.values()))
    return {ids: value - total for ids, value in weighted.items()}


def tilted(base: Laws, reward, beta: float) -> Laws:
    """The optimum of ``E[r] - beta KL``."""
    return normalised({ids: value + reward[ids] / beta for ids, value in base.items()})


def token_tilted(base: Laws, reward, beta: float) -> Laws:
    """Where a penalty on each token's own KL leads: tilted by the mean reward to come, without the KL to come."""
    found, firsts = {}, {}
    for first in {ids[0] for ids in base}:
        rest = {ids: value for ids, value in base.items() if ids[0] == first}
        policy = tilted(rest, reward, beta)
        to_come = sum(np.exp(value) * reward[ids] for ids, value in policy.items())
        firsts[(first,)] = np.logaddexp.reduce(list(rest.values())) + to_come / beta
        found[first] = policy
    firsts = normalised(firsts)
    return {ids: value + firsts[(first,)] for first, policy in found.items() for ids, value in policy.items()}


def mean(policy: Laws, reward) -> float:
    """Mean reward."""
    return sum(np.exp(value) * reward[ids] for ids, value in policy.items())
