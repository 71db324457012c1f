"""Messages of the audit in the words of a page, whose ``where`` is about the base samples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from klimit.errors import InputError

_OURS = {
    "--where": "--policy-where",
    "where=": "policy_where=",
    "--base-where": "--where",
    "base_where=": "where=",
}
_THEIRS = re.compile("--base-where|--where|base_where=|where=")


@contextmanager
def about_policies(base: str = "") -> Iterator[None]:
    """Raise errors of the block in the words of a page.

    Args:
        base: how messages about the base samples begin, whose options are named alike.
    """
    try:
        yield
    except InputError as error:
        message = str(error)
        if base and message.startswith(f"{base}: "):
            raise
        raise InputError(_THEIRS.sub(lambda found: _OURS[found[0]], message)) from None
