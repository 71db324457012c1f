"""Base laws on finitely many reward levels: ties, atoms at the top, and policies given as tables."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.limit import exact
from klimit.limit.roots import Array, Cumulants
from klimit.samples.container import Samples
from klimit.testsystems.base import Curve, Moments, TestSystem
from klimit.testsystems.numerics import categorical
from klimit.testsystems.selection import Selection, best_of, merge_ties, poisson, soft_curve, table_curve


class Population:
    """Weighted variants of a base law as tables: probabilities and rewards ``(B, K)``, weights ``(B,)``."""

    def __init__(self, p: Array, r: Array, weights: Array) -> None:
        self.p, self.r = merge_ties(p, r)
        self.weights = weights
        self.mean = (self.p * self.r).sum(axis=-1)
        self.d = self.r - self.mean[:, None]

    def average(self, values: Array) -> Array:
        """Average over the variants, the last axis."""
        return np.asarray(values @ self.weights)


@dataclass(frozen=True, eq=False, kw_only=True)
class DiscreteSystem(TestSystem):
    """A base law with levels."""

    def _scale_nodes(self, low: float, high: float) -> int:
        # the tilted law turns from level i to level j about s t = (log(p_i / p_j) +- i pi) / (r_j - r_i), so the
        # singularities lie near rays whose slope is set by the rarest level
        p = self._variants.p
        spread = np.log(p.max(axis=-1) / np.where(p > 0, p, 1.0).min(axis=-1)).max()
        slope = np.pi / (1.0 + 2.0 * spread)
        return min(int(28.0 / np.arcsinh(slope * (high + low) / (high - low))) + 10, 400)

    @cached_property
    @abstractmethod
    def _variants(self) -> Population:
        """The base law's tables."""

    def _unit(self, t: Array) -> Cumulants:
        v = self._variants
        return Cumulants(*(v.average(c) for c in exact.cumulants(v.p, v.d, t[..., None])))

    @cached_property
    def _unit_moments(self) -> Moments:
        v = self._variants
        values = (v.mean, (v.p * v.d**2).sum(axis=-1), (v.p * v.d**3).sum(axis=-1))
        return Moments(*(float(v.average(x)) for x in values))

    @cached_property
    def _unit_saturation(self) -> tuple[float, float]:
        v = self._variants
        kl, gain = exact.saturation(v.p, v.d)
        return float(v.average(kl)), float(v.average(gain))

    def _unit_per_prompt(self, kl: Array) -> tuple[Array, Array]:
        v = self._variants
        gain, beta = exact.frontier_per_prompt(v.p, v.d, kl[..., None])
        return v.average(gain), v.average(beta)

    def _curve(self, select: Selection) -> tuple[float, float]:
        v = self._variants
        kl, gain = table_curve(v.p, v.d, select)
        return float(v.average(kl)), float(v.average(gain))

    def _unit_best_of_n(self, n: Array) -> Curve:
        return Curve(*np.vectorize(lambda k: self._curve(best_of(k)), otypes=[float, float])(n))

    def _unit_best_of_poisson(self, mu: Array) -> Curve:
        return Curve(*np.vectorize(lambda m: self._curve(poisson(m)), otypes=[float, float])(mu))

    def _unit_soft_best_of_n(self, n: int, beta: float) -> tuple[float, float]:
        v = self._variants
        kl, gain = soft_curve(v.p, v.d, n, beta)
        return float(v.average(kl)), float(v.average(gain))


@dataclass(frozen=True, eq=False)
class Discrete(DiscreteSystem):
    """One law on a few levels for every prompt.

    Attributes:
        levels: the rewards there are.
        probabilities: of each.
    """

    levels: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 4.0)
    probabilities: tuple[float, ...] = (0.35, 0.3, 0.2, 0.1, 0.05)

    def __post_init__(self) -> None:
        super().__post_init__()
        p, _ = exact.check_tables(self.probabilities, self.levels)
        if p.ndim != 1:
            raise InputError(
                "discrete law: levels and probabilities must be flat sequences; use Tables for several"
            )

    @cached_property
    def _variants(self) -> Population:
        p = np.asarray(self.probabilities, dtype=float)[None, :]
        return Population(p, np.asarray(self.levels, dtype=float)[None, :], np.ones(1))

    def _unit_draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array:
        which = categorical(rng, np.asarray(self.probabilities, dtype=float), (n_prompts, n_completions))
        return np.asarray(self.levels, dtype=float)[which]


@dataclass(frozen=True, eq=False)
class Tables(DiscreteSystem):
    """Finite policies as tables; prompts are rows, drawn uniformly.

    Attributes:
        probabilities: of the outputs, ``(P, K)``.
        rewards: of the outputs, ``(P, K)``.
    """

    probabilities: NDArray[Any]
    rewards: NDArray[Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        p, _ = exact.check_tables(self.probabilities, self.rewards)
        if p.ndim != 2:
            raise InputError(f"tables: probabilities have shape {p.shape}; they must be (prompts, outputs)")

    @cached_property
    def _variants(self) -> Population:
        p, r = self._table
        return Population(p, r, np.full(len(p), 1.0 / len(p)))

    def _unit_draw(self, rng: np.random.Generator, n_prompts: int, n_completions: int) -> Array:
        rows = rng.integers(len(self._table[0]), size=n_prompts)
        return self._table[1][rows[:, None], self._draw_outputs(rng, rows, n_completions)]

    @cached_property
    def _table(self) -> tuple[Array, Array]:
        return exact.check_tables(self.probabilities, self.rewards)

    def _draw_outputs(
        self, rng: np.random.Generator, rows: NDArray[np.int64], n_completions: int
    ) -> NDArray[np.int64]:
        """Outputs drawn for the prompts ``rows``, as columns of the tables."""
        uniform = rng.random((len(rows), n_completions))
        cumulative = np.cumsum(self._table[0], axis=1)[:, :-1]
        which = np.empty(uniform.shape, dtype=np.int64)
        for i, row in enumerate(rows):
            which[i] = np.searchsorted(cumulative[row], uniform[i], side="right")
        return which

    def sample_these(self, n_completions: int, *, seed: int) -> Samples:
        """Samples of the given prompts, each once and in order: what the gains and KLs here are an average over.

        They carry the base policy's log-probabilities (``logprob``) and, as metadata, the ``output`` drawn.

        Raises:
            InputError: the scales vary, so that the truth is not that of these prompts.
        """
        low, high = self._scale_range
        if low != high:
            raise InputError(f"scale={self.scale!r}: the given prompts have one scale; give a number or None")
        rng = np.random.default_rng(seed)
        rows = np.arange(len(self._table[0]))
        outputs = self._draw_outputs(rng, rows, n_completions)
        rewards = low * self._table[1][rows[:, None], outputs]
        if self.location_sd:
            rewards = rewards + self.location_sd * rng.standard_normal((len(rows), 1))
        logprob = np.log(self._table[0][rows[:, None], outputs])
        return replace(
            Samples.from_array(rewards), logprob=logprob.reshape(-1), metadata={"output": outputs.reshape(-1)}
        )
