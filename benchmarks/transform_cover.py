"""Do the intervals cover under reward transforms? Laws whose transformed limit is known exactly, many repetitions.

    python benchmarks/transform_cover.py --plain          # the default budget and target; resumes where it stopped
    python benchmarks/transform_cover.py --repetitions 100                         # the other budget and target
    python benchmarks/transform_cover.py --transforms rank --completions 32 --repetitions 50 --out look.csv

Each repetition draws fresh prompts (of other locations and scales, which the transform must undo or feel) and
completions, and asks :func:`klimit.frontier` for the limit at fixed budgets and :func:`klimit.best_of_n` for the gain
at a few N. Cover of the limit is counted over the budgets within that repetition's horizon, and averaged first over
budgets, then over repetitions; its standard error is over repetitions. One row a cell.
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

import klimit
from klimit.errors import KlimitWarning
from klimit.limit import exact
from klimit.testsystems import TestSystem, systems
from klimit.testsystems.continuous import ContinuousSystem

BUDGETS = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0])
SCALES = (0.5, 1.5)
SEED = 20261124  # fixed before the first run
PROMPTS = 300
REPETITIONS = 300
TABLE = Path(__file__).with_name("transform_cover.csv")
LAWS = {
    "standardised": ("gaussian", "uniform", "exponential", "bernoulli", "two-normals", "five-levels"),
    "rank": ("bernoulli", "beta-bernoulli", "five-levels"),
    "log-sigmoid-centred": ("gaussian", "exponential", "bernoulli", "two-normals", "five-levels"),
    "log-sigmoid-centred:0.85": ("gaussian", "two-normals"),
}


@dataclass(frozen=True)
class Cell:
    """One row of the table: a cell of the study and what came of it, covers in per cent."""

    transform: str
    law: str
    budget: str
    target: str
    completions: int
    prompts: int
    repetitions: int
    cover: float
    standard_error: float
    cover_at_largest: float
    horizon_median: float
    half_width: float
    bracket: float
    no_horizon: float
    best_of_4: float
    best_of_n: float


def system_of(law: str, target: str) -> TestSystem:
    """Prompts of one scale where intervals are about the given ones, so that all populations have one truth."""
    return systems(scale=SCALES if target == "population" else None)[law]


def tables(law: str, transform: str, scales: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The law of the transformed reward at prompts of each scale: probabilities and rewards, ``(S, K)``."""
    unit = systems(scale=None, location_sd=0.0)[law]
    if isinstance(unit, ContinuousSystem):
        grid = unit._fine_grid
        p, r, cdf = grid.probability / grid.probability.sum(), grid.reward, grid.cdf
    else:
        p, r = (np.asarray(x[0], dtype=float) for x in (unit._variants.p, unit._variants.r))
        order = np.argsort(r)
        p, r = p[order], r[order]
        cdf = np.cumsum(p)
    scale = np.asarray(scales)[:, None]
    if transform == "standardised":
        mean = p @ r
        values = np.broadcast_to((r - mean) / np.sqrt(p @ (r - mean) ** 2), (len(scale), len(r)))
    elif transform == "rank":
        values = np.broadcast_to(cdf - p / 2, (len(scale), len(r)))
    else:
        quantile = float(transform.partition(":")[2] or 0.5)
        centre = (
            np.interp(quantile, cdf, r)
            if isinstance(unit, ContinuousSystem)
            else r[np.searchsorted(cdf, quantile)]
        )
        values = -np.logaddexp(0.0, -scale * (r - centre))
    return np.broadcast_to(p, values.shape), np.asarray(values)


def truth_of(law: str, transform: str, budget: str, target: str) -> np.ndarray:
    """The limit at :data:`BUDGETS`."""
    if law == "beta-bernoulli":  # ranks of pass and fail differ by a half, whatever the pass rate
        return 0.5 * systems(scale=None)[law].frontier(BUDGETS, budget=budget)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    low, high = SCALES if target == "population" else (1.0, 1.0)
    scales = tuple((low + high) / 2 + (high - low) / 2 * nodes)
    p, r = tables(law, transform, scales)
    if budget == "average":
        return exact.frontier_average(p, r, BUDGETS, weights=weights / 2)[0]
    return exact.frontier_per_prompt(p, r, BUDGETS[:, None])[0] @ weights / 2


def best_truth(law: str, transform: str, target: str, sizes: tuple[int, ...]) -> np.ndarray:
    """Gain of best-of-N in the transformed reward."""
    if law == "beta-bernoulli":
        return 0.5 * systems(scale=None)[law].best_of_n(sizes).gain
    nodes, weights = np.polynomial.legendre.leggauss(24)
    low, high = SCALES if target == "population" else (1.0, 1.0)
    p, r = tables(law, transform, tuple((low + high) / 2 + (high - low) / 2 * nodes))
    unit = systems(scale=None, location_sd=0.0)[law]
    below = unit._fine_grid.cdf if isinstance(unit, ContinuousSystem) else np.cumsum(p[0])
    out = []
    for n in sizes:
        mass = (
            p[0] * n * below ** (n - 1)
            if isinstance(unit, ContinuousSystem)
            else np.diff(below**n, prepend=0.0)
        )
        mass = mass / mass.sum()
        out.append((r @ mass - r @ p[0]) @ weights / 2)
    return np.array(out)


