"""Options that the steps with language models share, and how these steps talk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

Model = Annotated[str, typer.Option("--model", metavar="PATH_OR_ID", help="Folder or hub id of the model.")]
Dtype = Annotated[
    str,
    typer.Option("--dtype", help="float32, bfloat16, float16, or auto: float32 on a CPU, else the model's."),
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1, or auto.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", metavar="N", help="Completions at once.", show_default="the largest that fits"
    ),
]
RemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
]
Pickle = Annotated[bool, typer.Option("--allow-pickle", help="Load pickled weights, which can run code.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Begin again where the output was made with other settings.")
]


def say(line: str) -> None:
    """A line on stderr, above the progress bar if there is one."""
    from klimit.models.extras import needed

    needed("tqdm.auto").tqdm.write(f"klimit: {line}", file=sys.stderr)


@contextmanager
def resumable() -> Iterator[None]:
    """Say, where the block is interrupted, that its work is kept."""
    try:
        yield
    except KeyboardInterrupt:
        say("what is done is kept; the same command goes on from there")
        raise
