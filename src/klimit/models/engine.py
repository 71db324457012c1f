"""What samples completions: one small interface, whatever runs the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from klimit.models.prompts import Prompt

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Draw:
    """One completion to be drawn.

    Attributes:
        prompt: whose completion.
        sample_id: which of the prompt's completions, from 0.
    """

    prompt: Prompt
    sample_id: int


@dataclass(frozen=True)
class Completion:
    """One completion as it was sampled.

    Attributes:
        text: decoded, special tokens left out.
        logprob: log-probability of all its tokens, the end token included where it was sampled, under the distribution
            that was sampled from; nats. None where the engine does not tell.
        finish_reason: ``"stop"`` at the end token, ``"length"`` at the token limit.
        prompt_token_ids: what the model was given; None where the engine does not tell.
        completion_token_ids: what it answered, the end token included where it was sampled; None likewise.
    """

    text: str
    logprob: float | None
    finish_reason: FinishReason
    prompt_token_ids: tuple[int, ...] | None
    completion_token_ids: tuple[int, ...] | None


class OutOfMemory(Exception):
    """A batch did not fit; a smaller one may."""


class Engine(Protocol):
    """Samples completions of one model under one setting."""

    @property
    def identity(self) -> dict[str, Any]:
        """What the draws depend on beside the sampling settings: model, weights, dtype, engine; for metadata."""
        ...

    @property
    def batch_size(self) -> int:
        """Completions to ask for at once, to begin with."""
        ...

    def check(self, prompts: Sequence[Prompt]) -> list[str]:
        """Look at all prompts before the work; returns warnings, one line each.

        Raises:
            InputError: a prompt that the model cannot take.
        """
        ...

    def length(self, prompt: Prompt) -> int:
        """A prompt's length (tokens, or characters): batches are made of prompts alike."""
        ...

    def sample(self, draws: Sequence[Draw]) -> list[Completion]:
        """Draw completions, independently.

        Raises:
            OutOfMemory: fewer at once may fit.
        """
        ...
