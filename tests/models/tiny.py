"""Tiny models made on the spot: a handful of words, so that every completion can be enumerated."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

END, UNKNOWN, PAD = "<end>", "<unknown>", "<pad>"
WORDS = ("a", "b", "c")
CHAT = (
    "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


def tokenizer(
    words: tuple[str, ...] = WORDS, *, pad: str | None = None, chat: bool = False
) -> PreTrainedTokenizerFast:
    """One token a word; ``pad`` is None, ``"end"`` (pad = EOS, as many models have it) or ``"own"``."""
    extra = ("system", "user", "assistant") if chat else ()
    names = (END, UNKNOWN, *((PAD,) if pad == "own" else ()), *words, *extra)
    made = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, unk_token=UNKNOWN)
    if pad is not None:
        found.pad_token = {"end": END, "own": PAD}[pad]
    if chat:
        found.chat_template = CHAT
    return found


def causal(
    folder: Path,
    *,
    seed: int = 0,
    words: tuple[str, ...] = WORDS,
    pad: str | None = None,
    chat: bool = False,
    sharpness: float = 30.0,
    context: int = 64,
) -> Path:
    """A causal language model with random weights, saved in a folder.

    Args:
        folder: to be made.
        seed: of the weights.
        words: of the vocabulary.
        pad: see :func:`tokenizer`.
        chat: with a chat template.
        sharpness: that the head's weights are multiplied by, so that next tokens differ in probability.
        context: tokens at most.
    """
    known = tokenizer(words, pad=pad, chat=chat)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(len(known), known, context))
    with torch.no_grad():
        model.lm_head.weight.mul_(sharpness)
    return _saved(model, known, folder)


def classifier(
    folder: Path,
    *,
    seed: int = 0,
    words: tuple[str, ...] = WORDS,
    pad: str | None = None,
    chat: bool = False,
    labels: int = 1,
    context: int = 64,
) -> Path:
    """A sequence classifier (a reward model) with random weights, saved in a folder; see :func:`causal`."""
    known = tokenizer(words, pad=pad, chat=chat)
    torch.manual_seed(seed)
    config = _config(len(known), known, context)
    config.num_labels = labels
    return _saved(LlamaForSequenceClassification(config), known, folder)


def _config(vocabulary: int, known: PreTrainedTokenizerFast, context: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=known.eos_token_id,
        pad_token_id=known.pad_token_id,
    )


def _saved(model, known: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    known.save_pretrained(folder)
    return folder
