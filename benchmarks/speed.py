"""What the limit costs, as ratios to ``np.sort`` of the same float32 array in the same run.

    python benchmarks/speed.py            # 5,000 prompts x 1,024 completions, and the scaling from 1e4 to 1e7

``limit`` is :func:`klimit.frontier` with 64 budgets and intervals (64 or more betas inside), ``best-of-N`` is
:func:`klimit.best_of_n` at 1, 2, 4, ..., 1024 with its efficiencies against that limit. Medians over repeats.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

import klimit

BUDGETS = np.linspace(0.05, 1.6, 64)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of ``work``, after one run to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def compare(n_prompts: int, n_completions: int, repeats: int) -> tuple[float, float, float]:
    """Seconds of the sort, the limit, and the limit with best-of-N."""
    rewards = np.random.default_rng(0).normal(size=(n_prompts, n_completions)).astype(np.float32)
    samples = klimit.Samples.from_array(rewards)

    def limit() -> klimit.Frontier:
        result = klimit.frontier(samples, kl=BUDGETS)
        assert result.gain.shape == BUDGETS.shape
        return result

    return (
        seconds(lambda: np.sort(rewards, axis=1), repeats),
        seconds(limit, repeats),
        seconds(lambda: klimit.best_of_n(samples, limit=limit()), repeats),
    )


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(
        "prompts x completions   rewards     sort s    limit s  both s   limit/sort  both/sort  both ns/reward"
    )
    for n_prompts, n_completions in ((78, 128), (781, 128), (976, 1024), (5000, 1024), (9766, 1024)):
        sort, limit, both = compare(n_prompts, n_completions, options.repeats)
        size = n_prompts * n_completions
        print(
            f"{n_prompts:7d} x {n_completions:5d} {size:13.2g} {sort:10.4f} {limit:10.4f} {both:8.4f} "
            f"{limit / sort:10.1f} {both / sort:10.1f} {1e9 * both / size:12.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
