"""Reward transforms by name: ``identity``, ``standardised``, ``rank``, ``log-sigmoid-centred``, ``clipped``.

A transform is a function of the reward, the same for all completions of a prompt, that does not decrease. Pointwise
ones (``identity``, ``clipped``) are the same for every prompt; the others are made from the prompt's base samples, so
that on finitely many of them they are themselves estimates (``Transform.estimated``).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.rewards import rows
from klimit.rewards.rows import Array, Rows
from klimit.samples.sorting import SortedGroup, for_sorted_groups

TRANSFORMS = ("identity", "standardised", "rank", "log-sigmoid-centred", "clipped")
FORMS = "identity, standardised, rank, log-sigmoid-centred, log-sigmoid-centred:QUANTILE or clipped:LOW,HIGH"
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Transform:
    """A transform of the reward, as :func:`parse_transform` makes it.

    Attributes:
        name: its text, in one form: transforms of one name are the same.
        meaning: what a transformed reward is, in a few words.
        estimated: whether it uses the prompt's base samples.
        rows: ``rows(base, values)``: rewards ``values`` ``(p, m)`` of prompts with base samples ``base`` ``(p, n)``,
            ascending in each row, transformed: ``(p, m)`` float64. ``rows(base, base)`` is that of the base samples.
        top: what no transformed reward exceeds; infinite where nothing is known.
        base_mean: the base policy's own mean transformed reward, where it is the same by definition for all.
        invariant: whether shifting or rescaling a prompt's rewards changes nothing.
    """

    name: str
    meaning: str
    estimated: bool
    rows: Callable[[Rows, Rows], Array] = field(compare=False)
    top: float = float("inf")
    base_mean: float | None = None
    invariant: bool = False

    def __str__(self) -> str:
        return self.name


IDENTITY = Transform("identity", "the reward itself", False, rows.identity)
STANDARDISED = Transform(
    "standardised",
    "the reward less its prompt's base mean, over its prompt's base standard deviation",
    True,
    rows.standardised,
    base_mean=0.0,
    invariant=True,
)
RANK = Transform(
    "rank",
    "the win rate against the base policy, ties half",
    True,
    rows.rank,
    top=1.0,
    base_mean=0.5,
    invariant=True,
)
_PLAIN = {transform.name: transform for transform in (IDENTITY, STANDARDISED, RANK)}


def parse_transform(text: str | Transform) -> Transform:
    """The transform that a text names.

    ``identity``; ``standardised``: less the mean of the prompt's base samples, over their standard deviation;
    ``rank``: win rate against the base policy, ties half; ``log-sigmoid-centred``: ``log sigmoid(r - c)``, ``c`` the
    median of the prompt's base samples (arXiv:2402.00742), or another quantile: ``log-sigmoid-centred:0.85``;
    ``clipped:LOW,HIGH``: either may be empty or infinite.

    Raises:
        InputError: there is no such transform, or its numbers are missing or cannot be.
    """
    if isinstance(text, Transform):
        return text
    if not isinstance(text, str):
        raise InputError(f"transform={text!r}: give a name: {FORMS}")
    name, _, argument = (part.strip() for part in text.partition(":"))
    if name not in TRANSFORMS:
        near = difflib.get_close_matches(name.lower(), TRANSFORMS, n=1, cutoff=0.6)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"transform={text!r}: there is no such transform{meant}; choose {FORMS}")
    if name == "clipped":
        return _clipped(text, argument)
    if name == "log-sigmoid-centred":
        return _log_sigmoid(text, argument)
    if ":" in text:
        raise InputError(f"transform={text!r}: {name!r} takes no number; write transform={name!r}")
    return _PLAIN[name]


def transform_column(
    transform: Transform, values: NDArray[np.floating[Any]], offsets: NDArray[np.integer[Any]]
) -> NDArray[np.floating[Any]]:
    """Every prompt's rewards in the light of themselves.

    Args:
        transform: which one.
        values: rewards grouped by prompt, ``(n_completions,)``.
        offsets: ``(n_prompts + 1,)``.

    Returns:
        The transformed rewards, grouped alike, ``(n_completions,)``: in the order given for a pointwise transform
        (for the identity the very array), else ascending within each prompt.
    """
    if transform == IDENTITY:
        return values
    if not transform.estimated:
        return _pointwise(transform, values)
    out = np.empty(len(values))

    def place(group: SortedGroup) -> None:
        starts = offsets[group.prompts]
        out[starts[:, None] + np.arange(group.n)] = transform.rows(group.rewards, group.rewards)

    for_sorted_groups(place, values, offsets)
    return out


def transform_values(
    transform: Transform,
    values: NDArray[np.floating[Any]],
    offsets: NDArray[np.integer[Any]],
    base_values: NDArray[np.floating[Any]],
    base_offsets: NDArray[np.integer[Any]],
) -> Array:
    """Rewards of any policy in the light of base samples of the same prompts.

    Args:
        transform: which one.
        values: the policy's rewards grouped by prompt, ``(n_completions,)``.
        offsets: theirs, ``(n_prompts + 1,)``.
        base_values: the base samples' rewards, prompts in the same order, in any order within prompts.
        base_offsets: theirs, ``(n_prompts + 1,)``.

    Returns:
        The transformed rewards in the order of ``values``.

    Raises:
        InputError: the numbers of prompts differ.
    """
    if len(offsets) != len(base_offsets):
        raise InputError(
            f"transform {transform.name!r}: rewards of {len(offsets) - 1} prompts and base samples of "
            f"{len(base_offsets) - 1}; both must be of the same prompts in the same order"
        )
    if not transform.estimated:
        return _pointwise(transform, values)
    out = np.empty(len(values))
    sizes = np.stack([np.diff(base_offsets), np.diff(offsets)], axis=1)
    for n, m in np.unique(sizes, axis=0).tolist():
        members = np.flatnonzero((sizes == (n, m)).all(axis=1))
        step = max(1, _BLOCK // (n + m))
        for first in range(0, len(members), step):
            prompts = members[first : first + step]
            base = np.sort(base_values[base_offsets[prompts][:, None] + np.arange(n)], axis=1)
            places = offsets[prompts][:, None] + np.arange(m)
            out[places] = transform.rows(base, values[places])
    return out


def _pointwise(transform: Transform, values: NDArray[np.floating[Any]]) -> Array:
    """A flat array at once: to a pointwise transform all prompts are one."""
    one = values[None]
    return np.asarray(transform.rows(one, one)[0])


def _clipped(text: str, argument: str) -> Transform:
    parts = [part.strip() for part in argument.split(",")]
    if len(parts) != 2:
        raise InputError(
            f"transform={text!r}: give both bounds, clipped:LOW,HIGH, such as clipped:0,1 (an empty one is none)"
        )
    low, high = (
        _number(text, part) if part else end
        for part, end in zip(parts, (float("-inf"), float("inf")), strict=True)
    )
    if not low < high:
        raise InputError(f"transform={text!r}: the lower bound must be below the upper one")
    ends = f"{_shortest(low)},{_shortest(high)}"
    clip = partial(rows.clipped, low=low, high=high)
    return Transform(f"clipped:{ends}", f"the reward kept within [{ends}]", False, clip, top=high)


def _log_sigmoid(text: str, argument: str) -> Transform:
    quantile = _number(text, argument) if ":" in text else 0.5
    if not 0 < quantile < 1:
        raise InputError(f"transform={text!r}: give a quantile between 0 and 1, such as 0.85")
    name, centre = "log-sigmoid-centred", "median"
    if quantile != 0.5:
        name, centre = f"{name}:{_shortest(quantile)}", f"{_shortest(quantile)} quantile"
    meaning = f"log sigmoid of the reward less its prompt's base {centre}"
    return Transform(name, meaning, True, partial(rows.log_sigmoid_centred, quantile=quantile), top=0.0)


def _number(text: str, part: str) -> float:
    try:
        number = float(part)
    except ValueError:
        number = float("nan")
    if number != number:
        raise InputError(f"transform={text!r}: {part!r} is no number")
    return number


def _shortest(number: float) -> str:
    return repr(number).removesuffix(".0")
