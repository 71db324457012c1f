"""Samples of which a summary alone is kept: what the average-budget limit and best-of-N need, not the rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from klimit.errors import InputError
from klimit.limit.average import AverageBudget
from klimit.limit.dual import Grid
from klimit.limit.estimator import Estimator
from klimit.limit.grid_moments import GridMoments
from klimit.limit.preparation import Rewards
from klimit.limit.projected import Projected, not_kept
from klimit.rewards.transforms import IDENTITY, Transform
from klimit.samples.container import Samples

if TYPE_CHECKING:
    from klimit.policies.values import PromptValues


class NotKept:
    """Stands for an array that a summary has no more: whatever asks for it is told so."""

    def __init__(self, label: str) -> None:
        self._label = label

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise not_kept(f"{self._label}: this")

    __array__ = __getitem__ = __len__ = __iter__ = __neg__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()


@dataclass(frozen=True, eq=False)
class SummarisedRewards(Rewards):
    """Moments of a reward within prompts, without the reward.

    Attributes:
        lowest_seen: the smallest reward.
        zero_or_one: whether all are 0 or 1.
    """

    lowest_seen: float = 0.0
    zero_or_one: bool = False

    @property
    def lowest(self) -> float:
        """The smallest reward."""
        return self.lowest_seen

    @property
    def binary(self) -> bool:
        """Whether every reward is 0 or 1."""
        return self.zero_or_one


@dataclass(frozen=True, eq=False)
class Summary:
    """What is kept of samples whose rewards are not in memory.

    Attributes:
        seed: of the random blocks.
        rewards: moments within prompts.
        grid: of ``t``, in scaled rewards.
        moments: of the prompts' log-partitions, in scaled rewards; None where no estimate can be had of them.
        statistics: the prompts' log-partitions; None likewise.
        best: best-of-N of each prompt.
        sizes: the N of ``best``.
    """

    seed: int
    rewards: SummarisedRewards
    grid: Grid
    moments: GridMoments | None
    statistics: Projected | None
    best: PromptValues
    sizes: tuple[int, ...]

    def engine(self, estimator: Estimator) -> AverageBudget | None:
        """The average-budget limit; None where the samples support no estimate."""
        if self.moments is None or self.statistics is None:
            return None
        return AverageBudget(self.moments, self.statistics, self.grid, estimator)


@dataclass(frozen=True, eq=False, repr=False)
class SummarisedSamples(Samples):
    """Samples that were read in parts, of which a summary is kept; made by :func:`klimit.summarise`.

    Attributes:
        summary: it.
    """

    summary: Summary | None = None

    @property
    def in_memory(self) -> bool:
        """Whether the rewards are here, and not a summary of them alone."""
        return self.summary is None


def only_in_memory(*, transform: Transform, budget: str, estimator: str) -> str | None:
    """Which of a limit's options no summary can serve."""
    if transform != IDENTITY:
        return f"transform={transform.name!r}"
    if budget != "average":
        return f"budget={budget!r}"
    return f"estimator={estimator!r}" if estimator == "plug-in" else None


def summary_of(
    samples: Samples, *, transform: Transform, budget: str, estimator: str, seed: int
) -> Summary | None:
    """The summary of samples that have one, if it can serve.

    Raises:
        InputError: what is asked for does not follow from it.
    """
    if not isinstance(samples, SummarisedSamples) or samples.summary is None:
        return None
    whole = only_in_memory(transform=transform, budget=budget, estimator=estimator)
    if whole is not None:
        raise not_kept(whole)
    if seed != samples.summary.seed:
        raise InputError(f"seed={seed}: the summary was made with seed {samples.summary.seed}; use that")
    return samples.summary
