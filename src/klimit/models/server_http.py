"""Talking to a server: failures that pass are waited for, those that do not are one line."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from time import time
from typing import Any

from klimit.errors import InputError
from klimit.models.extras import needed
from klimit.models.server_address import KEY, Address
from klimit.models.server_pace import Pace

CONNECT = 10.0  # seconds until a server that does not take the connection is one that is down
ANSWER = 600.0  # seconds until an answer is late
BUSY = 600.0  # seconds that a server which asks to wait is waited for, in all, for one answer
BROKEN = 60.0  # likewise, one that breaks off
_BUSY = (408, 425, 429, 502, 503, 504)


class Passing(Exception):
    """A failure that may pass.

    Attributes:
        patience: seconds to wait for it to pass, in all.
        after: seconds that the server asks to wait; None where it does not say.
        busy: whether the server says that it has too much to do.
    """

    def __init__(self, said: str, patience: float, *, after: float | None = None, busy: bool = False) -> None:
        super().__init__(said)
        self.patience = patience
        self.after = after
        self.busy = busy


class Refused(InputError):
    """A request that the server does not take.

    Attributes:
        status: of HTTP.
        said: the server's words.
    """

    def __init__(self, line: str, status: int, said: str) -> None:
        super().__init__(line)
        self.status = status
        self.said = said


@dataclass(frozen=True, eq=False)
class Talk:
    """An open line to a server.

    Attributes:
        address: whose.
        client: of httpx.
        pace: how much the server can take.
    """

    address: Address
    client: Any
    pace: Pace

    async def get(self, url: str) -> Any:
        """What the server tells under an address; None where it tells nothing there.

        Raises:
            InputError: the server cannot be reached, or refuses the key.
        """
        try:
            return await self._patiently("GET", url, None)
        except Refused as refused:
            if refused.status in (401, 403):
                raise
            return None

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for something.

        Raises:
            Refused: the server does not take the request.
            InputError: the server cannot be reached, breaks off, stays busy, or answers garbage.
        """
        return await self._asked(f"{self.address.base}{path}", body)

    async def post_to(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As :meth:`post`, under a path of the server's own."""
        return await self._asked(f"{self.address.root}{path}", body)

    async def _asked(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = await self._patiently("POST", url, body)
        if not isinstance(answer, dict):
            raise InputError(
                f"{self.address.base}: answers with {answer!r:.80}; is it an OpenAI-compatible server?"
            )
        return answer

    async def _patiently(self, method: str, url: str, body: Mapping[str, Any] | None) -> Any:
        tenacity = needed("tenacity")
        try:
            async for attempt in tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception_type(Passing), wait=_wait, stop=_enough, reraise=True
            ):
                with attempt:
                    return await self._once(method, url, body)
        except Passing as failure:
            raise InputError(f"{self.address.base}: {failure}") from None
        raise AssertionError("a last attempt either answers or raises")

    async def _once(self, method: str, url: str, body: Mapping[str, Any] | None) -> Any:
        httpx = needed("httpx")
        try:
            async with self.pace.place():
                answer = await self.client.request(method, url, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            patience = BROKEN if self.pace.answered else 0.0
            raise Passing(f"cannot be reached ({_words(error)}); is the server up?", patience) from None
        except httpx.TimeoutException:
            raise Passing(
                f"no answer within {ANSWER:,.0f} s; ask for less at once (--concurrency), or for shorter completions "
                "(--max-new-tokens)",
                1.0,
            ) from None
        except httpx.HTTPError as error:
            raise Passing(f"broke the connection off ({_words(error)})", BROKEN) from None
        if answer.status_code in _BUSY:
            after = _after(answer.headers.get("retry-after"))
            self.pace.slower(after or 0.0)
            said = f"is too busy (HTTP {answer.status_code}: {_said(answer)}); ask for less at once (--concurrency)"
            raise Passing(said, BUSY, after=after, busy=True)
        if answer.status_code >= 500:
            raise Passing(f"fails (HTTP {answer.status_code}: {_said(answer)})", BROKEN / 10)
        if answer.status_code >= 300:
            raise self._refusal(answer)
        self.pace.faster()
        try:
            return json.loads(answer.content)
        except ValueError:
            raise Passing(f"answers what is no JSON ({answer.text[:60]!r})", 1.0) from None

    def _refusal(self, answer: Any) -> Refused:
        status, said = answer.status_code, _said(answer)
        line = f"{self.address.base}: refuses the request (HTTP {status}: {said})"
        if status in (401, 403):
            known = "the key in it is not taken" if self.address.key else "no key is in it"
            line = f"{self.address.base}: wants another API key (HTTP {status}); set {KEY} ({known})"
        elif status < 400:
            line = f"{self.address.base}: has moved (HTTP {status}); give the address that it has now"
        return Refused(line, status, said)


def client_of(address: Address, concurrency: int) -> Any:
    """A client of httpx that sends what the address was given with."""
    httpx = needed("httpx")
    return httpx.AsyncClient(
        auth=address.login,
        headers={"Authorization": f"Bearer {address.key}"} if address.key and not address.login else {},
        params=list(address.query) or None,
        timeout=httpx.Timeout(ANSWER, connect=CONNECT, pool=None),
        limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        verify=_certificates(),
        trust_env=not address.local,
    )


@cache
def _certificates() -> Any:
    """Those that are trusted: reading them takes longer than a batch's requests."""
    return needed("httpx").create_ssl_context()


def _wait(state: Any) -> float:
    """Seconds until the next attempt: as the server asks, or twice as long each time."""
    failure = state.outcome.exception()
    if failure.after is not None:
        return float(failure.after) + random.uniform(0.0, 0.1)
    return float(min(0.25 * 2 ** (state.attempt_number - 1), 15.0)) * random.uniform(0.75, 1.25)


def _enough(state: Any) -> bool:
    """Whether the next wait would be more than the failure is worth."""
    failure = state.outcome.exception()
    return bool(state.idle_for + (failure.after or 0.0) >= failure.patience)


def _after(header: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, which holds a number or a date."""
    if header is None:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(header).timestamp() - time(), 0.0)
    except ValueError:
        return None


def _said(answer: Any) -> str:
    """A server's words on what went wrong, in whatever form it has them; one line."""
    try:
        found = json.loads(answer.content)
    except ValueError:
        found = answer.text
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    text = found if isinstance(found, str) else json.dumps(found)
    return " ".join(text.split())[:400] or "no reason given"


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
