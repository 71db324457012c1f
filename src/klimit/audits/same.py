"""One set of samples given as policy and as base: an audit of it would be of nothing, with intervals of no width.

Rewards that agree row for row are no proof: a few 0s and 1s do so by chance, and a policy all but equal to its base,
sampled with the same random numbers, draws the same completions. Both are told from a mistake by how likely they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.container import Samples
from klimit.samples.paths import find_files

# Nats: what happens by chance once in a thousand million times is no chance.
_SURE = 9 * float(np.log(10))
_CHOOSE = "choose the rows of each with where= and base_where= (--where, --base-where)"


def check_sources(
    policies: Iterable[Any], base: Any, *, where: str | None, base_where: str | None, by: str | None
) -> None:
    """Refuse one file, or one object, as policy and as base, unless conditions part its rows; before reading.

    Args:
        policies: paths, lists of them, samples, frames or arrays.
        base: one of those.
        where: condition that chooses the policies' rows.
        base_where: the base policy's.
        by: column that tells policies apart.

    Raises:
        InputError: naming the file.
    """
    if base_where is not None and (by is not None or where not in (None, base_where)):
        return
    read = set(_files(base))
    for policy in policies:
        twice = next((file for file in _files(policy) if file in read), None)
        if twice is not None:
            raise InputError(f"{twice}: given as policy and as base; if it holds both, {_CHOOSE}")
        if policy is base:
            raise InputError(f"the same {type(policy).__name__} is given as policy and as base; {_CHOOSE}")


def check_distinct(policy: Samples, base: Samples, reward: str) -> None:
    """Refuse a policy whose completions are the base policy's own; paired samples.

    Raises:
        InputError: saying what is equal in both.
    """
    equal = _equal_columns(policy, base, reward)
    if not equal or min(_log_chance(column, policy.offsets) for column in equal.values()) > -_SURE:
        return
    if policy.logprob is not None and policy.ref_logprob is not None and "ref_logprob" not in equal:
        ratio = policy.logprob.astype(np.float64) - policy.ref_logprob
        # Draws by the same random numbers differ with the total variation at least, E_pi (1 - pi0/pi)+.
        if -np.expm1(-np.maximum(ratio, 0.0)).sum() < _SURE:
            return
    raise InputError(
        f"{policy.source}: its {policy.n_completions:,} completions are those of {base.source}, row for row (equal in "
        f"{', '.join(equal)}): an audit needs completions drawn from the policy and others drawn from the base; where "
        f"one file holds both, {_CHOOSE}"
    )


def _files(source: Any) -> list[str]:
    paths = [source] if isinstance(source, str | os.PathLike) else source
    if not (isinstance(paths, list | tuple) and all(isinstance(one, str | os.PathLike) for one in paths)):
        return []
    return [str(file.resolve()) for file in find_files(paths)[0]]


def _equal_columns(policy: Samples, base: Samples, reward: str) -> dict[str, NDArray[Any]]:
    """What is equal row for row, by name; nothing where rewards or texts tell the completions apart."""
    rewards = policy.reward(reward)
    if not np.array_equal(policy.offsets, base.offsets) or not np.array_equal(rewards, base.reward(reward)):
        return {}
    equal: dict[str, NDArray[Any]] = {"rewards": rewards}
    if policy.completions is not None and base.completions is not None:
        texts = np.asarray(policy.completions)
        if not np.array_equal(texts, np.asarray(base.completions)):
            return {}
        equal["texts"] = texts.astype(str)
    for name in ("logprob", "ref_logprob"):
        own, theirs = getattr(policy, name), getattr(base, name)
        if own is not None and theirs is not None and np.array_equal(own, theirs):
            equal[name] = own
    return equal


def _log_chance(column: NDArray[Any], offsets: NDArray[np.int64]) -> float:
    """The log of the chance that independent draws from each prompt's law repeat this column row for row."""
    counts = np.diff(offsets)
    _, codes = np.unique(column, return_inverse=True)
    prompt = np.repeat(np.arange(len(counts)), counts)
    cells, sizes = np.unique(prompt * (codes.max() + 1) + codes, return_counts=True)
    squares = np.bincount(cells // (codes.max() + 1), weights=sizes.astype(np.float64) ** 2)
    return float((counts * np.log(squares / counts.astype(np.float64) ** 2)).sum())
