"""Prompt files: JSON lines, Parquet or CSV with ``prompt`` (a text, or chat messages) and, if given, ``prompt_id``."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from klimit.errors import InputError
from klimit.models.extras import needed

PROMPT, PROMPT_ID = "prompt", "prompt_id"
JSON_LINES = (".jsonl", ".ndjson", ".json")
CSV = ".csv"
ROLES = ("system", "user", "assistant", "tool", "developer")

Message = dict[str, str]


@dataclass(frozen=True)
class Prompt:
    """One prompt.

    Attributes:
        prompt_id: its key: an integer or a text.
        prompt: a text, or chat messages with ``role`` and ``content``.
    """

    prompt_id: int | str
    prompt: str | tuple[Message, ...]

    @property
    def is_chat(self) -> bool:
        """Whether it is a list of messages."""
        return not isinstance(self.prompt, str)

    def messages(self) -> list[Message]:
        """The messages; a text is one of the user's."""
        if isinstance(self.prompt, str):
            return [{"role": "user", "content": self.prompt}]
        return [dict(message) for message in self.prompt]


def read_prompts(path: str | Path) -> list[Prompt]:
    """Read a file of prompts.

    Args:
        path: JSON lines, Parquet or CSV. Without a column ``prompt_id`` prompts are numbered from 0.

    Raises:
        InputError: no such file, no prompts, a row without a prompt, a key twice, texts and messages mixed.
    """
    return checked_prompts(prompt_rows(path), source=str(path))


def prompt_rows(path: str | Path, column: str = PROMPT) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a file as ``(where, row)``, with the prompt under ``prompt`` and, if given, ``prompt_id``.

    Args:
        path: JSON lines, Parquet or CSV.
        column: that holds the prompts.

    Raises:
        InputError: no such file, or no table that can be read.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"{path}: no such file of prompts")
    ending = file.suffix.lower()
    read = _json_lines if ending in JSON_LINES else _csv if ending == CSV else _parquet
    for where, row in read(file, column):
        if column not in row:
            raise InputError(f"{where}: no field {column!r}; its fields: {', '.join(row)}")
        yield where, {name: row[at] for name, at in ((PROMPT_ID, PROMPT_ID), (PROMPT, column)) if at in row}


def arrow_columns(prompts: Sequence[Prompt]) -> dict[str, Any]:
    """``prompt_id`` and ``prompt`` as arrow arrays, all prompts being of one kind."""
    arrow = needed("pyarrow")
    message = arrow.struct([("role", arrow.string()), ("content", arrow.string())])
    key = arrow.string() if isinstance(prompts[0].prompt_id, str) else arrow.int64()
    return {
        PROMPT_ID: arrow.array([each.prompt_id for each in prompts], key),
        PROMPT: arrow.array(
            [each.messages() if each.is_chat else each.prompt for each in prompts],
            arrow.list_(message) if prompts[0].is_chat else arrow.string(),
        ),
    }


def checked_prompts(rows: Iterator[tuple[str, Mapping[str, Any]]], *, source: str) -> list[Prompt]:
    """Prompts of rows ``(where, row)``.

    Raises:
        InputError: as :func:`read_prompts`.
    """
    prompts: list[Prompt] = []
    seen: dict[int | str, str] = {}
    for where, row in rows:
        prompt = Prompt(_key(row, len(prompts), where), _prompt(row, where))
        if prompts and prompt.is_chat != prompts[0].is_chat:
            kinds = ("texts", "chat messages") if prompt.is_chat else ("chat messages", "texts")
            raise InputError(
                f"{where}: the prompts before are {kinds[0]}, this one is {kinds[1]}; write all of them one way"
            )
        if prompt.prompt_id in seen:
            raise InputError(
                f"{where}: {PROMPT_ID} {prompt.prompt_id!r} stands there twice (first in {seen[prompt.prompt_id]}); "
                "give each prompt its own"
            )
        seen[prompt.prompt_id] = where
        prompts.append(prompt)
    if not prompts:
        raise InputError(f"{source}: holds no prompts")
    kinds_of_keys = {type(prompt.prompt_id) for prompt in prompts}
    if len(kinds_of_keys) > 1:
        raise InputError(
            f"{source}: {PROMPT_ID} is a number in some rows and a text in others; write all one way"
        )
    return prompts


def _json_lines(file: Path, column: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with file.open(encoding="utf-8") as lines:
        number = 0
        try:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                where = f"{file}, line {number}"
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise InputError(f"{where}: is no JSON ({error})") from None
                if not isinstance(row, dict):
                    raise InputError(f"{where}: is no object; each line is one, with a field {column!r}")
                yield where, row
        except UnicodeDecodeError:
            raise InputError(f"{file}, after line {number}: is no UTF-8 text") from None


def _csv(file: Path, column: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        number = 0
        try:
            for number, row in enumerate(csv.DictReader(lines, strict=True), 1):
                if None in row:
                    raise InputError(f"{file}, row {number}: has more fields than the header has names")
                yield f"{file}, row {number}", row
        except csv.Error as error:
            raise InputError(f"{file}, after row {number}: is no CSV ({error})") from None
        except UnicodeDecodeError:
            raise InputError(f"{file}, after row {number}: is no UTF-8 text") from None


def _parquet(file: Path, column: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    arrow, parquet = needed("pyarrow"), needed("pyarrow.parquet")
    try:
        opened = parquet.ParquetFile(file)
    except (arrow.ArrowException, OSError) as error:
        raise InputError(
            f"{file}: is neither JSON lines ({', '.join(JSON_LINES)}) nor CSV nor Parquet: {error}"
        ) from None
    with opened:
        names = opened.schema_arrow.names
        if column not in names:
            raise InputError(f"{file}: no column {column!r}; its columns: {', '.join(names)}")
        wanted = [name for name in dict.fromkeys((PROMPT_ID, column)) if name in names]
        number = 0
        for batch in opened.iter_batches(columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield f"{file}, row {number}", row


def _key(row: Mapping[str, Any], number: int, where: str) -> int | str:
    if PROMPT_ID not in row:
        return number
    key = row[PROMPT_ID]
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise InputError(f"{where}: {PROMPT_ID} is {key!r}; give a whole number or a text")
    return key


def _prompt(row: Mapping[str, Any], where: str) -> str | tuple[Message, ...]:
    prompt = row[PROMPT]
    if isinstance(prompt, str):
        if not prompt:
            raise InputError(f"{where}: the prompt is empty")
        return prompt
    if not isinstance(prompt, list) or not prompt:
        raise InputError(f"{where}: the prompt is {_kind(prompt)}; give a text, or a list of chat messages")
    return tuple(message_of(message, where) for message in prompt)


def message_of(message: Any, where: str) -> Message:
    """A chat message with nothing but its role and content.

    Raises:
        InputError: it is none, of an unknown role, or its content is no text.
    """
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        raise InputError(f"{where}: a chat message needs 'role' and 'content'; one is {message!r:.80}")
    role, content = message["role"], message["content"]
    if not isinstance(role, str) or role not in ROLES:
        raise InputError(f"{where}: a message's role is {role!r}; known are {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise InputError(f"{where}: a message's content is {_kind(content)}; only text is supported")
    return {"role": role, "content": content}


def _kind(value: Any) -> str:
    return "missing" if value is None else f"{type(value).__name__} {value!r:.60}"
