"""Whether the lab's runs come to rest: ``python benchmarks/lab_rest.py`` writes ``lab_rest.csv``.

On the safety world at beta 0.3 times the reward's spread, by the number of steps and by the schedule of the learning
rate: the exact KL-penalised objective on training prompts, as a share of its optimum, after the steps that were kept,
and the shares of the limit on both kinds of prompts. A rate that falls to 0 lets a run come to rest whatever it has
reached; one that is held shows what the noise of the steps costs. Runs that are done are kept, so that this can be
stopped and gone on with.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import torch

from klimit.lab import open_world
from klimit.lab.methods import METHODS, plans
from klimit.lab.study import study

RUNS = (("grpo", 300, "linear"), ("grpo", 300, "constant"), ("grpo", 600, "linear"))
MULTIPLE = 0.3


def main() -> None:
    """Train, enumerate along the way, and write after every run."""
    torch.set_num_threads(1)
    world = open_world("safety", say=print)
    rows = []
    for method, steps, schedule in RUNS:
        (plan,) = plans(world, methods=[method], betas=[MULTIPLE], steps=steps)
        plan = replace(plan, method=replace(METHODS[method], schedule=schedule))
        (trained,) = study(world, [plan], curves=True, say=print)
        rows += [
            {
                "world": "safety",
                "method": method,
                "beta": round(plan.beta, 4),
                "steps": steps,
                "schedule": schedule,
                "after_step": point.step,
                "objective_share": round(point.share, 4),
                **{
                    f"efficiency_{which}": round(exact["efficiency"], 4)
                    for which, exact in point.exact.items()
                },
            }
            for point in trained.points
        ]
        print(rows[-1], flush=True)
        with Path(__file__).with_name("lab_rest.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
