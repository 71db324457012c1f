"""From arguments to an exit status: 0 done, 1 a bug, 2 wrong input or usage, 130 interrupted."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from klimit.errors import InputError

TRACEBACK = "KLIMIT_TRACEBACK"
BUG, USAGE, INTERRUPTED = 1, 2, 130


def run(arguments: Sequence[str]) -> int:
    """Run one command; whatever goes wrong is one line on stderr and a status."""
    for stream in (sys.stdout, sys.stderr):
        # Names and ids may hold characters that the terminal cannot show.
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with _interruptions() as pressed:
        try:
            status = _parse_and_run(arguments)
        except KeyboardInterrupt:
            status = INTERRUPTED
        except SystemExit as stop:
            # The parser's way of ending without a word when the reader has left (`| head`).
            return stop.code if isinstance(stop.code, int) else BUG
        except BrokenPipeError:
            _abandon_stdout()
            return BUG
        except Exception as error:
            if not pressed:
                return _failed(error)
            status = INTERRUPTED
    if status == INTERRUPTED:
        _say("klimit: interrupted")
    return status


def _parse_and_run(arguments: Sequence[str]) -> int:
    from klimit.cli.app import app

    result = app(list(arguments), prog_name="klimit", standalone_mode=False)
    sys.stdout.flush()
    return int(result or 0)


@contextmanager
def _interruptions() -> Iterator[list[int]]:
    """A list that Ctrl-C adds to: a database, for one, turns the interruption into an error of its own."""
    pressed: list[int] = []

    def handler(number: int, frame: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, handler)
    try:
        yield pressed
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _failed(error: Exception) -> int:
    message, status = _explain(error)
    if isinstance(error, OSError):
        _abandon_stdout()
    if os.environ.get(TRACEBACK):
        traceback.print_exc()
    _say(f"klimit: {message}")
    return status


def _explain(error: Any) -> tuple[str, int]:
    if isinstance(error, InputError):
        return f"error: {error}", USAGE
    if type(error).__name__ == "Abort":
        return "interrupted", INTERRUPTED
    if hasattr(error, "format_message"):  # a usage error of the parser
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "klimit"
        return f"error: {error.format_message().rstrip('.')} (see: {command} --help)", USAGE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"error: {where}{error.strerror or error}", USAGE
    if isinstance(error, MemoryError):
        return "error: out of memory; give fewer completions at once", USAGE
    what = f"{type(error).__name__}: {error}"
    return f"this is a bug in klimit, please report it: {what} ({TRACEBACK}=1 shows where)", BUG


def _say(message: str) -> None:
    """One line on stderr, whatever the message holds."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] if c != "\n" else " " for c in message)
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _abandon_stdout() -> None:
    """Point stdout at nothing, so that what is left in its buffer is not tried again at exit."""
    with suppress(OSError, ValueError, AttributeError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
