"""``klimit demo``: klimit at work, with no input."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from klimit.cli.outputs import check_outputs
from klimit.cli.progress import doing


def demo(
    lab: Annotated[
        bool | None,
        typer.Option(
            "--lab/--no-lab",
            help="Train language models in a small world, or estimate the limit of made-up samples.",
            show_default="--lab where the extra ppo is installed",
        ),
    ] = None,
    plot: Annotated[
        str, typer.Option(metavar="PATH", help="Where the figure goes: .png, .svg or .pdf.")
    ] = "klimit-demo.png",
) -> None:
    """Show klimit at work, beside the truth; needs no input and downloads nothing.

    With the extra ppo: a small language model is trained by GRPO and PPO, and all that it can say is enumerated, so
    that limit, best-of-N and both trainers are exact (a short klimit lab; two minutes the first time, what is done is
    kept). With the core alone: the limit and best-of-N from made-up samples whose truth is known.

    \b
    Examples:
      klimit demo
      klimit demo --no-lab --plot demo.pdf
    """
    check_outputs({}, {"--plot": plot}, inputs=[])
    if lab or (lab is None and _trains()):
        from klimit.cli.demo_lab import demo_lab

        demo_lab(plot)
    else:
        from klimit.cli.demo_samples import demo_samples

        demo_samples(plot)


def _trains() -> bool:
    """Whether what the lab trains with is installed, PPO included."""
    if not all(find_spec(name) for name in ("torch", "transformers", "accelerate", "trl")):
        return False
    from klimit.errors import InputError

    with doing("loading the trainers"):
        from klimit.training.checks import trainer_of

        try:
            trainer_of("ppo")
        except InputError:
            return False
    return True
