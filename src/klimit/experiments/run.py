"""``klimit.experiment``: the whole chain from one file, stopped and gone on with at any moment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import klimit
from klimit.errors import InputError
from klimit.experiments.clock import time_left
from klimit.experiments.inputs import check_inputs
from klimit.experiments.place import PAGE, RESULTS, Place, Say
from klimit.experiments.plan import steps_of
from klimit.experiments.read import read_recipe
from klimit.experiments.steps import Step
from klimit.experiments.store import Store
from klimit.models.extras import needed
from klimit.models.loading import Trust, check_model
from klimit.models.rewards import is_function
from klimit.training.checks import check_place, trainer_of

_ENGINES = ("torch", "transformers", "trl")


@dataclass(frozen=True)
class Experiment:
    """An experiment that is done.

    Attributes:
        folder: where everything lies.
        page: the page of its answers.
        results: the numbers, as the JSON file has them.
    """

    folder: Path
    page: Path
    results: dict[str, Any]

    @property
    def summary(self) -> str:
        """How near each method got to the limit, in words."""
        return str(self.results["summary"])


def experiment(
    recipe: str | Path | Mapping[str, Any],
    output: str | Path | None = None,
    *,
    say: Say | None = None,
) -> Experiment:
    """Sample, train, score and audit all that a recipe names, and write one page of the answers.

    It can be stopped at any moment; the same call goes on. What is done is not done again, unless something that it
    depends on was changed: a key of the recipe, a file of prompts, the model in a folder, a reward's source.

    >>> found = klimit.experiment("lab-safety")
    >>> print(found.summary)

    Args:
        recipe: a TOML file, the name of a recipe that comes with klimit, or a mapping with the same keys
            (:doc:`/experiments`).
        output: folder for everything; by default one with the recipe's name, in the current folder.
        say: takes lines for the user.

    Raises:
        InputError: a recipe that cannot be, or a step that went wrong; one line says why.
    """
    place = placed(recipe, output, say)
    steps, store = planned(place)
    _check(place, [step for step in steps if store.missing(step)])
    with store.open():
        for number, step in enumerate(steps, 1):
            store.take_back(step)
            missing = store.missing(step)
            if missing:
                left = [each for each in steps[number - 1 :] if store.missing(each)]
                time = time_left(left, store.paces())
                place.say(f"step {number} of {len(steps)}: {step.says}{f' ({time})' if time else ''}")
                _do(store, step, missing)
    numbers = json.loads((place.folder / RESULTS).read_text(encoding="utf-8"))
    return Experiment(place.folder, place.folder / PAGE, numbers)


def placed(
    recipe: str | Path | Mapping[str, Any], output: str | Path | None = None, say: Say | None = None
) -> Place:
    """A recipe and its folder.

    Raises:
        InputError: the recipe cannot be.
    """
    found = read_recipe(recipe)
    folder = Path(found.name) if output is None else Path(output).expanduser()
    return Place(found, folder, say or (lambda line: None))


def planned(place: Place) -> tuple[list[Step], Store]:
    """The steps of an experiment, and the folder that knows which of them are done.

    Raises:
        InputError: something that the recipe names is not there.
    """
    if place.recipe.world is not None:
        for module in ("torch", "transformers"):
            needed(module)
    check_inputs(place.recipe)
    return steps_of(place), Store(place.folder)


def _check(place: Place, left: Sequence[Step]) -> None:
    """Refuse, before anything is done, what a later step would stumble over.

    Raises:
        InputError: a trainer, a device or a model on the hub that is not to be had.
    """
    recipe = place.recipe
    if any(step.kind == "train" for step in left):
        for trainer in recipe.trainers:
            trainer_of(trainer)
        try:
            check_place(recipe.device)
        except InputError as error:
            raise InputError(f"{recipe.source}: {error}") from None
    if recipe.world is not None or not any(step.kind != "report" for step in left):
        return
    trust = Trust(remote_code=recipe.trust_remote_code, pickle=recipe.allow_pickle)
    models = {"model": recipe.model}
    models |= {f"reward {name}": what for name, what in recipe.rewards.items() if not is_function(what)}
    for key, name in models.items():
        try:
            check_model(name, classifier=key != "model", trust=trust)
        except InputError as error:
            raise InputError(f"{recipe.source}: {key}: {error}") from None


def _do(store: Store, step: Step, missing: Sequence[str]) -> None:
    """Do what is missing of a step, and record it."""
    begun = store.was_begun(step)
    store.prepare(step)
    start = perf_counter()
    step.do(missing)
    whole = not begun and len(missing) == len(step.keys)
    store.finished(step, perf_counter() - start if whole else None, _versions())


def _versions() -> dict[str, str]:
    """Of what does the work."""
    return {"klimit": klimit.__version__, **{name: version(name) for name in _ENGINES if _is_there(name)}}


def _is_there(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None
