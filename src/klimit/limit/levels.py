"""What a budget hands to the estimator: each prompt's limit, seen from blocks of fewer and fewer samples.

Both budgets (average and per-prompt) reduce the samples to the same few arrays; bias correction, intervals and
the horizon are then one piece of code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from klimit.limit.dual import Array


@dataclass(frozen=True)
class PromptLevels:
    """Estimates of a quantity of every prompt at ``K`` points, from blocks of different sizes.

    Attributes:
        corrected: estimates whose ``1/m`` bias has been removed, for three block sizes, each half the one
            before, ``(3, P, K)``.
        plug_in: the uncorrected estimate from all samples, ``(P, K)``.
        shift: to be added to the mean for the bias that taking a minimum causes, ``(K,)``.
        within: given a choice of prompts, the sampling variance of each one's estimate, ``(chosen, K)``.
        estimated: whether the rewards' transform was estimated from the blocks too: the bias may then have either
            sign, while that of a log-mean-exp is never positive, and falls less evenly.
    """

    corrected: Array
    plug_in: Array
    shift: Array
    within: Callable[[slice], Array]
    estimated: bool = False


@dataclass(frozen=True)
class MeanLevels:
    """The same averaged over prompts, where only the averages are needed.

    Attributes:
        corrected: ``(3, K)``.
        plug_in: from all samples and from halves of them, ``(2, K)``.
        noise: sampling variance of ``corrected[0] - corrected[1]`` (less its share of the coarser one), ``(K,)``.
        share: one over the effective sample size of the tilted samples, ``(K,)``.
        estimated: as in :class:`PromptLevels`.
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

    def levels(self, kl: Array) -> PromptLevels:
        """Each prompt's limit at budgets within reach, ``(K,)``."""
        ...

    def means(self, kl: Array) -> MeanLevels:
        """Averages over prompts of :meth:`levels`."""
        ...

    def beta(self, kl: Array) -> Array:
        """The price of the next nat at each budget, ``(K,)``."""
        ...
