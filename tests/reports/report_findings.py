"""Findings over arrays of rewards, good and odd."""

import warnings

import numpy as np

import klimit
from klimit.reports.frontier.findings import Findings, gather

RNG = np.random.default_rng
ARRAYS = {
    "gaussian": RNG(0).normal(size=(60, 32)),
    "binary": (RNG(1).random((60, 32)) < RNG(2).random((60, 1)) ** 3).astype(float),
    "exponential": RNG(3).exponential(size=(100, 64)),
    "large": 1e12 + 1e9 * RNG(4).normal(size=(60, 32)),
    "small": 1e-9 * RNG(5).random((60, 32)),
    "few completions": RNG(6).normal(size=(50, 3)),
    "one completion": RNG(7).normal(size=(50, 1)),
    "few prompts": RNG(8).normal(size=(5, 32)),
    "one prompt": RNG(9).normal(size=(1, 32)),
    "constant": np.ones((20, 8)),
}


def findings_of(rewards: np.ndarray, *, kl: list[float] | None = None, **options: object) -> Findings:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        limit = klimit.frontier(rewards, kl=kl, **options)
        lines = [str(warning.message) for warning in said]
        average = limit if limit.budget == "average" else None
        best = klimit.best_of_n(limit.samples, limit=average)
    return gather(limit, best, kl=kl, warnings=lines)
