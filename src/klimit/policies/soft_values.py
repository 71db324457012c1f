"""Soft best-of-N prompt by prompt: its gain over random blocks, its KL by quadrature on the empirical law.

Soft best-of-N draws N completions and answers with one of them, chosen with odds w = exp(r / beta). The density
of its answer against the base policy is

    rho(w) = N E[w / (w + S)] = N * integral over x > 0 of w exp(-w x) phi(x)^(N-1) dx,   phi(x) = E exp(-w x),

S the sum of the N - 1 other weights. In log x the integrand is analytic and vanishes at either end, so that the
trapezoidal rule is accurate to about 1e-8 at a step of 1/2. The KL is E rho log rho. On the law of n samples it is
biased low; the same on halves and quarters of them gives the terms in 1/n and 1/n^2, which are extrapolated away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from klimit.policies.levels import Floats

_STEP = 0.5
_BLOCKS = 64


@dataclass(frozen=True, eq=False)
class Extrapolated:
    """A statistic of each prompt extrapolated in 1/n, to second and first order, and as it is; each ``(p,)``."""

    second: Floats
    first: Floats
    plain: Floats


def block_gain(centred: Floats, size: int, beta: float, rng: np.random.Generator) -> Floats:
    """Gain of soft best-of-``size``, unbiased, one a prompt: the mean over random disjoint blocks.

    Args:
        centred: rewards less their prompt's mean, in any order, shape ``(p, n)``.
        size: N, at most n.
        beta: in units of reward.
        rng: for the blocks; at ``size = n`` there is one, and no chance.
    """
    p, n = centred.shape
    blocks = n // size
    repeats = 1 if size == n else -(-_BLOCKS // blocks)
    total = np.zeros(p)
    for _ in range(repeats):
        shuffled = rng.permuted(centred, axis=1) if size < n else centred
        rewards = shuffled[:, : blocks * size].reshape(p, blocks, size)
        weights = np.exp((rewards - rewards.max(axis=2, keepdims=True)) / beta)
        total += ((weights * rewards).sum(axis=2) / weights.sum(axis=2)).mean(axis=1)
    return total / repeats


def densities(log_weights: Floats, size: int, splits: Sequence[int]) -> list[Floats]:
    """rho at each sample on the empirical law of all samples, of each half, of each quarter, ...

    Args:
        log_weights: r / beta less the prompt's largest, shape ``(p, n)``.
        size: N.
        splits: number of blocks of n // split consecutive samples; the rest of the samples are left out.

    Returns:
        For each split rho within its blocks, shape ``(p, split, n // split)``.
    """
    p, n = log_weights.shape
    rho = [np.zeros((p, split, n // split)) for split in splits]
    end = np.log(45.0) - log_weights.min()
    s = np.log(1e-10 / size)
    while s < end:
        wx = np.exp(np.minimum(log_weights + s, 7.0))  # exp(-exp(7)) is 0 already
        decay = np.exp(-wx)
        wx *= decay
        left = 0.0
        for total, split in zip(rho, splits, strict=True):
            used = split * (n // split)
            others = decay[:, :used].reshape(total.shape).mean(axis=2) ** (size - 1)
            total += (_STEP * size) * wx[:, :used].reshape(total.shape) * others[:, :, None]
            left = max(left, float(others.max()))
        if left < 1e-15:  # no other draw can be lower from here on
            break
        s += _STEP
    return rho


def kl_and_win_rate(
    log_weights: Floats, size: int, rng: np.random.Generator
) -> tuple[Extrapolated, Extrapolated]:
    """KL and win rate of soft best-of-``size``, one a prompt, extrapolated in the number of samples.

    Args:
        log_weights: r / beta less the prompt's largest, shape ``(p, n)``.
        size: N.
        rng: for the halves and quarters.
    """
    n = log_weights.shape[1]
    splits = [split for split in (1, 2, 4) if n // split >= 2 or split == 1]
    shuffled = rng.permuted(log_weights, axis=1)
    kls, wins = [], []
    for split, rho in zip(splits, densities(shuffled, size, splits), strict=True):
        kls.append(np.where(rho > 0, rho * np.log(np.where(rho > 0, rho, 1.0)), 0.0).mean(axis=(1, 2)))
        blocks = shuffled[:, : split * (n // split)].reshape(rho.shape)
        wins.append((rho * _middle_ranks(blocks)).mean(axis=(1, 2)))
    sizes = [n // split for split in splits]
    return _extrapolate(kls, sizes), _extrapolate(wins, sizes)


def _middle_ranks(values: Floats) -> Floats:
    """(F- + F)/2 of each value within its row, the last axis."""
    from scipy.stats import rankdata

    return np.asarray((rankdata(values, axis=-1) - 0.5) / values.shape[-1])


def _extrapolate(values: Sequence[Floats], sizes: Sequence[int]) -> Extrapolated:
    orders = [_weights(sizes[: k + 1]) for k in range(len(sizes))]
    results = [
        sum((w * v for w, v in zip(order, values, strict=False)), np.zeros_like(values[0]))
        for order in orders
    ]
    return Extrapolated(results[-1], results[min(1, len(results) - 1)], results[0])


def _weights(sizes: Sequence[int]) -> Floats:
    """Weights that sum to one and cancel the terms in 1/n, 1/n^2, ... of statistics at the given sizes."""
    powers = np.array([[sizes[0] / size] for size in sizes]) ** np.arange(len(sizes))
    return np.asarray(np.linalg.solve(powers.T, np.eye(len(sizes))[0]))
