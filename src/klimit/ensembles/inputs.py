"""What :func:`klimit.ensemble` reads, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from klimit.audits.measured import Array
from klimit.errors import InputError
from klimit.rewards.transforms import STANDARDISED, transform_values
from klimit.samples import read_samples
from klimit.samples.checks import counted
from klimit.samples.container import Samples

FEWEST_MEMBERS = 2
FEWEST_COMPLETIONS = 3


def read_members(
    source: Any,
    proxies: Sequence[str],
    gold: str | None,
    *,
    prompt: str | list[str] | None,
    where: str | None,
    lower_is_better: bool,
) -> Samples:
    """Samples with all these rewards, complete.

    Raises:
        InputError: see :func:`klimit.ensemble`.
    """
    names = check_names(proxies, gold)
    options: dict[str, Any] = {"prompt": prompt, "where": where, "lower_is_better": lower_is_better}
    if isinstance(source, Samples):
        if gold is not None and gold not in source.rewards and gold in source.labels:
            source = source.with_reward(gold, _complete(source, gold))
        checked = read_samples(source, rewards=names, **options)
        # All of their rewards stay: the ensemble's is one more.
        samples = read_samples(source, lower_is_better=True) if lower_is_better else source
        names = list(checked.rewards)
    else:
        options["audit"] = False
        try:
            samples = read_samples(source, rewards=names, **options)
        except InputError as error:
            raise InputError(for_all_columns(str(error), source, names, options)) from None
    for name in names:
        _check_column(samples, name, is_gold=name == gold)
    short = np.flatnonzero(samples.counts < FEWEST_COMPLETIONS)
    if len(short):
        raise InputError(
            f"{samples.source}: {len(short):,} of {counted(samples.n_prompts, 'prompt')} with fewer than "
            f"{FEWEST_COMPLETIONS} completions (first: {samples.prompt_ids[short[0]]}), too few to standardise by; "
            f"leave them out with klimit.read_samples(...).at_least({FEWEST_COMPLETIONS})"
        )
    return samples


def _complete(samples: Samples, gold: str) -> Array:
    labels = np.asarray(samples.labels[gold], dtype=np.float64)
    known = int(np.isfinite(labels).sum())
    if known < len(labels):
        raise InputError(
            f"{samples.source}: gold {gold!r} is known for {known:,} of {len(labels):,} completions; errors about it "
            f"need it for all: choose those with samples.rows(numpy.isfinite(samples.labels[{gold!r}]))"
        )
    return labels


def check_names(proxies: Sequence[str], gold: str | None) -> list[str]:
    """The columns wanted, proxies first.

    Raises:
        InputError: fewer than two proxies, one twice, or gold among them.
    """
    if isinstance(proxies, str) or not all(isinstance(name, str) for name in proxies):
        raise InputError(
            f"proxies={proxies!r}: give a list of reward columns, such as ['reward_a', 'reward_b']"
        )
    names = list(proxies)
    if len(names) < FEWEST_MEMBERS:
        raise InputError(f"proxies={names!r}: an ensemble has at least {FEWEST_MEMBERS} members")
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise InputError(f"proxies: {repeated!r} is given twice")
    if gold in names:
        raise InputError(f"gold={gold!r} is among the proxies: gold judges them and cannot be one of them")
    return [*names, gold] if gold is not None else names


def standardise(samples: Samples, names: Sequence[str]) -> Array:
    """Rewards less their prompt's mean, over its deviation (ddof=1; 0 where constant), ``(K, n_completions)``."""
    offsets = samples.offsets
    return np.stack(
        [
            transform_values(STANDARDISED, samples.rewards[name], offsets, samples.rewards[name], offsets)
            for name in names
        ]
    )


def _check_column(samples: Samples, name: str, *, is_gold: bool) -> None:
    values = np.asarray(samples.rewards[name])
    starts = samples.offsets[:-1]
    if (np.maximum.reduceat(values, starts) == np.minimum.reduceat(values, starts)).all():
        role, what = (
            ("gold", "it can judge nothing") if is_gold else ("proxy", "it adds nothing; leave it out")
        )
        raise InputError(f"{samples.source}: {role} {name!r} never varies within a prompt: {what}")


def for_all_columns(first: str, source: Any, names: list[str], options: dict[str, Any]) -> str:
    """The first column's refusal; where several columns are incomplete, with the condition that all of them need.

    Args:
        first: the refusal.
        source: what was read.
        names: the reward columns wanted, all complete.
        options: of :func:`klimit.read_samples`, with ``where``.
    """
    advice = re.compile(r"leave such rows out with where='(.+)' \(--where\)$")
    if advice.search(first) is None:
        return first
    conditions = [f"({options['where']})"] if options["where"] else []
    incomplete = []
    for name in names:
        try:
            read_samples(source, rewards=[name], **options)
        except InputError as error:
            found = advice.search(str(error))
            if found is None:
                return str(error)
            incomplete.append(name)
            conditions.append(found[1])
    if len(incomplete) < 2 and not options["where"]:
        return first
    others = ", ".join(incomplete[1:])
    also = f"; {others} {'has' if len(incomplete) == 2 else 'have'} such rows as well" if others else ""
    cut = first[: first.index("; leave such rows out")]
    return f"{cut}{also}; choose complete rows with where={' AND '.join(conditions)!r} (--where)"
