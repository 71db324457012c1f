"""Where built worlds are kept: whole or not at all, one builder at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

from klimit.errors import InputError
from klimit.models.extras import needed

VARIABLE = "KLIMIT_CACHE"


def cache_folder(given: str | Path | None = None) -> Path:
    """The folder asked for; else that of the environment variable ``KLIMIT_CACHE``; else the user's cache folder."""
    if given is not None:
        return Path(given).expanduser()
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(home).expanduser() / "klimit"


def kept(folder: Path, build: Callable[[Path], None]) -> Path:
    """The folder, built if it is not there: elsewhere first, then moved into place.

    Args:
        folder: to be.
        build: fills the folder that it is given.

    Returns:
        The folder.

    Raises:
        InputError: it cannot be written.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with needed("filelock").FileLock(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                _build_beside(folder, build)
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}); set {VARIABLE} to a folder "
            "for what is kept"
        ) from None
    return folder


def _build_beside(folder: Path, build: Callable[[Path], None]) -> None:
    for left in folder.parent.glob(f".{folder.name}-*.building"):  # of a builder that was killed
        shutil.rmtree(left, ignore_errors=True)
    building = folder.with_name(f".{folder.name}-{token_hex(4)}.building")
    building.mkdir()
    try:
        build(building)
        os.replace(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
