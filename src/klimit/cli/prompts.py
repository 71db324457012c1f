"""``klimit prompts``: a set of prompts, each once, in the form that the other steps read."""

from __future__ import annotations

from typing import Annotated

import typer

from klimit.cli import models


def prompts(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="beavertails or tldr (from the hub), or JSON lines, Parquet or CSV."
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="File to write: .parquet or .jsonl.")
    ],
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a set on the hub.", show_default="330k_train, or train"),
    ] = None,
    column: Annotated[
        str, typer.Option(metavar="NAME", help="The column that holds the prompts.")
    ] = "prompt",
    limit: Annotated[
        int | None,
        typer.Option("-n", "--limit", metavar="N", help="Take N at random.", show_default="all"),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Of that choice.")] = 0,
    chat: Annotated[
        bool, typer.Option("--chat", help="Make each text a user's message, for chat models.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file with something else.")
    ] = False,
) -> None:
    """Write a set of prompts, each once, for klimit sample.

    \b
    Examples:
      klimit prompts beavertails --chat -n 1000 -o prompts.parquet
      klimit prompts tldr --split validation -n 500 --seed 1 -o prompts.parquet
      klimit prompts questions.csv --column question -o prompts.jsonl
    """
    from klimit.models.prompt_sets import prompts as run

    run(
        name,
        output=output,
        split=split,
        column=column,
        limit=limit,
        seed=seed,
        chat=chat,
        overwrite=overwrite,
        say=models.say,
    )
