"""Do thresholds, gaps and regrets cover? Gold and proxy given as tables, so that every quantity is known.

    python benchmarks/hacking_cover.py                     # the whole study, resumes where it stopped
    python benchmarks/hacking_cover.py --worlds "two peaks" --repetitions 100 --out look.csv

Each repetition draws fresh prompts (rows of the tables, with replacement) and completions, scores them by both rewards,
labels all or a quarter of them with gold, and asks :func:`klimit.hacking`. One row a world, size and quantity. A
threshold that lies beyond a repetition's horizon, or that there is none of, is covered by an interval without end.
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
from klimit.errors import InputError, KlimitWarning
from klimit.testsystems import ProxyTables

SEED = 20261125  # fixed before the first run
TABLE = Path(__file__).with_name("hacking_cover.csv")
WORLDS = {
    "heavy error": ProxyTables.heavy_error,
    "never": ProxyTables.never,
    "at zero": ProxyTables.at_zero,
    "two peaks": ProxyTables.two_peaks,
    "binary": ProxyTables.binary,
}
# Completions, prompts, share of completions with a gold label.
SIZES = ((64, 300, 1.0), (128, 100, 0.25))
SHARES = (0.1, 0.5, 0.9)  # of the horizon, where curves are looked at
BETAS = (2.0, 1.0, 0.5)  # over the proxy's spread, where gaps are
EXACT = 1e-9


@dataclass(frozen=True)
class Row:
    """One row of the table: a quantity, and what came of it; covers in per cent."""

    world: str
    completions: int
    prompts: int
    labelled: float
    repetitions: int
    quantity: str
    truth: float
    cover: float
    standard_error: float
    known: float
    bias: float
    half_width: float


Found = dict[str, tuple[float, float, float, float]]


def repetition(system: ProxyTables, size: tuple[int, int, float], seed: int) -> Found:
    """Truth, estimate and ends of every quantity."""
    n, prompts, labelled = size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KlimitWarning)
        samples = system.sample(prompts, n, seed=seed, labelled=labelled)
        found = klimit.hacking(samples, proxy="proxy", gold="gold", seed=seed % 1000)
    out: Found = {}
    for name, value in (("threshold", found.threshold), ("worse_than_base", found.worse_than_base)):
        out[name] = (getattr(system, name), value.estimate, value.low, value.high)
    if found.horizon > 0:
        at = [int(share * len(found.kl)) for share in SHARES]
        exact = system.at_kl(found.kl[at])
        for share, i, gold, proxy, covariance in zip(
            SHARES, at, exact.gold_gain, exact.proxy_gain, exact.covariance, strict=True
        ):
            for name, truth in (("gold_gain", gold), ("proxy_gain", proxy), ("covariance", covariance)):
                ends = (getattr(found, f"{name}{end}")[i] for end in ("", "_low", "_high"))
                out[f"{name} at {share:g} of the horizon"] = (float(truth), *(float(end) for end in ends))
    best = found.best_of_n
    exact_n = system.best_of_n(best.setting)
    for i in (1, len(best.setting) // 2, len(best.setting) - 2):
        ends = (best.gold_gain[i], best.gold_gain_low[i], best.gold_gain_high[i])
        out[f"gold of best-of-{best.setting[i]:g}"] = (
            float(exact_n.gold_gain[i]),
            *(float(end) for end in ends),
        )
    if labelled == 1:
        for beta in BETAS:
            scaled = beta * system_spread(system)
            try:
                gap = found.gap(beta=scaled)
            except InputError:
                continue
            for name in ("gap", "regret"):
                value = getattr(gap, name)
                truth = float(getattr(system, name)(scaled))
                out[f"{name} at beta {beta:g}"] = (truth, value.estimate, value.low, value.high)
    return out


def system_spread(system: ProxyTables) -> float:
    """Root mean square of the proxy's standard deviation within prompts."""
    mean = (system.base * system.proxy).sum(axis=1, keepdims=True)
    return float(np.sqrt((system.base * (system.proxy - mean) ** 2).sum(axis=1).mean()))


def cell(job: tuple[str, tuple[int, int, float], int]) -> list[Row]:
    """All repetitions of a world and size."""
    world, size, repetitions = job
    system = WORLDS[world](seed=SEED)
    seeds = np.random.SeedSequence([SEED, list(WORLDS).index(world), size[0]]).generate_state(repetitions)
    runs = [repetition(system, size, int(seed)) for seed in seeds]
    rows = []
    for quantity in dict.fromkeys(name for run in runs for name in run):
        truth, estimate, low, high = np.array([run[quantity] for run in runs if quantity in run]).T
        slack = EXACT * (1 + np.abs(np.where(np.isfinite(truth), truth, 0.0)))
        hit = (low - slack <= truth) & (truth <= high + slack)
        known = np.isfinite(estimate) & np.isfinite(truth)
        width = (high - low)[np.isfinite(high - low)] / 2
        rows.append(
            Row(
                world,
                *size,
                repetitions=len(truth),
                quantity=quantity,
                truth=float(np.median(truth)),
                cover=100 * float(hit.mean()),
                standard_error=100 * float(np.sqrt(0.93 * 0.07 / len(truth))),
                known=100 * float(np.isfinite(estimate).mean()),
                bias=float((estimate - truth)[known].mean()) if known.any() else float("nan"),
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
            done = {(row["world"], int(row["completions"])) for row in csv.DictReader(file)}
    jobs = [
        (world, SIZES[i], options.repetitions)
        for i in options.sizes
        for world in options.worlds
        if (world, SIZES[i][0]) not in done
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
                f"{rows[0].completions} x {rows[0].prompts}, {rows[0].labelled:.0%} labelled: "
                f"lowest {worst.cover:.1f}% ({worst.quantity})",
                flush=True,
            )


if __name__ == "__main__":
    main()
