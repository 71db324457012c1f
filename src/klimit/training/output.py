"""The folder that a run ends in: a model with what made it, whole or not there; and its checkpoints until then."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from klimit.errors import InputError
from klimit.models.parts import Parts, differing

METADATA = "klimit.json"
WHOLE = "klimit.whole"  # stands in a checkpoint once all of it is written
_PREFIX = "checkpoint-"


def is_finished(output: Path, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Whether the folder holds what a run with these settings ends in.

    Raises:
        InputError: something else is there.
    """
    if not output.exists():
        return False
    if not output.is_dir():
        raise InputError(f"{output}: is a file; name a folder")
    if not any(output.iterdir()):
        return False
    known = output / METADATA
    if not known.is_file():
        raise InputError(f"{output}: holds other content (no {METADATA}); name another folder")
    try:
        before = dict(json.loads(known.read_text())["settings"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{known}: cannot be read; name another folder") from None
    differences = differing(before, as_read(settings))
    if not differences:
        return True
    if overwrite:
        return False
    raise InputError(
        f"{output}: is there already, trained with other settings ({differences}); name another folder, or give "
        "--overwrite"
    )


def as_read(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they come back from a file."""
    return dict(json.loads(json.dumps(dict(settings))))


def checkpoints(parts: Parts) -> Path:
    """Where a run keeps its checkpoints, and what trackers write."""
    return parts.folder / "run"


def last_checkpoint(parts: Parts) -> tuple[Path, int] | None:
    """The last checkpoint that is whole, and its step; those that are not are removed."""
    found = []
    for folder in checkpoints(parts).glob(f"{_PREFIX}*"):
        step = folder.name.removeprefix(_PREFIX)
        if not (step.isdigit() and (folder / WHOLE).is_file()):
            shutil.rmtree(folder, ignore_errors=True)
            continue
        found.append((int(step), folder))
    if not found:
        return None
    last, where = max(found)
    return where, last


def finish(parts: Parts, metadata: Mapping[str, Any], write: Callable[[Path], None]) -> None:
    """Write the folder beside its place, move it there, and remove the checkpoints.

    Args:
        parts: of the run.
        metadata: written last, so that a folder with it is whole.
        write: writes model and tokenizer into the folder it is given.

    Raises:
        InputError: it cannot be written; the checkpoints are kept.
    """
    whole = parts.folder / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    try:
        whole.mkdir()
        write(whole)
        if (tracked := checkpoints(parts) / "runs").is_dir():
            shutil.copytree(tracked, whole / "runs")
        (whole / METADATA).write_text(json.dumps(dict(metadata), indent=1) + "\n", encoding="utf-8")
        if parts.output.exists():
            os.replace(parts.output, parts.folder / "before")
        os.replace(whole, parts.output)
    except OSError as error:
        raise InputError(
            f"{parts.output}: cannot be written ({error.strerror or error}); checkpoints are kept in {parts.folder}: "
            "run again when there is room"
        ) from None
    shutil.rmtree(parts.folder, ignore_errors=True)
