"""Output files: checked before the work, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from klimit.errors import InputError


def check_outputs(paths: Sequence[str], *, inputs: Sequence[Path] = ()) -> None:
    """Raise unless every path can be written: tried by creating, and removing, a file in its folder.

    Args:
        paths: files to be written later.
        inputs: files that are read, which must not be overwritten.

    Raises:
        InputError: a path is a folder, one of the inputs or named twice, or its folder cannot be written to.
    """
    seen: set[Path] = set()
    read = {file.resolve() for file in inputs}
    for path in paths:
        if not path or "\0" in path:
            raise InputError(f"{path!r} is not a path; name a file to write")
        target = Path(path).expanduser().resolve()
        if target in read:
            raise InputError(f"{path}: is a file of samples; writing there would destroy it: name another")
        if target in seen:
            raise InputError(f"{path}: named for two outputs; give each its own file")
        seen.add(target)
        _check(path, target)


def write_files(contents: Mapping[str, bytes]) -> None:
    """Write files so that each is whole: all are written beside their targets first, then moved into place.

    Raises:
        InputError: a file cannot be written (a full disk, say); then no target has been touched.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        for path, content in contents.items():
            target = Path(path).expanduser().resolve()
            try:
                if target.exists() and not target.is_file():
                    _write_through(target, content)
                else:
                    staged.append((_temporary(target), target))
                    _write_new(staged[-1][0], content, like=target)
            except OSError as error:
                raise _unwritable(path, error) from None
        while staged:
            temporary, target = staged[0]
            try:
                os.replace(temporary, target)
            except OSError as error:
                raise _unwritable(str(target), error) from None
            staged.pop(0)
    finally:
        for temporary, _ in staged:
            with suppress(OSError):
                temporary.unlink()


def _check(path: str, target: Path) -> None:
    try:
        if target.is_dir():
            raise InputError(f"{path}: is a folder; name a file in it")
        if not target.parent.is_dir():
            raise InputError(f"{path}: cannot be written (there is no folder {target.parent})")
        if not target.exists() or target.is_file():
            trial = _temporary(target)
            _write_new(trial, b"", like=target)
            trial.unlink()
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "Permission denied")
    except OSError as error:
        raise _unwritable(path, error) from None


def _temporary(target: Path) -> Path:
    return target.with_name(f".klimit-{os.getpid()}-{token_hex(4)}.tmp")


def _write_new(path: Path, content: bytes, *, like: Path) -> None:
    """Create a file, with the permissions of the one it will replace, and have it on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    with suppress(FileNotFoundError):
        os.chmod(path, stat.S_IMODE(like.stat().st_mode))


def _write_through(target: Path, content: bytes) -> None:
    """Into what is no regular file (a device, a pipe), which cannot be replaced."""
    with target.open("wb") as opened:
        opened.write(content)


def _unwritable(path: str, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written ({error.strerror or error}); nothing was written")
