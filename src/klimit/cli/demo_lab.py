"""``klimit demo`` with the trainers installed: the lab in short, in a smaller world."""

from __future__ import annotations

from typing import Any

from klimit.cli import models
from klimit.cli.lab import find
from klimit.cli.progress import doing

STEPS, BETAS = 50, (1.0, 0.1)
SHORTER: dict[str, Any] = {"length": 4, "width": 32, "steps": 200, "demonstrations": 12_000}
_ABOUT = """\
A language model of {weights:,} weights completes {prompts} prompts of a made-up safety
task with up to {length} words. GRPO and PPO train it on {train} of them, in {steps} steps of {batch}
completions; the others are held out. Every completion of every model is
enumerated: all is exact but for klimit's intervals, which are from samples alone.
"""


def demo_lab(plot: str) -> None:
    """Train in a small world, beside its exact limit.

    Args:
        plot: where the figure goes.
    """
    from klimit.lab import Recipe, open_world
    from klimit.lab.methods import BATCH, DEFAULT, plans
    from klimit.lab.proxies import proxy_rows
    from klimit.lab.study import study
    from klimit.reports.lab.text import lab_report
    from klimit.training.checks import trainer_of

    trainer_of("ppo")
    world = open_world(Recipe("safety", **SHORTER), say=models.say)
    about = {
        "prompts": len(world.prompts.all),
        "train": len(world.prompts.train),
        "length": world.recipe.length,
    }
    print(_ABOUT.format(weights=_weights(world), steps=STEPS, batch=BATCH, **about), flush=True)
    with models.resumable():
        made = plans(world, methods=DEFAULT, betas=BETAS, steps=STEPS)
        trained = study(world, made, prompts=("held_out", "train"), say=models.say)
    findings = find(world, "held_out", seed=0)
    with doing("following the proxies' tilts"):
        proxies = proxy_rows(world, prompts="held_out", betas=BETAS)
    print(lab_report(findings, trained, proxies))
    _draw(findings, trained, plot)
    print(f"Figure: {plot}")
    print("Next: klimit lab safety trains six times as long, in a larger world")


def _weights(world: Any) -> int:
    from safetensors.numpy import load_file

    return sum(array.size for array in load_file(world.base_model / "model.safetensors").values())


def _draw(findings: Any, trained: Any, path: str) -> None:
    from klimit.reports.axes import save_figure
    from klimit.reports.lab.figure import draw_lab

    with doing(f"drawing {path}"):
        save_figure(draw_lab(findings, trained), path)
