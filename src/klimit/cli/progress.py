"""What is being done, on a terminal only, on one line that goes away."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

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


@contextmanager
def estimating(what: str) -> Iterator[None]:
    """The same for work that may have to be compiled first: the first time on a machine, and for some seconds."""
    with doing(what):
        if not sys.stderr.isatty():
            yield
            return
        from numba.core import event

        class Watch(event.Listener):  # type: ignore[misc]
            """Says so when something is compiled."""

            def on_start(self, _event: object) -> None:
                print(
                    f"{_CLEAR}{what}, compiling for this machine, once ...",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )

            def on_end(self, _event: object) -> None:
                """Nothing to say: the next line clears it."""

        with event.install_listener("numba:compile", Watch()):
            yield


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """The same with how much is done, and how long the rest will take; the block calls what it is given."""
    start, watched = monotonic(), sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        left = (monotonic() - start) * (total - done) / max(done, 1)
        if watched:
            text = f"{what}: {done:,} of {total:,}, {_time(left)} left"
            print(f"{_CLEAR}{text} ...", end="", file=sys.stderr, flush=True)

    with doing(what):
        yield show


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
