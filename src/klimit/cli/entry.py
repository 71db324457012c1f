"""From arguments to an exit status: 0 done, 1 a bug, 2 wrong input or usage, 130 interrupted."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
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
    try:
        from klimit.cli.app import app

        result = app(list(arguments), prog_name="klimit", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as stop:
        # A reader that left (`| head`) ends the command without a word.
        return stop.code if isinstance(stop.code, int) else BUG
    except BrokenPipeError:
        _abandon_stdout()
        return BUG
    except Exception as error:
        return _failed(error)
    # The parser turns Ctrl-C into a status of its own.
    return _interrupted() if result == INTERRUPTED else int(result or 0)


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


def _interrupted() -> int:
    _say("klimit: interrupted")
    return INTERRUPTED


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
