"""A table seen with one row a completion, and its rewards, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.checks import counted, describe_not_finite
from klimit.samples.columns import HeldBack
from klimit.samples.kinds import (
    element,
    is_list,
    is_nested,
    is_number,
    is_text,
    number,
    plain,
)
from klimit.samples.table import Table, identifier, sql_name

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Completions:
    """A table seen with one row a completion, whether its rows are completions or prompts with lists of them.

    Attributes:
        table: the table.
        rows: the FROM clause that gives the completions.
        types: types of the columns there.
        lists: columns that were lists, one item a completion.
        per_row: completions of each row; None where a row is a completion.
    """

    table: Table
    rows: str
    types: dict[str, str]
    lists: frozenset[str] = frozenset()
    per_row: NDArray[np.int64] | None = None

    def columns(self, expressions: Sequence[str], *, first: int | None = None) -> list[NDArray[Any]]:
        """One array for each SQL expression; of the first rows alone, where ``first`` says how many."""
        rows = self.rows if first is None else f"{self.rows} LIMIT {first}"
        return self.table.columns(expressions, rows=rows)

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the table's rows, repeated for every completion of theirs."""
        return values if self.per_row is None else np.repeat(values, self.per_row)

    def locate(self, positions: NDArray[np.integer[Any]]) -> str:
        """Where completions stand in the source."""
        if self.per_row is not None:
            positions = np.unique(np.searchsorted(np.cumsum(self.per_row), positions, side="right"))
        return self.table.locate(positions)


def open_completions(table: Table, rewards: Sequence[str], others: Sequence[str]) -> Completions:
    """One row a completion; where rewards are lists, every list column is unpacked alongside.

    Args:
        table: the table.
        rewards: the reward columns.
        others: further columns that are lists wherever the rewards are.

    Raises:
        InputError: a list is missing or empty, or lists of one row differ in length.
    """
    if not any(is_list(table.types[name]) for name in rewards):
        return Completions(table, table.rows, table.types)
    lists = [name for name in dict.fromkeys([*rewards, *others]) if is_list(table.types[name])]
    lengths = table.columns([f"len({identifier(name)})" for name in lists])
    for name, found in zip(lists, lengths, strict=True):
        empty = np.flatnonzero(~(np.asarray(found, dtype=np.float64) > 0))
        if len(empty):
            raise InputError(
                f"{table.label}: {name!r} is an empty or missing list in {counted(len(empty), 'row')} "
                f"({table.locate(empty)}); leave them out with where='len({sql_name(name)}) > 0' (--where)"
            )
        uneven = np.flatnonzero(found != lengths[0])
        if len(uneven):
            row = uneven[0]
            raise InputError(
                f"{table.label}: lists of one prompt differ in length: {lists[0]!r} has "
                f"{int(lengths[0][row]):,} and {name!r} {int(found[row]):,} in {table.locate(uneven)}; "
                "give each completion one item in every list"
            )
    types = {name: element(table.types[name]) for name in lists}
    unpacked = ", ".join(
        f"unnest(CAST({identifier(name)} AS {kind}[])) AS {identifier(name)}" for name, kind in types.items()
    )
    rows = f"FROM (SELECT {unpacked} {table.rows})"
    return Completions(table, rows, types, frozenset(lists), np.asarray(lengths[0], dtype=np.int64))


def read_rewards(
    completions: Completions, names: Sequence[str], *, asked: bool
) -> tuple[dict[str, Floats], dict[str, HeldBack]]:
    """The reward columns that can be used, and those held back.

    Args:
        completions: where they are.
        names: the columns.
        asked: whether they were named by the caller; a bad one is then an error.

    Raises:
        InputError: a column named by the caller is not numeric or not finite.
    """
    held: dict[str, HeldBack] = {}
    numeric = []
    for name in names:
        problem = not_numbers(completions, name)
        if problem is None:
            numeric.append(name)
        else:
            held[name] = HeldBack(f"{completions.table.label}: reward {name!r} {problem}", is_number=False)
    found = (
        completions.columns([number(name, completions.types[name]) for name in numeric]) if numeric else []
    )
    rewards: dict[str, Floats] = {}
    for name, values in zip(numeric, found, strict=True):
        reason = not_finite(completions, f"reward {name!r}", values)
        if reason is None:
            rewards[name] = values
        else:
            held[name] = HeldBack(f"{reason}; {_leave_out(completions, name)}")
    if asked and held:
        raise InputError(next(held[name].reason for name in names if name in held))
    return {name: rewards[name] for name in names if name in rewards}, held


def read_labels(completions: Completions, names: Sequence[str]) -> dict[str, Floats]:
    """Rewards that may be missing for some completions, nan there.

    Raises:
        InputError: a column is not numeric, infinite somewhere, or missing everywhere.
    """
    labels: dict[str, Floats] = {}
    for name in names:
        said = f"{completions.table.label}: reward {name!r}"
        problem = not_numbers(completions, name)
        if problem is not None:
            raise InputError(f"{said} {problem}")
        (values,) = completions.columns([number(name, completions.types[name])])
        infinite = np.flatnonzero(np.isinf(values))
        if len(infinite):
            raise InputError(
                f"{said} is infinite in {counted(len(infinite), 'completion')} ({completions.locate(infinite)}); "
                "give a finite reward, or none"
            )
        if np.isnan(values).all():
            raise InputError(f"{said} is missing for every completion")
        labels[name] = values
    return labels


def _leave_out(completions: Completions, name: str) -> str:
    if completions.per_row is not None:
        return "every completion needs a finite reward"
    floating = completions.types[name] in ("FLOAT", "DOUBLE")
    condition = f"isfinite({sql_name(name)})" if floating else f"{sql_name(name)} IS NOT NULL"
    return f"leave such rows out with where='{condition}' (--where)"


def not_finite(completions: Completions, said: str, values: Floats) -> str | None:
    """Which values are missing or infinite, in words; None where none is."""
    if np.isfinite(values.sum(dtype=np.float64)):  # one pass, no temporary array
        return None
    positions = np.flatnonzero(~np.isfinite(values))
    if not len(positions):
        return None
    return (
        f"{completions.table.label}: {said}: {describe_not_finite(values)} ({completions.locate(positions)})"
    )


def not_numbers(completions: Completions, name: str) -> str | None:
    """What is wrong with a column that should hold numbers, or None."""
    table = completions.table
    if name in table.mixed:
        return f"mixes types ({table.mixed[name]}); give it numbers only"
    if name not in completions.types:
        return "has one value a prompt where the rewards are lists of one a completion"
    kind = completions.types[name]
    if is_number(kind):
        return None
    if is_nested(kind):
        deeper = "lists of lists" if completions.per_row is not None else "structs or lists"
        return f"holds {deeper} ({kind[:40]}), not numbers"
    if not is_text(kind):
        return f"holds {kind}, not numbers"
    text = plain(name, kind)
    wrong, shown = completions.columns(
        [f"(TRY_CAST({text} AS DOUBLE) IS NULL AND {text} IS NOT NULL)", f"{text}[:40]"]
    )
    positions = np.flatnonzero(wrong)
    if len(positions) == 0:
        return f"holds numbers written as text ({shown[0]!r}); convert the column to numbers"
    first = f"{shown[positions[0]]!r} in {completions.locate(positions[:1])}"
    if len(positions) == len(wrong):
        return f"holds text, not numbers ({first})"
    return (
        f"is not numeric in {len(positions):,} of {counted(len(wrong), 'value')} ({first}); "
        "mend those or leave them out with where= (--where)"
    )
