"""The straightforward NumPy program for the same outputs as the compiled one, and two libraries for parts of them.

    python benchmarks/rival.py                      # 5,000 prompts x 1,024 completions; some minutes
    python benchmarks/rival.py --prompts 500        # quick; with fewer, the random blocks are dealt several times

``numpy`` is klimit with every compiled pass over the rewards written in vectorised NumPy, one tilt at a time over
all prompts: sorting and moments, best-of-N's weights, log-mean-exps of the whole and of random halves and quarters
with their leave-one-out jackknives (one logarithm a reward, tilt and block size, as the definition says), effective
sample sizes. What follows from these per-prompt numbers (interpolation, intervals, horizon) is the same code in both,
and takes a few milliseconds. Which completions form a block is given to it, at no cost. Pareto's k-hat is from
arviz-stats (its PSIS, one call a prompt). pymbar does one part: the uncorrected log-partitions, by ``MBAR`` with one
sampled state, one object a prompt, on a subset of the prompts, its time scaled up. The results are compared before
times are printed.
"""

from __future__ import annotations

import argparse
import time
import warnings
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np

import klimit
from klimit.limit import diagnostics, frontier, preparation
from klimit.limit.dealing import deal_prompts
from klimit.limit.kernels import PromptStatistics, deal_seed, grid
from klimit.limit.preparation import Rewards
from klimit.order_statistics import best_weights

BUDGETS = np.linspace(0.05, 1.6, 64)
_PYMBAR_PROMPTS = 20
_TINY = 1e-300


def sort_rewards(values: np.ndarray, offsets: np.ndarray, **_: Any) -> Rewards:
    """Sorted rewards with their moments and the gains of best-of-N."""
    n_prompts = len(offsets) - 1
    rows = np.sort(values.reshape(n_prompts, -1), axis=1)
    n = rows.shape[1]
    centred = rows.astype(np.float64)
    mean = centred.mean(axis=1)
    centred -= mean[:, None]
    sizes = 2 ** np.arange(1, n.bit_length())
    weights = np.stack([best_weights(n, int(size)) for size in sizes], axis=1)
    return Rewards(
        values=rows.reshape(-1),
        offsets=offsets,
        mean=mean,
        variance=(centred**2).sum(axis=1) / (n - 1),
        third=(centred**3).sum(axis=1) * n / ((n - 1) * (n - 2)),
        top=rows[:, -1].astype(np.float64),
        at_top=(rows == rows[:, -1:]).sum(axis=1),
        sizes=sizes,
        best=centred @ weights,
        pairs=(rows[:, 1:] == rows[:, :-1]).sum(axis=1),
    )


