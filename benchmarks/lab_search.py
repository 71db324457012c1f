"""The search behind the lab's learning rates: ``python benchmarks/lab_search.py`` writes ``lab_search.csv``.

Each method trains on the safety world at beta 0.3 times the reward's spread with a few learning rates, falling to 0
over 150 steps of 256 completions. Its exact KL-penalised objective on training prompts, as a share of the optimum,
chooses the rate, between two that do worse; held-out prompts have no say in it. Both worlds are then trained with
the rates found. Runs that are done are kept, so that the search can be stopped and gone on with.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import torch

from klimit.lab import open_world
from klimit.lab.methods import METHODS, plans
from klimit.lab.objective import objective_share
from klimit.lab.runs import train_run

RATES = {"grpo": (1e-3, 3e-3, 1e-2), "rloo": (1e-3, 3e-3, 1e-2), "ppo": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)}
STEPS = 150
MULTIPLE = 0.3


def main() -> None:
    """Search, and write after every run."""
    torch.set_num_threads(1)
    world = open_world("safety", say=print)
    rows = []
    for method, rates in RATES.items():
        for rate in rates:
            (plan,) = plans(world, methods=[method], betas=[MULTIPLE], steps=STEPS)
            plan = replace(plan, method=replace(METHODS[method], learning_rate=rate))
            folder = train_run(world, plan, print)
            law = world.enumerate(folder)
            tables = world.audit(law, prompts="train")
            rows.append(
                {
                    "world": "safety",
                    "method": method,
                    "beta": round(plan.beta, 4),
                    "steps": STEPS,
                    "learning_rate": rate,
                    "objective_share": round(objective_share(world, law, plan), 4),
                    "kl": round(tables.kl, 4),
                    "gain": round(tables.gain, 4),
                    "efficiency": round(tables.efficiency, 4),
                }
            )
            print(rows[-1], flush=True)
            with Path(__file__).with_name("lab_search.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0], lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main()
