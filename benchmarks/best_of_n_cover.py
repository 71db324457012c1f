"""Do the intervals of best-of-N cover? Gain and KL over laws with ties, sample sizes and numbers of prompts.

    python benchmarks/best_of_n_cover.py [--repetitions 1000] [--out benchmarks/best_of_n_cover.csv]

Each cell draws its prompts and completions afresh from a fixed seed. ``kl_cover`` is the share of repetitions
whose 95% interval holds the true KL; ``kl_bias`` the error of the mean estimate, ``plug_in_bias`` that of the
empirical levels taken as true, both in nats; ``kl_width`` the median width of the interval.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from klimit.policies import best_of_n
from klimit.policies.ties import tie_loss, untied_kl
from klimit.testsystems import Bernoulli, BetaBernoulli, Discrete

SEED = 20260518
COUNTS = (16, 32, 128)
PROMPTS = (50, 300, 3000)


class Law(Protocol):
    """What the study needs of a law: draws, and the truth about best-of-N."""

    def draw(self, rng: np.random.Generator, n_prompts: int, n: int) -> NDArray[np.float64]:
        """Rewards, shape ``(n_prompts, n)``."""

    def truth(self, size: int) -> tuple[float, float]:
        """KL and gain of best-of-``size``."""


@dataclass(frozen=True)
class System:
    """A law of :mod:`klimit.testsystems`."""

    system: Bernoulli | BetaBernoulli | Discrete

    def draw(self, rng: np.random.Generator, n_prompts: int, n: int) -> NDArray[np.float64]:
        """See :class:`Law`."""
        return self.system.draw(rng, n_prompts, n)

    def truth(self, size: int) -> tuple[float, float]:
        """See :class:`Law`."""
        curve = self.system.best_of_n(size)
        return float(curve.kl), float(curve.gain)


@dataclass(frozen=True)
class Clipped:
    """Uniform rewards clipped to [low, high]: an atom at either end, continuous between."""

    low: float = 0.3
    high: float = 0.9

    def draw(self, rng: np.random.Generator, n_prompts: int, n: int) -> NDArray[np.float64]:
        """See :class:`Law`."""
        return np.clip(rng.random((n_prompts, n)), self.low, self.high)

    def truth(self, size: int) -> tuple[float, float]:
        """See :class:`Law`."""
        lost = self.low**size * untied_kl(size) + float(tie_loss(np.array([1 - self.high]), size)[0])

        def mean_clipped(power: int) -> float:  # E of the clipped best of `power`: high - integral of its cdf
            return self.high - (self.high ** (power + 1) - self.low ** (power + 1)) / (power + 1)

        return untied_kl(size) - lost, mean_clipped(size) - mean_clipped(1)


LAWS: dict[str, Law] = {
    "bernoulli(0.2)": System(Bernoulli(0.2)),
    "bernoulli(0.02)": System(Bernoulli(0.02)),
    "beta(0.3,2)": System(BetaBernoulli(0.3, 2.0)),
    "five levels": System(Discrete()),
    "clipped": Clipped(),
}


@dataclass(frozen=True)
class Row:
    """One cell of the study and one N."""

    law: str
    n: int
    prompts: int
    N: int
    kl: float
    kl_cover: float
    kl_bias: float
    plug_in_bias: float
    kl_width: float
    gain_cover: float


def plug_in_kl(rewards: NDArray[np.float64], size: int) -> float:
    """Mean KL with every prompt's empirical levels taken as true: the biased baseline."""
    n = rewards.shape[1]
    ordered = np.sort(rewards, axis=1)
    last = np.ones(ordered.shape, dtype=bool)
    last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    prompt, place = np.nonzero(last)
    upto = (place + 1) / n
    below = np.where(np.diff(prompt, prepend=-1) != 0, 0.0, np.concatenate([[0.0], upto[:-1]]))
    mass = upto**size - below**size
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(mass > 0, mass * np.log(mass / (upto - below)), 0.0)
    return float(terms.sum() / len(rewards))


def study_cell(name: str, n: int, prompts: int, repetitions: int, seed: int = SEED) -> list[Row]:
    """Cover of best-of-N's intervals for one law, at N = n/4, n/2 and n."""
    law = LAWS[name]
    sizes = [n // 4, n // 2, n]
    truth = np.array([law.truth(size) for size in sizes])
    rng = np.random.default_rng([seed, list(LAWS).index(name), n, prompts])
    kl, kl_ends, gain_ends, plug = [], [], [], []
    for _ in range(repetitions):
        rewards = law.draw(rng, prompts, n)
        curve = best_of_n(rewards, n=sizes, efficiency=False)
        kl.append(curve.kl)
        kl_ends.append((curve.kl_low, curve.kl_high))
        gain_ends.append((curve.gain_low, curve.gain_high))
        if len(plug) < 100:
            plug.append([plug_in_kl(rewards, size) for size in sizes])
    (low, high), (gain_low, gain_high) = np.moveaxis(kl_ends, 0, 1), np.moveaxis(gain_ends, 0, 1)
    slack = 1e-12  # of the truth's own quadrature
    cover = ((low <= truth[:, 0] + slack) & (truth[:, 0] <= high + slack)).mean(axis=0)
    gain_cover = ((gain_low <= truth[:, 1]) & (truth[:, 1] <= gain_high)).mean(axis=0)
    bias = np.mean(kl, axis=0) - truth[:, 0]
    plug_bias = np.mean(plug, axis=0) - truth[:, 0]
    width = np.median(high - low, axis=0)
    return [
        Row(
            name,
            n,
            prompts,
            size,
            round(float(truth[j, 0]), 4),
            round(float(cover[j]), 4),
            round(float(bias[j]), 5),
            round(float(plug_bias[j]), 4),
            round(float(width[j]), 4),
            round(float(gain_cover[j]), 4),
        )
        for j, size in enumerate(sizes)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Cover of best-of-N's intervals.")
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    options = parser.parse_args()
    fields = list(Row.__dataclass_fields__)
    rows: list[Row] = []
    for name in LAWS:
        for n in COUNTS:
            for prompts in PROMPTS:
                cell = study_cell(name, n, prompts, options.repetitions)
                rows += cell
                print(*cell, sep="\n", file=sys.stderr, flush=True)
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(fields)
        writer.writerows([getattr(row, field) for field in fields] for row in rows)
    need = 0.93 - 2 * math.sqrt(0.93 * 0.07 / options.repetitions)
    for what in ("kl_cover", "gain_cover"):
        worst = min(rows, key=lambda row: getattr(row, what))
        print(f"worst {what}: {getattr(worst, what):.3f} (needed {need:.3f}) at {worst}")


if __name__ == "__main__":
    main()
