"""What a command writes: checked before the work, handed over after it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from klimit.errors import InputError

STDOUT = "-"
FIGURES = (".png", ".svg", ".pdf")


def check_outputs(
    files: Mapping[str, str | None], figures: Mapping[str, str | None], *, inputs: Sequence[str]
) -> None:
    """Refuse outputs that cannot be written, before the work.

    Args:
        files: paths by option; None where it was not given, ``-`` for stdout.
        figures: the same for figures, whose names say their format.
        inputs: files and globs that are read.

    Raises:
        InputError: one line says which, and why.
    """
    from klimit.reports.files import check_outputs as check
    from klimit.samples.paths import find_files

    for option, path in figures.items():
        if path is not None and not path.lower().endswith(FIGURES):
            raise InputError(f"{option} {path}: the name must end in {', '.join(FIGURES)}")
    if sum(path == STDOUT for path in files.values()) > 1:
        raise InputError(f"{' and '.join(files)}: only one of them can go to stdout")
    read = [file for given in inputs for file in find_files(given)[0]]
    check(
        [path for path in (*files.values(), *figures.values()) if path is not None and path != STDOUT],
        inputs=read,
    )


def deliver(
    contents: Mapping[str, bytes], *, notes: Iterable[str], words: str, stdout: str | None = None
) -> None:
    """Files first, so that a reader who leaves early does not cost them; words go where stdout is not taken."""
    from klimit.reports.files import write_files

    write_files(contents)
    for note in notes:
        print(f"klimit: {note}", file=sys.stderr)
    for path in contents:
        print(f"klimit: wrote {path}", file=sys.stderr)
    print(words, end="", file=sys.stdout if stdout is None else sys.stderr)
    if stdout is not None:
        print(stdout, end="")
