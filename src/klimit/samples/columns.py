"""Columns by name: the one that is meant, the nearest where there is none, and which reward is the one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from klimit.errors import InputError

REWARD_NAMES = "reward, reward_*, rewards, score"


@dataclass(frozen=True)
class HeldBack:
    """A column found but not usable, and why.

    Attributes:
        reason: the error, in one line, for whoever asks for it by name.
        is_number: False for text and the like: it is no rival where one reward is left.
        part: what it would have been: ``"reward"``, ``"logprob"``, ``"token_kl"`` and so on.
    """

    reason: str
    is_number: bool = True
    part: str = "reward"


def find_column(names: Sequence[str], name: str, *, source: str) -> str:
    """``name`` itself, if it is a column.

    Raises:
        InputError: it is not, or not text; the nearest name is suggested.
    """
    if not isinstance(name, str):
        raise InputError(f"{source}: column names are text, not {type(name).__name__} ({name!r})")
    if name not in names:
        raise InputError(f"{source}: no column {name!r}{did_you_mean(name, names)}; {listing(names)}")
    return name


def choose_reward(
    names: Sequence[str],
    name: str | None = None,
    *,
    source: str,
    held: Mapping[str, HeldBack] | None = None,
) -> str:
    """The reward that ``name`` stands for; without a name, the only one there is.

    A numeric reward that was held back still counts: it might be the one that was meant.

    Args:
        names: the rewards that can be used.
        name: the one wanted.
        source: where the samples came from, for messages.
        held: columns with a reward's name that cannot be used.

    Raises:
        InputError: no such reward, one that cannot be used, or several and no name.
    """
    held = held or {}
    if name is not None:
        if name in names:
            return name
        if name in held:
            raise InputError(held[name].reason)
        raise InputError(
            f"{source}: no reward {name!r}{did_you_mean(name, [*names, *held])}; rewards: {shorten(names)}"
        )
    rivals = [other for other in held if held[other].is_number]
    if len(names) == 1 and not rivals:
        return names[0]
    if not names and len(held) == 1:
        raise InputError(next(iter(held.values())).reason)
    listed = ", ".join(names) or "none is complete"
    if rivals:
        listed += f" (with missing or infinite values: {', '.join(rivals)})"
    n_rewards = len(names) + len(rivals)
    raise InputError(f"{source}: {n_rewards} rewards; choose one with reward= (--reward): {listed}")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``" (did you mean 'reward'?)"`` for the nearest of the names, or nothing where none is near."""
    by_lower = {other.lower(): other for other in names}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean {by_lower[near[0]]!r}?)" if near else ""


def first_of(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The column with the first of the usual names, upper and lower case being one; None where there is none."""
    by_lower = {name.lower(): name for name in reversed(names)}
    return next((by_lower[name] for name in usual if name in by_lower), None)


def as_list(names: str | Sequence[str]) -> list[str]:
    """One name or several, as a list."""
    return list(names) if isinstance(names, Sequence) and not isinstance(names, str) else [names]


def listing(names: Sequence[str]) -> str:
    """``"its columns: a, b, c"``."""
    return f"its columns: {shorten(names)}"


def shorten(names: Sequence[str], most: int = 16) -> str:
    """Names joined by commas; of many, the first ones and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
