"""What a server can do, tried before the run: which settings it knows, and what its log-probabilities are of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from klimit.errors import InputError
from klimit.models.prompts import Prompt
from klimit.models.server_answer import Answer
from klimit.models.server_completion import Told, completion_of, tells_nothing, told_by
from klimit.models.server_http import Refused, Talk
from klimit.models.server_request import TELL, TELL_CHAT, Form
from klimit.models.server_sampled import of_what_was_sampled
from klimit.models.server_tokens import prompt_ids_told
from klimit.models.server_trial import ask, telling

_TOKENS = 16  # of a trial completion
_SEEDS = 4  # different ones that are tried
_CHANCE = -8.0  # log-probability below which four equal completions are no chance
_PROMPTS = 3  # to look at them


@dataclass(frozen=True)
class Found:
    """What a trial found.

    Attributes:
        form: that the server takes.
        told: with every completion.
        asks_ids: whether token ids of prompts have to be asked for.
        notes: for the user, one line each.
    """

    form: Form
    told: Told
    asks_ids: bool
    notes: tuple[str, ...]


async def probe(talk: Talk, form: Form, prompts: Sequence[Prompt]) -> Found:
    """Try a server with some of the prompts.

    Args:
        talk: to the server.
        form: of the requests.
        prompts: of the run.

    Raises:
        InputError: it cannot be used for what is asked; one line says why, and how to mend it.
    """
    prompt = prompts[0]
    short = replace(form.sampling, max_new_tokens=min(_TOKENS, form.sampling.max_new_tokens))
    taken, first = await _taken(talk, replace(form, sampling=short), prompt)
    if tells_nothing(first):
        first = await telling(talk, taken, prompt)
    completion_of(first, short.max_new_tokens)
    if short.truncated:
        taken = await _with_all_tokens(talk, taken, prompt)
    notes = [
        f"the server does not know {name}, which is off; left out"
        for name in taken.left_out
        if name not in {**TELL, **TELL_CHAT}
    ]
    taken = await of_what_was_sampled(talk, taken, prompts[:_PROMPTS])
    told = told_by(first)
    notes += await _try_seeds(talk, taken, prompt, told)
    asks_ids = not told.prompt_ids and bool(await prompt_ids_told(talk, prompt, first.n_prompt_tokens))
    if told.characters:
        notes.append(
            "the server tells no log-probability of a token that is a part of a character; completions with one have "
            "neither a log-probability nor token ids"
        )
    notes += _missing(told.ids, told.prompt_ids or asks_ids)
    return Found(replace(taken, sampling=form.sampling), told, asks_ids, tuple(notes))


async def _taken(talk: Talk, form: Form, prompt: Prompt) -> tuple[Form, Answer]:
    """The form that the server takes, and its answer: settings that are off and unknown to it are left out."""
    while True:
        try:
            return form, await ask(talk, form, prompt, 0)
        except Refused as refused:
            if refused.status in (404, 405):
                kind = "chat messages" if prompt.is_chat else "texts"
                raise InputError(
                    f"{talk.address.base}{form.path(prompt)}: is not there (HTTP {refused.status}: {refused.said}); "
                    f"prompts that are {kind} need it"
                ) from None
            other = form.without(refused.said) if refused.status in (400, 422) else None
            if other is None:
                raise
            form = other


async def _with_all_tokens(talk: Talk, form: Form, prompt: Prompt) -> Form:
    """The form, with the ``top_k`` that keeps all tokens there: what follows compares with that."""
    s = replace(form.sampling, top_k=0)
    taken, _ = await _taken(talk, replace(form, sampling=s), prompt)
    return replace(form, all_tokens=taken.all_tokens)


async def _try_seeds(talk: Talk, form: Form, prompt: Prompt, told: Told) -> list[str]:
    """Notes on seeds.

    Raises:
        InputError: completions are the same whatever the seed.
    """
    answers = [await ask(talk, form, prompt, number) for number in (*range(_SEEDS), 0)]
    drawn = [completion_of(answer, form.sampling.max_new_tokens, told) for answer in answers]
    texts = [(each.text, each.completion_token_ids) for each in drawn]
    if len(set(texts)) == 1 and (drawn[0].logprob or 0.0) < _CHANCE:
        raise InputError(
            f"{talk.address.base}: gives the same completion ({drawn[0].text[:40]!r}) for {_SEEDS} different seeds, "
            f"though its probability is {math.exp(drawn[0].logprob or 0.0):.1g}: it does not sample anew; start it "
            "without a fixed seed, and without a cache of answers in between"
        )
    if texts[0] != texts[-1]:
        return [
            "the server does not repeat a completion for the same seed: a rerun keeps what is there, and draws the "
            "rest anew"
        ]
    return []


def _missing(ids: bool, prompt_ids: bool) -> list[str]:
    known = {"prompt_token_ids": prompt_ids, "completion_token_ids": ids}
    names = [name for name, there in known.items() if not there]
    if not names:
        return []
    return [
        f"the server gives no token ids: {' and '.join(names)} stay empty, and steps that need them refuse"
    ]
