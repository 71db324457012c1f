"""The networks of a world, in Hugging Face format: one token a word, and a vocabulary closed by the head's bias."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    PhiConfig,
    PhiForCausalLM,
    PhiForSequenceClassification,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from klimit.lab.task import Task
from klimit.models.prompts import Prompt

PAD, END, UNKNOWN, CUT, USER, ASSISTANT = "<pad>", "<end>", "<unknown>", "<cut>", "<user>", "<assistant>"
SPECIAL = (PAD, END, UNKNOWN, CUT, USER, ASSISTANT)
CONTEXT = 64
SHUT = -60.0  # bias of the tokens that no completion has; their weights are 0

_CHAT = (
    "{% for m in messages %}{{ '<' + m['role'] + '>' }} {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
# A reward model sees the words that rewards look at, and whether more came: by its template where prompts are
# messages, else by what its tokenizer makes of the text.
_JUDGED = (
    "{%% for m in messages %%}{{ '<' + m['role'] + '>' }} "
    "{%% if m['role'] == 'assistant' %%}{%% set said = m['content'].split() %%}"
    "{{ said[:%(seen)d] | join(' ') }}{%% if said | length > %(seen)d %%} <cut>{%% endif %%}"
    "{%% else %%}{{ m['content'] }} {%% endif %%}{%% endfor %%}"
)
_LAST = r"%(mark)s(?:\S+ ){%(seen)d}\K\S+$"


def vocabulary(task: Task) -> dict[str, int]:
    """Token ids by word."""
    return {word: i for i, word in enumerate(dict.fromkeys((*SPECIAL, *task.words, *task.prompt_words)))}


def open_tokens(task: Task) -> list[int]:
    """Token ids of the words of completions, in their order, then of the end."""
    known = vocabulary(task)
    return [*(known[word] for word in task.words), known[END]]


def policy_tokenizer(task: Task) -> PreTrainedTokenizerFast:
    """The tokenizer of policies; with a chat template where prompts are messages."""
    return _tokenizer(task, _CHAT if task.chat else None)


def proxy_tokenizer(task: Task, length: int) -> PreTrainedTokenizerFast:
    """The tokenizer of reward models, which shows them what rewards look at."""
    if task.chat:
        return _tokenizer(task, _JUDGED % {"seen": length - 1})
    found = _tokenizer(task, None)
    last = Regex(_LAST % {"mark": task.mark, "seen": length - 1})
    found.backend_tokenizer.normalizer = normalizers.Replace(last, CUT)
    return found


def judged_ids(tokenizer: PreTrainedTokenizerFast, prompt: Prompt, completion: str) -> list[int]:
    """What a reward model reads, as :func:`klimit.score` puts it together."""
    if not prompt.is_chat:
        return list(tokenizer(f"{prompt.prompt}{completion}")["input_ids"])
    messages = [*prompt.messages(), {"role": "assistant", "content": completion}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _tokenizer(task: Task, template: str | None) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.WordLevel(vocabulary(task), unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, unk_token=UNKNOWN, pad_token=PAD, model_max_length=CONTEXT
    )
    if template is not None:
        found.chat_template = template
    return found


def policy_network(task: Task, *, width: int, layers: int) -> Any:
    """A causal language model that gives no token of its own but the words of completions and the end."""
    model = PhiForCausalLM(_config(task, width, layers))
    shut = torch.ones(len(vocabulary(task)), dtype=torch.bool)
    shut[open_tokens(task)] = False
    with torch.no_grad():
        model.lm_head.weight[shut] = 0.0
        model.lm_head.bias.copy_(torch.where(shut, SHUT, 0.0))
    return model


def proxy_network(task: Task, *, width: int) -> Any:
    """A sequence classifier of one layer with one number, the reward."""
    config = _config(task, width, 1)
    config.num_labels = 1
    return PhiForSequenceClassification(config)


def _config(task: Task, width: int, layers: int) -> PhiConfig:
    known = vocabulary(task)
    return PhiConfig(
        vocab_size=len(known),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 8 if width < 32 else 4,
        max_position_embeddings=CONTEXT,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=known[END],
        pad_token_id=known[PAD],
    )


def save(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a model and its tokenizer to a folder."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    finally:
        if shown:
            logging.enable_progress_bar()