def one(
    law: str, transform: str, budget: str, target: str, completions: int, prompts: int, repetition: int
) -> dict:
    """One repetition: the limit and best-of-N as estimated."""
    place = [list(systems()).index(law), list(LAWS).index(transform)]
    rng = np.random.default_rng([SEED, repetition, completions, prompts, *place])
    rewards = system_of(law, target).draw(rng, prompts, completions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)
        limit = klimit.frontier(
            rewards, kl=BUDGETS, seed=repetition, budget=budget, target=target, transform=transform
        )
        best = klimit.best_of_n(
            limit.samples, n=[4, completions], transform=transform, target=target, efficiency=False
        )
    return {
        "horizon": limit.horizon,
        "low": limit.gain_low,
        "high": limit.gain_high,
        "best": (best.gain_low, best.gain_high),
    }


def cell(job: tuple[str, str, str, str, int, int, int]) -> Cell:
    """All repetitions of a cell."""
    transform, law, budget, target, completions, prompts, repetitions = job
    truth = truth_of(law, transform, budget, target)
    best = best_truth(law, transform, target, (4, completions))
    runs = [one(law, transform, budget, target, completions, prompts, r) for r in range(repetitions)]
    inside = [run["horizon"] >= BUDGETS for run in runs]
    covered = [(run["low"] <= truth) & (truth <= run["high"]) for run in runs]
    each = np.array([c[i].mean() for c, i in zip(covered, inside, strict=True) if i.any()])
    edge = [c[i][-1] for c, i in zip(covered, inside, strict=True) if i.any()]
    beyond = [c[~i].mean() for c, i in zip(covered, inside, strict=True) if not i.all()]
    widths = [
        ((run["high"] - run["low"]) / (2 * truth))[i].mean()
        for run, i in zip(runs, inside, strict=True)
        if i.any()
    ]
    held = np.array([(run["best"][0] <= best) & (best <= run["best"][1]) for run in runs])

    def share(values: object) -> float:
        return 100 * float(np.mean(values)) if len(values) else float("nan")

    return Cell(
        transform=transform,
        law=law,
        budget=budget,
        target=target,
        completions=completions,
        prompts=prompts,
        repetitions=repetitions,
        cover=share(each),
        standard_error=100 * float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan"),
        cover_at_largest=share(edge),
        horizon_median=float(np.median([run["horizon"] for run in runs])),
        half_width=share(widths),
        bracket=share(beyond),
        no_horizon=share([not i.any() for i in inside]),
        best_of_4=share(held[:, 0]),
        best_of_n=share(held[:, 1]),
    )


def jobs(arguments: argparse.Namespace) -> list[tuple]:
    """The cells: every transform and law under the default, and some under the other budget and target."""
    found = [
        (transform, law, budget, target, completions, PROMPTS, arguments.repetitions)
        for budget, target in (
            ("average", "population"),
            ("per-prompt", "population"),
            ("average", "these-prompts"),
        )
        for completions in arguments.completions
        for transform in arguments.transforms
        for law in LAWS[transform]
        if (budget, target) == ("average", "population") or law in ("gaussian", "five-levels", "two-normals")
    ]
    if arguments.laws:
        found = [job for job in found if job[1] in arguments.laws]
    if arguments.plain:
        found = [job for job in found if job[2:4] == ("average", "population")]
    return found


def read(path: Path) -> dict[tuple, dict]:
    """Finished rows by cell."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {key(row): row for row in csv.DictReader(file)}


def key(row: dict) -> tuple:
    """What identifies a cell."""
    return tuple(
        str(row[name]) for name in ("transform", "law", "budget", "target", "completions", "prompts")
    )


def write(path: Path, rows: dict[tuple, dict]) -> None:
    """All rows, four digits."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Cell)], lineterminator="\n")
        writer.writeheader()
        for row in rows.values():
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--transforms", nargs="+", default=list(LAWS), choices=list(LAWS))
    found.add_argument("--laws", nargs="+")
    found.add_argument("--completions", nargs="+", type=int, default=[32, 128])
    found.add_argument("--repetitions", type=int, default=REPETITIONS)
    found.add_argument("--plain", action="store_true", help="average budget and population of prompts only")
    found.add_argument("--workers", type=int, default=2)
    found.add_argument("--out", type=Path, default=TABLE)
    return found


def main() -> None:
    """Run the cells that the table does not hold yet."""
    arguments = parser().parse_args()
    rows = read(arguments.out)
    todo = [job for job in jobs(arguments) if (*job[:4], str(job[4]), str(job[5])) not in rows]
    start = time.monotonic()
    with get_context("spawn").Pool(arguments.workers) as pool:
        for found in pool.imap(cell, todo):
            row = asdict(found)
            rows[key(row)] = row
            write(arguments.out, rows)
            print(f"{time.monotonic() - start:6.0f} s  {found}", flush=True)


if __name__ == "__main__":
    main()
