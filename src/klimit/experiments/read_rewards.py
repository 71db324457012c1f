"""The rewards of a recipe: what computes each, which is trained on, which is meant, and which stand for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from klimit.errors import InputError
from klimit.experiments import keys
from klimit.experiments.of_world import REWARDS_OF_WORLD
from klimit.experiments.recipe import GOLD
from klimit.models.rewards import PREFIX, asked

if TYPE_CHECKING:
    from klimit.lab import Recipe as WorldRecipe

Rewards = tuple[dict[str, str], str, str | None, tuple[str, ...]]


def rewards_of(found: Mapping[str, Any], source: str, world: WorldRecipe | None) -> Rewards:
    """What computes each reward by name, the one trained on, gold, and proxies.

    Raises:
        InputError: one line names file and key.
    """
    if world is not None:
        return _of_world(found, source, world)
    return _in_table(found, source) if "rewards" in found else _rewards_alone(found, source)


def check_names(names: tuple[str, ...], known: tuple[str, ...], where: str, what: str) -> None:
    """Refuse names that there are not.

    Raises:
        InputError: with the name that was probably meant.
    """
    for name in names:
        if name not in known:
            raise InputError(f"{where}: no {what} {name!r}{keys.near(name, known)}")


def _in_table(found: Mapping[str, Any], source: str) -> Rewards:
    """Where all are named in a table, and used by name."""
    rewards = {str(name): what for name, what in found["rewards"].items()}
    for name, what in rewards.items():
        if re.fullmatch(r"\w+", name) is None:
            raise InputError(
                f"{source}: [rewards] {name!r} is no name; letters, digits and underscores make one"
            )
        if not isinstance(what, str) or not what:
            raise InputError(
                f"{source}: [rewards] {name} is {what!r:.60}; give a folder or hub id of a reward model, or "
                "package.module:function"
            )
    if not rewards:
        raise InputError(f"{source}: [rewards] is empty; name a reward in it")
    if "reward" not in found and len(rewards) > 1:
        raise InputError(f"{source}: reward is missing; it says which of {', '.join(rewards)} is trained on")
    reward, gold = found.get("reward", next(iter(rewards))), found.get("gold")
    others = tuple(name for name in rewards if name != gold) if gold else ()
    proxies = found.get("proxies", others)
    for key, names in (("reward", (reward,)), ("gold", (gold,) if gold else ()), ("proxies", proxies)):
        check_names(names, tuple(rewards), f"{source}: {key}", "reward in [rewards]")
    return _with_gold(rewards, reward, gold, proxies, source)


def _rewards_alone(found: Mapping[str, Any], source: str) -> Rewards:
    """The same without a table: each is given where it is used, and named after itself."""
    if "reward" not in found:
        raise InputError(
            f"{source}: reward is missing: a folder or hub id of a reward model, or package.module:function"
        )
    used = [found["reward"], *([found["gold"]] if "gold" in found else []), *found.get("proxies", ())]
    try:
        named = {given: asked(given)[0] for given in dict.fromkeys(used)}
        asked(list(named))
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    names = {given: each.column.removeprefix(PREFIX) for given, each in named.items()}
    rewards = {names[given]: str(each.what) for given, each in named.items()}
    gold = names[found["gold"]] if "gold" in found else None
    reward = names[found["reward"]]
    proxies = tuple(names[given] for given in found.get("proxies", ()))
    return _with_gold(rewards, reward, gold, proxies, source)


def _with_gold(
    rewards: dict[str, str], reward: str, gold: str | None, proxies: tuple[str, ...], source: str
) -> Rewards:
    """The same; a reward that is trained on in place of gold is a proxy."""
    if gold is None and (proxies or len(rewards) > 1):
        raise InputError(
            f"{source}: {', '.join(rewards)} are rewards, and gold is missing: it names the one that is meant, which "
            "the others stand for"
        )
    if gold in proxies:
        raise InputError(f"{source}: proxies: {gold} is gold, and no proxy of itself")
    if gold not in (None, reward) and reward not in proxies:
        proxies = (reward, *proxies)
    return rewards, reward, gold, proxies


def _of_world(found: Mapping[str, Any], source: str, world: WorldRecipe) -> Rewards:
    names = tuple(proxy.name for proxy in world.proxies)
    reward, proxies = found.get("reward", GOLD), found.get("proxies", names)
    check_names((reward,), (GOLD, *names), f"{source}: reward", "reward of this world")
    check_names(proxies, names, f"{source}: proxies", "proxy of this world")
    wanted = [GOLD, *(name for name in names if name in proxies or name == reward)]
    return _with_gold({name: REWARDS_OF_WORLD.format(name) for name in wanted}, reward, GOLD, proxies, source)
