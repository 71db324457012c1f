"""Which policies an audit is given: one, several by name, or the checkpoints that stand in one table."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.columns import did_you_mean, shorten
from klimit.samples.container import Samples
from klimit.samples.paths import FORMATS

# A column with more values than this names no checkpoints.
MOST_POLICIES = 1000


def split(samples: Samples, by: str) -> dict[str, Samples]:
    """The policies in one table, by the value of a column, named ``"step=100"``.

    Args:
        samples: read with ``by`` as well, where sample ids repeat from one policy to the next.
        by: a column of the metadata. Numbers come in their order, all else in order of appearance.

    Raises:
        InputError: no such column, values that are missing, or so many that they name no policies.
    """
    if by not in samples.metadata:
        raise InputError(
            f"{samples.source}: no column {by!r} to tell policies apart{did_you_mean(by, samples.metadata)}; "
            f"its columns: {shorten(list(samples.metadata)) or 'none besides those read'}"
        )
    labels, codes = _codes(np.asarray(samples.metadata[by]))
    missing = [i for i, label in enumerate(labels) if _is_missing(label)]
    if missing:
        n = int(np.isin(codes, missing).sum())
        raise InputError(
            f"{samples.source}: {by!r} is missing in {n:,} of {samples.n_completions:,} completions; "
            "each needs its policy"
        )
    if len(labels) > MOST_POLICIES:
        raise InputError(
            f"{samples.source}: {by!r} has {len(labels):,} values; name a column with one value a policy "
            "(a step, a checkpoint)"
        )
    found = {}
    for code in _in_order(labels):
        name = f"{by}={_shown(labels[code])}"
        found[name] = replace(samples.rows(codes == code), source=f"{samples.source} [{name}]")
    return found


def _codes(values: NDArray[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """The distinct values in order of appearance, and which of them each row has."""
    import pandas as pd

    codes, labels = pd.factorize(values, use_na_sentinel=False)
    return [one.item() if isinstance(one, np.generic) else one for one in labels], np.asarray(codes)


def _is_missing(label: Any) -> bool:
    return label is None or (isinstance(label, float) and math.isnan(label))


def _in_order(labels: Sequence[Any]) -> list[int]:
    numbers = [_number(label) for label in labels]
    if any(number is None for number in numbers):
        return list(range(len(labels)))
    return sorted(range(len(labels)), key=lambda i: numbers[i] or 0.0)


def _number(label: Any) -> float | None:
    try:
        number = float(label)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _shown(label: Any) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def named_policies(policy: Any) -> dict[str, Any]:
    """The policies to audit, by name.

    A mapping gives its own names. A path is named by its file, and by ``NAME=FILE`` as one likes (unless that is a
    file); files of one name by their folders. Samples and frames in a list are ``policy-1``, ``policy-2`` and so on.

    Args:
        policy: samples, a frame, a path or an array; a list of those; or a mapping from names to them. A list within
            the list, of paths, is one policy in several files.

    Raises:
        InputError: none at all, a name that is no text or given twice.
    """
    if isinstance(policy, Mapping):
        if not policy:
            raise InputError("no policy to audit: the mapping is empty")
        for name in policy:
            if not isinstance(name, str) or not name:
                raise InputError(f"policies need names; {name!r} is none: give text")
        return dict(policy)
    if not _is_several(policy):
        given, source = _named(policy)
        return {given or _stem(source) or "policy": source}
    if not policy:
        raise InputError("no policy to audit: the list is empty")
    named = [_named(one) for one in policy]
    given_names = [name for name, _ in named if name is not None]
    twice = next((name for name in given_names if given_names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two policies are named {twice!r}; give each its own name")
    return dict(zip(_unique(named), (source for _, source in named), strict=True))


def _is_several(policy: Any) -> bool:
    """Whether this is a list of policies; a list of numbers, or of lists of them, is one array of rewards."""
    if not isinstance(policy, list | tuple):
        return False
    return not policy or not all(_is_row(one) for one in policy)


def _is_row(one: Any) -> bool:
    """Whether this could be a row of an array of rewards, or of a table."""
    if isinstance(one, list | tuple):
        return not any(isinstance(item, str | os.PathLike) for item in one)
    return isinstance(one, int | float | dict) or (isinstance(one, np.ndarray) and one.ndim < 2)


def _named(source: Any) -> tuple[str | None, Any]:
    """The name in ``NAME=FILE``, and the file."""
    if not isinstance(source, str) or "=" not in source:
        return None, source
    name, _, file = source.partition("=")
    if os.sep in name or os.path.lexists(source) or glob.glob(os.path.expanduser(source)):
        return None, source
    if not name or not file:
        raise InputError(
            f"{source!r}: no such file, and as NAME=FILE it lacks the {'file' if name else 'name'}"
        )
    return name, file


def _unique(named: Sequence[tuple[str | None, Any]]) -> list[str]:
    """A name for each; files of one name are told apart by their folders, else by number."""
    plain = [name or _stem(source) or f"policy-{i + 1}" for i, (name, source) in enumerate(named)]
    wider = [
        name or (_with_folder(source) if plain.count(plain[i]) > 1 else plain[i]) or plain[i]
        for i, (name, source) in enumerate(named)
    ]
    taken = {name for name, _ in named if name is not None}
    names = []
    for (name, _), wanted in zip(named, wider, strict=True):
        final, n = wanted, 1
        while name is None and final in taken:
            n += 1
            final = f"{wanted}-{n}"
        taken.add(final)
        names.append(final)
    return names


def _path(source: Any) -> Path | None:
    if isinstance(source, list | tuple):
        source = source[0] if source else None
    return Path(source) if isinstance(source, str | os.PathLike) else None


def _stem(source: Any) -> str | None:
    """A file's name without its types; of a pattern such as ``run/*.parquet`` the folder's."""
    path = _path(source)
    if path is None:
        return None
    name = path.name.removesuffix(".gz")
    if Path(name).suffix.lower() in FORMATS:
        name = Path(name).stem
    name = "".join(letter for letter in name if letter not in "*?").strip("-_.= ")
    return name or path.parent.name or None


def _with_folder(source: Any) -> str | None:
    path = _path(source)
    return (
        None
        if path is None
        else "/".join(part for part in (path.absolute().parent.name, _stem(source)) if part)
    )
