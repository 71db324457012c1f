"""Which server it is, and whether it has the model: as far as it tells."""

from __future__ import annotations

from typing import Any

from klimit.errors import InputError
from klimit.models.server_http import Talk

UNKNOWN = "OpenAI-compatible server"
# Who a server says its models are owned by: its name, and where it tells its version under which name.
_KINDS = {
    "vllm": ("vLLM", (("/version", "version"),)),
    "sglang": ("SGLang", (("/server_info", "version"), ("/get_server_info", "version"))),
    "llamacpp": ("llama.cpp", (("/props", "build_info"),)),
}


async def engine_of(talk: Talk, model: str) -> str:
    """Name and version of a server.

    Args:
        talk: to the server.
        model: that it is to have.

    Raises:
        InputError: it has not got the model; the line says which it has.
    """
    listed = await talk.get(f"{talk.address.base}/models")
    cards = listed.get("data") if isinstance(listed, dict) else None
    owners = {
        card["id"]: card.get("owned_by") for card in cards or () if isinstance(card, dict) and "id" in card
    }
    owner = owners.get(model, owners.get(model.partition(":")[0]))  # SGLang: model:adapter
    if owners and model not in owners and owner != "sglang":
        shown = ", ".join(map(str, list(owners)[:8])) + (", ..." if len(owners) > 8 else "")
        raise InputError(
            f"{talk.address.base}: has no model {model!r}; give one of its own with --model: {shown}"
        )
    name, places = _KINDS.get(str(owner), (UNKNOWN, ()))
    for path, field in places:
        found: Any = await talk.get(f"{talk.address.root}{path}")
        if isinstance(found, dict) and isinstance(found.get(field), str):
            return f"{name} {found[field]}"
    return name
