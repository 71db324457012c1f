"""Words given to a network in blocks: the same law as word by word, and no law of a network that cannot take blocks."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from klimit.lab import blocks, enumeration, networks
from klimit.models.loading import load_causal
from klimit.models.tokens import prompt_ids


@pytest.fixture
def given(world):
    """The base model, prompts of several lengths, the tree and its tokens."""
    tokenizer = networks.policy_tokenizer(world.task)
    prompts = [prompt_ids(tokenizer, prompt) for prompt in world.prompts.all]
    return load_causal(str(world.base_model)).model, prompts, world.tree, networks.open_tokens(world.task)


def test_blocks_give_the_law_that_word_by_word_is_found(given):
    assert np.abs(blocks.leaf_logprobs(*given) - enumeration.leaf_logprobs(*given)).max() < 1e-5


def test_a_network_that_does_not_heed_masks_is_found_out_and_enumerated_word_by_word(given, monkeypatch):
    model, *rest = given
    forward, masked = type(model).forward, []

    def heedless(self, *positional, attention_mask=None, **named):
        masked.append(attention_mask is not None)
        return forward(self, *positional, **named)

    heedless.__signature__ = inspect.signature(forward)
    monkeypatch.setattr(type(model), "forward", heedless)
    assert np.array_equal(blocks.leaf_logprobs(model, *rest), enumeration.leaf_logprobs(model, *rest))
    assert sum(masked) == 1


def test_the_network_is_left_as_it_was(given):
    model = given[0].train()
    threads = torch.get_num_threads()
    blocks.leaf_logprobs(*given)
    assert model.training
    assert torch.get_num_threads() == threads
