"""Sampling settings that stand beside the samples: one policy has one of each, and the base samples the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.container import Samples
from klimit.samples.table import literal, sql_name

# They shape the distribution that is sampled from, so policy and base must share them.
SAMPLING = ("temperature", "top_p", "top_k")
# One policy, scored by one engine, has one of each.
SETTINGS = (*SAMPLING, "model", "engine", "dtype", "reference", "ref_model")
# A column with more values than this holds no settings.
_MOST_VALUES = 100
_SHOWN = 4


def check_settings(policy: Samples, base: Samples) -> None:
    """Refuse samples of several settings, and policies sampled at other ones than the base samples.

    Only columns of the metadata named as in :data:`SETTINGS` (upper and lower case being one) are read. Missing values
    say nothing and are passed over. ``reference`` may as well hold reference answers, so it counts only where it
    varies within a prompt.

    Raises:
        InputError: naming the values, how many completions have each, and how to choose.
    """
    found = [_single_settings(policy, one_policy=True), _single_settings(base, one_policy=False)]
    for name in SAMPLING:
        if name in found[0] and name in found[1] and not _same(found[0][name], found[1][name]):
            raise InputError(
                f"{name} is {found[0][name]} in {policy.source} and {found[1][name]} in {base.source}: the reference "
                "policy is what was sampled from, so both need the same sampling settings, and log-probabilities at "
                "them; sample again, choose rows with where= (--where), or leave the column out if the setting is "
                "the very change to be audited"
            )


def _single_settings(samples: Samples, *, one_policy: bool) -> dict[str, Any]:
    """Each setting that the samples carry.

    Raises:
        InputError: one has several values.
    """
    settings = {}
    for column in samples.metadata:
        name = column.lower()
        if name not in SETTINGS:
            continue
        values = np.asarray(samples.metadata[column])
        counts = _tally(values)
        if len(counts) == 1:
            settings[name] = next(iter(counts))
        elif 1 < len(counts) <= _MOST_VALUES and (name != "reference" or _varies_within(values, samples)):
            raise InputError(_mixed(samples, column, counts, one_policy=one_policy))
    return settings


def _tally(values: NDArray[Any]) -> Counter[Any]:
    if values.dtype.kind in "fiub":
        known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        distinct, n = np.unique(known, return_counts=True)
        return Counter(dict(zip(distinct.tolist(), n.tolist(), strict=True)))
    return Counter(value for value in values.tolist() if value is not None and value == value)


def _varies_within(values: NDArray[Any], samples: Samples) -> bool:
    first = np.repeat(values[samples.offsets[:-1]], samples.counts)
    return bool(np.asarray(values != first, dtype=bool).any())


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(np.isclose(float(one), float(other), rtol=1e-6))
    except (TypeError, ValueError):
        return str(one) == str(other)


def _mixed(samples: Samples, column: str, counts: Counter[Any], *, one_policy: bool) -> str:
    listed = ", ".join(
        f"{value!r} in {n:,} completion{'s' * (n != 1)}" for value, n in counts.most_common(_SHOWN)
    )
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    commonest = counts.most_common(1)[0][0]
    chosen = f"{sql_name(column)} = {literal(commonest) if isinstance(commonest, str) else commonest}"
    each = f", or audit each by itself with by={column!r} (--by {column})" if one_policy else ""
    return f'{samples.source}: mixed settings: {column} is {listed}{more}; choose one, where="{chosen}" (--where){each}'
