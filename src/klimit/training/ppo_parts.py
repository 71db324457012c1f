"""What TRL's PPO is given in place of its own: padding that no model can emit, and a reward that is any function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from klimit.models.prompts import PROMPT_ID, Prompt
from klimit.models.tokens import prompt_ids
from klimit.training.rewards import Term


class Unseen:
    """A tokenizer whose padding is a token that the model does not have.

    TRL's PPO tells padding by its id alone: a padding token that is the end token hides ends, and one that the model
    can emit ends completions that go on. TRL masks padding before a model sees it, so that the id may be any.
    """

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self.pad_token_id = max(vocabulary, len(tokenizer))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Tokenise."""
        return self._tokenizer(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_tokenizer":
            raise AttributeError(name)
        return getattr(self._tokenizer, name)


class Collator:
    """Makes a batch of prompts: padded on the left, the longest setting the width."""

    def __init__(self, tokenizer: Any, prompts: Sequence[Prompt], pad: int) -> None:
        self.ids = {each.prompt_id: prompt_ids(tokenizer, each) for each in prompts}
        self.pad = pad
        self.width = 0

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Token ids of some rows' prompts."""
        given = [self.ids[row[PROMPT_ID]] for row in rows]
        self.width = max(map(len, given))
        padded = [[self.pad] * (self.width - len(ids)) + ids for ids in given]
        return {"input_ids": torch.tensor(padded)}


class Reader(torch.nn.Module):  # type: ignore[misc]
    """Where TRL expects a language model: its hidden states are the rewards, at every position the same."""

    def __init__(self, term: Term, prompts: Sequence[Prompt], collate: Collator, tokenizer: Any) -> None:
        super().__init__()
        self.term = term
        self.collate = collate
        self.tokenizer = tokenizer
        self.by_ids = {tuple(collate.ids[each.prompt_id]): each for each in prompts}
        self.step: Callable[[], int] = lambda: 1

    def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        """Rewards of prompts and completions, ``(B, L, 1)`` as the last hidden state."""
        width = self.collate.width
        prompts, completions = [], []
        for ids, mask in zip(input_ids.cpu(), attention_mask.bool().cpu(), strict=True):
            prompts.append(self.by_ids[tuple(ids[:width][mask[:width]].tolist())])
            completions.append(ids[width:][mask[width:]].tolist())
        texts = self.tokenizer.batch_decode(completions, skip_special_tokens=True)
        found = self.term.score(prompts, texts, completions, when=f"step {self.step():,}")
        rewards = torch.tensor(found, dtype=torch.float32, device=input_ids.device)
        return SimpleNamespace(hidden_states=[rewards[:, None, None].expand(-1, input_ids.shape[1], 1)])


class ScoreModule(torch.nn.Module):  # type: ignore[misc]
    """A reward as a module that TRL's ``get_reward`` can read: a backbone by name, and a head."""

    base_model_prefix = "reader"

    def __init__(self, term: Term, prompts: Sequence[Prompt], collate: Collator, tokenizer: Any) -> None:
        super().__init__()
        self.reader = Reader(term, prompts, collate, tokenizer)

    def score(self, hidden: Any) -> Any:
        """The head: rewards as they are."""
        return hidden
