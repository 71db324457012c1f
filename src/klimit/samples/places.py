"""Where the rows of every prompt are, from one pass of the engine; and a copy in which they stand together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.samples.files import sql_path
from klimit.samples.keys import decode, id_array
from klimit.samples.kinds import number, plain
from klimit.samples.messages import one_line_errors
from klimit.samples.ranges import ROW, SOURCE_ROW, row_range
from klimit.samples.roles import Roles
from klimit.samples.table import Table, file_stamps, identifier, literal, run


@dataclass(frozen=True, eq=False)
class Places:
    """Where the rows of prompts are, in the order of their first rows.

    Attributes:
        codes: of the prompts, ``(P,)``.
        prompt_ids: ``(P,)``.
        counts: rows of each.
        firsts: first row of each.
        lasts: last row of each.
        variances: of the reward within each.
    """

    codes: NDArray[np.uint64]
    prompt_ids: NDArray[Any]
    counts: NDArray[np.int64]
    firsts: NDArray[np.int64]
    lasts: NDArray[np.int64]
    variances: NDArray[np.float64]

    @classmethod
    def of(cls, table: Table, code: str, name: str, roles: Roles) -> Places | None:
        """One pass of the engine; None where there are no rows, or keys or texts that cannot be."""
        value = f"CAST({number(name, table.types[name])} AS DOUBLE)"
        rows = row_range(table, 0, sum(table.row_counts), table).rows
        keys = [plain(column, table.types[column]) for column in roles.prompt]
        text = "0" if roles.text is None else f"hash({plain(roles.text, table.types[roles.text])})"
        listed = ", ".join(f"{key} AS k{i}" for i, key in enumerate(keys))
        inner = (
            f"SELECT {code} AS code, {listed}, count(*) AS n, min({ROW}) AS first, max({ROW}) AS last, "
            f"coalesce(var_samp({value}) FILTER (isfinite({value})), 0.0) AS variance, "
            f"min({text}) IS DISTINCT FROM max({text}) AS differs "
            f"{rows} GROUP BY {', '.join(str(i + 1) for i in range(len(keys) + 1))}"
        )
        wanted = [*(f"k{i}" for i in range(len(keys))), "code", "n", "first", "last", "variance", "differs"]
        found = table.columns(wanted, rows=f"FROM ({inner})")
        columns, (codes, counts, firsts, lasts, variances, differs) = found[: len(keys)], found[len(keys) :]
        if not len(codes) or differs.any() or len(np.unique(codes)) < len(codes) or _any_missing(columns):
            return None
        order = np.argsort(firsts)
        decoded = [
            decode(table, name, column[order].tolist())
            for name, column in zip(roles.prompt, columns, strict=True)
        ]
        ids = decoded[0] if len(decoded) == 1 else list(zip(*decoded, strict=True))
        if len(set(ids)) < len(ids):
            return None
        counts, firsts, lasts = (x[order].astype(np.int64) for x in (counts, firsts, lasts))
        return cls(codes[order], id_array(ids), counts, firsts, lasts, variances[order].astype(np.float64))

    @property
    def grouped(self) -> bool:
        """Whether the rows of every prompt stand together."""
        return bool((self.firsts[1:] > self.lasts[:-1]).all())

    def together(self) -> Places:
        """Once they do, one prompt after the other."""
        upto = np.cumsum(self.counts)
        return replace(self, firsts=upto - self.counts, lasts=upto - 1)


def _any_missing(columns: Sequence[NDArray[Any]]) -> bool:
    floats = any(column.dtype.kind == "f" and np.isnan(column).any() for column in columns)
    return floats or any(column.dtype == object and None in set(column) for column in columns)


def regrouped(table: Table, code: str, columns: list[str], codes: NDArray[np.uint64], path: Path) -> Table:
    """A copy of the kept rows with those of a prompt together, prompts in the order given."""
    connection = table.connection
    connection.register("klimit_prompts", {"code": codes, "place": np.arange(len(codes))})
    kept = ", ".join(f"part.{identifier(column)}" for column in columns)
    rows = row_range(table, 0, sum(table.row_counts), table).rows
    with one_line_errors(table.label):
        run(
            connection,
            f"COPY (SELECT {kept}, part.{ROW} AS {SOURCE_ROW} FROM (SELECT *, {code} AS klimit_code {rows}) AS part "
            f"JOIN klimit_prompts AS known ON part.klimit_code = known.code "
            f"ORDER BY known.place, part.{ROW}) TO {literal(str(path))} (FORMAT parquet)",
        )
        run(connection, f"CREATE OR REPLACE VIEW source_0 AS FROM read_parquet({sql_path(path)})")
    connection.unregister("klimit_prompts")
    types = {name: table.types[name] for name in columns} | {SOURCE_ROW: "BIGINT"}
    return Table(connection, table.label, types, files=(path,), stamps=file_stamps((path,)))
