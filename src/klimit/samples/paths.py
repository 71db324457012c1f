"""Paths and globs: which files are meant, and why one cannot be read."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Sequence
from pathlib import Path

from klimit.errors import InputError

PathLike = str | os.PathLike[str]

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
READABLE = ".parquet, .csv, .tsv, .jsonl, .ndjson or .json (the texts also as .gz)"


def find_files(source: PathLike | Sequence[PathLike]) -> tuple[tuple[Path, ...], str, str]:
    """The files that are meant, their format, and a label for messages.

    A path that exists is taken literally, even if it holds ``*`` or brackets; any other that does is a glob,
    whose matches are read in the order of their names.

    Raises:
        InputError: nothing there (the nearest name is suggested), a folder, an unreadable or empty file, an
            unknown type, files of several types, or one file twice.
    """
    given = [source] if isinstance(source, str | os.PathLike) else list(source)
    if not given:
        raise InputError("no files: the list of paths is empty")
    files = [file for one in given for file in _expand(one)]
    formats = {file: _checked_format(file) for file in files}
    seen: dict[Path, Path] = {}
    for file in files:
        if file.resolve() in seen:
            raise InputError(f"{file}: given twice; each file is read once")
        seen[file.resolve()] = file
    if len(set(formats.values())) > 1:
        other = next(file for file in files if formats[file] != formats[files[0]])
        raise InputError(
            f"{files[0]} and {other} are of different types; read them in two steps or convert one"
        )
    more = f" and {len(files) - 1:,} more file{'s' * (len(files) > 2)}" if len(files) > 1 else ""
    return tuple(files), formats[files[0]], f"{files[0]}{more}"


def _expand(given: PathLike) -> list[Path]:
    text = os.path.expanduser(os.fspath(given))
    if not text:
        raise InputError("the path is empty; name a file")
    if "\0" in text:
        raise InputError(f"{text!r}: not a path (it holds a null character)")
    if "://" in text:
        raise InputError(f"{text}: only local files are read; download it first")
    if os.path.lexists(text) or not glob.has_magic(text):
        return [Path(text)]
    found = sorted(glob.glob(text, recursive=True))
    if not found:
        raise InputError(f"{text}: no file matches")
    return [Path(file) for file in found]


def _checked_format(file: Path) -> str:
    try:
        if file.is_dir():
            raise InputError(f"{file}: is a folder; name its files, such as '{file}/*.parquet'")
        if not os.path.lexists(file):
            raise InputError(f"{file}: no such file{_nearest(file)}")
        suffixes = [suffix.lower() for suffix in file.suffixes[-2:]]
        packed = suffixes[-1:] == [".gz"]
        kind = FORMATS.get(suffixes[0 if packed and len(suffixes) == 2 else -1] if suffixes else "")
        if kind is None or (packed and kind == "parquet"):
            raise InputError(
                f"{file}: unknown type {file.suffix or '(no extension)'}; klimit reads {READABLE}"
            )
        if not file.is_file():
            broken = "a link to nothing" if file.is_symlink() else "not a regular file"
            raise InputError(f"{file}: {broken}; name a file that can be read twice")
        with file.open("rb") as opened:
            if not opened.read(1):
                raise InputError(f"{file}: the file is empty")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from None
    return kind


def _nearest(file: Path) -> str:
    folder = file.parent
    if not folder.is_dir():
        return f" (there is no folder {folder})"
    names = sorted(os.listdir(folder))
    near = difflib.get_close_matches(file.name, names, n=1, cutoff=0.6)
    return f"; did you mean {folder / near[0]}?" if near else ""
