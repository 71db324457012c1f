"""Samples that are read already: some of their rewards, checked, with another sign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.checks import describe_not_finite
from klimit.samples.columns import as_list, choose_reward
from klimit.samples.container import Samples
from klimit.samples.sources import Names


def subset(
    samples: Samples, rewards: Names | None, options: Mapping[str, Any], labels: Sequence[str] = ()
) -> Samples:
    """Some of the rewards, and those known for a part of the completions.

    Raises:
        InputError: an option that only a table has, no such reward, or one that is not finite.
    """
    unused = [name for name, value in options.items() if value is not None]
    if unused:
        raise InputError(
            f"{samples.source}: {unused[0]}= needs a table with columns; these samples are read already"
        )
    if labels:
        samples = _with_labels(samples, labels)
    if rewards is None:
        _refuse_not_finite(samples)
        return samples
    names = as_list(rewards)
    chosen = [
        choose_reward(tuple(samples.rewards), name, source=samples.source, held=samples.held)
        for name in names
    ]
    scores = {name: why for name, why in samples.held.items() if why.part != "reward"}
    subset = replace(samples, rewards={name: samples.rewards[name] for name in chosen}, held=scores)
    _refuse_not_finite(subset)
    return subset


def _refuse_not_finite(samples: Samples) -> None:
    """Samples made by hand may hold what reading refuses."""
    if not samples.in_memory:
        return
    for name, values in samples.rewards.items():
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sum(values)  # finite only if all are; of many large ones it may not be
        if not np.isfinite(total) and not np.isfinite(values).all():
            place = int(np.flatnonzero(~np.isfinite(values))[0])
            prompt = int(np.searchsorted(samples.offsets, place, side="right")) - 1
            raise InputError(
                f"{samples.source}: reward {name!r}: {describe_not_finite(values)} (first in completion "
                f"{place - int(samples.offsets[prompt])} of prompt {samples.prompt_ids[prompt]!r}); every completion "
                "needs a finite reward"
            )


def _with_labels(samples: Samples, names: Sequence[str]) -> Samples:
    """The samples with these rewards as labels: they may be nan for some completions."""
    known = {**samples.rewards, **samples.labels}
    chosen = {name: known[choose_reward(tuple(known), name, source=samples.source)] for name in names}
    for name, values in chosen.items():
        if np.isnan(values).all():
            raise InputError(f"{samples.source}: reward {name!r} is missing for every completion")
    return replace(samples, labels={**samples.labels, **chosen})


def negated(samples: Samples) -> Samples:
    """Costs as rewards: with the opposite sign."""

    def turned(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        # 0 - x rather than -x: a cost of 0 becomes 0, not -0.
        return {name: np.asarray(0 - values, dtype=values.dtype) for name, values in columns.items()}

    rewards, labels = turned(samples.rewards), turned(samples.labels)
    note = f"lower is better: changed the sign of {', '.join([*rewards, *labels])}"
    return replace(samples, rewards=rewards, labels=labels, notes=(*samples.notes, note))
