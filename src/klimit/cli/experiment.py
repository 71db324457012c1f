"""``klimit experiment``: the whole chain from one file, to one page of answers."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from klimit.cli import models


def experiment(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE", help="TOML file, or the name of a recipe that comes with klimit (--list)."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder for everything.", show_default="the recipe's name"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the steps and which of them are done, and stop.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the recipe, to start one of your own from.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes that come with klimit.")] = False,
) -> None:
    """Sample, train, score and audit all that one file names, and write one page: how near each got to the limit.

    The file names the base model, prompts, rewards, betas and trainers. It can be stopped at any moment; the same
    command goes on, and does again only what depends on a change. Needs the extra train; ppo needs the extra ppo.

    \b
    Examples:
      klimit experiment lab-safety
      klimit experiment safety --show > mine.toml
      klimit experiment mine.toml --dry-run
      klimit experiment mine.toml -o runs/mine
    """
    from klimit.errors import InputError
    from klimit.experiments.shipped import about, shipped

    if list_:
        for name in shipped():
            print(f"{name:18}  {about(name)}")
        return
    if recipe is None:
        raise InputError("which experiment? give a TOML file, or a recipe's name (--list shows them)")
    if show:
        print(_text(recipe), end="")
        return
    from klimit.experiments import run

    if dry_run:
        from klimit.experiments.shown import plan_in_words

        place = run.placed(recipe, output)
        print(plan_in_words(place, *run.planned(place)), end="")
        return
    with models.resumable():
        found = run.experiment(recipe, output, say=models.say)
    for path in (found.page, found.folder / "results.json"):
        print(f"klimit: wrote {path}", file=sys.stderr)
    print(found.summary, end="")


def _text(recipe: str) -> str:
    """A recipe as it is written, once it is known to be one."""
    from pathlib import Path

    from klimit.experiments.read import read_recipe
    from klimit.experiments.shipped import text_of

    read_recipe(recipe)
    file = Path(recipe).expanduser()
    return file.read_text(encoding="utf-8") if file.is_file() else text_of(recipe)
