"""A table of samples behind DuckDB: its columns, its chosen rows, and its errors in one line."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.columns import did_you_mean
from klimit.samples.messages import one_line, one_line_errors

if TYPE_CHECKING:
    import duckdb

SETTINGS = {
    "enable_progress_bar": "false",
    "preserve_insertion_order": "true",
    "python_enable_replacements": "false",  # a name in where= is a column, never a Python variable
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "pandas_analyze_sample": "1000000000",  # a late value of another type must not be met half-way
}


@dataclass
class Table:
    """Rows in file order, of which ``where`` keeps some; queries run on the kept rows alone.

    Attributes:
        connection: an in-memory database with the rows as the view ``source``.
        label: the file or frame, for messages.
        types: DuckDB's type of each column, by name, in file order.
        where: an SQL condition on the columns, or None.
        files: the files, where there are any.
        mixed: columns of a frame that hold Python objects of several types, with those types.
    """

    connection: duckdb.DuckDBPyConnection
    label: str
    types: dict[str, str]
    where: str | None = None
    files: tuple[Path, ...] = ()
    mixed: dict[str, str] = field(default_factory=dict)
    stamps: tuple[tuple[int, int], ...] = ()

    @property
    def rows(self) -> str:
        """The FROM and WHERE clauses that give the kept rows."""
        # The line breaks keep a trailing comment in the condition from hiding what follows.
        return "FROM source" if self.where is None else f"FROM source WHERE (\n{self.where}\n)"

    def query(self, select: str) -> list[tuple[Any, ...]]:
        """Rows of an SQL query, as Python values."""
        with one_line_errors(self.label):
            return run(self.connection, select).fetchall()

    def columns(self, expressions: Sequence[str], *, rows: str | None = None) -> list[NDArray[Any]]:
        """One array for each SQL expression, in row order; missing numbers are NaN, missing objects None."""
        listed = ", ".join(f"{expression} AS c{i}" for i, expression in enumerate(expressions))
        with one_line_errors(self.label):
            found = run(self.connection, f"SELECT {listed} {rows or self.rows}").fetchnumpy()
        return [_unmasked(found[f"c{i}"]) for i in range(len(expressions))]

    def locate(self, positions: NDArray[np.integer[Any]] | Sequence[int], most: int = 3) -> str:
        """Where kept rows stand in the source: ``"row 3"``, ``"rows 3, 7, 9, ..."``.

        Rows of a file count from 1, its header left out; rows of a frame from 0.
        """
        shown = [int(position) for position in positions[:most]]
        rows: list[int] = shown
        if self.where is not None:
            numbered = (
                f"(SELECT row_number() OVER () - 1 AS klimit_row, * FROM source) WHERE (\n{self.where}\n)"
            )
            (every,) = self.columns(["klimit_row"], rows=f"FROM {numbered}")
            rows = [int(every[position]) for position in shown]
        names = [self.row_name(row) for row in rows]
        more = ", ..." if len(positions) > most else ""
        from_zero = "" if self.files else ", counted from 0"
        return f"row{'s' * (len(positions) > 1)} {', '.join(names)}{more}{from_zero}"

    def row_name(self, row: int) -> str:
        """What a reader calls a row of the source."""
        if not self.files:
            return str(row)
        if len(self.files) == 1:
            return str(row + 1)
        for file, n_rows in zip(self.files, self.row_counts, strict=True):
            if row < n_rows:
                return f"{row + 1} of {file}"
            row -= n_rows
        return str(row)

    @property
    def is_parquet(self) -> bool:
        """Whether the rows stand in Parquet files."""
        return bool(self.files) and all(file.suffix.lower() in (".parquet", ".pq") for file in self.files)

    @cached_property
    def row_counts(self) -> tuple[int, ...]:
        """Rows of every file."""
        return tuple(
            int(self.query(f"SELECT count(*) FROM source_{i}")[0][0]) for i in range(len(self.files))
        )

    def check_unchanged(self) -> None:
        """Refuse to read on from files that were rewritten in the meantime.

        Raises:
            InputError: a file's size or time changed since it was opened.
        """
        if self.stamps != file_stamps(self.files):
            raise InputError(f"{self.label}: changed on disk since it was read; read it again")


def connect() -> duckdb.DuckDBPyConnection:
    """A fresh in-memory database that keeps row order and never writes beside the user's files."""
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute(f"SET temp_directory = {literal(tempfile.gettempdir())}")
    for name, value in SETTINGS.items():
        connection.execute(f"SET {name} = {value}")
    return connection


