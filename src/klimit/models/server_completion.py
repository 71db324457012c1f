"""From a server's answer to a completion with the log-probability of all its tokens, or a refusal that says why."""

from __future__ import annotations

import math
from dataclasses import dataclass

from klimit.errors import InputError
from klimit.models.engine import Completion
from klimit.models.server_answer import Answer, Token

GIVING = "vLLM, SGLang and llama.cpp's own server give them"


@dataclass(frozen=True)
class Told:
    """What a server tells with every completion.

    Attributes:
        ids: token ids of the completion.
        prompt_ids: token ids of the prompt.
        characters: no token that does not end a character, and nothing where there is no other.
    """

    ids: bool
    prompt_ids: bool
    characters: bool


def told_by(answer: Answer) -> Told:
    """What an answer tells."""
    return Told(
        ids=answer.token_ids is not None,
        prompt_ids=answer.prompt_token_ids is not None,
        characters=tells_characters(answer),
    )


def completion_of(answer: Answer, max_new_tokens: int, told: Told | None = None) -> Completion:
    """The completion that was answered.

    One with characters of several tokens has neither log-probability nor token ids where llama.cpp gave it: that tells
    one token for each character.

    Args:
        answer: of a server.
        max_new_tokens: where it was to be cut.
        told: what the server told when it was tried; it has to tell it each time.

    Raises:
        InputError: its log-probability is not told, or not of all its tokens; or it ended in a way that no policy ends.
    """
    told = told or told_by(answer)
    tokens = () if told.characters and tells_nothing(answer) else _tokens(answer)
    whole = len(tokens) == answer.n_tokens
    _check_end(answer, tokens, max_new_tokens)
    if (told.ids and tokens and answer.token_ids is None) or (
        told.prompt_ids and answer.prompt_token_ids is None
    ):
        raise InputError(
            "the server tells the token ids of some completions only; it is not one server, or broken"
        )
    return Completion(
        text=answer.text,
        logprob=math.fsum(token.logprob for token in tokens) if whole else None,
        finish_reason="length" if answer.finish_reason == "length" else "stop",
        prompt_token_ids=answer.prompt_token_ids if told.prompt_ids else None,
        completion_token_ids=answer.token_ids if told.ids and whole else None,
    )


def tells_characters(answer: Answer) -> bool:
    """Whether an answer is in the form of llama.cpp, which tells no token that does not end a character."""
    return bool(answer.tokens) and all(token.token_id is not None for token in answer.tokens or ())


def tells_nothing(answer: Answer) -> bool:
    """Whether an answer has no log-probabilities, as llama.cpp's where each token is a part of a character."""
    cut = answer.text == "" and answer.finish_reason == "length"
    return answer.tokens is None and bool(answer.n_tokens) and (cut or not answer.text.isascii())


def _in_parts(answer: Answer) -> bool:
    """Whether llama.cpp tells fewer tokens than it sampled since others are parts of characters.

    Those at the end of a completion that was cut are not in the text of an answer to chat messages.
    """
    if not answer.tokens or len(answer.tokens) >= (answer.n_tokens or 0) or not tells_characters(answer):
        return False
    cut = answer.finish_reason == "length" and "".join(each.text for each in answer.tokens) == answer.text
    return cut or not answer.text.isascii()


def _tokens(answer: Answer) -> tuple[Token, ...]:
    """All tokens, with their log-probabilities."""
    if answer.aside is not None:
        raise InputError(
            f"the server puts a part of the completion aside ({answer.aside}): text and log-probability are not of the "
            "same completion; start it without parsers of reasoning and tool calls"
        )
    if answer.tokens is None:
        parts = (
            f"; llama.cpp not of parts of a character ({answer.text[:20]!r}): put another prompt first"
            if tells_nothing(answer)
            else ""
        )
        raise InputError(f"the server gives no log-probabilities; {GIVING}{parts}")
    n = len(answer.tokens)
    if answer.n_tokens is None:
        raise InputError("the server does not say how many tokens it sampled (usage.completion_tokens)")
    if (n != answer.n_tokens and not _in_parts(answer)) or (
        answer.token_ids is not None and len(answer.token_ids) != n
    ):
        ids = "" if answer.token_ids is None else f", token ids of {len(answer.token_ids):,}"
        raise InputError(
            f"the server sampled {answer.n_tokens:,} tokens and tells log-probabilities of {n:,}{ids}; their sum is "
            "not that of the completion"
        )
    if any(math.isinf(token.logprob) for token in answer.tokens):
        raise InputError(
            "the server sampled a token that it gives no probability; its log-probabilities are of something else"
        )
    if any(token.logprob == 0.0 and not token.top for token in answer.tokens):
        raise InputError(
            "the server gives tokens of a draft model no log-probabilities of their own; start it without speculative "
            "decoding"
        )
    return answer.tokens


def _check_end(answer: Answer, tokens: tuple[Token, ...], max_new_tokens: int) -> None:
    n = answer.n_tokens or len(tokens)
    if answer.finish_reason == "length":
        if n != max_new_tokens:
            raise InputError(
                f"the server cut the completion at {n:,} tokens, not at {max_new_tokens:,}: its context is full; give "
                "a smaller --max-new-tokens, or start it with a larger context"
            )
        return
    if answer.finish_reason != "stop":
        raise InputError(
            f"the server ended the completion by {answer.finish_reason!r}, which no policy does; known are 'stop' and "
            "'length'"
        )
    if n > max_new_tokens:
        raise InputError(
            f"the server sampled {n:,} tokens, more than the {max_new_tokens:,} that it was asked for"
        )
    if ends_unseen(answer, tokens):
        raise InputError(
            "the server leaves the end token out of its log-probabilities: their sum is not that of the completion; "
            f"{GIVING.replace('them', 'it')}"
        )


def ends_unseen(answer: Answer, tokens: tuple[Token, ...]) -> bool:
    """Whether a completion that ended has no end token among its tokens.

    The end token is not a part of the text. So where all tokens together are the text, the last one is no end token;
    unless it shows as nothing, as llama.cpp's does.
    """
    if not tokens:
        return not answer.n_tokens  # otherwise they are parts of a character
    last = tokens[-1]
    if last.text == "" or (answer.matched is not None and answer.matched == last.token_id):
        return False
    return "".join(token.text for token in tokens).lstrip(" ") == answer.text.lstrip(" ")
