"""Samples larger than memory, read a part at a time: whole prompts, in the order of their first rows.

One pass of the engine tells where each prompt's rows are. Prompts whose rows stand together are read as ranges of
rows; where the rows of several interleave, the engine first writes a copy that is grouped, in a temporary folder that
goes with :class:`Parts`. Every part is read and checked by the code that reads samples whole.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.again import negated
from klimit.samples.container import Samples
from klimit.samples.files import sql_path
from klimit.samples.kinds import is_list, is_nested, is_number, number, plain
from klimit.samples.messages import one_line_errors
from klimit.samples.read import read_table
from klimit.samples.roles import Roles, choose_roles
from klimit.samples.sources import Names, as_paths, open_source
from klimit.samples.table import Table, check_where, file_stamps, identifier, literal, run

PART = 2_000_000  # rows of a part, but for prompts that have more
MEMORY = "600MB"  # that the engine may use
_ROW, _SOURCE_ROW = "klimit_row", "klimit_source_row"


@dataclass
class PartTable(Table):
    """A range of a table's rows.

    Attributes:
        piece: the SQL that gives them.
        source: the table that rows are named by, in messages.
        named: the column of their places there.
    """

    piece: str = ""
    source: Table | None = None
    named: str = _ROW

    @property
    def rows(self) -> str:
        """The FROM and WHERE clauses that give the kept rows."""
        return (
            f"FROM ({self.piece})" if self.where is None else f"FROM ({self.piece}) WHERE (\n{self.where}\n)"
        )

    def locate(self, positions: NDArray[np.integer[Any]] | Any, most: int = 3) -> str:
        """Where kept rows stand in the source."""
        assert self.source is not None
        (places,) = self.columns([self.named])
        shown = [self.source.row_name(int(places[int(position)])) for position in positions[:most]]
        more = ", ..." if len(positions) > most else ""
        return f"row{'s' * (len(positions) > 1)} {', '.join(shown)}{more}"


@dataclass(eq=False)
class Parts:
    """Samples in parts; a context manager, which removes what was written.

    Attributes:
        reward: name of the reward.
        counts: completions of each prompt, in the order of their first rows, ``(P,)``.
        variances: of the reward within each prompt (``ddof=1``), ``(P,)``; 0 for one completion.
        label: the source, for messages.
        grouped: whether the rows of every prompt stood together in the source.
        part: rows of a part, but for prompts that have more.
    """

    reward: str
    counts: NDArray[np.int64]
    variances: NDArray[np.float64]
    label: str
    grouped: bool
    part: int
    _table: Table
    _source: Table
    _starts: NDArray[np.int64]
    _ends: NDArray[np.int64]
    _roles: Roles
    _negate: bool
    _kept: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the copy that was written, if any."""
        self._kept.close()

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.counts)

    @property
    def n_completions(self) -> int:
        """Number of completions over all prompts."""
        return int(self.counts.sum())

    def __iter__(self) -> Iterator[tuple[int, Samples]]:
        """The parts, each with the place of its first prompt.

        Raises:
            InputError: a part cannot be used as it is, or its file was changed meanwhile.
        """
        for first, last in self.cuts():
            yield first, self.read(first, last)

    def cuts(self) -> Iterator[tuple[int, int]]:
        """First and last prompt of every part, the last one not in it."""
        upto = np.cumsum(self.counts)
        first = 0
        while first < self.n_prompts:
            before = upto[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(upto, before + self.part, side="right")))
            yield first, last
            first = last

    def read(self, first: int, last: int) -> Samples:
        """Prompts ``first`` to ``last``, the last one not among them."""
        self._table.check_unchanged()
        table = _range(self._table, int(self._starts[first]), int(self._ends[last - 1]) + 1, self._source)
        samples = read_table(table, self._roles, ())
        if not np.array_equal(samples.counts, self.counts[first:last]):
            raise InputError(f"{self.label}: changed while it was read; read it again")
        return negated(samples) if self._negate else samples

    def rewards_of(self, prompts: NDArray[np.int64]) -> tuple[NDArray[np.floating[Any]], NDArray[np.int64]]:
        """Rewards of some prompts, one after the other, and how many each has."""
        found = [self.read(int(i), int(i) + 1).reward(self.reward) for i in prompts]
        return np.concatenate(found), np.array([len(one) for one in found])


def open_parts(
    source: Any,
    *,
    reward: str | None = None,
    prompt: Names | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
    part: int = PART,
) -> Parts:
    """Find out where every prompt's completions are, in Parquet files of any size.

    Args:
        source: path or paths, or globs.
        reward: the reward column; needed where there are several.
        prompt: columns that identify a prompt.
        where: SQL condition that chooses rows.
        lower_is_better: the rewards are costs: change their sign.
        part: rows of a part, but for prompts that have more.

    Raises:
        InputError: the files cannot be used as they are; one line says what is wrong, where, what to do.
    """
    paths = as_paths(source)
    table = None if paths is None else open_source(source, prompt=prompt, sample=None)
    if table is None or not table.is_parquet:
        raise InputError(
            "samples are read in parts from Parquet files alone; convert them, or read them whole (engine='memory', "
            "--engine memory)"
        )
    table.where = where
    check_where(table)
    roles = choose_roles(
        list(table.types),
        source=table.label,
        prompt=prompt,
        rewards=None if reward is None else [reward],
        sample=None,
        completion=None,
        by=None,
        scores={},
        audit=False,
    )
    name = _one_reward(table, roles)
    roles = replace(roles, rewards=(name,), completion=None, scores={})
    kept = ExitStack()
    try:
        return _placed(table, roles, name, kept, negate=lower_is_better, part=part)
    except BaseException:
        kept.close()
        raise


