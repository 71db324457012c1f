"""Recipes from files: read, checked key by key, and refused in one line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from klimit.errors import InputError
from klimit.experiments import keys
from klimit.experiments.of_world import REWARDS_OF_WORLD, world_of
from klimit.experiments.recipe import GOLD, PromptSource, Recipe
from klimit.experiments.shipped import shipped, text_of
from klimit.models.rewards import PREFIX, asked
from klimit.training.settings import ALGORITHMS, settings_of

_HELD_OUT = 1 / 3
_BEST_OF_N = (2, 4, 8, 16, 32, 64)


def read_recipe(recipe: str | Path | Mapping[str, Any]) -> Recipe:
    """The recipe of a file, of one that comes with klimit, or of a mapping with the same keys.

    Raises:
        InputError: there is none, or it cannot be; one line names file and key.
    """
    if isinstance(recipe, Mapping):
        return as_recipe(recipe, name="experiment", source="recipe")
    name = str(recipe)
    file = Path(recipe).expanduser()
    if name in shipped() and not file.is_file():
        return as_recipe(_parsed(text_of(name), name), name=name, source=name)
    if not file.is_file():
        raise InputError(f"{name}: no such file, and no recipe of that name{keys.near(name, shipped())}")
    try:
        content = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{name}: is no UTF-8 text, so it is no recipe") from None
    return as_recipe(_parsed(content, name), name=file.stem, source=name)


def as_recipe(given: Mapping[str, Any], *, name: str, source: str) -> Recipe:
    """A recipe of what a file holds.

    Args:
        given: key and value.
        name: of the experiment.
        source: what messages call the file.

    Raises:
        InputError: one line names file and key.
    """
    found = keys.checked(given, keys.TOP, source)
    world = world_of(found, source)
    rewards, reward, gold, proxies = _rewards(found, source) if world is None else _of_world(found, source)
    trainers = found.get("trainers", ("rloo",))
    _check_names(trainers, ALGORITHMS, f"{source}: trainers", "trainer")
    betas, in_spreads = _betas(found, source)
    if world is None:
        _require(found, ("model", "prompts"), source)
    length = world.length if world is not None else found.get("max_new_tokens", 256)
    n = found.get("n", 64)
    return Recipe(
        name=name,
        source=source,
        title=found.get("title"),
        world=world,
        model=found.get("model", ""),
        prompts=_prompts(found["prompts"], source, "prompts") if world is None else None,
        held_out=_held_out(found, source),
        rewards=rewards,
        reward=reward,
        gold=gold,
        proxies=proxies,
        betas=betas,
        in_spreads=in_spreads,
        trainers=trainers,
        training=_training(found.get("training", {}), trainers, length, source),
        n_policy=found.get("n_policy", n),
        best_of_n=_best_of_n(found, n, source),
        max_new_tokens=length,
        **{
            each: found[each]
            for each in (
                "seeds",
                "n",
                "seed",
                "level",
                "dtype",
                "device",
                "trust_remote_code",
                "allow_pickle",
            )
            if each in found
        },
    )


def _parsed(content: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source}: is no TOML ({error})") from None


def _require(found: Mapping[str, Any], wanted: tuple[str, ...], source: str) -> None:
    for key in wanted:
        if key not in found:
            raise InputError(
                f"{source}: {key} is missing; an experiment needs model, prompts, reward and beta"
            )


def _prompts(given: Any, source: str, key: str) -> PromptSource:
    if isinstance(given, str):
        return PromptSource(given)
    found = keys.checked(given, keys.PROMPTS, f"{source}: [{key}]")
    if "name" not in found:
        raise InputError(f"{source}: [{key}] has no name: a file of prompts, or a set on the hub")
    return PromptSource(**found)


def _held_out(found: Mapping[str, Any], source: str) -> PromptSource | float:
    if "held_out_prompts" not in found:
        return float(found.get("held_out", _HELD_OUT))
    if "held_out" in found:
        raise InputError(
            f"{source}: held_out and held_out_prompts: give a share of the prompts to hold out, or prompts, not both"
        )
    return _prompts(found["held_out_prompts"], source, "held_out_prompts")


def _betas(found: Mapping[str, Any], source: str) -> tuple[tuple[float, ...], bool]:
    given = [key for key in ("beta", "beta_in_spreads") if key in found]
    if len(given) != 1:
        how = "is missing" if not given else "and beta_in_spreads are both there"
        raise InputError(
            f"{source}: beta {how}; give beta, the reward given up for a nat of KL, or beta_in_spreads, the same in "
            "units of the reward's spread within prompts"
        )
    return found[given[0]], given[0] == "beta_in_spreads"


def _rewards(
    found: Mapping[str, Any], source: str
) -> tuple[dict[str, str], str, str | None, tuple[str, ...]]:
    """What computes each reward by name, the one trained on, gold, and proxies."""
    if "rewards" not in found:
        return _rewards_alone(found, source)
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
        _check_names(names, tuple(rewards), f"{source}: {key}", "reward in [rewards]")
    return _with_gold(rewards, reward, gold, proxies, source)


def _rewards_alone(
    found: Mapping[str, Any], source: str
) -> tuple[dict[str, str], str, str | None, tuple[str, ...]]:
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
    if gold not in (None, reward) and reward not in proxies:
        proxies = (reward, *proxies)
    return _with_gold(rewards, reward, gold, proxies, source)


def _with_gold(
    rewards: dict[str, str], reward: str, gold: str | None, proxies: tuple[str, ...], source: str
) -> tuple[dict[str, str], str, str | None, tuple[str, ...]]:
    if gold is None and (proxies or len(rewards) > 1):
        raise InputError(
            f"{source}: {', '.join(rewards)} are rewards, and gold is missing: it names the one that is meant, which "
            "the others stand for"
        )
    if gold in proxies:
        raise InputError(f"{source}: proxies: {gold} is gold, and no proxy of itself")
    return rewards, reward, gold, proxies


def _of_world(
    found: Mapping[str, Any], source: str
) -> tuple[dict[str, str], str, str | None, tuple[str, ...]]:
    names = tuple(proxy.name for proxy in world_of(found, source).proxies)  # type: ignore[union-attr]
    reward, proxies = found.get("reward", GOLD), found.get("proxies", names)
    _check_names((reward,), (GOLD, *names), f"{source}: reward", "reward of this world")
    _check_names(proxies, names, f"{source}: proxies", "proxy of this world")
    wanted = [GOLD, *(name for name in names if name in proxies or name == reward)]
    return {name: REWARDS_OF_WORLD.format(name) for name in wanted}, reward, GOLD, proxies


def _training(
    given: Mapping[str, Any], trainers: tuple[str, ...], length: int, source: str
) -> dict[str, dict[str, Any]]:
    """The settings of each trainer: those of all, and its own over them."""
    common = {key: value for key, value in given.items() if key not in ALGORITHMS}
    shared = keys.checked(common, keys.TRAINING, f"{source}: [training]")
    found = {}
    for trainer in (each for each in ALGORITHMS if each in trainers or each in given):
        own = given.get(trainer, {})
        if not isinstance(own, Mapping):
            raise InputError(
                f"{source}: [training] {trainer} is {own!r:.60}; give a table [training.{trainer}]"
            )
        settings = {**shared, **keys.checked(own, keys.TRAINING, f"{source}: [training.{trainer}]")}
        _check_settings(trainer, settings, length, source)
        found[trainer] = settings
    return {trainer: found[trainer] for trainer in trainers}


def _check_settings(trainer: str, settings: Mapping[str, Any], length: int, source: str) -> None:
    defaults = {
        "steps": 200, "batch_size": 64, "generations": None, "micro_batch_size": None, "learning_rate": None,
        "schedule": "linear", "ppo_epochs": 4, "ppo_lambda": 1.0,
    }  # fmt: skip
    used = {key: settings.get(key, default) for key, default in defaults.items()}
    try:
        settings_of(trainer, beta=1.0, max_new_tokens=length, seed=0, **used)
    except InputError as error:
        raise InputError(f"{source}: [training] for {trainer}: {error}") from None


def _best_of_n(found: Mapping[str, Any], n: int, source: str) -> tuple[int, ...]:
    wanted = found.get("best_of_n", tuple(each for each in _BEST_OF_N if each <= n / 2))
    if max(wanted, default=0) > n:
        raise InputError(
            f"{source}: best_of_n has {max(wanted)}, and n, the completions of each held-out prompt, is {n}; raise n"
        )
    return tuple(sorted(wanted))


def _check_names(names: tuple[str, ...], known: tuple[str, ...], where: str, what: str) -> None:
    for name in names:
        if name not in known:
            raise InputError(f"{where}: no {what} {name!r}{keys.near(name, known)}")
