"""Worlds of the lab in recipes: they give model, prompts and rewards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from klimit.errors import InputError
from klimit.experiments.keys import checked, seed, table, text

if TYPE_CHECKING:
    from klimit.lab import Recipe as WorldRecipe

REWARDS_OF_WORLD = "world:{}"
_GIVEN = ("model", "prompts", "held_out_prompts", "held_out", "rewards", "gold", "max_new_tokens")


def world_of(found: Mapping[str, Any], source: str) -> WorldRecipe | None:
    """The world that a recipe asks for; None where it has a model of its own.

    Raises:
        InputError: there is no such world, or the recipe gives what the world gives.
    """
    if "world" not in found:
        return None
    from klimit.lab import Recipe as World

    for key in _GIVEN:
        if key in found:
            raise InputError(f"{source}: {key} and world: the world gives it; leave one of them out")
    given = found["world"] if isinstance(found["world"], Mapping) else {"task": found["world"]}
    where = f"{source}: [world]"
    known: dict[str, Callable[[Any], Any]] = {each.name: _taken(each.default) for each in fields(World)}
    settings = checked(given, known, where)
    if "task" not in settings:
        raise InputError(f"{where} has no task: safety or summarization")
    try:
        if "proxies" in settings:
            settings["proxies"] = _proxies(settings["proxies"], where)
        return World(**settings)
    except InputError as error:
        raise InputError(f"{source}: world: {error}") from None


def _proxies(given: list[Mapping[str, Any]], where: str) -> tuple[Any, ...]:
    from klimit.lab import ProxyRecipe

    known: dict[str, Callable[[Any], Any]] = {each.name: _taken(each.default) for each in fields(ProxyRecipe)}
    settings = [checked(each, known, f"{where} proxies") for each in given]
    if any("name" not in each for each in settings):
        raise InputError(f"{where} proxies: one has no name")
    return tuple(ProxyRecipe(**each) for each in settings)


def _taken(default: Any) -> Callable[[Any], Any]:
    """What a setting takes, by its default."""
    if isinstance(default, tuple):
        return lambda value: [table(each) for each in (value if isinstance(value, list) else [value])]
    if isinstance(default, bool):
        from klimit.experiments.keys import flag

        return flag
    if isinstance(default, int):
        return seed
    if isinstance(default, float):
        from klimit.experiments.keys import number

        return number
    return text
