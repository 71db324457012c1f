"""Exact truth about a tiny language model: every completion with its probability."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

Laws = dict[tuple[int, ...], float]
Warp = Callable[[np.ndarray], np.ndarray]


def law(model, prompt: list[int], length: int, end: int, warp: Warp = lambda logits: logits) -> Laws:
    """Log-probability of every completion of a prompt that is cut at ``length`` tokens; one forward pass a token.

    Args:
        model: causal language model.
        prompt: token ids.
        length: where completions are cut.
        end: the token that ends one.
        warp: what is done to the logits ``(V,)`` before they are sampled from.
    """
    found: Laws = {}
    open_ends: Laws = {(): 0.0}
    for step in range(length):
        prefixes = list(open_ends)
        if not prefixes:
            break
        with torch.inference_mode():
            ids = torch.tensor([[*prompt, *prefix] for prefix in prefixes])
            logits = model(ids).logits[:, -1].double().numpy()
        grown: Laws = {}
        for prefix, row in zip(prefixes, map(warp, logits), strict=True):
            logprobs = row - np.logaddexp.reduce(row)
            for token in np.flatnonzero(logprobs > -np.inf).tolist():
                closed = token == end or step == length - 1
                (found if closed else grown)[(*prefix, token)] = open_ends[prefix] + float(logprobs[token])
        open_ends = grown
    return found


def kl(policy: Laws, reference: Laws) -> float:
    """``KL(policy || reference)`` in nats per completion, summed over all completions."""
    return sum(np.exp(p) * (p - reference[completion]) for completion, p in policy.items())
