"""Whether the log-probabilities that a server tells are those of the distribution that it samples from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from klimit.errors import InputError
from klimit.models.prompts import Prompt
from klimit.models.server_completion import completion_of
from klimit.models.server_http import Refused, Talk
from klimit.models.server_request import Form
from klimit.models.server_trial import telling

_TOP = 5  # likeliest tokens to look at
_CLOSE = 0.02  # that a sum of probabilities may be off 1
_FLAT = 0.05  # squared nats: next tokens as alike as this tell no temperature


async def of_what_was_sampled(talk: Talk, form: Form, prompts: Sequence[Prompt]) -> Form:
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
) -> Mapping[str | int, float]:
    """Log-probabilities of the likeliest first tokens, and of the one that was sampled."""
    sampling = replace(form.sampling, max_new_tokens=1, temperature=temperature, top_p=top_p, top_k=top_k)
    answer = await telling(talk, replace(form, sampling=sampling), prompt, top=_TOP)
    completion_of(answer, 1)
    first = (answer.tokens or ())[0]
    return {**first.top, first.key: first.logprob}


def _centred(values: list[float]) -> list[float]:
    mean = math.fsum(values) / len(values)
    return [value - mean for value in values]
