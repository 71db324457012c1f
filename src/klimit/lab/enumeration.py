"""Every completion's probability, or reward, from a network itself: the tree of prefixes, a cached level at a time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache

from klimit.errors import InputError
from klimit.lab.tree import Tree

Array = NDArray[np.float64]
LEAK = 1e-6  # probability outside the completions, above which a law is refused


class Walk:
    """A network's walk down the tree of one prompt.

    Attributes:
        network: whose keys and values are kept.
        output: of its forward, what is looked at, ``(N, V)``.
    """

    def __init__(self, network: Any, output: Callable[[Any], torch.Tensor]) -> None:
        self.network, self.output = network, output
        names = inspect.signature(network.forward).parameters
        self.cache_name = "cache" if "cache" in names else "past_key_values"

    def levels(self, prompt: Sequence[int], words: torch.Tensor, depth: int) -> Iterator[Any]:
        """Outputs after every prefix of 0, 1, ... ``depth`` words, in the tree's order, each ``(K ** d, V)``."""
        for output, _ in self.kept_levels(prompt, words, depth):
            yield output

    def kept_levels(
        self, prompt: Sequence[int], words: torch.Tensor, depth: int
    ) -> Iterator[tuple[Any, Any]]:
        """The same, each with the cache that holds all that went before."""
        cache = DynamicCache(config=self.network.config)
        yield self.step(torch.tensor([list(prompt)]), cache), cache
        for d in range(1, depth + 1):
            cache.batch_repeat_interleave(len(words))
            yield self.step(words.repeat(len(words) ** (d - 1))[:, None], cache), cache

    def step(self, ids: torch.Tensor, cache: Any) -> torch.Tensor:
        """The output of one forward pass with what went before in the cache, to which it adds; on the CPU."""
        given = ids.to(self.network.device)
        return self.output(self.network(input_ids=given, use_cache=True, **{self.cache_name: cache})).cpu()


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
    words, head = torch.tensor(open_tokens[:-1]), torch.tensor(open_tokens)
    walk = Walk(model, lambda out: out.logits[:, -1])
    found = np.empty((len(prompts), tree.n_leaves))
    with _evaluating(model):
        for row, prompt in enumerate(prompts):
            start, so_far = 0, torch.zeros(1, dtype=torch.float64)
            for logits in walk.levels(prompt, words, tree.length - 1):
                steps = torch.log_softmax(logits.double(), dim=-1)[:, head]
                _check_closed(steps, name)
                after = so_far[:, None] + steps
                found[row, start : start + len(after)] = after[:, -1].numpy()
                start += len(after)
                so_far = after[:, :-1].flatten()
            found[row, start:] = so_far.numpy()
    return found


def _check_closed(steps: torch.Tensor, name: str) -> None:
    """Whether the next words have all the probability."""
    left = float((1.0 - steps.exp().sum(dim=-1)).max())
    if not torch.isfinite(steps).all():
        raise InputError(
            f"{name}: its probabilities are no numbers, or 0 for a word; it cannot be enumerated"
        )
    if left > LEAK:
        raise InputError(
            f"{name}: gives {left:.3g} of a next token's probability to tokens that no completion has, more than "
            f"{LEAK:g}; train it from the world's base model, and with no weight decay on the head's bias"
        )


def view_rewards(
    model: Any, prompts: Sequence[Sequence[int]], tree: Tree, words: Sequence[int], cut: int
) -> Array:
    """Rewards of all views of each prompt by a sequence classifier, ``(P, n_views)``.

    Args:
        model: sequence classifier.
        prompts: token ids, up to where completions begin.
        tree: of completions.
        words: ids of the words, in the tree's order.
        cut: id of what follows the words seen of a completion that is cut.
    """
    head, heads = model.score, torch.tensor(words)
    walk = Walk(model.base_model, lambda out: head(out.last_hidden_state[:, -1]))
    found = np.empty((len(prompts), tree.n_views))
    with _evaluating(model):
        for row, prompt in enumerate(prompts):
            levels = list(walk.kept_levels(prompt, heads, tree.length - 1))
            ended, cache = [rewards for rewards, _ in levels], levels[-1][1]
            after = walk.step(torch.full((len(ended[-1]), 1), cut), cache)
            found[row] = torch.cat([*ended, after])[:, 0].double().numpy()
    return found


class _evaluating:
    """No gradients, no dropout, one thread; the model is left as it was."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.training, self.threads = self.model.training, torch.get_num_threads()
        self.model.eval()
        torch.set_num_threads(1)
        self.mode = torch.inference_mode()
        self.mode.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.mode.__exit__(*error)
        torch.set_num_threads(self.threads)
        self.model.train(self.training)
