"""Long work that can be stopped at any moment: rows are written in parts, and put together when all are there.

Beside the file to be written, ``OUT.parts/`` holds one small Parquet file a batch, each whole or absent, with the
settings they were made with and a lock. A rerun reads which rows are there and does the others. Work is keyed by row
number, so that the parts may come in any order.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.models.extras import needed
from klimit.reports.files import write_files

METADATA = b"klimit"
ROW = "klimit_row"
_STATE = "state.json"


def read_metadata(path: Path) -> dict[str, Any]:
    """What klimit wrote into a Parquet file's metadata; empty where it wrote nothing."""
    parquet = needed("pyarrow.parquet")
    try:
        found = (parquet.read_schema(path).metadata or {}).get(METADATA)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: is no Parquet file that can be read ({_first_line(error)})") from None
    return {} if found is None else dict(json.loads(found))


@dataclass(frozen=True)
class Parts:
    """The parts of one output file.

    Attributes:
        output: the file to be written.
        settings: what the rows depend on; parts made with others are never mixed in.
        n_rows: rows in all.
    """

    output: Path
    settings: Mapping[str, Any]
    n_rows: int

    @property
    def folder(self) -> Path:
        """Where the parts lie."""
        return self.output.with_name(self.output.name + ".parts")

    def done(self) -> NDArray[np.bool_]:
        """Which rows are there, ``(n_rows,)``."""
        parquet = needed("pyarrow.parquet")
        there = np.zeros(self.n_rows, dtype=bool)
        for file in self._files():
            there[parquet.read_table(file, columns=[ROW]).column(ROW).to_numpy()] = True
        return there

    def write(self, rows: NDArray[np.int64], columns: Mapping[str, Any]) -> None:
        """Add one part: whole, or not at all.

        Args:
            rows: row numbers.
            columns: arrow arrays, or what makes them, by name.

        Raises:
            InputError: it cannot be written (a full disk, say).
        """
        arrow, parquet = needed("pyarrow"), needed("pyarrow.parquet")
        sink = arrow.BufferOutputStream()
        parquet.write_table(arrow.table({ROW: arrow.array(rows, arrow.int64()), **columns}), sink)
        name = f"part-{int(rows.min()):012d}-{int(rows.max()):012d}-{len(rows)}.parquet"
        write_files({str(self.folder / name): sink.getvalue().to_pybytes()})

    def tables(self) -> Iterator[Any]:
        """All rows in order, without their numbers, as arrow batches; sorted out of core."""
        import duckdb

        files = [str(file) for file in self._files()]
        with duckdb.connect() as connection:
            found = connection.sql(
                f"SELECT * EXCLUDE ({ROW}) FROM read_parquet($files) ORDER BY {ROW}", params={"files": files}
            )
            yield from found.to_arrow_reader(65_536)

    def remember(self, **state: Any) -> None:
        """Keep what a rerun should go on with (the batch size that fitted)."""
        known = {"settings": dict(self.settings), **self.recall(), **state}
        write_files({str(self.folder / _STATE): json.dumps(known, indent=1).encode()})

    def recall(self) -> dict[str, Any]:
        """What was remembered."""
        try:
            known = dict(json.loads((self.folder / _STATE).read_text()))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise InputError(
                f"{self.folder / _STATE}: cannot be read; remove {self.folder} to begin again"
            ) from None
        return {name: value for name, value in known.items() if name != "settings"}

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the parts for one writer, refusing those made otherwise.

        Raises:
            InputError: another process writes the same file, or its parts were made with other settings.
        """
        filelock = needed("filelock")
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.output}: cannot be written ({error.strerror or error})") from None
        lock = filelock.FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(
                f"{self.output}: another process is writing it; wait for it, or name another file"
            ) from None
        try:
            self._check_settings()
            yield
        finally:
            lock.release()

    def tidy(self) -> None:
        """Remove what a run left that was stopped after its output stood in its place."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def discard_others(self) -> None:
        """Remove parts that were made with other settings."""
        state = self.folder / _STATE
        if state.exists() and json.loads(state.read_text()).get("settings") != self._as_read():
            shutil.rmtree(self.folder)

    def finish(self, write: Callable[[Path], None]) -> None:
        """Write the output beside its place, move it there, and remove the parts.

        Args:
            write: writes the whole file to the path it is given.
        """
        temporary = self.folder / "whole.parquet"
        try:
            write(temporary)
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            os.replace(temporary, self.output)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise InputError(
                f"{self.output}: cannot be written ({error.strerror or error}); all batches are kept in {self.folder}: "
                "run again when there is room"
            ) from None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_settings(self) -> None:
        state = self.folder / _STATE
        if not state.exists():
            self.remember()
            return
        try:
            before = json.loads(state.read_text())["settings"]
        except (ValueError, KeyError):
            raise InputError(f"{state}: cannot be read; remove {self.folder} to begin again") from None
        differences = differing(before, self._as_read())
        if differences:
            raise InputError(
                f"{self.output}: was begun with other settings ({differences}); give the same, or another output file, "
                f"or remove {self.folder} to begin again"
            )

    def _as_read(self) -> dict[str, Any]:
        """The settings as they come back from a file."""
        return dict(json.loads(json.dumps(dict(self.settings))))

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which settings differ, in words; empty where none does."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return ", ".join(
        f"{name} {_short(before.get(name))} before, {_short(now.get(name))} now" for name in names
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
