"""Recipes from files: read, checked key by key, and refused in one line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from klimit.errors import InputError
from klimit.experiments import keys
from klimit.experiments.of_world import world_of
from klimit.experiments.read_rewards import check_names, rewards_of
from klimit.experiments.recipe import PromptSource, Recipe
from klimit.experiments.shipped import shipped, text_of
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
    rewards, reward, gold, proxies = rewards_of(found, source, world)
    trainers = found.get("trainers", ("rloo",))
    check_names(trainers, ALGORITHMS, f"{source}: trainers", "trainer")
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
