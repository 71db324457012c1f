"""What a recipe names: whether it is there, and a digest of it, so that a change is noticed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from klimit.errors import InputError
from klimit.experiments.recipe import PromptSource, Recipe
from klimit.models.finding import current_folder, find_function, source_of
from klimit.models.hub import HUB_SETS, hub_set
from klimit.models.rewards import is_function

_CHUNK = 1 << 22
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def check_inputs(recipe: Recipe) -> None:
    """See that all that lies here is here; what is on the hub is asked for when it is needed.

    Raises:
        InputError: one line names file and key.
    """
    if recipe.world is not None:
        return
    _check_model(recipe.model, f"{recipe.source}: model")
    for key, prompts in (("prompts", recipe.prompts), ("held_out_prompts", recipe.held_out)):
        if isinstance(prompts, PromptSource):
            _check_prompts(prompts, f"{recipe.source}: {key}")
    for name, what in recipe.rewards.items():
        where = f"{recipe.source}: reward {name}"
        if not is_function(what):
            _check_model(what, where)
            continue
        try:
            with current_folder():
                find_function(what)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def digest_of_model(name: str) -> str:
    """Of the folder's content; of a model on the hub its id."""
    return digest_of(Path(name)) if Path(name).is_dir() else f"hub {name}"


def digest_of_reward(name: str) -> str:
    """Of a function's source, or of a reward model."""
    if not is_function(name):
        return digest_of_model(name)
    with current_folder():
        source = source_of(find_function(name))
    return f"function {name} {source}"


def digest_of_prompts(source: PromptSource) -> str:
    """Of the file's content; of a set on the hub its id."""
    file = Path(source.name).expanduser()
    return digest_of(file) if file.is_file() else f"hub {source.name}"


def digest_of(path: Path, *, whole: bool = True) -> str:
    """A short digest of a file's content, or of all files in a folder and their names.

    Args:
        path: of file or folder.
        whole: all of every file; else of large ones only the size and both ends.
    """
    digest = hashlib.sha256()
    folder = path.expanduser()
    for file in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        if file.is_file():
            size = file.stat().st_size
            digest.update(f"{file.relative_to(folder).as_posix()} {size}\n".encode())
            with file.open("rb") as opened:
                while chunk := opened.read(_CHUNK):
                    digest.update(chunk)
                    if not whole and opened.tell() < size - _CHUNK:
                        opened.seek(size - _CHUNK)
    return digest.hexdigest()[:32]


def _check_model(name: str, where: str) -> None:
    if Path(name).is_dir():
        if not (Path(name) / "config.json").is_file():
            raise InputError(f"{where}: {name} holds no config.json, so it is no model's folder")
        return
    if Path(name).exists() or _HUB_ID.fullmatch(name) is None or name.startswith("."):
        raise InputError(
            f"{where}: no folder {name!r} here; give a model's folder, or its id on the hub (paths are relative to "
            "the current folder)"
        )


def _check_prompts(prompts: PromptSource, where: str) -> None:
    if Path(prompts.name).expanduser().is_file():
        if prompts.split is not None:
            raise InputError(f"{where}: {prompts.name} is a file, which has no splits; leave split out")
        return
    known = hub_set(prompts.name)
    if known is None:
        raise InputError(
            f"{where}: no file {prompts.name!r} here, and no known set of prompts; known are {', '.join(HUB_SETS)} "
            "(paths are relative to the current folder)"
        )
    try:
        known.check(prompts.split or known.splits[0])
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