def _one_reward(table: Table, roles: Roles) -> str:
    names = [name for name in roles.rewards if is_number(table.types[name])]
    if len(roles.rewards) > 1 and len(names) != 1:
        raise InputError(
            f"{table.label}: several rewards ({', '.join(roles.rewards)}); name one with reward="
        )
    name = names[0] if names else roles.rewards[0]
    if is_list(table.types[name]):
        raise InputError(
            f"{table.label}: {name!r} holds lists; parts are read from one row a completion, so read it whole "
            "(engine='memory', --engine memory)"
        )
    nested = [column for column in roles.prompt if is_nested(table.types[column])]
    if nested:
        raise InputError(
            f"{table.label}: {nested[0]!r} holds messages; parts need a column of prompt ids, such as prompt_id"
        )
    return name


def _placed(table: Table, roles: Roles, name: str, kept: ExitStack, *, negate: bool, part: int) -> Parts:
    folder = kept.enter_context(tempfile.TemporaryDirectory(prefix="klimit-"))
    with one_line_errors(table.label):
        run(table.connection, f"SET memory_limit = {literal(MEMORY)}")
        run(table.connection, f"SET temp_directory = {literal(folder)}")
    code = f"hash({', '.join(plain(column, table.types[column]) for column in roles.prompt)})"
    codes, counts, firsts, lasts, variances = _places(table, code, name)
    if not len(codes):
        read_table(table, roles, ())  # which says why
    order = np.argsort(firsts)
    counts, firsts, lasts, variances = (x[order] for x in (counts, firsts, lasts, variances))
    grouped, source = bool((firsts[1:] > lasts[:-1]).all()), table
    if not grouped:
        columns = dict.fromkeys([*roles.prompt, name, *(x for x in (roles.sample, roles.text) if x)])
        table = _regrouped(table, code, list(columns), codes[order], Path(folder) / "grouped.parquet")
        lasts = np.cumsum(counts) - 1
        firsts = lasts - counts + 1
    return Parts(
        name, counts, variances, table.label, grouped, part, table, source, firsts, lasts, roles, negate, kept
    )


def _regrouped(table: Table, code: str, columns: list[str], codes: NDArray[np.uint64], path: Path) -> Table:
    """A copy of the kept rows with those of a prompt together, prompts in the order given."""
    connection = table.connection
    connection.register("klimit_prompts", {"code": codes, "place": np.arange(len(codes))})
    kept = ", ".join(f"part.{identifier(column)}" for column in columns)
    rows = _range(table, 0, sum(table.row_counts), table).rows
    with one_line_errors(table.label):
        run(
            connection,
            f"COPY (SELECT {kept}, part.{_ROW} AS {_SOURCE_ROW} FROM (SELECT *, {code} AS klimit_code {rows}) AS part "
            f"JOIN klimit_prompts AS known ON part.klimit_code = known.code "
            f"ORDER BY known.place, part.{_ROW}) TO {literal(str(path))} (FORMAT parquet)",
        )
        run(connection, f"CREATE OR REPLACE VIEW source_0 AS FROM read_parquet({sql_path(path)})")
    connection.unregister("klimit_prompts")
    types = {name: table.types[name] for name in columns} | {_SOURCE_ROW: "BIGINT"}
    return Table(connection, table.label, types, files=(path,), stamps=file_stamps((path,)))


def _places(table: Table, code: str, name: str) -> tuple[NDArray[Any], ...]:
    """Of every prompt: its code, completions, first and last row, and the reward's variance."""
    value = f"CAST({number(name, table.types[name])} AS DOUBLE)"
    rows = _range(table, 0, sum(table.row_counts), table).rows
    found = table.columns(
        ["code", "n", "first", "last", "coalesce(variance, 0.0)"],
        rows=(
            f"FROM (SELECT {code} AS code, count(*) AS n, min({_ROW}) AS first, max({_ROW}) AS last, "
            f"var_samp({value}) FILTER (isfinite({value})) AS variance {rows} GROUP BY 1)"
        ),
    )
    return found[0], *(x.astype(np.int64) for x in found[1:4]), found[4].astype(np.float64)


def _range(table: Table, first: int, last: int, source: Table) -> PartTable:
    """Rows ``first`` to ``last`` of a table's files, the last one not among them, before any condition."""
    pieces, start = [], 0
    columns = ", ".join(
        f"CAST({identifier(name)} AS {kind}) AS {identifier(name)}" for name, kind in table.types.items()
    )
    for file, n_rows in zip(table.files, table.row_counts, strict=True):
        low, high = max(first - start, 0), min(last - start, n_rows)
        if low < high:
            some = (
                "" if (low, high) == (0, n_rows) else f" WHERE file_row_number BETWEEN {low} AND {high - 1}"
            )
            pieces.append(
                f"SELECT {columns}, file_row_number + {start} AS {_ROW} FROM read_parquet({sql_path(file)}, "
                f"hive_partitioning = false, file_row_number = true){some}"
            )
        start += n_rows
    named = _SOURCE_ROW if _SOURCE_ROW in table.types else _ROW
    part = PartTable(
        table.connection, table.label, table.types, table.where, table.files, stamps=table.stamps
    )
    part.piece, part.source, part.named = " UNION ALL ".join(pieces), source, named
    return part