def run(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyConnection:
    """Run a query such that Ctrl-C stops it at once.

    DuckDB notices a signal only when a query is over, but heeds ``interrupt``; so the query has a thread of its
    own and this one waits.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(connection.execute, query)
        try:
            # In short waits: the signal may reach another thread, and then wakes nobody here.
            while not wait([running], timeout=0.1).done:
                pass
            return running.result()
        except KeyboardInterrupt:
            while not running.done():  # more than once: a query that has not begun yet forgets it
                connection.interrupt()
                wait([running], timeout=0.05)
            raise


def describe(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    """Name and type of every column that a query gives."""
    return {str(row[0]): str(row[1]) for row in run(connection, f"DESCRIBE {query}").fetchall()}


def file_stamps(files: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    """Size and time of last change of every file."""
    states = [file.stat() for file in files]
    return tuple((state.st_size, state.st_mtime_ns) for state in states)


def identifier(name: str) -> str:
    """A column name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def sql_name(name: str) -> str:
    """A column name as one would type it in SQL: quoted only where it must be."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else identifier(name)


def literal(text: str) -> str:
    """A text quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"


def check_where(table: Table) -> None:
    """Refuse a condition that SQL cannot run, that is none, or that changes from one reading to the next.

    Raises:
        InputError: with what DuckDB says about it, in one line.
    """
    import duckdb

    where, said = table.where, f"{table.label}: where={table.where!r}"
    if where is None:
        return
    if not isinstance(where, str) or not where.strip():
        raise InputError(f"{said}: an SQL condition is needed, such as where=\"policy = 'cot'\"")
    if re.search(r"\b(random|uuid|uuidv4|uuidv7|gen_random_uuid|nextval)\s*\(", where, re.IGNORECASE):
        raise InputError(f"{said}: it must choose the same rows every time; draw at random before reading")
    try:
        with one_line_errors(said):
            table.connection.execute(f"EXPLAIN SELECT * {table.rows}")
            (kind,) = describe(table.connection, f"SELECT (\n{where}\n) FROM source").values()
    except InputError as error:
        problem = _where_problem(str(error).removeprefix(f"{said}: "), where, list(table.types))
        raise InputError(f"{said}: {problem}") from None
    if kind != "BOOLEAN":
        raise InputError(
            f"{said}: it gives {kind}, not true or false; compare with something, as in \"policy = 'cot'\""
        )
    try:
        with one_line_errors(table.label):
            run(table.connection, f"SELECT count(*) {table.rows}")
    except InputError as error:
        if not isinstance(error.__context__, duckdb.DataError):
            raise
        raise InputError(f"{said}: {one_line(error.__context__)}") from None


def _where_problem(message: str, where: str, names: list[str]) -> str:
    missing = re.search(r'column "(.+?)" (?:was )?not found', message)
    if missing:
        name = missing[1]
        return f"no column {name!r}{did_you_mean(name, names)}; text goes in single quotes, as in 'cot'"
    if message.endswith('at or near ")"') and ")" not in where:
        return "the SQL condition is not complete"
    return message


def _unmasked(array: Any) -> NDArray[Any]:
    if not isinstance(array, np.ma.MaskedArray):
        return np.asarray(array)
    if array.dtype.kind == "f":
        return np.asarray(array.filled(np.nan))
    if array.dtype == object:
        values = np.array(array.data)
        values[np.ma.getmaskarray(array)] = None  # filled(None) would put in the default, "?"
        return values
    if not np.ma.is_masked(array):
        return np.asarray(array.data)
    return np.where(np.ma.getmaskarray(array), np.nan, array.data)
