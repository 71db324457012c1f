"""Do intervals cover in the lab? Its models are enumerated, so that the truth about every quantity is known.

    python benchmarks/lab_cover.py                       # the whole study, resumes where it stopped
    python benchmarks/lab_cover.py --worlds safety --studies limit --redraws 100 --out look.csv

A redraw takes 300 of a world's prompts, with replacement, and 64 completions of each from the enumerated base model
(and from trained ones, for audits), as ``klimit lab`` does; the population of prompts is the world's. One row a world,
choice of prompts and quantity. ``within`` are the redraws with an estimate, whose intervals ``cover`` (in per cent),
``bias`` and mean ``width`` are about; ``endless`` of them have no upper end, and count for no width. ``beyond`` the
horizon there is a range alone, and ``bracket`` is how often it holds the truth; the others were ``unanswered``.

Checkpoints are trained where they are not kept already, for 150 steps with rates that are fixed here. They, their
enumerated laws and what each redraw found are kept in the worlds' folders: delete ``cover/`` there to draw anew.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one process, one core
import numpy as np
from lab_cover_studies import JOBS, Study
from numpy.typing import NDArray
from scipy.stats import binom, norm

from klimit.errors import InputError, KlimitWarning
from klimit.lab import World, open_world

SEED = 20261127  # fixed before the first run
TABLE = Path(__file__).with_name("lab_cover.csv")
WORLDS = ("safety", "summarization")
BATCH = 50  # redraws between two looks at the table
EXACT = 1e-9  # rounding, where an interval has no width
_MANY = 100  # redraws from which on a normal law stands in for the binomial one


@dataclass(frozen=True)
class Row:
    """One row of the table: a quantity, and what came of it; covers in per cent."""

    world: str
    prompts: str
    study: str
    policy: str
    quantity: str
    truth: float
    redraws: int
    within: int
    cover: float
    standard_error: float
    bias: float
    width: float
    endless: int
    beyond: int
    bracket: float
    unanswered: int


def redraws(study: Study, seeds: Sequence[int]) -> NDArray[np.float64]:
    """Estimate and ends of every quantity, ``(len(seeds), Q, 3)``; nan where a quantity was refused."""
    out = np.full((len(seeds), len(study.truths), 3), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)
        for row, seed in zip(out, seeds, strict=True):
            try:
                found = study.redraw(int(seed))
            except InputError as error:
                print(f"seed {seed}: {error}", flush=True)
                continue
            for i, name in enumerate(study.truths):
                if name in found:
                    row[i] = found[name].estimate, found[name].low, found[name].high
    return out


def rows_of(world: str, prompts: str, study: Study, seen: NDArray[np.float64]) -> list[Row]:
    """How often what was seen, ``(n, Q, 3)``, holds the truth."""
    rows = []
    for name, each in zip(study.truths, np.moveaxis(seen, 1, 0), strict=True):
        truth, (estimate, low, high) = study.truths[name], each.T
        slack = EXACT * (1 + abs(truth)) if np.isfinite(truth) else 0.0
        hit = (low - slack <= truth) & (truth <= high + slack)
        within = np.isfinite(estimate)
        beyond = ~within & ~np.isnan(low) & ~np.isnan(high)
        width = (high - low)[within]
        ended = np.isfinite(width)
        rows.append(
            Row(
                world,
                prompts,
                *name,
                truth=truth,
                redraws=len(seen),
                within=int(within.sum()),
                cover=_mean(100.0 * hit[within]),
                standard_error=_error(int(within.sum())),
                bias=_mean(estimate[within] - truth),
                width=_mean(width[ended]),
                endless=int((~ended).sum()),
                beyond=int(beyond.sum()),
                bracket=_mean(100.0 * hit[beyond]),
                unanswered=int((~within & ~beyond).sum()),
            )
        )
    return rows


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _error(n: int) -> float:
    """Standard error of a cover of 93% over ``n`` redraws, per cent."""
    return 100 * float(np.sqrt(0.93 * 0.07 / n)) if n else float("nan")


def misses(rows: Sequence[Row]) -> list[Row]:
    """Rows whose intervals, or ranges, hold the truth too rarely: two standard errors below 93%, or as unlikely."""
    found = [(row, ((row.cover, row.within), (row.bracket, row.beyond))) for row in rows]
    return [row for row, pairs in found if any(n and rare(cover, n) for cover, n in pairs)]


def rare(cover: float, n: int) -> bool:
    """Whether a cover, in per cent of ``n`` redraws, lies two standard errors below 93%; counted exactly where few."""
    if n >= _MANY:
        return cover < 93 - 2 * _error(n)
    return bool(binom.cdf(round(cover * n / 100), n, 0.93) < norm.cdf(-2))


def read(table: Path) -> list[dict[str, str]]:
    """Rows as they stand there."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def write(table: Path, rows: Sequence[Row]) -> None:
    """Put rows in the place of those of the same quantity, or below all others."""
    key = [field.name for field in fields(Row)][:5]
    new = [
        {k: f"{v:.4g}" if isinstance(v, float) else str(v) for k, v in asdict(row).items()} for row in rows
    ]
    kept = {tuple(row[name] for name in key): row for row in [*read(table), *new]}
    staged = table.with_suffix(".new")
    with staged.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(kept.values())
    staged.replace(table)


def run(world: World, job: str, n: int, table: Path) -> None:
    """Redraw until there are ``n``, and write after each batch."""
    prompts, make = JOBS[job]
    name = world.task.name
    kept = world.folder / "cover" / f"{job.replace(' ', '-')}.npy"
    kept.parent.mkdir(exist_ok=True)
    seeds = np.random.SeedSequence([SEED, WORLDS.index(name), list(JOBS).index(job)]).generate_state(n)
    study = make(world, prompts)
    seen = np.load(kept)[:n] if kept.is_file() else np.empty((0, len(study.truths), 3))
    began = time.perf_counter()
    while True:
        if len(seen):
            rows = rows_of(name, prompts, study, seen)
            write(table, rows)
            worst = min((row for row in rows if row.within), key=lambda row: row.cover)
            print(
                f"[{time.perf_counter() - began:.0f} s] {name}, {job}, {len(seen):,} of {n:,}: "
                f"lowest {worst.cover:.1f}% of {worst.within:,} ({worst.policy}, {worst.quantity}); "
                f"{len(misses(rows))} below",
                flush=True,
            )
        if len(seen) >= n:
            return
        seen = np.concatenate([seen, redraws(study, seeds[len(seen) : len(seen) + BATCH])])
        np.save(kept, seen)


def main() -> None:
    """Run what is not kept yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=WORLDS)
    parser.add_argument("--studies", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--redraws", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    for job in options.studies:
        for world in options.worlds:
            run(open_world(world, say=print), job, options.redraws, options.out)


if __name__ == "__main__":
    main()
