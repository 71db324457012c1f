"""``klimit lab``: a small world's exact limit and best-of-N, beside what klimit estimates from samples."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from klimit.cli import models
from klimit.cli.outputs import STDOUT, check_outputs, deliver
from klimit.cli.progress import doing

_PROMPTS = {"held-out": "held_out", "train": "train", "all": "all"}


def lab(
    world: Annotated[str, typer.Argument(metavar="WORLD", help="safety or summarization.")],
    prompts: Annotated[
        str, typer.Option(metavar="WHICH", help="held-out, train or all of its prompts.")
    ] = "held-out",
    seed: Annotated[int, typer.Option(metavar="S", help="Of the world, and of the samples.")] = 0,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Where worlds are kept.", show_default="KLIMIT_CACHE, or the user's"
        ),
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", metavar="PATH", help="Write all results as JSON; - for stdout.")
    ] = None,
) -> None:
    """Enumerate a small world of language models: its exact limit beside what klimit finds from samples.

    The world is built the first time, in a minute or two on one core, without network, and kept.

    \b
    Examples:
      klimit lab safety
      klimit lab summarization --prompts train --json lab.json
    """
    from klimit.errors import InputError

    if prompts not in _PROMPTS:
        raise InputError(f"--prompts {prompts}: choose one of {', '.join(_PROMPTS)}")
    check_outputs({"--json": json}, {}, inputs=[])
    findings = find(world, _PROMPTS[prompts], seed=seed, cache=cache)
    from klimit.reports.frontier.payload import to_json
    from klimit.reports.lab.payload import lab_payload
    from klimit.reports.lab.text import lab_report

    results = None if json is None else to_json(lab_payload(findings))
    contents = {} if results is None or json == STDOUT else {str(json): results.encode()}
    stdout = results if json == STDOUT else None
    deliver(contents, notes=[], words=lab_report(findings), stdout=stdout)


def find(world: str, prompts: Any, *, seed: int, cache: str | None) -> Any:
    """Open the world and find its numbers, exact and estimated."""
    from klimit.lab import Recipe, open_world
    from klimit.lab.findings import Drawn
    from klimit.lab.findings import find as find_in

    opened = open_world(Recipe(world, seed=seed), cache=cache, say=models.say)
    with doing(f"weighing {opened.tree.n_leaves:,} completions a prompt"):
        return find_in(opened, prompts=prompts, drawn=Drawn(seed=seed))
