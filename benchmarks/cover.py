"""Do the intervals of the limit cover? Every law, sample count and prompt count, many repetitions, known truth.

    python benchmarks/cover.py                      # the whole study, resumes where it stopped
    python benchmarks/cover.py --laws exponential --n 128 --prompts 300 --repetitions 200 --out look.csv

Each repetition draws fresh prompts (with their own locations and, unless ``--equal``, scales) and completions, and
asks :func:`klimit.frontier` for the limit at fixed budgets. Cover is counted over the budgets within that
repetition's horizon, and averaged first over budgets, then over repetitions; its standard error is over
repetitions. The other estimators are given
the same statistics and the same budgets, in the first repetitions. One row a cell.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores already
import numpy as np

from klimit.errors import KlimitWarning
from klimit.limit.average import AverageBudget
from klimit.limit.estimator import ESTIMATORS, Inference
from klimit.limit.frontier import frontier
from klimit.testsystems import systems

BUDGETS = np.array(
    [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0]
)
COMPLETIONS = (16, 32, 128, 512)
PROMPTS = (50, 300, 3000)
SCALES = (0.5, 1.5)
COMPARED, COMPARED_AT_MANY = 200, 60  # repetitions in which the other estimators run too; at 3,000 prompts
SEED = 20261123  # fixed before the first run
TABLE = Path(__file__).with_name("cover.csv")


@dataclass(frozen=True)
class Cell:
    """One row of the table: a cell of the study and what came of it, covers in per cent."""

    law: str
    scales: str
    budget: str
    completions: int
    prompts: int
    repetitions: int
    cover: float
    standard_error: float
    cover_at_largest: float
    horizon_median: float
    horizon_10: float
    horizon_90: float
    half_width: float
    bracket: float
    plug_in: float
    jackknife: float
    richardson: float
    extrapolated: float


def one(
    law: str, equal: bool, budget: str, completions: int, prompts: int, repetition: int, truth: np.ndarray
) -> dict:
    """One repetition: which budgets lie within the horizon, and whose intervals cover there."""
    system = systems(scale=None if equal else SCALES)[law]
    rng = np.random.default_rng([SEED, repetition, completions, prompts, sorted(systems()).index(law), equal])
    rewards = system.draw(rng, prompts, completions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)
        limit = frontier(rewards, kl=BUDGETS, seed=repetition, budget=budget)
    inside = limit.horizon >= BUDGETS
    covered = (limit.gain_low <= truth) & (truth <= limit.gain_high)
    out = {"horizon": limit.horizon, "inside": inside, "shipped": covered, "width": np.zeros(0)}
    if not inside.any():
        return out
    out["width"] = ((limit.gain_high - limit.gain_low) / (2 * truth))[inside]
    compared = COMPARED if prompts < 3000 else COMPARED_AT_MANY
    if repetition >= compared or budget != "average":
        return out
    kl, unit = BUDGETS[inside], limit.rewards.scale
    assert isinstance(limit.engine, AverageBudget)
    for name in ESTIMATORS:
        engine = replace(limit.engine, estimator=name)
        lowest, highest = engine.reach
        hits = np.zeros(inside.sum(), dtype=bool)
        reached = (kl >= lowest) & (kl <= highest)
        inference = Inference(name=name)
        estimate = inference.estimate(engine.levels(kl[reached]))
        half = inference.quantile(prompts) * estimate.standard_error
        hits[reached] = np.abs(estimate.value * unit - truth[inside][reached]) <= half * unit
        out[name] = hits
    return out


def cell(job: tuple[str, bool, str, int, int, int]) -> Cell:
    """All repetitions of a cell."""
    law, equal, budget, completions, prompts, repetitions = job
    truth = systems(scale=None if equal else SCALES)[law].frontier(BUDGETS, budget=budget)
    runs = [one(law, equal, budget, completions, prompts, r, truth) for r in range(repetitions)]
    horizons = np.array([run["horizon"] for run in runs])
    seen = [run for run in runs if run["inside"].any()]
    each = np.array([run["shipped"][run["inside"]].mean() for run in seen])
    beyond = [run["shipped"][~run["inside"]] for run in runs if not run["inside"].all()]

    def cover(name: str) -> float:
        return (
            100 * float(np.mean([run[name].mean() for run in seen if name in run])) if seen else float("nan")
        )

    nan = float("nan")
    return Cell(
        law=law,
        scales="equal" if equal else "0.5-1.5",
        budget=budget,
        completions=completions,
        prompts=prompts,
        repetitions=repetitions,
        cover=100 * float(each.mean()) if seen else nan,
        standard_error=100 * float(each.std(ddof=1) / np.sqrt(len(each))) if len(seen) > 1 else nan,
        cover_at_largest=100 * float(np.mean([run["shipped"][run["inside"]][-1] for run in seen]))
        if seen
        else nan,
        horizon_median=float(np.median(horizons)),
        horizon_10=float(np.quantile(horizons, 0.1)),
        horizon_90=float(np.quantile(horizons, 0.9)),
        half_width=100 * float(np.mean([run["width"].mean() for run in seen])) if seen else nan,
        bracket=100 * float(np.mean([x.mean() for x in beyond])) if beyond else nan,
        plug_in=cover("plug-in"),
        jackknife=cover("jackknife"),
        richardson=cover("richardson"),
        extrapolated=cover("extrapolated"),
    )


def read(path: Path) -> dict[tuple, dict]:
    """Finished rows by cell."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {key(row): row for row in csv.DictReader(file)}


def key(row: dict) -> tuple:
    return tuple(
        str(row[name]) for name in ("law", "scales", "budget", "completions", "prompts", "repetitions")
    )


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, bool, str, int, int, int]]:
    """The cells asked for, the cheap ones first."""
    kinds = [False, True] if options.equal == "both" else [options.equal == "only"]
    for prompts in options.prompts:
        for completions in options.n:
            for equal in kinds:
                for law in options.laws:
                    yield law, equal, options.budget, completions, prompts, options.repetitions


def main() -> None:
    """Run the cells that the table does not hold yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--laws", nargs="+", default=list(systems()), choices=list(systems()))
    parser.add_argument("--n", nargs="+", type=int, default=list(COMPLETIONS))
    parser.add_argument("--prompts", nargs="+", type=int, default=list(PROMPTS))
    parser.add_argument(
        "--equal", choices=("no", "only", "both"), default="both", help="prompts of equal scales"
    )
    parser.add_argument("--budget", choices=("average", "per-prompt"), default="average")
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    done = read(options.out)
    names = [field.name for field in fields(Cell)]
    todo = []
    for job in jobs(options):
        law, equal, budget, completions, prompts, repetitions = job
        row = {
            "law": law,
            "budget": budget,
            "scales": "equal" if equal else "0.5-1.5",
            "completions": completions,
        }
        if key({**row, "prompts": prompts, "repetitions": repetitions}) not in done:
            todo.append(job)
    start = time.perf_counter()
    with get_context("spawn").Pool(options.workers) as pool:
        for number, result in enumerate(pool.imap(cell, todo), 1):
            row = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in asdict(result).items()}
            new = not options.out.exists()
            with options.out.open("a", newline="") as file:
                writer = csv.DictWriter(file, names)
                if new:
                    writer.writeheader()
                writer.writerow(row)
            elapsed = time.perf_counter() - start
            print(f"[{number}/{len(todo)}, {elapsed:.0f} s] " + " ".join(map(str, row.values())), flush=True)


if __name__ == "__main__":
    main()