def statistics_of(blocks: np.ndarray, t: np.ndarray) -> PromptStatistics:
    """Log-mean-exps and jackknives at every tilt.

    Args:
        blocks: rewards, each prompt's in four blocks of equal size one after the other, ``(P, n)``.
        t: tilts, ``(T,)``.
    """
    n_prompts, n = blocks.shape
    top = blocks.max(axis=1, keepdims=True)
    below = blocks - top
    rise = -below.mean(axis=1)
    shape = (3, n_prompts, len(t))
    plug_in, jackknife, share = np.empty(shape), np.empty(shape), np.empty(shape[1:])
    for k, tilt in enumerate(t):
        w = np.exp(tilt * below)
        share[:, k] = (w**2).sum(axis=1) / w.sum(axis=1) ** 2
        for level, parts in enumerate((1, 2, 4)):
            each = w.reshape(n_prompts, parts, n // parts)
            m = n // parts
            total = np.maximum(each.sum(axis=2), _TINY)
            whole = np.log(total / m)
            others = total[:, :, None] - each
            # Where one weight is nearly all, subtracting it would leave only rounding.
            largest = each.argmax(axis=2)[:, :, None]
            rest = each.copy()
            np.put_along_axis(rest, largest, 0.0, axis=2)
            np.put_along_axis(others, largest, rest.sum(axis=2, keepdims=True), axis=2)
            left_out = np.log(np.maximum(others, _TINY) / (m - 1)).mean(axis=2)
            plug_in[level, :, k] = whole.mean(axis=1) + tilt * rise
            jackknife[level, :, k] = (m * whole - (m - 1) * left_out).mean(axis=1) + tilt * rise
    return PromptStatistics(t, plug_in, jackknife, share)


def weight_tails(values: np.ndarray, offsets: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Effective sample sizes, and k-hat by arviz-stats."""
    import arviz_stats.base

    rows = values.reshape(len(offsets) - 1, -1).astype(np.float64)
    logs = t * (rows - rows[:, -1:])
    w = np.exp(logs)
    shape = np.array([float(arviz_stats.base.array_stats.psislw(-row)[1]) for row in logs])
    return w.sum(axis=1) ** 2 / (w**2).sum(axis=1), shape


class Rival:
    """klimit with its compiled passes replaced."""

    def __init__(self, samples: klimit.Samples, seed: int = 0) -> None:
        ordered = preparation.sort_rewards(samples.reward(), samples.offsets).values
        blocks = np.empty(len(ordered))
        deal_prompts(ordered, samples.offsets, 4, deal_seed(seed, 0), blocks)
        self.blocks = blocks.reshape(samples.n_prompts, -1)

    def prompt_statistics(self, *_: Any, t_low: float, octaves: int, **__: Any) -> PromptStatistics:
        """In place of :func:`klimit.limit.kernels.prompt_statistics`."""
        return statistics_of(self.blocks, grid(t_low, octaves))

    def run(self, samples: klimit.Samples) -> dict[str, np.ndarray]:
        """All outputs."""
        with ExitStack() as stack:
            stack.enter_context(patch.object(preparation, "sort_rewards", sort_rewards))
            stack.enter_context(patch.object(frontier, "prompt_statistics", self.prompt_statistics))
            stack.enter_context(patch.object(diagnostics, "weight_tails", weight_tails))
            return outputs(samples)


def outputs(samples: klimit.Samples) -> dict[str, np.ndarray]:
    """The limit at 64 budgets, its horizon, diagnostics of every prompt, and best-of-N at all powers of two."""
    limit = klimit.frontier(samples, kl=BUDGETS)
    best = klimit.best_of_n(samples, limit=limit)
    table = limit.diagnostics().sort_values("prompt_id", kind="stable")
    found = {name: getattr(limit, name) for name in ("gain", "gain_low", "gain_high", "beta")}
    found["horizon"] = np.array([limit.horizon])
    found |= {f"best-of-n {name}": getattr(best, name) for name in ("gain", "gain_low", "gain_high", "kl")}
    found |= {
        f"efficiency {name}": getattr(best, name)
        for name in ("efficiency", "efficiency_low", "efficiency_high")
    }
    return found | {name: table[name].to_numpy() for name in ("ess", "pareto_k", "correction")}


def largest_difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> tuple[float, str]:
    """The largest difference, as a share of the largest value of the same output; and which output."""
    worst = (0.0, "none")
    for name, a in ours.items():
        b = theirs[name]
        if not np.array_equal(np.isnan(a), np.isnan(b)):
            raise SystemExit(f"{name}: not the same values are missing")
        worst = max(worst, (float(np.nanmax(np.abs(a - b)) / np.nanmax(np.abs(a))), name))
    return worst


def pymbar_log_partitions(rewards: np.ndarray, t: np.ndarray) -> np.ndarray:
    """``log mean exp(t (r - max))`` of each prompt by pymbar, ``(P, T)``."""
    from pymbar import MBAR

    out = np.empty((len(rewards), len(t)))
    for p, row in enumerate(rewards.astype(np.float64)):
        mbar = MBAR(np.zeros((1, len(row))), np.array([len(row)]))
        energies = -np.append(0.0, t)[:, None] * (row - row.max())
        found = mbar.compute_perturbed_free_energies(energies, compute_uncertainty=False)
        out[p] = -np.asarray(found["Delta_f"])[0, 1:]
    return out


def seconds(work: Any) -> tuple[float, Any]:
    """Wall time and result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> None:
    """Compare results, then print times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=5000)
    parser.add_argument("--completions", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rewards = np.random.default_rng(0).normal(size=(options.prompts, options.completions)).astype(np.float32)
    samples = klimit.Samples.from_array(rewards)
    ours = outputs(samples)
    fastest = min(seconds(lambda: outputs(samples))[0] for _ in range(options.repeats))
    rival = Rival(samples)
    slow, theirs = seconds(lambda: rival.run(samples))
    difference, where = largest_difference(ours, theirs)
    print(f"{options.prompts} x {options.completions}: results agree to {difference:.1e} ({where})")
    print(f"klimit {fastest:.3f} s, numpy {slow:.1f} s: {slow / fastest:.0f} times as long", flush=True)
    part = rewards[:_PYMBAR_PROMPTS]
    t = grid(0.03, 8)
    try:
        took, found = seconds(lambda: pymbar_log_partitions(part, t))
    except ImportError:
        print("pymbar: not installed (pip install pymbar)")
        return
    below = part.astype(np.float64) - part.max(axis=1, keepdims=True)
    plain = np.stack([np.log(np.exp(x * below).mean(axis=1)) for x in t], axis=1)
    scaled = took * options.prompts / len(part)
    error = np.abs(found - plain).max()
    print(
        f"pymbar, log-partitions at {len(t)} tilts alone: {scaled:.1f} s for all prompts (measured on {len(part)}), "
        f"{scaled / fastest:.0f} times as long as all of klimit; equal to {error:.1e}"
    )


if __name__ == "__main__":
    main()
