"""Sampling in this process, by transformers' ``generate``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from klimit.errors import InputError
from klimit.models.engine import Completion, Draw, OutOfMemory
from klimit.models.extras import needed
from klimit.models.loading import Loaded
from klimit.models.prompts import Prompt
from klimit.models.randomness import uniforms
from klimit.models.settings import Sampling
from klimit.models.tokens import end_ids, padded, prompt_ids

_BATCH = {"cpu": 256, "cuda": 1024}  # to begin with; halved until it fits


@dataclass(frozen=True, eq=False)
class LocalEngine:
    """A model in this process.

    Attributes:
        loaded: the model.
        sampling: settings.
        seed: of the run.
        ends: tokens that end a completion.
    """

    loaded: Loaded
    sampling: Sampling
    seed: int
    ends: tuple[int, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """Model, weights, dtype and engine."""
        return self.loaded.identity

    @property
    def batch_size(self) -> int:
        """Completions to try at once."""
        return _BATCH.get(self.loaded.device.partition(":")[0], 64)

    @cached_property
    def _known(self) -> dict[int | str, list[int]]:
        return {}

    def check(self, prompts: Sequence[Prompt]) -> list[str]:
        """Tokenise every prompt, and see that it fits the context.

        Raises:
            InputError: one does not, or has no tokens.
        """
        context = self.loaded.context
        for prompt in prompts:
            length = self.length(prompt)
            if length == 0:
                raise InputError(
                    f"prompt {prompt.prompt_id!r}: has no tokens; give it at least a start token"
                )
            if context is not None and length + self.sampling.max_new_tokens > context:
                room = context - length
                mend = f"give --max-new-tokens {room} or less, or " if room > 0 else ""
                raise InputError(
                    f"prompt {prompt.prompt_id!r}: {length:,} tokens and {self.sampling.max_new_tokens:,} new ones are "
                    f"more than the model's context of {context:,}; {mend}shorten the prompt or leave it out"
                )
        return []

    def length(self, prompt: Prompt) -> int:
        """Its tokens."""
        return len(self._ids(prompt))

    def _ids(self, prompt: Prompt) -> list[int]:
        if prompt.prompt_id not in self._known:
            self._known[prompt.prompt_id] = prompt_ids(self.loaded.tokenizer, prompt)
        return self._known[prompt.prompt_id]

    def sample(self, draws: Sequence[Draw]) -> list[Completion]:
        """Draw completions; each by random numbers of its own, whatever else is in the batch.

        Raises:
            OutOfMemory: fewer at once may fit.
            InputError: the model's probabilities are no numbers.
        """
        torch = needed("torch")
        steps = self.sampling.max_new_tokens
        given = [self._ids(draw.prompt) for draw in draws]
        streams = np.stack([uniforms(self.seed, self.loaded.fingerprint, draw, steps) for draw in draws])
        with out_of_memory(torch), torch.inference_mode(), _no_advice():
            ids, mask = padded(given, side="left", device=self.loaded.device)
            chooser = self._chooser(torch.from_numpy(streams).to(self.loaded.device), ids.shape[1])
            answered = self.loaded.model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=self._greedy(),
                logits_processor=[chooser],
            )[:, ids.shape[1] :].cpu()
            logprobs = chooser.logprobs[:, : answered.shape[1]].cpu().numpy()
        if not np.isfinite(logprobs).all():
            row = int(np.flatnonzero(~np.isfinite(logprobs).all(axis=1))[0])
            raise InputError(
                f"prompt {draws[row].prompt.prompt_id!r}: the model's probabilities are no numbers in "
                f"{self.loaded.dtype}; use --dtype float32"
            )
        return [
            self._completion(given[i], answered[i].tolist(), logprobs[i].astype(float))
            for i in range(len(draws))
        ]

    def _greedy(self) -> Any:
        # The chooser leaves one token possible, so that taking the likeliest takes it.
        return needed("transformers").GenerationConfig(
            do_sample=False,
            max_new_tokens=self.sampling.max_new_tokens,
            eos_token_id=list(self.ends),
            pad_token_id=self.ends[0],
        )

    def _chooser(self, streams: Any, start: int) -> Any:
        from klimit.models.choosing import Chooser

        return Chooser(self.sampling, streams, start)

    def _completion(self, given: list[int], answered: list[int], logprobs: Any) -> Completion:
        end = next((i for i, token in enumerate(answered) if token in self.ends), None)
        kept = answered if end is None else answered[: end + 1]
        return Completion(
            text=self.loaded.tokenizer.decode(kept, skip_special_tokens=True),
            logprob=float(logprobs[: len(kept)].sum()),
            finish_reason="length" if end is None else "stop",
            prompt_token_ids=tuple(given),
            completion_token_ids=tuple(kept),
        )


def local_engine(loaded: Loaded, sampling: Sampling, seed: int) -> LocalEngine:
    """An engine that samples from the model's own probabilities.

    What the repository would do to them (penalties, a temperature of its own) is forgotten, but for its end tokens.
    """
    ends = end_ids(loaded.model, loaded.tokenizer, loaded.name)
    loaded.model.generation_config = needed("transformers").GenerationConfig(eos_token_id=list(ends))
    return LocalEngine(loaded, sampling, seed, ends)


@contextmanager
def out_of_memory(torch: Any) -> Iterator[None]:
    """Turn an allocator's failure into :class:`OutOfMemory`, with what it held given back.

    Raises:
        OutOfMemory: the block needed more memory than there is.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = str(error)
        if not (
            isinstance(error, MemoryError | torch.OutOfMemoryError)
            or "out of memory" in said
            or "can't allocate memory" in said
        ):
            raise
        full = True
    else:
        full = False
    if full:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfMemory


@contextmanager
def _no_advice() -> Iterator[None]:
    """Without warnings on settings that the chooser takes care of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
