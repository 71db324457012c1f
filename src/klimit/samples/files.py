"""Parquet, CSV and JSON lines as a table, with types decided over all rows rather than the first ones."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from klimit.errors import InputError
from klimit.samples.messages import broken_json_line, one_line_errors
from klimit.samples.paths import PathLike, find_files
from klimit.samples.table import Table, connect, describe, file_stamps, identifier, literal, run

if TYPE_CHECKING:
    import duckdb

# Given the column names, those that hold ids: text that must not be read as numbers.
Ids = Callable[[Sequence[str]], Sequence[str]]

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UBIGINT", "HUGEINT", "FLOAT", "DOUBLE")


def open_files(source: PathLike | Sequence[PathLike], *, ids: Ids) -> Table:
    """The files as one table, in the order given.

    Raises:
        InputError: a file is missing or cannot be parsed, or files have different columns.
    """
    files, kind, label = find_files(source)
    connection = connect()
    stamps = file_stamps(files)
    with one_line_errors(label):
        if kind == "parquet":
            types = _view_parquet(connection, files)
        elif kind == "json":
            types = _view_json(connection, files, ids)
        else:
            types = _view_csv(connection, files, ids)
    return Table(connection, label, types, files=files, stamps=stamps)


def _view_parquet(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> dict[str, str]:
    for i, file in enumerate(files):
        with one_line_errors(str(file)):
            connection.execute(
                f"CREATE VIEW source_{i} AS FROM read_parquet({sql_path(file)}, hive_partitioning = false)"
            )
    by_file = [describe(connection, f"FROM source_{i}") for i in range(len(files))]
    _same_columns(files, [list(types) for types in by_file])
    _same_kinds(files, by_file)
    listed = ", ".join(sql_path(file) for file in files)
    connection.execute(
        f"CREATE VIEW source AS FROM read_parquet([{listed}], hive_partitioning = false, "
        "union_by_name = true)"
    )
    return describe(connection, "FROM source")


def _view_json(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], ids: Ids) -> dict[str, str]:
    by_file = []
    for file in files:
        try:
            with one_line_errors(str(file)):
                found = describe(connection, f"FROM read_json({sql_path(file)}, sample_size = -1)")
                _no_case_twins(connection, file, list(found))
        except InputError as error:
            by_line = file.name.lower().removesuffix(".gz").endswith(("jsonl", "ndjson"))
            problem = broken_json_line(file) if by_line and ": broken JSON" in str(error) else None
            raise (InputError(f"{file}: {problem}") if problem else error) from None
        by_file.append(found)
    _same_columns(files, [list(types) for types in by_file])
    _same_kinds(files, by_file)
    types = {name: _json_type([found[name] for found in by_file]) for name in by_file[0]}
    for name in ids(list(types)):
        if types.get(name) == "DOUBLE":
            types[name] = "JSON"  # as written: an id of twenty digits has no exact float64
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
    for i, file in enumerate(files):
        connection.execute(
            f"CREATE VIEW source_{i} AS FROM read_json({sql_path(file)}, columns = {{{columns}}})"
        )
    listed = ", ".join(sql_path(file) for file in files)
    connection.execute(f"CREATE VIEW source AS FROM read_json([{listed}], columns = {{{columns}}})")
    return types


def _json_type(found: Sequence[str]) -> str:
    """One type for a column of several files; what only looks like a date or a UUID stays the text it is."""
    kinds = {kind for kind in found if kind != '"NULL"'}
    if len(kinds) > 1:
        return "DOUBLE" if kinds <= set(NUMBERS) else "JSON"
    kind = kinds.pop() if kinds else "DOUBLE"
    unquoted = re.split(r'("(?:[^"]|"")*")', kind)
    for i, part in enumerate(unquoted):
        if part == '"NULL"':
            unquoted[i] = "DOUBLE"
        elif i % 2 == 0:
            unquoted[i] = re.sub(
                r"\b(DATE|TIME|UUID|TIMESTAMP\w*)(?: WITH TIME ZONE)?(?=[\[\],) ]|$)", "VARCHAR", part
            )
    return "".join(unquoted)


def _no_case_twins(connection: duckdb.DuckDBPyConnection, file: Path, names: Sequence[str]) -> None:
    # DuckDB renames "Reward" beside "reward" to "Reward_1", which the file does not hold.
    lower = {name.lower() for name in names}
    doubtful = [name for name in names if re.sub(r"_\d+$", "", name).lower() in lower - {name.lower()}]
    if not doubtful:
        return
    keys = run(
        connection, f"SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects({sql_path(file)})"
    ).fetchall()
    true_names = {str(key[0]) for key in keys}
    for name in doubtful:
        if name not in true_names:
            base = re.sub(r"_\d+$", "", name)
            raise InputError(f"{file}: columns named {base!r} in different cases; rename one")


def _view_csv(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], ids: Ids) -> dict[str, str]:
    headers = [_read_header(file) for file in files]
    _same_columns(files, [names for names, _ in headers])
    for i, (file, (names, delimiter)) in enumerate(zip(files, headers, strict=True)):
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        with one_line_errors(str(file)):
            connection.execute(
                f"CREATE VIEW source_{i} AS FROM read_csv({sql_path(file)}, auto_detect = false, header = true, "
                f"delim = {literal(delimiter)}, quote = '\"', escape = '\"', allow_quoted_nulls = false, "
                f"columns = {{{columns}}})"
            )
    union = " UNION ALL BY NAME ".join(f"FROM source_{i}" for i in range(len(files)))
    connection.execute(f"CREATE VIEW source_text AS {union}")
    names = headers[0][0]
    types = _csv_types(connection, files, names, set(ids(names)))
    casts = ", ".join(f"CAST({identifier(name)} AS {types[name]}) AS {identifier(name)}" for name in names)
    connection.execute(f"CREATE VIEW source AS SELECT {casts} FROM source_text")
    return types


def _csv_types(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], names: Sequence[str], ids: set[str]
) -> dict[str, str]:
    """The narrowest type that every row of a column has; an id is a number only if written as an integer."""
    tests = []
    for column in map(identifier, names):
        tests += [
            f"count({column})",
            f"count(*) FILTER (CAST(TRY_CAST({column} AS BIGINT) AS VARCHAR) = {column})",
            f"count(TRY_CAST({column} AS DOUBLE))",
            f"count(*) FILTER ({column} IN ('true', 'false', 'True', 'False', 'TRUE', 'FALSE'))",
        ]
    counts = [0] * len(tests)
    for i, file in enumerate(files):
        with one_line_errors(str(file)):
            (row,) = run(connection, f"SELECT {', '.join(tests)} FROM source_{i}").fetchall()
            counts = [total + int(n) for total, n in zip(counts, row, strict=True)]
    types = {}
    for i, name in enumerate(names):
        filled, integers, numbers, booleans = counts[4 * i : 4 * i + 4]
        if filled == 0:
            types[name] = "DOUBLE"
        elif integers == filled:
            types[name] = "BIGINT"
        elif name in ids:
            types[name] = "VARCHAR"
        elif numbers == filled:
            types[name] = "DOUBLE"
        else:
            types[name] = "BOOLEAN" if booleans == filled else "VARCHAR"
    return types


def _read_header(file: Path) -> tuple[list[str], str]:
    """Column names and delimiter, from the first line."""
    try:
        unpack = gzip.open if file.suffix.lower() == ".gz" else open
        with unpack(file, "rt", encoding="utf-8-sig", newline="") as opened:
            first = str(opened.readline(1 << 20))
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8 text (line 1); save the file as UTF-8") from None
    except (OSError, EOFError) as error:
        raise InputError(f"{file}: cannot be unpacked ({error})") from None
    split = {delimiter: next(csv.reader([first], delimiter=delimiter), []) for delimiter in ",\t;|"}
    delimiter = max(split, key=lambda one: len(split[one]))
    names = [name.strip("\r\n") or f"column{i}" for i, name in enumerate(split[delimiter])]
    if not names:
        raise InputError(f"{file}: the first line is empty; it must name the columns")
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise InputError(
                f"{file}: two columns are named {name!r} (upper and lower case count as one); rename one"
            )
        seen.add(name.lower())
    return names, delimiter


def _same_columns(files: Sequence[Path], names: Sequence[Sequence[str]]) -> None:
    for file, found in zip(files, names, strict=True):
        for one, other, in_one, in_other in (
            (file, files[0], found, names[0]),
            (files[0], file, names[0], found),
        ):
            only = [name for name in in_one if name not in in_other]
            if only:
                raise InputError(
                    f"{one} has a column {only[0]!r} that {other} lacks; "
                    "files read together need the same columns"
                )


def _same_kinds(files: Sequence[Path], types: Sequence[dict[str, str]]) -> None:
    for file, found in zip(files, types, strict=True):
        for name, kind in found.items():
            first = types[0][name]
            if (
                (kind == "VARCHAR") != (first == "VARCHAR")
                and '"NULL"' not in (kind, first)
                and "JSON" not in (kind, first)
            ):
                raise InputError(
                    f"column {name!r} is {kind} in {file} and {first} in {files[0]}; give it one type"
                )


def sql_path(file: Path) -> str:
    """A path quoted for SQL, with the characters that DuckDB takes for a glob made literal."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(file)))
