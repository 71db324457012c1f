"""What samples can be read from: paths, frames, datasets, arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from klimit.errors import InputError
from klimit.samples.files import open_files
from klimit.samples.frames import open_frame
from klimit.samples.roles import prompt_columns
from klimit.samples.table import Table

Names = str | Sequence[str]


def open_source(source: Any, *, prompt: Names | None, sample: str | None) -> Table | None:
    """The source as a table; None if it is an array.

    Args:
        source: a path or several, a frame, a dataset or an array.
        prompt: the columns that key a prompt, where they are named.
        sample: the column that numbers the completions of a prompt, where it is named.

    Raises:
        InputError: it is none of these, or cannot be opened.
    """
    paths = as_paths(source)
    if paths is not None:

        def ids(names: Sequence[str]) -> list[str]:
            keys = prompt_columns(names, prompt, source=str(source))
            return [*keys, sample or "sample_id"]

        return open_files(paths, ids=ids)
    if isinstance(source, list | tuple) and not source:
        raise InputError("no samples: the list is empty")
    if isinstance(source, list | tuple) and isinstance(source[0], Mapping):
        raise InputError("a list of dicts is not a table; give pandas.DataFrame(rows)")
    table = open_frame(source)
    if table is None and not (isinstance(source, list | tuple) or hasattr(source, "__array__")):
        raise InputError(
            f"samples cannot be read from {type(source).__name__}; "
            "give a path, a frame, a dataset or a 2-D array"
        )
    return table


def as_paths(source: Any) -> list[str | os.PathLike[str]] | None:
    """The paths or globs that a source names; None if it is something else."""
    if isinstance(source, str | os.PathLike):
        return [source]
    if (
        isinstance(source, list | tuple)
        and source
        and all(isinstance(one, str | os.PathLike) for one in source)
    ):
        return list(source)
    return None
