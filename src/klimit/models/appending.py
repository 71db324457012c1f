"""Steps that add columns to a file: rows are looked up by number, and the whole is written again, in the same order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.models.batches import Say, work_through
from klimit.models.extras import needed
from klimit.models.parts import Parts, differing, read_metadata
from klimit.models.table import write_table

Work = Callable[[NDArray[np.int64]], Mapping[str, Any]]
_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class Given:
    """The Parquet file that a step reads.

    Attributes:
        path: of the file.
    """

    path: Path

    @cached_property
    def names(self) -> list[str]:
        """Its columns."""
        self.metadata  # noqa: B018  # says so where it is no Parquet file
        return list(needed("pyarrow.parquet").read_schema(self.path).names)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What earlier steps wrote of themselves, by step.

        Raises:
            InputError: there is no such file, or it is no Parquet file.
        """
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such file")
        return read_metadata(self.path)

    @cached_property
    def count(self) -> int:
        """How many rows there are."""
        return int(needed("pyarrow.parquet").read_metadata(self.path).num_rows)

    @cached_property
    def digest(self) -> str:
        """The first half of the file's SHA-256."""
        found = hashlib.sha256()
        with self.path.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                found.update(chunk)
        return found.hexdigest()[:32]

    def columns(self, names: Sequence[str]) -> Any:
        """Some columns as an arrow table.

        Raises:
            InputError: there is no such column.
        """
        for name in names:
            if name not in self.names:
                raise InputError(f"{self.path}: no column {name!r}; its columns: {', '.join(self.names)}")
        return needed("pyarrow.parquet").read_table(self.path, columns=list(names))

    def batches(self) -> Iterator[Any]:
        """All columns, streamed."""
        with needed("pyarrow.parquet").ParquetFile(self.path) as opened:
            yield from opened.iter_batches()


@dataclass(frozen=True)
class Step:
    """New columns, and what they depend on.

    Attributes:
        name: of the step, for the metadata. One that may run several times takes a name for each.
        settings: what its columns depend on.
        columns: their names.
    """

    name: str
    settings: Mapping[str, Any]
    columns: Sequence[str]

    def made(self, given: Given) -> dict[str, Any]:
        """What the metadata say of it."""
        return {**self.settings, "columns": list(self.columns), "input": given.digest}


def append_columns(
    given: Given,
    output: Path,
    *,
    steps: Sequence[Step],
    renamed: Mapping[str, str] | None = None,
    order: NDArray[np.int64],
    batch_size: int,
    work: Work,
    overwrite: bool,
    fixed: bool,
    say: Say,
) -> Path:
    """Compute new columns row by row, resumably, and write the file with them.

    Args:
        given: what is read; the output may be the same file, which is then replaced when all is done.
        output: to be written.
        steps: done in one pass; ``work`` gives the columns of all.
        renamed: columns to be renamed on the way, old name to new.
        order: all row numbers, those first that need most memory.
        batch_size: rows at once, to begin with.
        work: the new columns of the rows it is given, as arrow arrays.
        overwrite: replace columns of the same name, and an output made otherwise.
        fixed: whether the batch size was asked for.
        say: takes lines for the user.

    Raises:
        InputError: the output is there, made otherwise, or columns of the same name are.
    """
    made = {step.name: step.made(given) for step in steps}
    columns = [name for step in steps for name in step.columns]
    parts = Parts(output, _flat(made), given.count)
    if output.exists() and is_made(output, given, made, overwrite=overwrite):
        parts.tidy()
        say(f"{output} is complete already")
        return output
    refuse_same_names(given, columns, renamed or {}, overwrite=overwrite)
    if overwrite:
        parts.discard_others()
    with parts.open():
        work_through(parts, order, batch_size, work, what="completions", say=say, fixed=fixed)
        known = {**given.metadata, **made}
        parts.finish(lambda path: write_table(path, _joined(given, parts, columns, renamed or {}), known))
    say(f"wrote {output}")
    return output


def is_made(output: Path, given: Given, made: Mapping[str, Mapping[str, Any]], *, overwrite: bool) -> bool:
    """Whether an output that is there holds what these steps would add.

    Raises:
        InputError: it does not, is another file than the input, and is not to be overwritten.
    """
    if output.is_dir():
        raise InputError(f"{output}: is a folder; name a file in it")
    known = read_metadata(output)
    in_place = output.resolve() == given.path.resolve()
    for name, settings in made.items():
        before, now = known.get(name), dict(settings)
        if in_place and before is not None:
            now["input"] = before.get("input")  # the file was another one before it was replaced
        if before == now:
            continue
        if overwrite or in_place:
            return False
        how = (
            "not made by this step"
            if before is None
            else f"made with other settings ({differing(before, settings)})"
        )
        raise InputError(f"{output}: is there already, {how}; name another file, or give --overwrite")
    return True


def refuse_same_names(
    given: Given, columns: Sequence[str], renamed: Mapping[str, str], *, overwrite: bool
) -> None:
    """Refuse to replace columns unasked.

    Raises:
        InputError: naming them.
    """
    kept = [name for name in given.names if name not in renamed]
    same = [name for name in columns if name in kept]
    if same and not overwrite:
        raise InputError(
            f"{given.path}: has {', '.join(same)} already; give --overwrite to replace, or -o to write another file "
            "from one without"
        )


def _flat(made: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of all steps as one mapping."""
    if len(made) == 1:
        return dict(next(iter(made.values())))
    return {f"{name} {key}": value for name, settings in made.items() for key, value in settings.items()}


def _joined(given: Given, parts: Parts, columns: Sequence[str], renamed: Mapping[str, str]) -> Iterator[Any]:
    """The file's rows with the new columns at their end."""
    arrow = needed("pyarrow")
    new = arrow.Table.from_batches(parts.tables()).combine_chunks()
    start = 0
    for batch in given.batches():
        kept = {renamed.get(name, name): batch.column(name) for name in batch.schema.names}
        part = new.slice(start, batch.num_rows)
        added = {name: part.column(name).combine_chunks() for name in columns}
        start += batch.num_rows
        whole = {**{name: column for name, column in kept.items() if name not in added}, **added}
        yield arrow.RecordBatch.from_pydict(whole)
