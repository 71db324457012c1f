"""Which estimator of the limit? Six of them on the same samples, against the truth; writes a table and a figure.

    python benchmarks/estimators.py

Each is evaluated at the true minimiser ``t`` of the dual, so that only the estimate of the log-partition differs:

* ``plug-in``: ``log mean exp(t r)``;
* ``analytic``: the plug-in plus its first-order bias, ``(mean w^2 / (mean w)^2 - 1) / (2 n)``;
* ``PSIS``: the plug-in with the largest weights Pareto-smoothed (arXiv:1507.02646);
* ``jackknife``, ``richardson`` and ``extrapolated``: see :mod:`klimit.limit.estimator`.

Bias and root mean square error are in per cent of the true limit.
"""

from __future__ import annotations

import argparse
import csv
import os
import warnings
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import arviz_stats.base
import numpy as np

from klimit.limit.estimator import extrapolate, noise_of_difference
from klimit.limit.kernels import deals_for, prompt_statistics
from klimit.testsystems import systems

LAWS = ("gaussian", "exponential", "bernoulli", "two-normals")
COMPLETIONS, PROMPTS, REPETITIONS, PSIS_REPETITIONS = 128, 300, 100, 12
BUDGETS = np.array([0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0])
NAMES = ("plug-in", "analytic", "PSIS", "jackknife", "richardson", "extrapolated")
SEED = 20261124
TABLE = Path(__file__).with_name("estimators.csv")
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "estimators.png"


def psis(rewards: np.ndarray, t: float) -> np.ndarray:
    """Log-partition of each prompt from Pareto-smoothed weights."""
    raw = t * (rewards - rewards.max(axis=1, keepdims=True))
    if len(np.unique(rewards[0] - rewards[0].min())) < 5:
        return np.full(len(rewards), np.nan)  # a tail of equal values has no shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        smoothed, _ = arviz_stats.base.array_stats.psislw(-raw)
    smallest = raw.argmin(axis=1)[:, None]  # outside the tail: only normalised
    total = np.take_along_axis(raw - smoothed, smallest, axis=1)[:, 0]
    return total - np.log(rewards.shape[1]) + t * (rewards.max(axis=1) - rewards.mean(axis=1))


def one(job: tuple[str, int]) -> dict[str, np.ndarray]:
    """Estimates of every estimator at every budget, from one draw."""
    law, repetition = job
    system = systems()[law]
    rng = np.random.default_rng([SEED, repetition, LAWS.index(law)])
    rewards = np.sort(system.draw(rng, PROMPTS, COMPLETIONS), axis=1)
    offsets = np.arange(PROMPTS + 1) * COMPLETIONS
    out = {name: np.full(len(BUDGETS), np.nan) for name in NAMES}
    for i, kl in enumerate(BUDGETS):
        if kl >= system.saturation.kl:
            continue
        t = float(1 / system.beta_at(kl))
        stats = prompt_statistics(
            rewards.reshape(-1),
            offsets,
            t_low=t,
            octaves=1,
            seed=repetition,
            deals=deals_for(offsets),
            threads=1,
        )
        plug_in = stats.plug_in[0, :, 0]
        levels = stats.jackknife[:, :, 0]
        d1, d2 = levels[0] - levels[1], levels[1] - levels[2]
        noise = noise_of_difference(d1[:, None], d2[:, None])
        added = extrapolate(d1.mean(keepdims=True), d2.mean(keepdims=True), noise)[0]
        partitions = {
            "plug-in": plug_in.mean(),
            "analytic": (plug_in + (COMPLETIONS * stats.share[:, 0] - 1) / (2 * COMPLETIONS)).mean(),
            "jackknife": levels[0].mean(),
            "richardson": (levels[0] + d1 / 3).mean(),
            "extrapolated": levels[0].mean() + added,
        }
        if repetition < PSIS_REPETITIONS:
            partitions["PSIS"] = psis(rewards, t).mean()
        for name, value in partitions.items():
            out[name][i] = (kl + value) / t
    return out


def main() -> None:
    """Run every law, write the table, draw the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rows = []
    with get_context("spawn").Pool(options.workers) as pool:
        for law in LAWS:
            runs = pool.map(one, [(law, r) for r in range(REPETITIONS)], chunksize=4)
            truth = systems()[law].frontier(BUDGETS)
            for name in NAMES:
                relative = 100 * (np.array([run[name] for run in runs]) / truth - 1)
                for i, kl in enumerate(BUDGETS):
                    seen = relative[np.isfinite(relative[:, i]), i]
                    if len(seen):
                        rmse = np.sqrt((seen**2).mean())
                        rows.append((law, name, kl, f"{seen.mean():.3f}", f"{rmse:.3f}", len(seen)))
            print(f"{law}: done", flush=True)
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("law", "estimator", "kl", "bias_percent", "rmse_percent", "repetitions"))
        writer.writerows(rows)
    draw(rows)


def draw(rows: list[tuple]) -> None:
    """Bias against the budget, a panel a law."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    styles = {
        "plug-in": ("0.55", "o", ":"),
        "analytic": ("#8c6bb1", "s", "--"),
        "PSIS": ("#d95f02", "^", "-."),
        "jackknife": ("#1b9e77", "D", "--"),
        "richardson": ("#377eb8", "v", "-"),
        "extrapolated": ("black", "o", "-"),
    }
    for ax, law in zip(figure.subplots(2, 2).flat, LAWS, strict=True):
        ax.axhline(0, color="0.8", lw=1)
        for name in NAMES:
            points = [(r[2], float(r[3])) for r in rows if r[0] == law and r[1] == name]
            if points:
                color, marker, line = styles[name]
                ax.plot(
                    *zip(*points, strict=True), color=color, marker=marker, ls=line, ms=5, lw=1.8, label=name
                )
        ax.set_title(law)
        ax.set_ylim(-13, 2.5)
        ax.set_xlabel("KL(policy || base), nats per completion")
        ax.set_ylabel("bias, % of the limit")
    figure.axes[0].legend(frameon=False, fontsize=9, loc="lower left")
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=130)


if __name__ == "__main__":
    main()
