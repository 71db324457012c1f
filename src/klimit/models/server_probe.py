"""What a server can do, tried before the run: which settings it knows, and what its log-probabilities are of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from klimit.errors import InputError
from klimit.models.prompts import Prompt
from klimit.models.randomness import key_of
from klimit.models.server_answer import Answer, read_answer
from klimit.models.server_completion import Told, completion_of, tells_characters, told_by
from klimit.models.server_http import Refused, Talk
from klimit.models.server_request import TELL, TELL_CHAT, Form
from klimit.models.server_tokens import prompt_ids_told

_TOKENS = 16  # of a trial completion
_SEEDS = 4  # different ones that are tried
_CHANCE = -8.0  # log-probability below which four equal completions are no chance
_TOP = 5  # likeliest tokens to look at
_PROMPTS = 3  # to look at them
_CLOSE = 0.02  # that a sum of probabilities may be off 1
_FLAT = 0.05  # squared nats: next tokens as alike as this tell no temperature


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
    completion_of(first, short.max_new_tokens)
    if short.truncated:
        taken = await _with_all_tokens(talk, taken, prompt)
    notes = [
        f"the server does not know {name}, which is off; left out"
        for name in taken.left_out
        if name not in {**TELL, **TELL_CHAT}
    ]
    taken = await _of_what_was_sampled(talk, taken, prompts[:_PROMPTS])
    notes += await _try_seeds(talk, taken, prompt)
    told = told_by(first)
    asks_ids = not told.prompt_ids and bool(await prompt_ids_told(talk, prompt, first.n_prompt_tokens))
    if tells_characters(first):
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
            return form, await _ask(talk, form, prompt, 0)
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


async def _ask(talk: Talk, form: Form, prompt: Prompt, number: int, *, top: int = 1) -> Answer:
    """One trial; trials of different numbers have different seeds."""
    seed = key_of("trial", number) % 2**31
    return read_answer(await talk.post(form.path(prompt), form.body(prompt, seed, top=top)))


async def _try_seeds(talk: Talk, form: Form, prompt: Prompt) -> list[str]:
    """Notes on seeds.

    Raises:
        InputError: completions are the same whatever the seed.
    """
    answers = [await _ask(talk, form, prompt, number) for number in (*range(_SEEDS), 0)]
    drawn = [completion_of(answer, form.sampling.max_new_tokens) for answer in answers]
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


async def _of_what_was_sampled(talk: Talk, form: Form, prompts: Sequence[Prompt]) -> Form:
    """A form whose answers tell log-probabilities of the distribution that is sampled from.

    At temperature 1, with all tokens kept, those of the model are.

    Raises:
        InputError: there is none.
    """
    if form.sampling.temperature == 1 and not form.sampling.truncated:
        return form
    for candidate in (form, replace(form, post_sampling=True)):
        try:
            wrong = await _wrong(talk, candidate, prompts)
        except Refused:
            if candidate is form:
                raise
            continue
        if not wrong:
            return candidate
    raise InputError(
        f"{talk.address.base}: its log-probabilities are those before {' and '.join(wrong)}, not of what was sampled; "
        "sample at temperature 1 with top_p 1 and top_k 0, or start vLLM with --logprobs-mode processed_logprobs "
        "(SGLang tells them after temperature, not after top_p and top_k)"
    )


async def _wrong(talk: Talk, form: Form, prompts: Sequence[Prompt]) -> list[str]:
    """Settings that the log-probabilities leave out of account."""
    wrong = []
    if form.sampling.temperature != 1 and not await _heeds_temperature(talk, form, prompts):
        wrong.append("temperature")
    if form.sampling.top_p < 1 and not await _keeps(talk, form, prompts, top_p=1e-3, top_k=0, most=1):
        wrong.append("top_p")
    if form.sampling.top_k and not await _keeps(talk, form, prompts, top_p=1.0, top_k=2, most=2):
        wrong.append("top_k")
    return wrong


async def _heeds_temperature(talk: Talk, form: Form, prompts: Sequence[Prompt]) -> bool:
    """Whether differences between log-probabilities shrink as the temperature rises.

    Raises:
        InputError: it cannot be told.
    """
    temperature = form.sampling.temperature
    other = temperature if not 0.7 < temperature < 1.5 else 2.0
    among_all, between = 0.0, 0.0
    for prompt in prompts:
        cold, warm = [
            await _first(talk, form, prompt, temperature=each, top_p=1.0, top_k=0) for each in (1.0, other)
        ]
        common = [token for token in cold if token in warm]
        if len(common) > 1:
            a, b = (_centred([each[token] for token in common]) for each in (cold, warm))
            among_all += sum(x * x for x in a)
            between += sum(x * y for x, y in zip(a, b, strict=True))
    if among_all < _FLAT:
        raise InputError(
            f"{talk.address.base}: whether its log-probabilities are after temperature cannot be told from the first "
            "prompts, whose likeliest next tokens are all as likely or not told; sample at temperature 1"
        )
    slope, right = between / among_all, 1 / other
    return abs(slope - right) < 0.25 * abs(1 - right)


async def _keeps(
    talk: Talk, form: Form, prompts: Sequence[Prompt], *, top_p: float, top_k: int, most: int
) -> bool:
    """Whether, under a strict limit, the few tokens that it keeps have all the probability."""
    for prompt in prompts:
        found = await _first(
            talk, form, prompt, temperature=form.sampling.temperature, top_p=top_p, top_k=top_k
        )
        kept = [value for value in found.values() if value > -math.inf]
        if len(kept) > most or abs(sum(map(math.exp, kept)) - 1) > _CLOSE:
            return False
    return True


async def _first(
    talk: Talk, form: Form, prompt: Prompt, *, temperature: float, top_p: float, top_k: int
) -> Mapping[str, float]:
    """Log-probabilities of the likeliest first tokens, and of the one that was sampled."""
    sampling = replace(form.sampling, max_new_tokens=1, temperature=temperature, top_p=top_p, top_k=top_k)
    answer = await _ask(talk, replace(form, sampling=sampling), prompt, 0, top=_TOP)
    completion_of(answer, 1)
    first = (answer.tokens or ())[0]
    return {**first.top, first.text: first.logprob}


def _centred(values: list[float]) -> list[float]:
    mean = math.fsum(values) / len(values)
    return [value - mean for value in values]
