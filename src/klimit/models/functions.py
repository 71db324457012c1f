"""Rewards by a Python function with TRL's signature; needs neither torch nor transformers."""

from __future__ import annotations

import asyncio
import inspect
import platform
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.models.answers import COMPLETION, IDS, TEXTS, Answers
from klimit.models.engine import OutOfMemory
from klimit.models.finding import source_of
from klimit.models.prompts import PROMPT
from klimit.models.rewards import Rows

_BATCH = 256
_TEXTS_AS = ("prompts", "completions")
_IDS_AS = "completion_ids"


@dataclass(frozen=True, eq=False)
class FunctionReward:
    """A function that is given lists, a value a completion, and returns a list of floats.

    Attributes:
        function: of the arguments of TRL's reward functions, or some of them.
        name: as messages show it.
        answers: what it scores.
    """

    function: Callable[..., Any]
    name: str
    answers: Answers

    @property
    def identity(self) -> dict[str, Any]:
        """Its name, and its source in short, so that rewards of a function that was changed are not mixed."""
        return {"reward": self.name, "source": source_of(self.function), "engine": f"Python {_python()}"}

    @property
    def batch_size(self) -> int:
        """Completions to give it at once."""
        return _BATCH

    @property
    def lengths(self) -> None:
        """All rows are as good first."""
        return

    def score(self, rows: Rows) -> NDArray[np.float64]:
        """Rewards of some rows.

        Raises:
            OutOfMemory: it ran out of memory.
            InputError: it raised, returned another count, or no finite number for a row.
        """
        try:
            found = self._called(rows)
        except (Exception, SystemExit) as error:
            if _is_memory(error):
                raise OutOfMemory from None
            raise InputError(self._explained(rows, error)) from None
        return np.array(
            [self._number(value, int(row)) for value, row in zip(self._list(found, rows), rows, strict=True)]
        )

    def _called(self, rows: Rows) -> Any:
        found = self.function(**self._arguments(rows))
        return _awaited(found) if inspect.isawaitable(found) else found

    def _arguments(self, rows: Rows) -> dict[str, Any]:
        columns = offered(self.answers.given.names)
        return {name: self._values(columns[name], rows) for name in taken(self.function, list(columns))}

    def _values(self, column: str, rows: Rows) -> list[Any]:
        if column == PROMPT:
            return self.answers.prompts(rows)
        return self.answers.completions(rows) if column == COMPLETION else self.answers.values(column, rows)

    def _list(self, found: Any, rows: Rows) -> list[Any]:
        if isinstance(found, str | dict) or not hasattr(found, "__iter__"):
            raise InputError(
                f"{self._place(rows)}: {self.name} returned {_shown(found)}; a list of floats is needed, one for each "
                "completion"
            )
        values = list(found)
        if len(values) != len(rows):
            raise InputError(
                f"{self._place(rows)}: {self.name} returned {len(values):,} rewards for {len(rows):,} completions; one "
                "for each is needed, in their order"
            )
        return values

    def _number(self, value: Any, row: int) -> float:
        if value is None:
            raise InputError(
                f"{self.answers.where(row)}: {self.name} gave None; every completion needs a reward: leave out the "
                "rows it is not meant for, or give them one"
            )
        if isinstance(value, str) or getattr(value, "ndim", None) or not hasattr(value, "__float__"):
            raise InputError(
                f"{self.answers.where(row)}: {self.name} gave {_shown(value)}, which is no number"
            )
        number = float(value)
        if not np.isfinite(number):
            raise InputError(
                f"{self.answers.where(row)}: {self.name} gave {number}; a reward is a finite number"
            )
        return number

    def _explained(self, rows: Rows, error: BaseException) -> str:
        """What went wrong and where, at the one row that does it if there is one."""
        rows, error = self._narrowed(rows, error)
        said = " ".join(str(error).split())[:200]
        what = f"{type(error).__name__}: {said}" if said else type(error).__name__
        return f"{self._place(rows)}: {self.name} raised {what} ({_line(self.function, error)})"

    def _narrowed(self, rows: Rows, error: BaseException) -> tuple[Rows, BaseException]:
        while len(rows) > 1:
            half = len(rows) // 2
            for part in (rows[:half], rows[half:]):
                try:
                    self._called(part)
                except (Exception, SystemExit) as again:
                    rows, error = part, again
                    break
            else:
                break
        return rows, error

    def _place(self, rows: Rows) -> str:
        first, last = int(rows.min()), int(rows.max())
        if first == last:
            return self.answers.where(first)
        which = "rows" if last - first + 1 == len(rows) else f"{len(rows):,} of rows"
        return f"{self.answers.given.path}, {which} {first + 1:,} to {last + 1:,}"


def offered(columns: Sequence[str]) -> dict[str, str]:
    """What a function may take, and the column that it is: as TRL's trainers name them."""
    named = dict(zip(_TEXTS_AS, TEXTS, strict=True))
    if IDS in columns:
        named[_IDS_AS] = IDS
    return named | {name: name for name in columns if name not in TEXTS and name not in named}


def taken(function: Callable[..., Any], names: Sequence[str]) -> list[str]:
    """Which of what is there a function takes."""
    found = _parameters(function)
    if found is None or any(each.kind is each.VAR_KEYWORD for each in found):
        return list(names)
    return [each.name for each in found if each.name in names]


def columns_taken(function: Callable[..., Any], columns: Sequence[str]) -> list[str]:
    """The columns of a file that a function takes."""
    named = offered(columns)
    return [named[name] for name in taken(function, list(named))]


def check_signature(function: Callable[..., Any], name: str, names: Sequence[str], source: Path) -> None:
    """See that all that a function asks for is there.

    Raises:
        InputError: it is not.
    """
    columns = offered(names)
    for each in _parameters(function) or ():
        if each.kind is each.POSITIONAL_ONLY:
            raise InputError(
                f"{name}: takes {each.name!r} by position only; trainers and klimit give it by name"
            )
        optional = each.default is not each.empty or each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if not optional and each.name not in columns:
            raise InputError(
                f"{name}: asks for {each.name!r}, and {source} has no such column; it can take {', '.join(columns)}"
            )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _awaited(found: Any) -> Any:
    """The result of a coroutine, whether or not the caller runs in a loop (as notebooks do)."""

    async def result() -> Any:
        return await found

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(result())
    with ThreadPoolExecutor(1) as other:
        return other.submit(asyncio.run, result()).result()


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _line(function: Callable[..., Any], error: BaseException) -> str:
    """The last line of the function's own file that was reached."""
    frames = traceback.extract_tb(error.__traceback__)
    own = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_filename", None)
    frame = next((each for each in reversed(frames) if each.filename == own), frames[-1])
    return f"{Path(frame.filename).name}, line {frame.lineno}"


def _shown(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])
