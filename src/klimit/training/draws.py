"""Completions of a model that is in memory, with the exact KL of every next token from the reference's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

from klimit.errors import InputError
from klimit.models.choosing import warpers
from klimit.models.engine import Completion, Draw, OutOfMemory
from klimit.models.extras import needed
from klimit.models.forward import Scores, score
from klimit.models.local import LocalEngine, out_of_memory

_FLOATS = 2**27  # numbers in the log-probabilities of one batch, both models together
Item = TypeVar("Item")
Found = TypeVar("Found")


def drawn(engine: LocalEngine, draws: Sequence[Draw]) -> list[Completion]:
    """Completions, in batches that fit.

    Raises:
        InputError: a single one does not fit in memory.
    """
    return [each for batch in _batches(draws, engine.batch_size, engine.sample) for each in batch]


def scored(policy: Any, reference: Any, completions: Sequence[Completion], engine: LocalEngine) -> Scores:
    """Log-probabilities under policy and reference, and next-token KLs, of completions that were drawn.

    Raises:
        InputError: a single one does not fit in memory, or a KL is no finite number.
    """
    through = (warpers(engine.sampling), warpers(engine.sampling))
    vocabulary = policy.get_output_embeddings().weight.shape[0]
    longest = max(len(each.completion_token_ids or ()) for each in completions)

    def work(batch: Sequence[Completion]) -> Scores:
        with out_of_memory(torch):
            return score(
                policy,
                reference,
                [each.prompt_token_ids or () for each in batch],
                [each.completion_token_ids or () for each in batch],
                through,
            )

    parts = list(_batches(completions, max(1, min(256, _FLOATS // (2 * vocabulary * longest))), work))
    found = Scores(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("logprob", "ref_logprob", "token_kl")
        )
    )
    if not np.isfinite(found.token_kl).all():
        raise InputError(
            f"the KL of {(~np.isfinite(found.token_kl)).sum():,} of {len(completions):,} completions is no finite "
            "number: the policy's probabilities are none, or the reference gives some token none"
        )
    return found


@contextmanager
def evaluated(policy: Any) -> Iterator[None]:
    """Take a model out of training and forget how its repository would sample it; both as they were afterwards."""
    modes = [(module, module.training) for module in policy.modules()]
    config = policy.generation_config
    policy.eval()
    policy.generation_config = needed("transformers").GenerationConfig(eos_token_id=config.eos_token_id)
    try:
        yield
    finally:
        policy.generation_config = config
        for module, mode in modes:
            module.training = mode


def _batches(items: Sequence[Item], size: int, work: Callable[[Sequence[Item]], Found]) -> Iterator[Found]:
    at = 0
    while at < len(items):
        try:
            found = work(items[at : at + size])
        except OutOfMemory:
            if size == 1:
                raise InputError("out of memory with a single completion; use a smaller model") from None
            size = max(1, min(size, len(items)) // 2)
            continue
        yield found
        at += size
