"""Policy and base samples brought to the same prompts, in one order; or why that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from klimit.errors import InputError
from klimit.samples.container import Samples
from klimit.samples.keys import show

_SHOWN = 3
# A prompt whose text differs is shown from a little before the first difference.
_BEFORE, _TEXT = 10, 40


def pair(policy: Samples, base: Samples, *, name: str, shared: bool) -> tuple[Samples, Samples]:
    """Both samples on the same prompts, in the order of the base samples.

    Args:
        policy: completions drawn from the policy.
        base: completions drawn from the reference.
        name: of the policy, for notes.
        shared: whether prompts that only one of them has may be left out; each then says in its ``notes`` how many.

    Raises:
        InputError: prompts differ and ``shared`` is off, none is in both, or one id stands for two texts.
    """
    of_policy = _places(policy)
    of_base = _places(base)
    theirs = [place for key, place in of_base.items() if key in of_policy]
    if not theirs:
        raise InputError(_none_shared(policy, base))
    lacking = [key for key in of_base if key not in of_policy]
    extra = [key for key in of_policy if key not in of_base]
    if (lacking or extra) and not shared:
        raise InputError(_differ(policy, base, extra, lacking))
    mine = [of_policy[key] for key in of_base if key in of_policy]
    paired = policy.select(mine), base.select(theirs)
    _check_texts(*paired)
    return (
        _noted(paired[0], len(extra), policy.n_prompts, "the base samples lack"),
        _noted(paired[1], len(lacking), base.n_prompts, f"{name} lacks"),
    )


def _places(samples: Samples) -> dict[Any, int]:
    keys = samples.prompt_ids.tolist()
    places = {key: place for place, key in enumerate(keys)}
    if len(places) < len(keys):
        twice = next(key for place, key in enumerate(keys) if places[key] != place)
        raise InputError(
            f"{samples.source}: prompt {twice!r} stands twice; give each prompt one key and all its completions"
        )
    return places


def _noted(samples: Samples, left_out: int, of: int, why: str) -> Samples:
    if not left_out:
        return samples
    note = f"left out {left_out:,} of {of:,} prompts, which {why}"
    return replace(samples, notes=(*samples.notes, note))


def _differ(policy: Samples, base: Samples, extra: Sequence[Any], lacking: Sequence[Any]) -> str:
    said = []
    if extra:
        said.append(
            f"{len(extra):,} of the {policy.n_prompts:,} prompts in {policy.source} are not in {base.source} "
            f"({_listed(extra)})"
        )
    if lacking:
        said.append(
            f"{len(lacking):,} of the {base.n_prompts:,} in {base.source} are not in {policy.source} "
            f"({_listed(lacking)})"
        )
    return (
        f"{' and '.join(said)}: policy and base need the same prompts; sample the rest, or audit those in both "
        "with shared_prompts=True (--shared-prompts)"
    )


def _none_shared(policy: Samples, base: Samples) -> str:
    said = f"{policy.source} and {base.source} share no prompt"
    first, second = policy.prompt_ids.tolist()[0], base.prompt_ids.tolist()[0]
    kinds = _kind(first), _kind(second)
    if kinds[0] == kinds[1]:
        return (
            f"{said}: the ids there are {_listed(policy.prompt_ids.tolist())} and "
            f"{_listed(base.prompt_ids.tolist())}; both files need the same ids, or name the right column with "
            "prompt= (--prompt)"
        )
    twin = {str(key): key for key in policy.prompt_ids.tolist()}
    same = next((key for key in base.prompt_ids.tolist() if str(key) in twin), None)
    if same is not None:
        first, second = twin[str(same)], same
    return (
        f"{said}: its ids are {kinds[0]} in the one and {kinds[1]} in the other ({show(first)} against "
        f"{show(second)}); write them alike"
    )


def _kind(key: Any) -> str:
    if isinstance(key, tuple):
        return f"tuples of {len(key)}"
    return {"int": "integers", "float": "numbers", "str": "text", "bool": "booleans"}.get(
        type(key).__name__, type(key).__name__
    )


def _listed(keys: Sequence[Any]) -> str:
    return ", ".join(show(key) for key in keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def _check_texts(policy: Samples, base: Samples) -> None:
    """Refuse one id that stands for different prompt texts; paired samples."""
    if policy.prompts is None or base.prompts is None:
        return
    known = np.array(
        [
            one is not None and other is not None
            for one, other in zip(policy.prompts, base.prompts, strict=True)
        ]
    )
    differ = np.flatnonzero(known & np.asarray(policy.prompts != base.prompts, dtype=bool))
    if not len(differ):
        return
    place = differ[0]
    key = show(base.prompt_ids.tolist()[place])
    one, other = _unlike(str(policy.prompts[place]), str(base.prompts[place]))
    raise InputError(
        f"prompt {key} has different texts in {policy.source} ({one}) and {base.source} ({other}), and so have "
        f"{len(differ):,} of {base.n_prompts:,} prompts: the same id must mean the same prompt, written alike "
        "(chat template included, or left out, in both)"
    )


def _unlike(one: str, other: str) -> tuple[str, str]:
    """Both texts, cut to where they part."""
    same = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    start = max(0, same - _BEFORE) if same > _TEXT - _BEFORE else 0

    def cut(text: str) -> str:
        shown = text[start : start + _TEXT]
        return f"{'...' if start else ''}{shown!r}{'...' if start + _TEXT < len(text) else ''}"

    return cut(one), cut(other)
