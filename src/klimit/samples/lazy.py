"""Columns that are read only when looked at: texts and metadata can be far larger than the rewards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.table import Table


@dataclass(eq=False)
class LazyColumn:
    """One column, one value a completion, read on first use and kept; ``numpy.asarray`` gives the array.

    Attributes:
        table: the table it belongs to.
        load: reads the values, in the order of the samples.
        size: number of completions.
        first: reads some of the first rows alone, and where they stand among the samples; None where all are read.
    """

    table: Table
    load: Callable[[], NDArray[Any]]
    size: int
    first: Callable[[int], tuple[NDArray[np.int64], NDArray[Any]]] | None = None
    _values: NDArray[Any] | None = field(default=None, repr=False)

    def values(self) -> NDArray[Any]:
        """The column, shape ``(n_completions,)``.

        Raises:
            InputError: the file changed since its rewards were read.
        """
        if self._values is None:
            self.table.check_unchanged()
            values = self.load()
            if len(values) != self.size:
                raise InputError(
                    f"{self.table.label}: gives {len(values):,} rows now, {self.size:,} when first read"
                )
            self._values = values
        return self._values

    def peek(self, n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Some values, at most ``n``, and their places; from a file its first rows, so that little is read."""
        if self._values is None and self.first is not None:
            self.table.check_unchanged()
            return self.first(n)
        return _spread(self.values(), n)

    @property
    def shape(self) -> tuple[int]:
        """``(n_completions,)``, known without reading."""
        return (self.size,)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: Any) -> Any:
        return self.values()[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        values = self.values()
        return np.array(values, dtype=dtype) if copy else np.asarray(values, dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return (np.asarray, (self.values(),))


def chosen(
    column: LazyColumn | NDArray[Any], rows: NDArray[np.bool_] | NDArray[np.int64]
) -> LazyColumn | NDArray[Any]:
    """Some rows of a column, by mask or place, still read on first use where it was."""
    if not isinstance(column, LazyColumn):
        return column[rows]
    places = np.flatnonzero(rows) if rows.dtype == np.bool_ else np.asarray(rows, dtype=np.int64)

    def first(n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        of_all, values = column.peek(n)
        place = np.full(len(column), -1, dtype=np.int64)
        place[places] = np.arange(len(places))
        kept = place[of_all] >= 0
        return place[of_all[kept]], values[kept]

    return LazyColumn(column.table, lambda: column.values()[places], len(places), first)


def peek(column: LazyColumn | NDArray[Any], n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Some values of a column, at most ``n``, and their places."""
    return column.peek(n) if isinstance(column, LazyColumn) else _spread(column, n)


def _spread(values: NDArray[Any], n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    places = np.linspace(0, len(values) - 1, min(n, len(values))).astype(np.int64)
    return places, values[places]
