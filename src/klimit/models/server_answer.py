"""What a server answered, in the forms of vLLM, SGLang and llama.cpp, read without taking anything for granted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from klimit.errors import InputError

_ID = re.compile(r"token_id:(\d+)")
UNKNOWN = -9000.0  # servers write -9999, or the lowest float, where they have no finite log-probability


@dataclass(frozen=True)
class Token:
    """One token of a completion.

    Attributes:
        text: of the token.
        logprob: as the server tells it; nats.
        top: the likeliest tokens in its place, with theirs; by their key.
        token_id: None where the server does not tell.
    """

    text: str
    logprob: float
    top: Mapping[str | int, float]
    token_id: int | None

    @property
    def key(self) -> str | int:
        """Its id where the server tells it: other tokens may look the same, as all that show as nothing."""
        return self.text if self.token_id is None else self.token_id


@dataclass(frozen=True)
class Answer:
    """One completion, as the server tells it.

    Attributes:
        text: of the completion.
        finish_reason: as the server names it.
        tokens: of the completion; None where the server tells no log-probabilities.
        token_ids: of the completion; None where it does not tell.
        prompt_token_ids: likewise.
        n_tokens: of the completion, as it was counted; None likewise.
        n_prompt_tokens: of the prompt, likewise.
        matched: what ended it, where the server tells: a token id.
        aside: what else the model said, that is not in the text (reasoning, tool calls, a refusal), by its name.
    """

    text: str
    finish_reason: str
    tokens: tuple[Token, ...] | None
    token_ids: tuple[int, ...] | None
    prompt_token_ids: tuple[int, ...] | None
    n_tokens: int | None
    n_prompt_tokens: int | None
    matched: int | None
    aside: str | None


def read_answer(body: Mapping[str, Any]) -> Answer:
    """Read the answer to a request for one completion.

    Raises:
        InputError: it has not the form of one.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise _garbled("'choices' does not hold one completion", choices)
    choice = choices[0]
    text, aside = _text(choice)
    reason = choice.get("finish_reason")
    if not isinstance(reason, str):
        raise _garbled("'finish_reason' is no text", reason)
    tokens = _tokens(choice.get("logprobs"))
    usage = body.get("usage")
    n_tokens, n_prompt_tokens = (
        _count(usage.get(name)) if isinstance(usage, dict) else None
        for name in ("completion_tokens", "prompt_tokens")
    )
    matched = choice.get("matched_stop", choice.get("stop_reason"))
    return Answer(
        text=text,
        finish_reason=reason,
        tokens=tokens,
        token_ids=_ids(choice.get("token_ids")) or _ids_of(tokens),
        prompt_token_ids=_ids(choice.get("prompt_token_ids", body.get("prompt_token_ids"))),
        n_tokens=n_tokens,
        n_prompt_tokens=n_prompt_tokens,
        matched=_count(matched),
        aside=aside,
    )


def _text(choice: Mapping[str, Any]) -> tuple[str, str | None]:
    if "message" not in choice:
        text = choice.get("text")
        if not isinstance(text, str):
            raise _garbled("'text' is no text", text)
        return text, None
    message = choice["message"]
    if not isinstance(message, dict):
        raise _garbled("'message' is no object", message)
    text = message.get("content")
    if text is not None and not isinstance(text, str):
        raise _garbled("'content' is no text", text)
    asides = ("reasoning_content", "reasoning", "tool_calls", "function_call", "refusal")
    return text or "", next((name for name in asides if message.get(name)), None)


def _tokens(logprobs: Any) -> tuple[Token, ...] | None:
    if logprobs is None:
        return None
    if not isinstance(logprobs, dict):
        raise _garbled("'logprobs' is no object", logprobs)
    if "content" in logprobs:
        content = logprobs["content"]
        if content is None:
            return None
        if not isinstance(content, list):
            raise _garbled("'logprobs' holds no list", content)
        return tuple(_entry(entry) for entry in content)
    values, texts = logprobs.get("token_logprobs"), logprobs.get("tokens")
    if values is None:
        return None
    if not isinstance(values, list) or not isinstance(texts, list) or len(texts) != len(values):
        raise _garbled("'tokens' and 'token_logprobs' are not two lists of one length", texts)
    tops = logprobs.get("top_logprobs") or [None] * len(values)
    if not isinstance(tops, list) or len(tops) != len(values):
        raise _garbled("'top_logprobs' has not one entry a token", tops)
    return tuple(
        Token(
            _string(text),
            _logprob(value),
            {_key(t, None): _logprob(v) for t, v in (top or {}).items()},
            _id_in(text),
        )
        for text, value, top in zip(texts, values, tops, strict=True)
    )


def _entry(entry: Any) -> Token:
    if not isinstance(entry, dict):
        raise _garbled("a token is no object", entry)
    tops = entry.get("top_logprobs") or entry.get("top_probs") or []
    if not isinstance(tops, list) or not all(isinstance(top, dict) for top in tops):
        raise _garbled("a token's likeliest tokens are no list of objects", tops)
    token_id = _count(entry.get("id"))
    return Token(
        text=_string(entry.get("token")),
        logprob=_told(entry),
        top={_key(top.get("token"), top.get("id")): _told(top) for top in tops},
        token_id=_id_in(entry.get("token")) if token_id is None else token_id,
    )


def _key(text: Any, token_id: Any) -> str | int:
    found = _count(token_id)
    found = _id_in(text) if found is None else found
    return _string(text) if found is None else found


def _told(entry: Mapping[str, Any]) -> float:
    """The log-probability of a token, of which llama.cpp tells the probability after its samplers."""
    if "logprob" in entry or "prob" not in entry:
        return _logprob(entry.get("logprob"))
    probability = entry["prob"]
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise _garbled("a probability is not between 0 and 1", probability)
    return math.log(probability) if probability > 0 else -math.inf


def _logprob(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value > 1e-3:
        raise _garbled("a log-probability is no number, or above 0", value)
    return float(value) if value > UNKNOWN else -math.inf


def _ids(found: Any) -> tuple[int, ...] | None:
    if found is None:
        return None
    if not isinstance(found, list) or not all(_whole(each) and each >= 0 for each in found):
        raise _garbled("token ids are no list of whole numbers", found)
    return tuple(found)


def _ids_of(tokens: tuple[Token, ...] | None) -> tuple[int, ...] | None:
    ids = [token.token_id for token in tokens or ()]
    known = [each for each in ids if each is not None]
    return tuple(known) if known and len(known) == len(ids) else None


def _id_in(text: Any) -> int | None:
    found = _ID.fullmatch(text) if isinstance(text, str) else None
    return int(found[1]) if found else None


def _string(text: Any) -> str:
    if not isinstance(text, str):
        raise _garbled("a token is no text", text)
    return text


def _count(value: Any) -> int | None:
    return int(value) if _whole(value) else None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _garbled(what: str, found: Any) -> InputError:
    return InputError(f"the server's answer cannot be read: {what} ({found!r:.80})")
