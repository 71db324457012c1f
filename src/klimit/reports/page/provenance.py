"""Where a page's numbers come from: files and their hashes, versions, time, and the command that makes it again.

Folders are left out, of files read and written alike: a page is sent to others, a folder tells whose disk it was and
helps nobody else; the hash says for certain which file it was.
"""

from __future__ import annotations

import glob
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import klimit
from klimit.errors import InputError
from klimit.reports.page.content import Provenance, Source
from klimit.reports.page.reading import shown_name

# What the numbers depend on.
_PACKAGES = ("numpy", "scipy", "numba", "duckdb", "pandas")
_DEFAULTS = {"level": 0.95, "seed": 0, "subsets": 5, "min_completions": 1}
_EPOCH = "SOURCE_DATE_EPOCH"


def provenance_of(sources: Sequence[Source], command: str | None, seed: int) -> Provenance:
    """The provenance of a page that is written now."""
    return Provenance(tuple(sources), command, int(seed), written(), versions())


def written() -> str:
    """Now, in UTC; or the time in ``SOURCE_DATE_EPOCH``, by which builds are made again to the last byte.

    Raises:
        InputError: that variable holds no time.
    """
    fixed = os.environ.get(_EPOCH)
    if fixed is None:
        return datetime.now(UTC).isoformat(timespec="seconds")
    try:
        return datetime.fromtimestamp(int(fixed), UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        raise InputError(f"{_EPOCH}={fixed!r}: seconds since 1970 are needed, a whole number") from None


def versions() -> dict[str, str]:
    """Of klimit, Python and the packages that the numbers depend on."""
    found = {"klimit": klimit.__version__, "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # installed by other means
            found[name] = "unknown"
    return found


def command_line(
    files: Sequence[str], policies: Mapping[str, str], options: Mapping[str, Any], output: str
) -> str:
    """The command that makes the page again, in the folder of its files.

    Args:
        files: of base samples, or globs.
        policies: files by name.
        options: the other options, by the names that :func:`klimit.report` gives them.
        output: the page.
    """
    words = ["klimit", "report", *map(without_folder, files)]
    for name, file in policies.items():
        # Files of one name are told apart by their folders, which are not shown.
        words += ["--policy", f"{name.replace('/', '-')}={without_folder(file)}"]
    for name, value in options.items():
        words += _option(name, value)
    return shlex.join([*words, "-o", shown_name(Path(output))])


def _option(name: str, value: Any) -> list[str]:
    """An option that was given, as words of a command; none where it has its default."""
    if name == "token_means":
        return [] if value is None else ["--token-means" if value else "--token-sums"]
    if value is None or value is False or value == _DEFAULTS.get(name):
        return []
    option = f"--{name.replace('_', '-')}"
    if value is True:
        return [option]
    values = value if isinstance(value, list | tuple) else [value]
    return [word for each in values for word in (option, str(each))]


def without_folder(path: str) -> str:
    """A path's last part; of a glob as much of its end as holds wildcards."""
    parts = Path(path).parts
    wild = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    kept = parts[wild:] if parts and not os.path.lexists(path) else parts[-1:]
    return "/".join(shown_name(Path(part)) for part in kept)
