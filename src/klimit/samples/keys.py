"""Prompt keys: ids, texts, chat messages, or several columns at once."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.checks import counted
from klimit.samples.grouping import Codes
from klimit.samples.kinds import is_nested, plain
from klimit.samples.table import Table


@dataclass(frozen=True)
class Keys:
    """The distinct prompts of a table.

    Attributes:
        sql: an SQL expression that gives each row's key as a 64-bit code.
        alias: codes that mean the prompt of another code (the same messages, written differently).
        ids: the key behind each code: a value, or a tuple where there are several columns.
        texts: the prompt's text behind each code, where the table has texts beside ids.
    """

    sql: str
    alias: dict[int, int]
    ids: dict[int, Any]
    texts: dict[int, Any] | None

    def merge(self, codes: Codes) -> Codes:
        """Codes of rows, with every alias replaced by what it stands for."""
        if not self.alias:
            return codes
        distinct, inverse = np.unique(codes, return_inverse=True)
        merged = [self.alias.get(int(code), int(code)) for code in distinct]
        return np.array(merged, dtype=np.uint64)[inverse]


def read_keys(table: Table, columns: Sequence[str], text: str | None) -> Keys:
    """The distinct prompt keys, checked.

    Args:
        table: the table.
        columns: the key's columns.
        text: a column of prompt texts that must agree with the key, if there is one.

    Raises:
        InputError: a key that is missing or of mixed types, or one key with different texts.
    """
    for name in columns:
        if name in table.mixed:
            raise InputError(f"{table.label}: {name!r} mixes types ({table.mixed[name]}); give ids one type")
    parts = [plain(name, table.types[name]) for name in columns]
    code = f"hash({', '.join(parts)})"
    extra = ""
    if text is not None:
        shown = plain(text, table.types[text])
        extra = f", any_value({shown}), min(hash({shown})) FILTER ({shown} IS NOT NULL)"
        extra += f", max(hash({shown})) FILTER ({shown} IS NOT NULL)"
    group = ", ".join(str(i + 1) for i in range(len(parts) + 1))
    rows = table.query(f"SELECT {code}, {', '.join(parts)}{extra} {table.rows} GROUP BY {group}")
    n = len(columns)
    if any(_is_missing(value) for row in rows for value in row[1 : n + 1]):
        raise InputError(_missing_key(table, columns, parts))
    if len({row[0] for row in rows}) < len(rows):
        raise InputError(f"{table.label}: two prompts have the same 64-bit hash; key them by another column")
    decoded = [decode(table, name, [row[i + 1] for row in rows]) for i, name in enumerate(columns)]
    found = decoded[0] if n == 1 else list(zip(*decoded, strict=True))
    ids: dict[int, Any] = {}
    first: dict[Any, int] = {}
    alias: dict[int, int] = {}
    for row, key in zip(rows, found, strict=True):
        if key in first:
            alias[row[0]] = first[key]
        else:
            first[key] = row[0]
            ids[row[0]] = key
    texts = None
    if text is not None:
        differing = [(row[0], key) for row, key in zip(rows, found, strict=True) if row[n + 2] != row[n + 3]]
        _check_texts(table, code, columns, text, differing)
        texts = {row[0]: row[n + 1] for row in rows}
    return Keys(code, alias, ids, texts)


def id_array(ids: Sequence[Any]) -> NDArray[Any]:
    """Prompt ids as int64 or float64 where they are such numbers, else as Python objects."""
    kinds = set(map(type, ids))
    if kinds == {int} and all(-(2**63) <= one < 2**63 for one in ids):
        return np.array(ids, dtype=np.int64)
    if kinds == {float}:
        return np.array(ids, dtype=np.float64)
    array = np.empty(len(ids), dtype=object)
    array[:] = ids
    return array


def canonical(messages: str) -> str:
    """JSON with sorted keys and without absent ones, so that the same messages are the same text."""
    return json.dumps(
        _present(json.loads(messages)), sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )


def show(key: Any) -> str:
    """A key for a message, cut where it is long."""
    text = repr(key)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _present(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _present(one) for name, one in value.items() if one is not None}
    return [_present(one) for one in value] if isinstance(value, list) else value


def decode(table: Table, name: str, values: list[Any]) -> list[Any]:
    """Values of a key's column as they came from the engine, as keys.

    Raises:
        InputError: they are of several types.
    """
    kind = table.types[name]
    if is_nested(kind):
        return [canonical(value) for value in values]
    if kind != "JSON":
        return values
    parsed = [json.loads(value) for value in values]
    kinds = {type(value).__name__ for value in parsed}
    if kinds <= {"list", "dict"}:
        return [canonical(value) for value in values]
    if kinds <= {"int", "float"} or len(kinds) == 1:
        return parsed
    raise InputError(f"{table.label}: {name!r} mixes types ({', '.join(sorted(kinds))}); give ids one type")


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _missing_key(table: Table, columns: Sequence[str], parts: Sequence[str]) -> str:
    for name, part in zip(columns, parts, strict=True):
        test = f"{part} IS NULL"
        if table.types[name] in ("FLOAT", "DOUBLE"):
            test += f" OR isnan({part})"
        (missing,) = table.columns([f"({test})"])
        positions = np.flatnonzero(missing)
        if len(positions):
            return (
                f"{table.label}: {name!r} is missing (null or empty) in {len(positions):,} of "
                f"{counted(len(missing), 'row')} ({table.locate(positions)}); each row needs its prompt"
            )
    raise AssertionError("a key was missing and is not")


def _check_texts(
    table: Table, code: str, columns: Sequence[str], text: str, differing: Sequence[tuple[int, Any]]
) -> None:
    if differing and table.types[text] != "VARCHAR":
        # The same messages may be written differently, with keys in another order or some absent.
        shown = plain(text, table.types[text])
        both = f"{table.rows} {'WHERE' if table.where is None else 'AND'} {shown} IS NOT NULL"
        written = table.query(f"SELECT DISTINCT {code}, {shown} {both}")
        means: dict[int, set[str]] = {}
        for key_code, one in written:
            means.setdefault(key_code, set()).add(canonical(one))
        differing = [(key_code, key) for key_code, key in differing if len(means[key_code]) > 1]
    if not differing:
        return
    key_code, key = differing[0]
    (same,) = table.columns([f"({code} = {key_code})"])
    name = ", ".join(columns)
    more = f", and {len(differing) - 1:,} more like it" if len(differing) > 1 else ""
    raise InputError(
        f"{table.label}: {name} {show(key)} has different texts in {text!r} "
        f"({table.locate(np.flatnonzero(same))}){more}; give each prompt its own id, "
        f"or read with prompt={text!r} (--prompt {text})"
    )
