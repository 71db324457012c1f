"""Log-probabilities of stored token ids under two models, with the exact KL of every next token. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from klimit.models.choosing import warped

Ids = Sequence[int]


@dataclass(frozen=True, eq=False)
class Scores:
    """Sums over the tokens of each completion, in nats; arrays of shape ``(N,)``.

    Attributes:
        logprob: under the policy.
        ref_logprob: under the reference.
        token_kl: ``KL(policy || reference)`` of the next-token distribution, exact at every token: the estimate of the
            completion's KL that Rao-Blackwell gives.
    """

    logprob: NDArray[np.float64]
    ref_logprob: NDArray[np.float64]
    token_kl: NDArray[np.float64]


def score(
    policy: Any,
    reference: Any,
    given: Sequence[Ids],
    answered: Sequence[Ids],
    through: tuple[list[Any], list[Any]],
) -> Scores:
    """Score completions by their token ids; nothing is tokenised again.

    Args:
        policy: causal language model.
        reference: another with the same vocabulary, on the same device.
        given: token ids of the prompts.
        answered: token ids of the completions, the end token included where it was sampled.
        through: what turns logits into those that are sampled from (temperature, say), for either model.
    """
    with torch.inference_mode():
        inputs = _Aligned.of(given, answered, policy.device)
        p = _logprobs(policy, inputs, through[0])
        q = _logprobs(reference, inputs, through[1])
        target = inputs.answered[..., None]
        kl = torch.where(p > -torch.inf, p.exp() * (p - q), 0.0).sum(-1)
        parts = (p.gather(-1, target)[..., 0], q.gather(-1, target)[..., 0], kl)
        sums = [torch.where(inputs.real, part, 0.0).double().sum(1).cpu().numpy() for part in parts]
    return Scores(*sums)


@dataclass(frozen=True)
class _Aligned:
    """Prompts padded on the left and completions on the right, so that all completions begin in one column."""

    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    answered: torch.Tensor
    real: torch.Tensor

    @classmethod
    def of(cls, given: Sequence[Ids], answered: Sequence[Ids], device: Any) -> _Aligned:
        from klimit.models.tokens import padded

        left, left_mask = padded(given, side="left", device=device)
        right, right_mask = padded(answered, side="right", device=device)
        mask = torch.cat([left_mask, right_mask], dim=1)
        positions = (mask.cumsum(1) - 1).clamp_(min=0)
        return cls(torch.cat([left, right], dim=1), mask, positions, right, right_mask.bool())


def _logprobs(model: Any, inputs: _Aligned, through: list[Any]) -> torch.Tensor:
    """Log-probabilities of every next token of the completions, ``(N, T, V)``, float32."""
    length = inputs.answered.shape[1]
    logits = model(
        input_ids=inputs.ids,
        attention_mask=inputs.mask,
        position_ids=inputs.positions,
        logits_to_keep=length + 1,
        use_cache=False,
    ).logits[:, -length - 1 : -1]
    rows, _, vocabulary = logits.shape
    return warped(logits.reshape(-1, vocabulary), through).reshape(rows, length, vocabulary)
