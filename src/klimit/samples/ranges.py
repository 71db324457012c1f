"""Ranges of a table's rows, by their numbers, from Parquet files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.samples.files import sql_path
from klimit.samples.table import Table, identifier

ROW, SOURCE_ROW = "klimit_row", "klimit_source_row"


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
    named: str = ROW

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


def row_range(table: Table, first: int, last: int, source: Table) -> PartTable:
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
                f"SELECT {columns}, file_row_number + {start} AS {ROW} FROM read_parquet({sql_path(file)}, "
                f"hive_partitioning = false, file_row_number = true){some}"
            )
        start += n_rows
    named = SOURCE_ROW if SOURCE_ROW in table.types else ROW
    part = PartTable(
        table.connection, table.label, table.types, table.where, table.files, stamps=table.stamps
    )
    part.piece, part.source, part.named = " UNION ALL ".join(pieces), source, named
    return part
