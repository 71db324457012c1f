"""Do the intervals of an audit cover? Policies and base policies given as tables, so that every quantity is known.

    python benchmarks/audit_cover.py                     # the whole study, resumes where it stopped
    python benchmarks/audit_cover.py --worlds "five levels" --repetitions 100 --out look.csv

Each repetition draws fresh prompts (rows of the tables, with replacement) and completions of both policies, and asks
:func:`klimit.audit`. One row a world, size, policy and quantity. Where an audit leaves a range instead of an estimate
(beyond the horizon) the range must hold the truth; ``known`` is the share of repetitions with an estimate.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
import warnings
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores already
import numpy as np

from klimit.audits.audit import audit
from klimit.errors import KlimitWarning
from klimit.testsystems import PolicyTables, random_tables

SEED = 20261124  # fixed before the first run
TABLE = Path(__file__).with_name("audit_cover.csv")
ROWS = 40
# Outputs and levels of the reward; without levels every output has its own reward.
WORLDS = {
    "two levels": (12, 2),
    "five levels": (24, 5),
    "own rewards": (40, None),
    "sixty levels": (600, 60),
    "fine": (1500, None),
}
# Completions of the policy, of the base policy, prompts.
SIZES = ((32, 64, 300), (64, 256, 100))
EXACT = 1e-9  # rounding, where an interval has no width


@dataclass(frozen=True)
class Row:
    """One row of the table: a quantity of a policy, and what came of it; covers in per cent."""

    world: str
    policy: str
    completions: int
    base_completions: int
    prompts: int
    repetitions: int
    quantity: str
    truth: float
    cover: float
    standard_error: float
    known: float
    bias: float
    half_width: float


def policies(world: str) -> dict[str, PolicyTables]:
    """The policies audited, all on one base policy."""
    outputs, levels = WORLDS[world]
    base, rewards = random_tables(ROWS, outputs, n_levels=levels, seed=SEED)
    mean = (base * rewards).sum(axis=1, keepdims=True)
    spread = float(np.sqrt((base * (rewards - mean) ** 2).sum(axis=1).mean()))
    rng = np.random.default_rng(SEED)
    tilted = PolicyTables.tilted(base, rewards, spread)
    noisy = PolicyTables.noisy(base, rewards, spread, 0.7, seed=SEED)
    betas = spread / rng.uniform(0.3, 2.0, ROWS)
    misallocated = PolicyTables.misallocated(base, rewards, betas)
    return {
        "tilted": tilted,
        "best-of-4": PolicyTables.best_of(base, rewards, 4),
        "noisy": noisy,
        "permuted": PolicyTables.permuted(base, rewards, 0.8, seed=SEED),
        "misallocated": misallocated,
        "mixed": PolicyTables.mixture(
            [noisy, misallocated, PolicyTables.best_of(base, rewards, 16)], [1, 1, 1]
        ),
        "losing": PolicyTables.noisy(base, rewards, -2 * spread, 0.3, seed=SEED),
    }


def repetition(
    world: str, systems: dict[str, PolicyTables], size: tuple[int, int, int], number: int
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Estimate and ends of every quantity of every policy."""
    n, m, prompts = size
    seed = int(np.random.SeedSequence([SEED, number, *size, list(WORLDS).index(world)]).generate_state(1)[0])
    drawn = {name: system.sample(prompts, n, m, seed=seed) for name, system in systems.items()}
    base = next(iter(drawn.values()))[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)
        found = audit({name: policy for name, (policy, _) in drawn.items()}, base, seed=number)
    out = {}
    for each in found:
        values = dict(each.values)
        values |= {f"kl by {name}": value for name, value in each.kl_estimates.items() if name != "k2"}
        for quantity, value in values.items():
            out[each.name, quantity] = (value.estimate, value.low, value.high)
    return out


def cell(job: tuple[str, tuple[int, int, int], int]) -> list[Row]:
    """All repetitions of a world and size."""
    world, size, repetitions = job
    systems = policies(world)
    runs = [repetition(world, systems, size, number) for number in range(repetitions)]
    rows = []
    for name, system in systems.items():
        truths = {**system.values, "kl by k1": float(system.kl), "kl by k3": float(system.kl)}
        for quantity, truth in truths.items():
            if not np.isfinite(truth) or (quantity == "implied_beta" and truth <= 0):
                continue
            seen = np.array([run[name, quantity] for run in runs if (name, quantity) in run])
            if not len(seen):
                continue
            estimate, low, high = seen.T
            slack = EXACT * (1 + abs(truth))
            hit = (low - slack <= truth) & (truth <= high + slack)
            known = np.isfinite(estimate)
            width = (high - low)[np.isfinite(high - low)] / 2
            rows.append(
                Row(
                    world,
                    name,
                    *size,
                    repetitions=len(seen),
                    quantity=quantity,
                    truth=truth,
                    cover=100 * float(hit.mean()),
                    standard_error=100 * float(np.sqrt(0.93 * 0.07 / len(seen))),
                    known=100 * float(known.mean()),
                    bias=float((estimate[known] - truth).mean()) if known.any() else float("nan"),
                    half_width=float(np.median(width)) if len(width) else float("inf"),
                )
            )
    return rows


def main() -> None:
    """Run the cells that the table does not hold yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=list(range(len(SIZES))), help="which of SIZES"
    )
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    done = set()
    if options.out.exists():
        with options.out.open(newline="") as file:
            done = {
                (row["world"], row["completions"], row["base_completions"], row["prompts"])
                for row in csv.DictReader(file)
            }
    jobs = [
        (world, SIZES[i], options.repetitions)
        for i in options.sizes
        for world in options.worlds
        if (world, *map(str, SIZES[i])) not in done
    ]
    start = time.perf_counter()
    names = [field.name for field in fields(Row)]
    with get_context("spawn").Pool(options.workers) as pool:
        for number, rows in enumerate(pool.imap_unordered(cell, jobs), 1):
            new = not options.out.exists()
            with options.out.open("a", newline="") as file:
                writer = csv.DictWriter(file, names)
                if new:
                    writer.writeheader()
                for row in rows:
                    values = asdict(row).items()
                    writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in values})
            worst = min(rows, key=lambda row: row.cover)
            print(
                f"[{number}/{len(jobs)}, {time.perf_counter() - start:.0f} s] {rows[0].world}, "
                f"{rows[0].completions}/{rows[0].base_completions} x {rows[0].prompts}: "
                f"lowest {worst.cover:.1f}% ({worst.policy}, {worst.quantity})",
                flush=True,
            )


if __name__ == "__main__":
    main()
