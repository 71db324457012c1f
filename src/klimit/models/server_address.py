"""Where a server is, without what must not be shown."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from klimit.errors import InputError

KEY = "OPENAI_API_KEY"
_ENDS = ("/chat/completions", "/completions", "/models")
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Address:
    """The address of a server's API.

    Attributes:
        base: what the API's paths are appended to, ``http://host:8000/v1``: without user, password and query, so that
            it can be shown.
        login: user and password that the address was given with.
        query: parameters that the address was given with; they are sent with every request.
        key: bearer token, from the environment variable ``OPENAI_API_KEY``.
    """

    base: str
    login: tuple[str, str] | None = field(default=None, repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    key: str | None = field(default=None, repr=False)

    @property
    def root(self) -> str:
        """What the server's own paths, outside the API, are appended to."""
        return self.base.removesuffix("/v1")

    @property
    def local(self) -> bool:
        """Whether the server is on this machine: no proxy leads there."""
        return urlsplit(self.base).hostname in _LOCAL


def read_address(given: str) -> Address:
    """Read an address as users write it; without a path, the API is under ``/v1``.

    Raises:
        InputError: it is no ``http`` or ``https`` address.
    """
    try:
        parts = urlsplit(given.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InputError(f"the server's address cannot be read; {_FORM}") from None
    if parts.scheme not in ("http", "https") or not host:
        shown = f"{given:.80}" if "@" not in given and "?" not in given else "given"
        raise InputError(f"the server's address is {shown!r}; {_FORM}")
    path = parts.path.rstrip("/")
    for end in _ENDS:
        path = path.removesuffix(end)
    named = f"[{host}]" if ":" in host else host
    at = f"{named}:{port}" if port is not None else named
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return Address(
        base=f"{parts.scheme}://{at}{path or '/v1'}",
        login=login,
        query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
        key=os.environ.get(KEY) or None,
    )


_FORM = "give it as http://host:port/v1"
