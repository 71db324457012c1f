"""What :func:`klimit.ensemble` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from klimit.audits.measured import Array
from klimit.ensembles.aggregators import Aggregator, parse_aggregator
from klimit.ensembles.collocation import Collocation
from klimit.ensembles.errors import ErrorStructure
from klimit.ensembles.members import MOST_SUBSETS, Subsets, all_sizes
from klimit.ensembles.reward_function import EnsembleReward, RewardFunction, Scales, prompt_key
from klimit.ensembles.weights import BestWeights
from klimit.errors import InputError
from klimit.samples.columns import did_you_mean
from klimit.samples.container import Samples
from klimit.values import Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STANDARDISATION = (
    "within prompts: less the base samples' mean, over their standard deviation (0 where a proxy is constant)"
)


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble:
    """Several proxies as one reward, and what they get wrong.

    Attributes:
        samples: the samples with the ensemble's reward as one more column.
        name: of that column.
        proxies: the members' columns.
        gold_name: the gold column, if one was given.
        aggregator: how members are aggregated.
        level: nominal cover of the intervals, which are about the population of prompts.
        standardised: members' rewards, standardised within prompts, ``(K, n_completions)``.
        constant_prompts: prompts within which each member is constant, and so 0, ``(K,)``.
        correlation: of the ensemble's reward with gold within prompts; None without gold. At small KL (for
            Gaussian rewards at any) it is the share of gold's limit that tilting by the ensemble gets.
        errors: what members get wrong about gold; None without gold.
        weights: best weights; None without gold, with too few prompts, or with linearly dependent members.
        collocation: reliabilities without gold; None where ``warnings`` says why.
        warnings: limitations, one line each.
        standardisation: what was done to members before they were aggregated, in words.
    """

    samples: Samples
    name: str
    proxies: tuple[str, ...]
    gold_name: str | None
    aggregator: Aggregator
    level: float
    standardised: Array
    constant_prompts: NDArray[np.int64]
    correlation: Value | None
    errors: ErrorStructure | None
    weights: BestWeights | None
    collocation: Collocation | None
    warnings: tuple[str, ...] = ()
    standardisation: str = STANDARDISATION

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw agreement with gold against members; see :func:`klimit.reports.ensemble.figure.plot_ensemble`."""
        from klimit.reports.ensemble.figure import plot_ensemble

        drawn: Axes = plot_ensemble(self, ax=ax, **options)
        return drawn

    def __repr__(self) -> str:
        return f"Ensemble({self.name!r}: {self.aggregator.meaning} of {', '.join(self.proxies)})"

    @property
    def reward(self) -> Array:
        """The ensemble's reward, ``(n_completions,)``."""
        return np.asarray(self.samples.rewards[self.name])

    def column(self, members: Sequence[int | str], aggregate: str | Aggregator | None = None) -> Array:
        """The reward of some of the members, standardised alike, ``(n_completions,)``.

        Args:
            members: places or names.
            aggregate: by default the ensemble's own.
        """
        how = self.aggregator if aggregate is None else parse_aggregator(aggregate)
        return how(self.standardised[[self._place(member) for member in members]])

    def subsets(self, *, most: int = MOST_SUBSETS, seed: int = 0) -> list[Subsets]:
        """Subsets of members of every size: all, or a seeded sample of ``most`` of a size."""
        return all_sizes(len(self.proxies), most=most, seed=seed)

    def with_subset(self, members: Sequence[int | str], name: str) -> Samples:
        """The samples with the reward of some of the members as one more column."""
        return self.samples.with_reward(name, self.column(members))

    def reward_function(
        self,
        members: Mapping[str, RewardFunction],
        *,
        scales: Literal["per-prompt", "global"] = "per-prompt",
        prompt_column: str | None = None,
        aggregate: str | Aggregator | None = None,
    ) -> EnsembleReward:
        """The ensemble as a reward for training: ``f(prompts, completions, **columns) -> list[float]``.

        Args:
            members: a reward function for each proxy, by the proxy's name.
            scales: ``"per-prompt"``: by the base samples' mean and deviation of that prompt, as here;
                ``"global"``: by one mean and one within-prompt deviation a member, for prompts without base
                samples. Another reward than here.
            prompt_column: a column of the training data that identifies prompts as these samples' prompt ids
                do; by default the prompt's own text does.
            aggregate: by default the ensemble's own.

        Raises:
            InputError: a proxy has no function, or prompts cannot be told by their text.
        """
        for name in members:
            self._place(name)
        missing = [name for name in self.proxies if name not in members]
        if missing:
            raise InputError(
                f"reward_function: no function for {', '.join(missing)}; give one for each proxy"
            )
        if scales not in ("per-prompt", "global"):
            raise InputError(f"scales={scales!r}: choose 'per-prompt' or 'global'")
        return EnsembleReward(
            members={name: members[name] for name in self.proxies},
            aggregator=self.aggregator if aggregate is None else parse_aggregator(aggregate),
            scales=self._scales(prompt_column) if scales == "per-prompt" else self._global_scales(),
            prompt_column=prompt_column if scales == "per-prompt" else None,
            name=self.name,
        )

    def _place(self, member: int | str) -> int:
        if isinstance(member, str):
            if member not in self.proxies:
                raise InputError(
                    f"{member!r} is no member{did_you_mean(member, self.proxies)}: {', '.join(self.proxies)}"
                )
            return self.proxies.index(member)
        if not 0 <= member < len(self.proxies):
            raise InputError(f"member {member}: there are {len(self.proxies)}, numbered from 0")
        return int(member)

    def _scales(self, prompt_column: str | None) -> Scales:
        texts = self.samples.prompts
        keys = self.samples.prompt_ids if prompt_column is not None or texts is None else texts
        if prompt_column is None and texts is None:
            raise InputError(
                f"{self.samples.source}: prompts are known by id only; name the column of the training data that holds "
                "these ids with prompt_column=, or take scales='global'"
            )
        places = {prompt_key(key): i for i, key in enumerate(keys)}
        if len(places) < len(keys):
            raise InputError(
                f"{self.samples.source}: several prompts have one text; tell them apart with prompt_column="
            )
        means, variances = self._prompt_statistics()
        return Scales(means, np.sqrt(variances), places)

    def _global_scales(self) -> Scales:
        means, variances = self._prompt_statistics()
        return Scales(means.mean(axis=0), np.sqrt(variances.mean(axis=0)))

    def _prompt_statistics(self) -> tuple[Array, Array]:
        """Means and variances (ddof=1, exactly 0 where constant) of members within prompts, ``(P, K)`` each."""
        starts, counts = self.samples.offsets[:-1], self.samples.counts
        raw = np.stack([np.asarray(self.samples.rewards[name], dtype=np.float64) for name in self.proxies])
        first = raw[:, starts]
        less = raw - np.repeat(first, counts, axis=1)
        mean = np.add.reduceat(less, starts, axis=1) / counts
        square = np.add.reduceat((less - np.repeat(mean, counts, axis=1)) ** 2, starts, axis=1)
        return (first + mean).T, (square / (counts - 1)).T
