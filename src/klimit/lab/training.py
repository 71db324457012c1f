"""Training of a world's networks: the base model on demonstrations, reward models on preferences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, logsigmoid

from klimit.errors import InputError
from klimit.models.tokens import padded

Ids = Sequence[int]
_RATE = 3e-3  # the largest learning rate; it rises over the first steps and falls along a cosine


@contextmanager
def settled(seed: int) -> Iterator[None]:
    """One thread and torch's random numbers from a seed, both as they were afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def fit_policy(
    model: Any,
    prompts: Sequence[Ids],
    completions: Sequence[Ids],
    *,
    steps: int,
    batch: int,
    rng: np.random.Generator,
) -> None:
    """Fit a causal language model to completions of prompts; prompts themselves are not learnt."""
    ids, mask = padded(
        [[*p, *c] for p, c in zip(prompts, completions, strict=True)], side="right", device="cpu"
    )
    first = torch.tensor([len(p) for p in prompts])[:, None]
    learnt = (torch.arange(ids.shape[1]) >= first) & (mask > 0)
    labels = torch.where(learnt, ids, -100)

    def loss(rows: Any) -> Any:
        logits = model(input_ids=ids[rows], attention_mask=mask[rows], use_cache=False).logits
        return cross_entropy(logits[:, :-1].flatten(0, 1), labels[rows, 1:].flatten())

    _fit(model, loss, len(ids), steps=steps, batch=batch, rng=rng, what="base model")


def fit_proxy(
    model: Any,
    preferred: Sequence[Ids],
    rejected: Sequence[Ids],
    *,
    steps: int,
    batch: int,
    rng: np.random.Generator,
    what: str,
) -> None:
    """Fit a reward model to pairs: the odds that one is preferred are exp(difference of rewards) (Bradley-Terry)."""
    pad = model.config.pad_token_id
    ids, mask = padded([*preferred, *rejected], side="right", device="cpu")
    ids = torch.where(mask > 0, ids, pad)
    size = len(preferred)

    def loss(rows: Any) -> Any:
        both = torch.cat([rows, rows + size])
        rewards = model(input_ids=ids[both], attention_mask=mask[both], use_cache=False).logits[:, 0]
        return -logsigmoid(rewards[: len(rows)] - rewards[len(rows) :]).mean()

    _fit(model, loss, size, steps=steps, batch=min(batch, size), rng=rng, what=what)


def _fit(
    model: Any,
    loss: Callable[[Any], Any],
    size: int,
    *,
    steps: int,
    batch: int,
    rng: np.random.Generator,
    what: str,
) -> None:
    """Adam over ``steps`` batches of rows below ``size``.

    Raises:
        InputError: the loss is no number.
    """
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE)
    warm = max(1, min(20, steps // 5))
    for step in range(steps):
        rate = min((step + 1) / warm, 0.5 * (1 + np.cos(np.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = _RATE * rate
        value = loss(torch.from_numpy(rng.integers(size, size=batch)))
        if not torch.isfinite(value):
            raise InputError(f"{what}: its training came to no number at step {step}; another seed may do")
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
