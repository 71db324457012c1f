"""What a server is asked for: every setting, by all the names that servers have for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from klimit.models.engine import Draw
from klimit.models.prompts import Prompt
from klimit.models.randomness import key_of
from klimit.models.settings import Sampling

_SEEDS = 2**31  # servers keep seeds in 32 bits, some with a sign

# Settings that are off here, by every name that vLLM, SGLang, llama.cpp and llama-cpp-python have for them. A server
# may have defaults of its own (llama.cpp) or a model's (vLLM), so that all of them are always sent.
OFF: Mapping[str, Any] = {
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "repeat_penalty": 1.0,
    "typical_p": 1.0,
    "top_n_sigma": -1.0,
    "xtc_probability": 0.0,
    "dry_multiplier": 0.0,
    "dynatemp_range": 0.0,
    "adaptive_target": -1.0,
    "mirostat": 0,
    "mirostat_mode": 0,
    "min_tokens": 0,
    "ignore_eos": False,
}
# What is asked for beside the distribution. Servers that split the reasoning off are asked not to.
TELL: Mapping[str, Any] = {"return_token_ids": True, "skip_special_tokens": True}
TELL_CHAT: Mapping[str, Any] = {"separate_reasoning": False, "reasoning_format": "none"}
_ALL_TOKENS = (
    -1,
    0,
)  # a top_k that keeps all tokens: vLLM and llama.cpp take both, SGLang the first, others the second


@dataclass(frozen=True)
class Form:
    """How requests are put to one server.

    Attributes:
        model: name that the server has for it.
        sampling: settings.
        left_out: settings that are off, and that the server does not know.
        all_tokens: the ``top_k`` that means all tokens there.
        post_sampling: ask llama.cpp for the probabilities after its samplers.
    """

    model: str
    sampling: Sampling
    left_out: tuple[str, ...] = ()
    all_tokens: int = _ALL_TOKENS[0]
    post_sampling: bool = False

    def path(self, prompt: Prompt) -> str:
        """Of the API: texts are completed, messages answered."""
        return "/chat/completions" if prompt.is_chat else "/completions"

    def body(self, prompt: Prompt, seed: int, *, top: int = 1) -> dict[str, Any]:
        """One request for one completion.

        Args:
            prompt: to be completed.
            seed: of this completion.
            top: likeliest tokens to be told with each token; llama.cpp tells no log-probabilities without any.
        """
        s = self.sampling
        asked: dict[str, Any] = {
            "model": self.model,
            "n": 1,
            "stream": False,
            "seed": seed,
            "max_tokens": s.max_new_tokens,
            "temperature": s.temperature,
            "top_p": s.top_p,
            "top_k": s.top_k or self.all_tokens,
            **OFF,
            **TELL,
        }
        if prompt.is_chat:
            asked |= {"messages": prompt.messages(), "logprobs": True, "top_logprobs": top, **TELL_CHAT}
        else:
            asked |= {"prompt": prompt.prompt, "logprobs": top}
        if self.post_sampling:
            asked["post_sampling_probs"] = True
        return {name: value for name, value in asked.items() if name not in self.left_out}

    def without(self, said: str) -> Form | None:
        """Another form, after a server refused this one: without what it does not know, where that is off anyway.

        Args:
            said: the server's words.

        Returns:
            None where there is none: what it refuses changes the distribution, or is not named.
        """
        named = set(re.findall(r"\w+", said))
        if "top_k" in named and not self.sampling.top_k and "top_k" not in self.left_out:
            following = _ALL_TOKENS[_ALL_TOKENS.index(self.all_tokens) + 1 :]
            return replace(self, all_tokens=following[0]) if following else self._leaving_out(["top_k"])
        sent = [*OFF, *TELL, *TELL_CHAT]
        return self._leaving_out([name for name in sent if name in named and name not in self.left_out])

    def _leaving_out(self, names: list[str]) -> Form | None:
        return replace(self, left_out=(*self.left_out, *names)) if names else None


def seed_of(seed: int, model: str, draw: Draw) -> int:
    """The seed of one completion: another for every completion of a prompt, and for another model."""
    start = key_of(seed, model, draw.prompt.prompt_id)
    return (
        start + draw.sample_id * 0x9E3779B1
    ) % _SEEDS  # an odd step meets every seed before one comes again
