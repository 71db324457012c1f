"""From prompts to token ids, and back: tokenised once, by the model's own template, and stored from then on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from klimit.errors import InputError
from klimit.models.prompts import Prompt


def prompt_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The token ids that a model is given: a text as it is, messages by the chat template.

    Raises:
        InputError: messages without a template, or one that refuses them.
    """
    if not prompt.is_chat:
        return list(tokenizer(prompt.prompt)["input_ids"])
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(
            f"prompt {prompt.prompt_id!r}: is a list of chat messages, and the model's tokenizer has no chat template; "
            "use a chat model, or prompts as texts"
        )
    try:
        return list(
            tokenizer.apply_chat_template(
                prompt.messages(), add_generation_prompt=True, tokenize=True, return_dict=False
            )
        )
    except Exception as error:
        raise InputError(f"prompt {prompt.prompt_id!r}: the chat template refuses it ({error})") from None


def end_ids(model: Any, tokenizer: Any, name: str) -> tuple[int, ...]:
    """The tokens that end a completion.

    Raises:
        InputError: the model names none.
    """
    for source in (getattr(model, "generation_config", None), model.config, tokenizer):
        found = getattr(source, "eos_token_id", None)
        if found is not None:
            return tuple(found) if isinstance(found, list | tuple) else (int(found),)
    raise InputError(
        f"{name}: has no end token (eos_token_id), so its completions have no end; set one in its config"
    )


def padded(rows: Sequence[Sequence[int]], *, side: str, device: str) -> tuple[Any, Any]:
    """Token ids as one tensor, and which are real; what stands in the padding is never looked at.

    Args:
        rows: of ids.
        side: of the padding, ``"left"`` or ``"right"``.
        device: of the tensors.
    """
    import torch

    width = max(len(row) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[i, place] = torch.tensor(row, dtype=torch.long)
        mask[i, place] = 1
    return ids.to(device), mask.to(device)
