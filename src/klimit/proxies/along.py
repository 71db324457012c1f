"""The proxy's tilt seen from samples: each quantity along it, the bias of few completions removed, with its error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from klimit.audits.measured import Array, Measured
from klimit.limit.dual import Grid
from klimit.limit.estimator import Inference
from klimit.limit.kernels import grid as tilt_grid
from klimit.limit.levels import PromptLevels
from klimit.limit.preparation import T_LOW, Rewards
from klimit.proxies.kernel import QUANTITIES, tilt_statistics

MIN_COMPLETIONS = 16  # of every prompt, for eighths of two
MIN_LABELS = 2  # of a prompt, for a covariance with gold


@dataclass(frozen=True, eq=False)
class Scored:
    """Base samples scored by a proxy and, all or some of them, by gold.

    Attributes:
        proxy: ``(n,)``.
        gold: ``(n,)``; anything where there is no label.
        labelled: ``(n,)``.
        offsets: ``(P + 1,)``.
    """

    proxy: Array
    gold: Array
    labelled: NDArray[np.bool_]
    offsets: NDArray[np.int64]

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.offsets) - 1

    @cached_property
    def prompt(self) -> NDArray[np.int64]:
        """The prompt of each completion."""
        return np.repeat(np.arange(self.n_prompts), np.diff(self.offsets))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Gold labels of each prompt, ``(P,)``."""
        return np.add.reduceat(self.labelled.astype(np.int64), self.offsets[:-1])

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Prompts with labels enough for a covariance."""
        return np.asarray(self.labels >= MIN_LABELS)

    @property
    def complete(self) -> bool:
        """Whether every completion has a gold label."""
        return bool(self.labelled.all())


@dataclass(frozen=True, eq=False)
class Tilt:
    """The tilt by a proxy, in its own units; ``t`` is inverse temperature over ``scale``.

    Attributes:
        statistics: from :func:`klimit.proxies.kernel.tilt_statistics`, ``(4, 5, P, T)``.
        grid: of scaled ``t``.
        scale: of the proxy: one unit of the scaled one.
        usable: prompts with gold labels enough.
        slope: gold per scaled proxy that was taken off gold before it was tilted: all completions have a proxy.
        inference: level and target.
    """

    statistics: Array
    grid: Grid
    scale: float
    usable: NDArray[np.bool_]
    slope: float
    inference: Inference

    @property
    def u(self) -> Array:
        """``log t`` on the grid, scaled."""
        return self.grid.u

    def estimate(self, name: str, u: Array, *, derivative: int = 0) -> list[Measured]:
        """A quantity at points ``u = log t`` (scaled), each with its influences."""
        parts = self._estimates(name, u, derivative)
        if name not in ("gold", "covariance") or self.slope == 0:
            return parts
        rest = self._estimates({"gold": "proxy", "covariance": "spread"}[name], u, derivative)
        return [part + more.times(self.slope) for part, more in zip(parts, rest, strict=True)]

    def _estimates(self, name: str, u: Array, derivative: int) -> list[Measured]:
        which = QUANTITIES.index(name)
        chosen = self.usable if which >= 3 else np.ones(len(self.usable), dtype=bool)
        weights = self.grid.basis(np.asarray(u), derivative=derivative)
        blocks = self.statistics[:, which][:, chosen] @ weights.T
        value, moved, bias = signed_estimate(self.inference, blocks)
        influence = np.zeros((blocks.shape[-1], len(chosen)))
        influence[:, chosen] = moved.T * (len(chosen) / chosen.sum())
        return [
            Measured(v, influence[k], b, b)
            for k, (v, b) in enumerate(zip(value.tolist(), bias.tolist(), strict=True))
        ]


def signed_estimate(inference: Inference, blocks: Array) -> tuple[Array, Array, Array]:
    """Extrapolate a quantity whose bias may have either sign.

    The limit's estimator takes the bias to be downwards. It is asked for the quantity and for its negative, and the two
    answers are weighed by how surely the blocks show either sign: the estimate moves smoothly where the bias passes 0.

    Args:
        inference: how.
        blocks: plug-ins on blocks of ``n, n/2, n/4, n/8``, ``(4, P, K)``.

    Returns:
        Estimates ``(K,)``, the influence of each prompt ``(P, K)`` and the half-width allowed for remaining bias
        ``(K,)``.
    """
    weight = _downwards(blocks[0] - blocks[2])
    how = replace(inference, smooth=True)
    up, down = (how.estimate(_levels(sign * blocks)) for sign in (1.0, -1.0))
    return (
        weight * up.value - (1 - weight) * down.value,
        weight * up.influence - (1 - weight) * down.influence,
        weight * up.bias + (1 - weight) * down.bias,
    )


def _downwards(difference: Array) -> Array:
    """How surely the bias of a plug-in is downwards, 0 to 1, from what it gains with more completions ``(P, K)``."""
    from scipy.special import ndtr

    n_prompts = len(difference)
    if n_prompts < 2:
        return np.asarray(np.where(difference[0] >= 0, 1.0, 0.0))
    mean = difference.mean(axis=0)
    error = difference.std(axis=0, ddof=1) / np.sqrt(n_prompts)
    surely = np.where(mean == 0, 0.0, np.copysign(np.inf, mean))
    return np.asarray(ndtr(np.divide(mean, error, out=surely, where=error > 0)))


def _levels(blocks: Array) -> PromptLevels:
    return PromptLevels(
        corrected=2 * blocks[:-1] - blocks[1:],
        plug_in=blocks[0],
        shift=np.zeros(blocks.shape[-1]),
        within=lambda prompts: np.zeros_like(blocks[0][prompts]),
    )


def tilt_by(scored: Scored, rewards: Rewards, octaves: int, inference: Inference, *, seed: int) -> Tilt:
    """Tilt by the proxy.

    Args:
        scored: proxy and gold.
        rewards: the proxy, prepared for its own limit: its scale.
        octaves: how far the grid reaches, as the limit's does.
        inference: level and target.
        seed: of the random blocks.
    """
    grid = Grid(tilt_grid(T_LOW, octaves))
    centred = scored.proxy - rewards.mean[scored.prompt]
    scaled = centred / rewards.scale
    slope = 0.0 if scored.complete else _slope(scaled, scored)
    rest = scored.gold - slope * scaled
    statistics = tilt_statistics(scaled, rest, scored.labelled, scored.offsets, grid.t, seed=seed)
    return Tilt(statistics, grid, rewards.scale, scored.usable, slope, inference)


def _slope(scaled: Array, scored: Scored) -> float:
    """Gold regressed on the proxy within prompts, over the labelled completions: what all the proxies then add."""
    k = scored.labelled
    prompt = scored.prompt[k]
    counts = np.maximum(scored.labels, 1)
    centred = []
    for values in (scaled[k], scored.gold[k]):
        means = np.bincount(prompt, weights=values, minlength=scored.n_prompts) / counts
        centred.append(values - means[prompt])
    total = float((centred[0] ** 2).sum())
    return float((centred[0] * centred[1]).sum()) / total if total > 0 else 0.0
