"""What a budget hands to the estimator: the limit as seen from blocks of fewer and fewer samples of each prompt.

Both budgets (average and per-prompt) reduce the samples to the same few numbers; bias correction, intervals and
the horizon are then one piece of code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from klimit.limit.dual import Array

_ENOUGH = 256  # prompts that tell a coincidence


@dataclass(frozen=True, eq=False)
class LevelMoments:
    """What intervals need of the prompts: means and covariances of their estimates.

    All are of the finest corrected estimate ``J_n`` and of the differences ``d1 = J_n - J_{n/2}`` and
    ``d2 = J_{n/2} - J_{n/4}``, in that order.

    Attributes:
        n_prompts: how many.
        mean: ``(3, K)``.
        covariance: over prompts (``ddof=1``), ``(3, 3, K)``; infinite for one prompt.
        skew: skewness of ``J_n + d1 / 3`` over prompts, ``(K,)``.
        plug_in: mean of the uncorrected estimates, ``(K,)``.
        within: mean sampling variance of an estimate given its prompt, ``(K,)``.
    """

    n_prompts: int
    mean: Array
    covariance: Array
    skew: Array
    plug_in: Array
    within: Array

    def variance(self, weights: Array) -> Array:
        """Over prompts, of a combination with weights ``(3, K)``; infinite for one prompt."""
        if self.n_prompts < 2:
            return np.full(self.skew.shape, np.inf)
        return np.asarray(np.maximum(np.einsum("ik,ijk,jk->k", weights, self.covariance, weights), 0.0))


class Levels(Protocol):
    """Estimates of a quantity at ``K`` points, from blocks of different sizes."""

    @property
    def shift(self) -> Array:
        """To be added to the mean for the bias that taking a minimum causes, ``(K,)``."""
        ...

    @property
    def estimated(self) -> bool:
        """Whether the rewards' transform was estimated from the blocks too.

        The bias may then have either sign, while that of a log-mean-exp is never positive, and falls less evenly.
        """
        ...

    @property
    def plug_in(self) -> Array:
        """Each prompt's uncorrected estimate from all samples, ``(P, K)``."""
        ...

    def moments(self, *, given: bool) -> LevelMoments:
        """Over prompts; ``given``: that the sampling variance within prompts is asked of every prompt."""
        ...

    def influence(self, weights: Array) -> Array:
        """Of each prompt, ``(P, K)``, on the mean that weighs estimate and differences by ``(3, K)``."""
        ...


@dataclass(frozen=True)
class PromptLevels:
    """Estimates of a quantity of every prompt at ``K`` points, from blocks of different sizes.

    Attributes:
        corrected: estimates whose ``1/m`` bias has been removed, for three block sizes, each half the one
            before, ``(3, P, K)``.
        plug_in: the uncorrected estimate from all samples, ``(P, K)``.
        shift: see :class:`Levels`.
        within: given a choice of prompts, the sampling variance of each one's estimate, ``(chosen, K)``.
        estimated: see :class:`Levels`.
    """

    corrected: Array
    plug_in: Array
    shift: Array
    within: Callable[[slice], Array]
    estimated: bool = False

    def moments(self, *, given: bool) -> LevelMoments:
        """Means and covariances over prompts."""
        finest, half, quarter = self.corrected
        parts = np.stack([finest, finest - half, half - quarter])
        n_prompts = len(finest)
        mean = parts.mean(axis=1)
        parts -= mean[:, None]
        covariance = np.full((3, 3, parts.shape[2]), np.inf)
        if n_prompts > 1:
            for i in range(3):
                for j in range(i + 1):
                    covariance[i, j] = covariance[j, i] = (parts[i] * parts[j]).sum(axis=0) / (n_prompts - 1)
        chosen = slice(None) if given else slice(None, None, max(1, n_prompts // _ENOUGH))
        return LevelMoments(
            n_prompts,
            mean,
            covariance,
            skewness(parts[0] + parts[1] / 3),
            self.plug_in.mean(axis=0),
            self.within(chosen).mean(axis=0),
        )

    def influence(self, weights: Array) -> Array:
        """Of each prompt on the mean that weighs estimate and differences so."""
        by_finest, by_d1, by_d2 = weights
        finest, half, quarter = self.corrected
        influence = (by_finest + by_d1) * finest + (by_d2 - by_d1) * half - by_d2 * quarter
        return np.asarray(influence - influence.mean(axis=0))


def skewness(centred: Array) -> Array:
    """Of columns ``(P, K)`` with mean 0; 0 where all are equal."""
    squares = centred * centred
    spread = np.sqrt(squares.mean(axis=0))
    third = (squares * centred).mean(axis=0)
    return np.asarray(np.divide(third, spread**3, out=np.zeros_like(third), where=spread > 0))


@dataclass(frozen=True)
class MeanLevels:
    """The same averaged over prompts, where only the averages are needed.

    Attributes:
        corrected: ``(3, K)``.
        plug_in: from all samples and from halves of them, ``(2, K)``.
        noise: sampling variance of ``corrected[0] - corrected[1]`` (less its share of the coarser one), ``(K,)``.
        share: one over the effective sample size of the tilted samples, ``(K,)``.
        estimated: as in :class:`Levels`.
    """

    corrected: Array
    plug_in: Array
    noise: Array
    share: Array
    estimated: bool = False


class Budget(Protocol):
    """The limit under one kind of budget, in scaled rewards, before any correction."""

    @property
    def reach(self) -> tuple[float, float]:
        """Smallest and largest KL budget that can be computed, in nats."""
        ...

    def levels(self, kl: Array) -> Levels:
        """Each prompt's limit at budgets within reach, ``(K,)``."""
        ...

    def means(self, kl: Array) -> MeanLevels:
        """Averages over prompts of :meth:`levels`."""
        ...

    def beta(self, kl: Array) -> Array:
        """The price of the next nat at each budget, ``(K,)``."""
        ...
