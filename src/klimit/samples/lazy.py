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
    """

    table: Table
    load: Callable[[], NDArray[Any]]
    size: int
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


def chosen(column: LazyColumn | NDArray[Any], rows: NDArray[np.bool_]) -> LazyColumn | NDArray[Any]:
    """Some rows of a column, still read on first use where it was."""
    if isinstance(column, LazyColumn):
        return LazyColumn(column.table, lambda: column.values()[rows], int(rows.sum()))
    return column[rows]
