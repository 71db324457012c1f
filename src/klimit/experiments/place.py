"""Where an experiment's files lie, and what its names stand for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from klimit.errors import InputError
from klimit.experiments.of_world import REWARDS_OF_WORLD
from klimit.experiments.recipe import GOLD, Recipe, Run

Say = Callable[[str], None]

WORLD = "world"
PROMPTS = "prompts"
BASE = "samples/base.parquet"
SPREAD = "samples/spread.parquet"
PAGE = "report.html"
RESULTS = "results.json"


def policy_of(run: Run) -> str:
    """The folder of a trained policy."""
    return f"policies/{run.slug}"


def samples_of(run: Run) -> str:
    """The file of its samples."""
    return f"samples/{run.slug}.parquet"


@dataclass(frozen=True)
class Place:
    """An experiment's recipe and folder.

    Attributes:
        recipe: of the experiment.
        folder: of the experiment.
        say: takes lines for the user.
    """

    recipe: Recipe
    folder: Path
    say: Say

    @property
    def model(self) -> str:
        """The base model."""
        return self.recipe.model if self.recipe.world is None else str(self.folder / WORLD / "base")

    def prompts(self, which: str) -> Path:
        """The file of prompts: ``"train"`` or ``"held_out"``."""
        return self.folder / (PROMPTS if self.recipe.world is None else WORLD) / f"{which}.jsonl"

    def reward(self, name: str) -> Any:
        """What computes a reward."""
        what = self.recipe.rewards[name]
        if what == REWARDS_OF_WORLD.format(GOLD):
            from klimit.lab import World

            assert self.recipe.world is not None
            return World(self.recipe.world, self.folder / WORLD).gold
        return str(self.folder / WORLD / name) if what == REWARDS_OF_WORLD.format(name) else what

    def tell(self, line: str) -> None:
        """What a step says, without where it wrote: the files are the experiment's."""
        if not line.startswith("wrote ") and not line.endswith("is complete already"):
            self.say(line)

    @property
    def loading(self) -> dict[str, Any]:
        """Options of all steps with models; only unfinished parts that were made otherwise are overwritten."""
        recipe = self.recipe
        return {
            "device": recipe.device,
            "trust_remote_code": recipe.trust_remote_code,
            "allow_pickle": recipe.allow_pickle,
            "overwrite": True,
            "say": self.tell,
        }


def whole_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder whole: beside its place first, then moved there.

    Args:
        target: to be; what is there is replaced.
        fill: fills the folder it is given.

    Raises:
        InputError: it cannot be written.
    """
    beside = target.with_name(f".{target.name}.new")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        fill(beside)
        if target.exists():
            shutil.rmtree(target)
        os.replace(beside, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
