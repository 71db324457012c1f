"""Token ids of prompts from llama.cpp's server, which tells them by paths of its own."""

from __future__ import annotations

from typing import Any

from klimit.errors import InputError
from klimit.models.prompts import Prompt
from klimit.models.server_http import Refused, Talk


async def prompt_ids_told(talk: Talk, prompt: Prompt, n_tokens: int | None) -> tuple[int, ...] | None:
    """What the model was given, by the server's own template and tokenizer.

    Args:
        talk: to the server.
        prompt: that it completed.
        n_tokens: as many tokens as it counted there; ids that are not as many are not those.

    Returns:
        None where the server does not tell.
    """
    try:
        text: Any = prompt.prompt
        if prompt.is_chat:
            text = (await talk.post_to("/apply-template", {"messages": prompt.messages()})).get("prompt")
        asked = {"content": text, "add_special": True, "parse_special": True}
        ids = (await talk.post_to("/tokenize", asked)).get("tokens")
    except Refused:
        return None
    if not isinstance(ids, list) or not all(isinstance(each, int) for each in ids) or len(ids) != n_tokens:
        return None
    return tuple(ids)


async def prompt_ids_known(talk: Talk, prompt: Prompt, n_tokens: int | None) -> tuple[int, ...]:
    """As :func:`prompt_ids_told`, of a server that told them when it was tried.

    Raises:
        InputError: it does not tell them now.
    """
    ids = await prompt_ids_told(talk, prompt, n_tokens)
    if ids is None:
        raise InputError(f"the server counted {n_tokens} tokens in the prompt, and tells the ids of others")
    return ids
