"""Completions' probabilities as :mod:`klimit.lab.enumeration` finds them, in half the time.

The last words of the completions of one prefix are given to the network as one block, each of which sees the prefix and
itself alone: the prefix's keys and values are then not copied for every word. A network that does not heed such masks
is told by its first prompt, and enumerated without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from klimit.lab.enumeration import Walk, _check_closed, _evaluating
from klimit.lab.tree import Tree

Array = NDArray[np.float64]
_SAME = 1e-3  # nats: rounding is far below, and another mask far above


class BlockWalk(Walk):
    """A walk whose last words are given in blocks."""

    def levels(self, prompt: Sequence[int], words: torch.Tensor, depth: int) -> Iterator[Any]:
        """Outputs after every prefix of 0, 1, ... ``depth`` words, in the tree's order, each ``(K ** d, V)``."""
        cache: Any = DynamicCache(config=self.network.config)
        for output, cache in self.kept_levels(prompt, words, depth - 1):  # noqa: B007  # used after the loop
            yield output
        yield self.block(words, len(words) ** (depth - 1), len(prompt) + depth - 1, cache)

    def block(self, words: torch.Tensor, prefixes: int, before: int, cache: Any) -> torch.Tensor:
        """The output after each of the words, for every prefix in the cache."""
        size, device = len(words), self.network.device
        dtype = next(self.network.parameters()).dtype
        alone = torch.full((size, size), torch.finfo(dtype).min, dtype=dtype).fill_diagonal_(0.0)
        mask = torch.cat([torch.zeros(size, before, dtype=dtype), alone], dim=1)[None, None]
        found = self.network(
            input_ids=words.repeat(prefixes, 1).to(device),
            attention_mask=mask.expand(prefixes, 1, size, before + size).to(device),
            position_ids=torch.full((1, size), before, device=device),
            use_cache=True,
            **{self.cache_name: cache},
        )
        return found.logits.flatten(0, 1).cpu()


def leaf_logprobs(
    model: Any,
    prompts: Sequence[Sequence[int]],
    tree: Tree,
    open_tokens: Sequence[int],
    *,
    name: str = "model",
) -> Array:
    """Log-probabilities of all completions of each prompt, ``(P, n_leaves)``.

    Args:
        model: causal language model; used as in evaluation, and left as it was.
        prompts: token ids.
        tree: of completions.
        open_tokens: ids of the words, in the tree's order, then of the end.
        name: of the model, for messages.

    Raises:
        InputError: the model gives other tokens probability, or numbers that are none.
    """
    walk, plain = (kind(model, lambda out: out.logits[:, -1]) for kind in (BlockWalk, Walk))
    found = np.empty((len(prompts), tree.n_leaves))
    with _evaluating(model):
        for row, prompt in enumerate(prompts):
            found[row] = _leaves(walk, prompt, tree, open_tokens, name)
            if row == 0:
                sure = _leaves(plain, prompt, tree, open_tokens, name)
                if np.abs(found[0] - sure).max() > _SAME:
                    walk, found[0] = plain, sure
    return found


def _leaves(walk: Walk, prompt: Sequence[int], tree: Tree, open_tokens: Sequence[int], name: str) -> Array:
    """Log-probabilities of all completions of one prompt."""
    words, head = torch.tensor(open_tokens[:-1]), torch.tensor(open_tokens)
    found, so_far = [], torch.zeros(1, dtype=torch.float64)
    for logits in walk.levels(prompt, words, tree.length - 1):
        steps = torch.log_softmax(logits.double(), dim=-1)[:, head]
        _check_closed(steps, name)
        after = so_far[:, None] + steps
        found.append(after[:, -1])
        so_far = after[:, :-1].flatten()
    return np.asarray(torch.cat([*found, so_far]).numpy())
