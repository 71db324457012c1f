"""The last step: everything audited, the page, the numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import klimit
from klimit.errors import InputError, KlimitWarning
from klimit.experiments import results, words
from klimit.experiments.place import BASE, PAGE, RESULTS, Place, samples_of
from klimit.experiments.prepare import HELD_OUT, TRAIN
from klimit.experiments.results import Found
from klimit.experiments.steps import Step
from klimit.experiments.store import Store
from klimit.experiments.work import spread_of
from klimit.models.prompts import read_prompts
from klimit.models.rewards import PREFIX
from klimit.policies import best_of_n
from klimit.reports.files import write_files
from klimit.reports.frontier.payload import to_json
from klimit.reports.page.content import Content
from klimit.reports.page.gather import gather
from klimit.reports.page.payload import page_payload
from klimit.reports.page.question import question
from klimit.reports.page.report import Report
from klimit.reports.page.text import page_words


def write_report(place: Place, steps: Sequence[Step]) -> None:
    """Audit all policies, and write the page and the numbers.

    Args:
        place: of the experiment.
        steps: all of them; those before this one are done.
    """
    recipe = place.recipe
    spread = spread_of(place) if recipe.in_spreads else None
    names = results.names_of(recipe, spread)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)  # the page says them
        content = _content(place, names)
        found = _found(place, content, spread, names)
    told = f"{words.summary(found)}\n{page_words(content)}"
    content = replace(content, lead=words.lead(found))
    numbers = {
        "version": klimit.__version__,
        "experiment": recipe.name,
        "summary": told,
        "recipe": recipe.to_dict(),
        "prompts": {which: len(read_prompts(place.prompts(which))) for which in (TRAIN, HELD_OUT)},
        "spread": spread,
        "policies": results.rows_of(found),
        "best_of_n": results.best_of_n_rows(found.best_of_n),
        "steps": _steps(place, steps),
        "page": page_payload(content, options={}),
    }
    write_files(
        {
            str(place.folder / RESULTS): to_json(numbers).encode(),
            str(place.folder / PAGE): Report(content).data,
        }
    )


def _content(place: Place, names: Sequence[str]) -> Content:
    recipe = place.recipe
    files = [str(place.folder / samples_of(run)) for run in recipe.runs]
    proxies = [PREFIX + name for name in recipe.proxies]
    asked = question(
        str(place.folder / BASE),
        policies=dict(zip(names, files, strict=True)),
        reward=None if proxies else PREFIX + recipe.limit_reward,
        gold=PREFIX + recipe.limit_reward if proxies else None,
        proxy=proxies,
        title=recipe.title or f"{recipe.name}: how near to the limit",
        level=recipe.level,
        seed=recipe.seed,
    )
    return gather(asked, command=f"klimit experiment {recipe.source.rpartition('/')[2]}")


def _found(place: Place, content: Content, spread: float | None, names: tuple[str, ...]) -> Found:
    recipe, audits = place.recipe, content.audits
    assert audits is not None
    trained: Any = None
    if recipe.reward != recipe.limit_reward:
        files = {
            name: str(place.folder / samples_of(run)) for name, run in zip(names, recipe.runs, strict=True)
        }
        trained = klimit.audit(
            files,
            str(place.folder / BASE),
            reward=PREFIX + recipe.reward,
            level=recipe.level,
            seed=recipe.seed,
        )
    limit = content.limit
    try:
        best = best_of_n(
            limit.samples,
            n=list(recipe.best_of_n),
            reward=limit.reward_name,
            level=recipe.level,
            seed=recipe.seed,
            limit=limit,
        )
    except InputError as error:
        raise InputError(f"{recipe.source}: best_of_n: {error}") from None
    return Found(recipe, spread, audits, trained, best)


def _steps(place: Place, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """What was done, when, by which versions."""
    store = Store(place.folder)
    before = [step for step in steps if step.target != PAGE]
    return [{"target": step.target, "kind": step.kind, **store.record(step)} for step in before]
