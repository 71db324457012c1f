"""Short requests that find out what a server does, before a run."""

from __future__ import annotations

from klimit.models.prompts import Prompt
from klimit.models.randomness import key_of
from klimit.models.server_answer import Answer, read_answer
from klimit.models.server_completion import tells_nothing
from klimit.models.server_http import Talk
from klimit.models.server_request import Form

_TRIALS = 8  # until one tells log-probabilities


async def ask(talk: Talk, form: Form, prompt: Prompt, number: int, *, top: int = 1) -> Answer:
    """One trial; trials of different numbers have different seeds."""
    seed = key_of("trial", number) % 2**31
    return read_answer(await talk.post(form.path(prompt), form.body(prompt, seed, top=top)))


async def telling(talk: Talk, form: Form, prompt: Prompt, *, top: int = 1) -> Answer:
    """The first of some trials that tells log-probabilities; the last, where none does.

    llama.cpp tells none where each token is a part of a character.
    """
    for number in range(_TRIALS):
        answer = await ask(talk, form, prompt, number, top=top)
        if not tells_nothing(answer):
            break
    return answer
