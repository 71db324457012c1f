"""The first steps: a world's files, or prompts to train on and prompts that are held out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from klimit.errors import InputError
from klimit.experiments.place import PROMPTS, WORLD, Place, whole_folder
from klimit.experiments.recipe import PromptSource
from klimit.models.prompt_sets import prompts as prepared
from klimit.models.prompt_sets import written
from klimit.models.prompts import Prompt, read_prompts

TRAIN, HELD_OUT = "train", "held_out"
_ENDING = ".jsonl"


def copy_world(place: Place) -> None:
    """Build the world, where it is not kept, and copy what an experiment uses of it.

    Raises:
        InputError: see :func:`klimit.lab.open_world`.
    """
    from klimit.lab import open_world

    assert place.recipe.world is not None
    world = open_world(place.recipe.world, say=place.say)

    def fill(folder: Path) -> None:
        shutil.copytree(world.base_model, folder / "base")
        for name, model in world.proxies.items():
            shutil.copytree(model, folder / name)
        for which in (TRAIN, HELD_OUT):
            shutil.copyfile(world.prompt_file(which), folder / f"{which}{_ENDING}")  # type: ignore[arg-type]

    whole_folder(place.folder / WORLD, fill)


def make_prompts(place: Place) -> None:
    """Write the prompts to train on and those that are held out; none is in both.

    Raises:
        InputError: they cannot be read, or are too few to be parted.
    """
    recipe = place.recipe
    assert recipe.prompts is not None

    def fill(folder: Path) -> None:
        given = _given(place, recipe.prompts, folder / f"given{_ENDING}", "prompts")  # type: ignore[arg-type]
        if isinstance(recipe.held_out, PromptSource):
            held_out = _given(place, recipe.held_out, folder / f"apart{_ENDING}", "held_out_prompts")
            train = _without(given, held_out, place)
        else:
            train, held_out = parted(given, recipe.held_out, recipe.seed, recipe.source)
        for left in folder.iterdir():
            left.unlink()
        for which, chosen in ((TRAIN, train), (HELD_OUT, held_out)):
            file = folder / f"{which}{_ENDING}"
            file.write_bytes(written(chosen, file, {}))

    whole_folder(place.folder / PROMPTS, fill)


def parted(
    prompts: Sequence[Prompt], share: float, seed: int, source: str
) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to train on, and a share of them at random that is held out.

    Raises:
        InputError: there are too few.
    """
    count = round(share * len(prompts))
    if not 0 < count < len(prompts):
        raise InputError(
            f"{source}: held_out is {share:.3g}, of {len(prompts):,} prompts; neither part may be empty"
        )
    chosen = np.zeros(len(prompts), dtype=bool)
    chosen[np.random.default_rng(seed).choice(len(prompts), count, replace=False)] = True
    return (
        [prompt for prompt, out in zip(prompts, chosen, strict=True) if not out],
        [prompt for prompt, out in zip(prompts, chosen, strict=True) if out],
    )


def _given(place: Place, source: PromptSource, file: Path, key: str) -> list[Prompt]:
    try:
        prepared(
            source.name,
            output=file,
            split=source.split,
            column=source.column,
            limit=source.limit,
            seed=source.seed,
            chat=source.chat,
        )
    except InputError as error:
        raise InputError(f"{place.recipe.source}: {key}: {error}") from None
    return read_prompts(file)


def _without(train: list[Prompt], held_out: list[Prompt], place: Place) -> list[Prompt]:
    """The prompts to train on that are not held out."""
    apart = {_content(prompt) for prompt in held_out}
    kept = [prompt for prompt in train if _content(prompt) not in apart]
    if not kept:
        raise InputError(
            f"{place.recipe.source}: held_out_prompts: all prompts to train on are among them; give others, or "
            "held_out, a share of the prompts"
        )
    if len(kept) < len(train):
        place.say(
            f"{len(train) - len(kept):,} of {len(train):,} prompts are held out as well; they are not trained on"
        )
    return kept


def _content(prompt: Prompt) -> str:
    return json.dumps(prompt.messages() if prompt.is_chat else prompt.prompt, sort_keys=True)
