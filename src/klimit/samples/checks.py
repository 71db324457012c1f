"""Checks at the door: what a reward or a log-probability must be, said in one line when it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError


def check_array(values: ArrayLike, *, name: str = "rewards") -> NDArray[np.floating[Any]]:
    """The values as a finite 2-D float array, ``(n_prompts, n_completions_per_prompt)``.

    float32 and float64 are kept as they are (no copy where none is needed); float16 becomes float32, integers
    and booleans float64.

    Raises:
        InputError: not 2-D, ragged, empty, not numeric, masked, or not finite (count and first positions).
    """
    array = _as_array(values, name)
    if array.ndim != 2:
        raise InputError(f"{name}: {_wrong_dimensions(array)}")
    if array.size == 0:
        raise InputError(
            f"{name}: the array is empty, of shape {array.shape}; give at least one prompt and one sample"
        )
    floats = np.ascontiguousarray(_as_floats(array, name))
    bad = ~np.isfinite(floats)
    if bad.any():
        first = [tuple(int(i) for i in index) for index in np.argwhere(bad)[:3]]
        raise InputError(
            f"{name}: {describe_not_finite(floats)}, first at [prompt, completion] {_join(first)}; "
            "every sample needs a finite reward"
        )
    return floats


def describe_not_finite(values: NDArray[np.floating[Any]]) -> str:
    """How many values are NaN (or missing) and how many infinite: ``"3 missing or NaN of 100 values"``."""
    missing = int(np.isnan(values).sum())
    infinite = int(np.isinf(values).sum())
    parts = [f"{n:,} {what}" for n, what in ((missing, "missing or NaN"), (infinite, "infinite")) if n]
    return f"{' and '.join(parts)} of {counted(values.size, 'value')}"


def counted(n: int, what: str) -> str:
    """``"1 row"``, ``"2,000 rows"``."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def _as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InputError(
            f"{name}: {int(np.ma.getmaskarray(values).sum()):,} of {values.size:,} values are masked"
        )
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        if isinstance(values, list | tuple):
            raise InputError(f"{name}: {_ragged(values)}") from None
        raise InputError(f"{name}: cannot be read as an array ({_first_line(error)})") from None


def _as_floats(array: NDArray[Any], name: str) -> NDArray[np.floating[Any]]:
    if array.dtype in (np.float32, np.float64):
        return array
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    if array.dtype.kind == "f" and array.dtype.isnative is False and array.dtype.itemsize in (4, 8):
        return array.astype(array.dtype.newbyteorder("="))
    raise InputError(f"{name}: the array holds {array.dtype}, not numbers; convert it to float32 or float64")


def _wrong_dimensions(array: NDArray[Any]) -> str:
    wanted = "a 2-D array is needed, one row a prompt and one column a completion"
    if array.ndim == 1:
        return f"a 1-D array of {array.size:,} values; {wanted} (one prompt: rewards[None, :])"
    if array.ndim == 3:
        return (
            f"a 3-D array of shape {array.shape}; {wanted} (several rewards: one at a time, rewards[:, :, 0])"
        )
    return f"a {array.ndim}-D array; {wanted}"


def _ragged(rows: Sequence[Any]) -> str:
    lengths = [len(row) if isinstance(row, list | tuple | np.ndarray) else None for row in rows]
    other = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if other is None:
        return "the nested lists are ragged below the second level; give one number a completion"
    return (
        f"prompt {other} has {_count(lengths[other])} where prompt 0 has {_count(lengths[0])}; for unequal "
        "numbers of completions read a table with one row a completion (klimit.read_samples)"
    )


def _count(length: int | None) -> str:
    return "no list" if length is None else counted(length, "value")


def _join(items: Sequence[object]) -> str:
    return ", ".join(str(list(item)) if isinstance(item, tuple) else str(item) for item in items)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
