"""What is being done, on a terminal only, on one line that goes away."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CLEAR = "\r\x1b[K"


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Show ``what`` on stderr while the block runs, if anyone watches."""
    watched = sys.stderr.isatty()
    if watched:
        print(f"{_CLEAR}{what} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if watched:
            print(_CLEAR, end="", file=sys.stderr, flush=True)
