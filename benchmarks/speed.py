"""What the limit costs, as ratios to ``np.sort`` of the same float32 array in the same run.

    python benchmarks/speed.py                      # growth from 1e4 rewards on, then 5,000 x 1,024 three times
    python benchmarks/speed.py --out speed.csv      # write the table too
    python benchmarks/speed.py --first              # the first call of all, nothing compiled

``limit`` is :func:`klimit.frontier` with 64 budgets and their intervals (64 or more betas inside), correction and
horizon; ``all`` is that, effective sample sizes and k-hat of every prompt (``Frontier.diagnostics``), and
:func:`klimit.best_of_n` at 1, 2, 4, ..., n with its efficiencies. Sort and program take turns, and the fastest of the
repeats counts, wall clock and processor time (of all threads) apart: on a machine with other work, only the latter says
how much is to be done. Each row is a process of its own, whose peak resident memory is given less that before the first
call. ``NUMBA_NUM_THREADS`` and ``OMP_NUM_THREADS`` are 1 in the rows with one thread.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZES = ((78, 128), (781, 128), (976, 1024), (5000, 1024), (9766, 1024))
HEADLINE = (5000, 1024)
NAMES = (
    "prompts",
    "completions",
    "threads",
    "sort_s",
    "limit_s",
    "all_s",
    "limit_ratio",
    "all_ratio",
    "all_ns_per_reward",
    "sort_cpu_s",
    "all_cpu_s",
    "all_cpu_ratio",
    "extra_memory_mib",
)


def fastest(
    works: dict[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Least wall and processor time of each, taking turns, after one run to warm up."""
    wall, cpu = dict.fromkeys(works, float("inf")), dict.fromkeys(works, float("inf"))
    for work in works.values():
        work()
    for _ in range(repeats):
        for name, work in works.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            work()
            wall[name] = min(wall[name], time.perf_counter() - start)
            cpu[name] = min(cpu[name], time.process_time() - start_cpu)
    return wall, cpu


def peak() -> float:
    """Peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(n_prompts: int, n_completions: int, repeats: int) -> dict[str, float]:
    """One row, in this process."""
    import warnings

    import numpy as np

    import klimit
    from klimit.limit.kernels import n_threads

    warnings.simplefilter("ignore")
    budgets = np.linspace(0.05, 1.6, 64)

    def limit(samples: klimit.Samples) -> klimit.Frontier:
        result = klimit.frontier(samples, kl=budgets)
        assert result.gain.shape == result.gain_high.shape == budgets.shape
        return result

    def everything(samples: klimit.Samples) -> None:
        result = limit(samples)
        klimit.best_of_n(samples, limit=result)
        if result.horizon > 0:
            result.diagnostics()

    rng = np.random.default_rng(0)
    small = klimit.Samples.from_array(rng.normal(size=(40, 64)).astype(np.float32))
    everything(small)  # compiles, or loads what was compiled
    rewards = rng.standard_normal((n_prompts, n_completions), dtype=np.float32)
    samples = klimit.Samples.from_array(rewards)
    before = peak()
    everything(samples)
    memory = peak() - before
    wall, cpu = fastest(
        {
            "sort": lambda: np.sort(rewards, axis=1),
            "limit": lambda: limit(samples),
            "all": lambda: everything(samples),
        },
        repeats,
    )
    values = (
        n_prompts,
        n_completions,
        n_threads(),
        wall["sort"],
        wall["limit"],
        wall["all"],
        wall["limit"] / wall["sort"],
        wall["all"] / wall["sort"],
        1e9 * wall["all"] / rewards.size,
        cpu["sort"],
        cpu["all"],
        cpu["all"] / cpu["sort"],
        memory,
    )
    return dict(zip(NAMES, values, strict=True))


def row(size: tuple[int, int], repeats: int, *, threads: int | None = None) -> dict[str, float]:
    """One row, from a process of its own."""
    more = {} if threads is None else {"NUMBA_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--one", *map(str, size), "--repeats", str(repeats)]
    done = subprocess.run(command, env={**os.environ, **more}, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def first_call() -> None:
    """Print how long the very first call takes, with nothing compiled."""
    code = (
        "import time; start, cpu = time.perf_counter(), time.process_time()\n"
        "import numpy as np, klimit\n"
        "rewards = np.random.default_rng(0).normal(size=(200, 1024)).astype(np.float32)\n"
        "limit = klimit.frontier(rewards); limit.gain\n"
        "print(f'{time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} s of a processor')"
    )
    with tempfile.TemporaryDirectory() as folder:
        for when in ("the first frontier of all", "the first of a later process"):
            done = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "NUMBA_CACHE_DIR": folder},
                check=True,
                capture_output=True,
                text=True,
            )
            print(f"{when}: {done.stdout.strip()}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--one", type=int, nargs=2, help="prompts and completions: one row, as JSON")
    parser.add_argument("--first", action="store_true", help="time the first call only")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.first:
        first_call()
        return
    if options.one:
        print(json.dumps(measure(*options.one, options.repeats)))
        return
    jobs = [(size, None) for size in (*SIZES, HEADLINE, HEADLINE)] + [(HEADLINE, 1)]
    rows = []
    print(
        "prompts x completions  threads    sort s   limit s     all s  limit/sort  all/sort  all/sort cpu     MiB"
    )
    for size, threads in jobs:
        found = row(size, options.repeats, threads=threads)
        rows.append(found)
        print(
            f"{size[0]:7d} x {size[1]:11d} {found['threads']:8.0f} {found['sort_s']:9.4f} {found['limit_s']:9.4f} "
            f"{found['all_s']:9.4f} {found['limit_ratio']:11.2f} {found['all_ratio']:9.2f} "
            f"{found['all_cpu_ratio']:13.2f} {found['extra_memory_mib']:7.0f}",
            flush=True,
        )
    if options.out:
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, NAMES)
            writer.writeheader()
            writer.writerows({name: f"{value:.4g}" for name, value in found.items()} for found in rows)


if __name__ == "__main__":
    main()
