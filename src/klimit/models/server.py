"""Sampling by an OpenAI-compatible server: vLLM, SGLang, llama.cpp."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from klimit.errors import InputError
from klimit.models.engine import Completion, Draw
from klimit.models.prompts import Prompt
from klimit.models.server_address import Address, read_address
from klimit.models.server_answer import read_answer
from klimit.models.server_completion import completion_of
from klimit.models.server_http import Talk, client_of
from klimit.models.server_kind import engine_of
from klimit.models.server_pace import Pace, all_of, in_thread
from klimit.models.server_probe import Found, probe
from klimit.models.server_request import Form, seed_of
from klimit.models.server_tokens import prompt_ids_known
from klimit.models.settings import Sampling

T = TypeVar("T")

_BATCH = 4  # requests of one batch, for each that is in flight


@dataclass(eq=False)
class ServerEngine:
    """A model on a server.

    Attributes:
        address: of the server.
        form: of the requests.
        seed: of the run.
        engine: name and version of the server.
        pace: how much it can take.
        found: what it can do; None until it was tried.
    """

    address: Address
    form: Form
    seed: int
    engine: str
    pace: Pace
    found: Found | None = field(default=None)
    _prompt_ids: dict[int | str, tuple[int, ...]] = field(default_factory=dict, repr=False)

    @property
    def identity(self) -> dict[str, Any]:
        """Model and server; not where it is."""
        return {"model": self.form.model, "engine": self.engine}

    @property
    def batch_size(self) -> int:
        """Some for each request in flight, so that few wait for the last."""
        return _BATCH * self.pace.most

    def check(self, prompts: Sequence[Prompt]) -> list[str]:
        """Try the server with some of the prompts.

        Raises:
            InputError: it cannot be used; one line says why.
        """
        self.found = _with(self.address, self.pace, lambda talk: probe(talk, self.form, prompts))
        return list(self.found.notes)

    def length(self, prompt: Prompt) -> int:
        """Its characters."""
        return sum(len(message["content"]) for message in prompt.messages())

    def sample(self, draws: Sequence[Draw]) -> list[Completion]:
        """Draw completions, one request each.

        Raises:
            InputError: the server fails, or answers what cannot be used.
        """
        return _with(self.address, self.pace, lambda talk: self._all(talk, draws))

    async def _all(self, talk: Talk, draws: Sequence[Draw]) -> list[Completion]:
        if self.found is None:
            self.found = await probe(talk, self.form, [draw.prompt for draw in draws])
        found = self.found

        async def one(draw: Draw) -> Completion:
            seed = seed_of(self.seed, found.form.model, draw)
            try:
                body = await talk.post(found.form.path(draw.prompt), found.form.body(draw.prompt, seed))
                answer = read_answer(body)
                completion = completion_of(answer, found.form.sampling.max_new_tokens, found.told)
                if not found.asks_ids:
                    return completion
                key = draw.prompt.prompt_id
                if key not in self._prompt_ids:
                    self._prompt_ids[key] = await prompt_ids_known(talk, draw.prompt, answer.n_prompt_tokens)
                return replace(completion, prompt_token_ids=self._prompt_ids[key])
            except InputError as error:
                raise InputError(f"prompt {draw.prompt.prompt_id!r}: {error}") from None

        return await all_of(draws, one, self.pace.most)


def server_engine(
    server: str, model: str, sampling: Sampling, seed: int, *, concurrency: int = 32
) -> ServerEngine:
    """An engine that asks a server.

    Args:
        server: its address, ``http://host:port/v1``; the key is in the environment variable ``OPENAI_API_KEY``.
        model: name that it serves the model by.
        sampling: settings; all of them are always sent, with what is off.
        seed: of the run.
        concurrency: requests in flight at most.

    Raises:
        InputError: the server cannot be reached, or has no such model; one line says why.
    """
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise InputError(f"concurrency is {concurrency!r}; it must be a whole number, 1 or more")
    address, pace = read_address(server), Pace(concurrency)
    engine = _with(address, pace, lambda talk: engine_of(talk, model))
    return ServerEngine(address, Form(model, sampling), seed, engine, pace)


def _with(address: Address, pace: Pace, work: Callable[[Talk], Awaitable[T]]) -> T:
    """Do something with an open line to the server."""

    async def main() -> T:
        async with client_of(address, pace.most) as client:
            return await work(Talk(address, client, pace))

    return in_thread(main)
