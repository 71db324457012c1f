"""Exact truth about a tiny language model: every completion with its probability."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

Laws = dict[tuple[int, ...], float]
Warp = Callable[[np.ndarray], np.ndarray]


def law(model, prompt: list[int], length: int, end: int, warp: Warp = lambda logits: logits) -> Laws:
    """Log-probability of every completion of a prompt, cut at ``length`` tokens, by a forward pass a prefix.

    Args:
        model: causal language model.
        prompt: token ids.
        length: where completions are cut.
        end: the token that ends one.
        warp: what is done to the logits before they are sampled from.
    """
    found: Laws = {}

    def grow(prefix: tuple[int, ...], logprob: float) -> None:
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompt, *prefix]])).logits[0, -1].double().numpy()
        logits = warp(logits)
        logprobs = logits - np.logaddexp.reduce(logits)
        for token, step in enumerate(logprobs):
            if step == -np.inf:
                continue
            grown = (*prefix, token)
            if token == end or len(grown) == length:
                found[grown] = logprob + float(step)
            else:
                grow(grown, logprob + float(step))

    grow((), 0.0)
    return found


def kl(policy: Laws, reference: Laws) -> float:
    """``KL(policy || reference)`` in nats per completion, summed over all completions."""
    return sum(np.exp(p) * (p - reference[completion]) for completion, p in policy.items())
