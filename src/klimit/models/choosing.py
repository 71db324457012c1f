"""The next token, chosen by a random number of the completion's own. Imported where torch is."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from klimit.models.settings import Sampling


def warpers(sampling: Sampling) -> list[Any]:
    """What turns a model's logits into those that are sampled from, in transformers' order."""
    found: list[Any] = []
    if sampling.temperature != 1:
        found.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        found.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        found.append(TopPLogitsWarper(sampling.top_p))
    return found


def warped(logits: torch.Tensor, through: list[Any]) -> torch.Tensor:
    """Log-probabilities that are sampled from, ``(N, V)``, float32."""
    scores = logits.float()
    for warper in through:
        scores = warper(None, scores)
    return torch.log_softmax(scores, dim=-1)


class Chooser(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Chooses each row's next token by inverting its distribution at that row's next uniform number.

    A row's tokens then depend on its own logits and numbers only, not on the batch that it is in. The log-probability
    of each token chosen is kept.

    Attributes:
        logprobs: ``(N, T)``; 0 where no token was chosen yet.
    """

    def __init__(self, sampling: Sampling, uniforms: torch.Tensor, start: int) -> None:
        self.through = warpers(sampling)
        self.uniforms = uniforms
        self.start = start
        self.logprobs = torch.zeros(uniforms.shape, dtype=torch.float32, device=uniforms.device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores that leave the token chosen, ``(N, V)``."""
        step = input_ids.shape[1] - self.start
        logprobs = warped(scores, self.through)
        # In double precision: rounding must not move probability between tokens of a large vocabulary.
        cumulative = torch.cumsum(logprobs.double().exp_(), dim=-1)
        target = self.uniforms[:, step, None] * cumulative[:, -1:]
        token = torch.searchsorted(cumulative, target, right=True).clamp_(max=scores.shape[-1] - 1)
        self.logprobs[:, step] = logprobs.gather(1, token)[:, 0]
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)
