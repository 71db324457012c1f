"""Prompts and completions of a file of samples, as rewards are given them: texts, or chat messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.models.appending import Given
from klimit.models.extras import needed
from klimit.models.prompts import PROMPT, message_of

COMPLETION = "completion"
IDS = "completion_token_ids"
TEXTS = (PROMPT, COMPLETION)

Rows = NDArray[np.int64]
Text = str | list[dict[str, str]]


@dataclass(frozen=True, eq=False)
class Answers:
    """The completions of a file with their prompts.

    Attributes:
        given: the file.
        is_chat: whether prompts are lists of messages; completions are then the assistant's.
        table: the columns that were asked for, as an arrow table.
    """

    given: Given
    is_chat: bool
    table: Any

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def where(self, row: int) -> str:
        """What to call a row in messages."""
        return f"{self.given.path}, row {row + 1}"

    def prompts(self, rows: Rows) -> list[Text]:
        """Texts, or lists of messages."""
        values = self.values(PROMPT, rows)
        return (
            [self._messages(value, row) for value, row in zip(values, rows, strict=True)]
            if self.is_chat
            else values
        )

    def completions(self, rows: Rows) -> list[Text]:
        """Texts, or lists of the assistant's messages where prompts are messages."""
        values = self.values(COMPLETION, rows)
        if not self.is_chat:
            return values
        return [
            [{"role": "assistant", "content": value}]
            if isinstance(value, str)
            else self._messages(value, row)
            for value, row in zip(values, rows, strict=True)
        ]

    def values(self, name: str, rows: Rows) -> list[Any]:
        """A column's values."""
        return list(self.table.column(name).take(needed("pyarrow").array(rows)).to_pylist())

    def _messages(self, value: Sequence[Mapping[str, Any]], row: int) -> list[dict[str, str]]:
        return [message_of(message, self.where(int(row))) for message in value]


def read_answers(given: Given, more: Sequence[str] = ()) -> Answers:
    """Prompts and completions of a file.

    Args:
        given: the file.
        more: further columns to hold ready.

    Raises:
        InputError: no prompts or completions, one is missing, or they are neither texts nor messages.
    """
    for name in TEXTS:
        if name not in given.names:
            raise InputError(
                f"{given.path}: no column {name!r}; a reward is given {PROMPT} and {COMPLETION} as texts or messages; "
                f"its columns: {', '.join(given.names)}"
            )
    table = given.columns(list(dict.fromkeys((*TEXTS, *more))))
    if not table.num_rows:
        raise InputError(f"{given.path}: holds no completions")
    chat = {name: _is_chat(given, name, table.column(name)) for name in TEXTS}
    if chat[COMPLETION] and not chat[PROMPT]:
        raise InputError(
            f"{given.path}: completions are chat messages and prompts are texts; write both one way"
        )
    return Answers(given, chat[PROMPT], table)


def _is_chat(given: Given, name: str, column: Any) -> bool:
    """Whether a column holds messages; every row has to hold something."""
    types = needed("pyarrow").types
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise InputError(f"{given.path}, row {row + 1}: {name} is missing ({column.null_count:,} rows)")
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return False
    if (types.is_list(kind) or types.is_large_list(kind)) and types.is_struct(kind.value_type):
        return True
    raise InputError(
        f"{given.path}: {name} is {kind}; a text, or chat messages with role and content, is needed"
    )
