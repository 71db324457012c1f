"""Rewards 0 and 1: one pass rate for all prompts, or pass rates drawn from a Beta law."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from klimit.errors import InputError
from klimit.limit.exact import expm1_minus
from klimit.limit.roots import Array, Cumulants, solve_frontier
from klimit.testsystems.base import Moments, TestSystem
from klimit.testsystems.discrete import DiscreteSystem, Population
from klimit.testsystems.numerics import lattice, log1p_minus


def binary_cumulants(p: Array, fail: Array, t: Array) -> Cumulants:
    """Cumulants of a 0/1 reward at tilts ``t``; all arguments broadcast, and ``fail`` = 1 - p is given exactly.

    With q the tilted pass rate: gain q - p, variance q (1 - q), and KL q log(q/p) + (1-q) log((1-q)/(1-p)).
    """
    size = np.abs(t)
    if (t < 0).any():
        p, fail = np.where(t < 0, fail, p), np.where(t < 0, p, fail)
    decay, capped = np.exp(-size), np.minimum(size, 500.0)
    inverse = 1.0 / (p + fail * decay)
    gain = p * fail * -np.expm1(-size) * inverse
    lost = fail * decay * inverse
    grown = p * np.expm1(capped)
    log_mean = np.log1p(grown) + (size - capped)  # log(1 - p + p e^t)
    log_partition = log_mean - p * size
    small = np.broadcast_to(size < 0.5, log_partition.shape)
    if small.any():
        excess = p * expm1_minus(np.minimum(size, 0.5))
        log_partition[small] = log1p_minus(grown[small]) + np.broadcast_to(excess, small.shape)[small]
    kl = np.where(size < 30.0, size * gain - log_partition, (1.0 - lost) * size - log_mean)
    return Cumulants(log_partition, np.sign(t) * gain, p * inverse * lost, kl)


def _binary_averages(p: Array, fail: Array, weights: Array, t: Array) -> list[Array]:
    """The same averaged over pass rates ``(B,)`` at tilts ``(n, 1)`` >= 1, where nothing cancels: few passes."""
    size, decay = t[:, 0], np.exp(-t)
    mean_factor = p + fail * decay
    inverse = 1.0 / mean_factor
    spread = weights * p * fail
    gain = -np.expm1(-size) * (inverse @ spread)
    variance = decay[:, 0] * ((inverse * inverse) @ spread)
    log_partition = size * (weights @ fail) + np.log(mean_factor) @ weights
    return [log_partition, gain, variance, size * gain - log_partition]


@dataclass(frozen=True, eq=False)
class Bernoulli(DiscreteSystem):
    """Rewards 0 and 1 with the same pass rate for every prompt.

    Attributes:
        p: the pass rate.
    """

    p: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.p < 1:
            raise InputError(f"Bernoulli: p={self.p!r}; the pass rate must lie strictly between 0 and 1")

    @cached_property
    def _variants(self) -> Population:
        return Population(np.array([[1.0 - self.p, self.p]]), np.array([[0.0, 1.0]]), np.ones(1))

    def _unit(self, t: Array) -> Cumulants:
        return binary_cumulants(np.asarray(self.p), np.asarray(1.0 - self.p), t)

    def _unit_draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array:
        return (rng.random((n_prompts, n_completions)) < self.p).astype(float)


@dataclass(frozen=True, eq=False)
class BetaBernoulli(DiscreteSystem):
    """Rewards 0 and 1 with a pass rate drawn from Beta(a, b) for each prompt; small a: many hardly pass.

    Averages over pass rates are trapezoidal in logit p, where they converge exponentially, whatever the
    density does at 0 and 1; per-prompt limits have a kink at p = exp(-kl) and are split there.

    Attributes:
        a: of the Beta law, at least 0.05.
        b: of the Beta law, at least 0.05.
    """

    a: float = 0.3
    b: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0.05 <= self.a < np.inf and 0.05 <= self.b < np.inf):
            raise InputError(
                f"Beta pass rates: a={self.a!r}, b={self.b!r}; both must be finite and at least 0.05"
            )

    def _scale_nodes(self, low: float, high: float) -> int:
        return TestSystem._scale_nodes(
            self, low, high
        )  # averaged over p, L is singular at t = +- 2 pi i only

    def _pass_rates(self, step: float) -> tuple[Array, Array, Array]:
        """Pass rates, their complements and weights."""
        from scipy.special import betaln, expit

        y = lattice(-42.0 / min(self.a, 1.0), 42.0 / min(self.b, 1.0), step)
        log_density = -self.a * np.logaddexp(0, -y) - self.b * np.logaddexp(0, y) - betaln(self.a, self.b)
        weights = step * np.exp(log_density)
        kept = weights > 1e-19 * weights.max()
        return expit(y)[kept], expit(-y)[kept], weights[kept]

    @cached_property
    def _variants(self) -> Population:
        # (1 - p)^N turns steep in logit p: half the step that the cumulants need
        p, fail, weights = self._pass_rates(0.25)
        tables = np.stack([fail, p], axis=1)
        return Population(tables, np.broadcast_to([0.0, 1.0], tables.shape), weights)

    @cached_property
    def _coarse(self) -> tuple[Array, Array, Array]:
        return self._pass_rates(0.5)

    def _unit(self, t: Array) -> Cumulants:
        p, fail, weights = self._coarse
        tilts = t.reshape(-1)
        out = np.empty((4, tilts.size))
        large = tilts >= 1.0
        for rows in (np.flatnonzero(large), np.flatnonzero(~large)):
            for block in np.array_split(rows, len(rows) // 64 + 1):  # blocks that stay in the cache
                u = tilts[block, None]
                out[:, block] = (
                    _binary_averages(p, fail, weights, u)
                    if u.size and large[block[0]]
                    else [c @ weights for c in binary_cumulants(p, fail, u)]
                )
        return Cumulants(*out.reshape(4, *t.shape))

    @cached_property
    def _unit_moments(self) -> Moments:
        a, b = self.a, self.b
        total = a + b
        variance = a * b / (total * (total + 1))
        return Moments(a / total, variance, variance * (b - a) / (total + 2))

    @cached_property
    def _unit_saturation(self) -> tuple[float, float]:
        from scipy.special import digamma

        return float(digamma(self.a + self.b) - digamma(self.a)), self.b / (self.a + self.b)

    def _unit_per_prompt(self, kl: Array) -> tuple[Array, Array]:
        from scipy.special import betainc, betaln

        # pass rates above exp(-kl) reach a reward of 1: the integral of 1 - p over them
        a, b = self.a, self.b
        above = np.where(
            kl < 0.7, betainc(b + 1.0, a, -np.expm1(-kl)), 1.0 - betainc(a, b + 1.0, np.exp(-kl))
        )
        saturated = b / (a + b) * above
        # the rest by tanh-sinh on (0, exp(-kl)): p = exp(-kl) / (1 + exp(-pi sinh z))
        step = 1.0 / 16.0
        z = lattice(-np.arcsinh(42.0 / (np.pi * min(a, 1.0))), np.arcsinh(42.0 / np.pi), step)
        stretch = np.pi * np.sinh(z)
        log_rest = -np.logaddexp(0.0, stretch)
        log_p = -kl[..., None] - np.logaddexp(0.0, -stretch)
        rarity = np.minimum(-log_p, 690.0)  # rarer passes do not move the average
        p = np.exp(-rarity)
        fail = -np.expm1(-kl)[..., None] + np.exp(log_rest - kl[..., None])
        gain, beta = solve_frontier(
            lambda t: binary_cumulants(p, fail, t),
            kl[..., None],
            variance=p * fail,
            top_kl=rarity,
            top_gain=fail,
        )
        log_weight = a * log_p + (b - 1.0) * np.log(fail) + log_rest - betaln(a, b)
        weight = step * np.pi * np.cosh(z) * np.exp(log_weight)
        positive = kl > 0
        return (
            np.where(positive, saturated + (weight * gain).sum(axis=-1), 0.0),
            np.where(positive, (weight * np.where(np.isfinite(beta), beta, 0.0)).sum(axis=-1), np.inf),
        )

    def _unit_draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array:
        p = rng.beta(self.a, self.b, size=(n_prompts, 1))
        return (rng.random((n_prompts, n_completions)) < p).astype(float)
