"""What scores completions: one small interface for reward models and Python functions, and how users name them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError

Rows = NDArray[np.int64]
Named = str | Callable[..., Any]
Wanted = Named | Sequence[Named] | Mapping[str, Named]

FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.+)", re.S)
PREFIX = "reward_"


class Reward(Protocol):
    """Scores the completions of one file."""

    @property
    def identity(self) -> dict[str, Any]:
        """What its numbers depend on, for metadata."""
        ...

    @property
    def batch_size(self) -> int:
        """Completions to score at once, to begin with."""
        ...

    @property
    def lengths(self) -> NDArray[np.int64] | None:
        """How much memory each row takes, relative to others; None where that is all one."""
        ...

    def score(self, rows: Rows) -> NDArray[np.float64]:
        """Rewards of some rows.

        Raises:
            OutOfMemory: fewer at once may fit.
            InputError: it gave none for a row.
        """
        ...


@dataclass(frozen=True)
class Asked:
    """A reward as it was asked for.

    Attributes:
        column: that its rewards go to.
        what: path or id of a model, ``package.module:function``, or a function.
    """

    column: str
    what: Named

    @property
    def is_function(self) -> bool:
        """Whether it is a Python function."""
        return not isinstance(self.what, str) or is_function(self.what)


def is_function(name: str) -> bool:
    """Whether a name is that of a Python function, not of a model."""
    return FUNCTION.fullmatch(name) is not None and not Path(name).exists()


def asked(wanted: Wanted) -> list[Asked]:
    """Rewards by the columns they go to.

    Args:
        wanted: one or several, texts of the form ``NAME=...`` with a name for the column; or by name.

    Raises:
        InputError: none was given, a name is no name, or a column is named twice.
    """
    found = [_asked(name, what) for name, what in _pairs(wanted)]
    if not found:
        raise InputError("no reward was given")
    columns = [each.column for each in found]
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise InputError(f"two rewards are named {twice}; name them apart, as NAME=...")
    return found


def _pairs(wanted: Wanted) -> list[tuple[str | None, Named]]:
    if isinstance(wanted, Mapping):
        return list(wanted.items())
    if isinstance(wanted, str) or callable(wanted):
        return [_parted(wanted)]
    return [_parted(each) for each in wanted]


def _parted(what: Named) -> tuple[str | None, Named]:
    """A text's name, if it begins with one, and the rest."""
    found = _NAMED.fullmatch(what) if isinstance(what, str) and not Path(what).exists() else None
    return (found[1], found[2]) if found else (None, what)


def _asked(name: str | None, what: Any) -> Asked:
    if not isinstance(what, str) and not callable(what):
        raise InputError(f"a reward is {type(what).__name__} {what!r:.60}; give a path, an id or a function")
    if not what:
        raise InputError("a reward is empty; give a path, an id or a function")
    chosen = _own_name(what) if name is None else name
    if not isinstance(chosen, str) or re.fullmatch(r"\w+", chosen) is None:
        raise InputError(f"a reward is named {chosen!r}; a name is of letters, digits and underscores")
    return Asked(chosen if chosen.startswith(PREFIX) else PREFIX + chosen, what)


def _own_name(what: Named) -> str:
    """The last part of a path, an id or a function's name, with underscores for what no name can hold."""
    if not isinstance(what, str):
        last = getattr(what, "__name__", type(what).__name__)
    elif is_function(what):
        last = re.split(r"[:.]", what)[-1]
    else:
        last = Path(what).expanduser().resolve().name
    return re.sub(r"\W+", "_", last).strip("_")
