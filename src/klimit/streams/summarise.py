"""From samples in parts to their summary: one pass over the rewards once every prompt's place is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError
from klimit.limit.dual import Array, Grid
from klimit.limit.grid_moments import GridMoments
from klimit.limit.kernels import MIN_COMPLETIONS, deals_for, grid, prompt_statistics
from klimit.limit.options import check_seed
from klimit.limit.preparation import T_LOW, Rewards, octaves_of, probed, root_mean_square, sort_rewards
from klimit.limit.summarised import NotKept, SummarisedRewards, SummarisedSamples, Summary
from klimit.policies.inputs import choose_sizes
from klimit.policies.values import PromptValues, best_of_n_values
from klimit.samples.container import Samples
from klimit.samples.parts import PART, Parts, open_parts
from klimit.samples.sources import Names
from klimit.streams.spilled import Spilled

Progress = Callable[[int, int], None]


def summarise(
    source: Any,
    *,
    reward: str | None = None,
    n: ArrayLike | None = None,
    seed: int = 0,
    prompt: Names | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
    part: int = PART,
    progress: Progress | None = None,
) -> Samples:
    """Reduce Parquet files of any size to what :func:`klimit.frontier` and :func:`klimit.best_of_n` need of them.

    The rewards are read a part at a time, twice: first to find each prompt's rows and spread, then to sum up. Rows of a
    prompt need not stand together; where they do not, a grouped copy is written to the folder for temporary files
    first. What is kept takes some 300 bytes a prompt in memory, and 2 kB in a temporary file without a name. Results
    are those of the same rows read whole, to 1e-9.

    Args:
        source: path or paths of Parquet files, or globs.
        reward: the reward column; needed where there are several.
        n: the N of best-of-N; powers of two by default.
        seed: of the random blocks; the limit's.
        prompt: columns that identify a prompt.
        where: SQL condition that chooses rows.
        lower_is_better: the rewards are costs: change their sign.
        part: rows that are read at once, but for prompts that have more.
        progress: called with the completions done and all of them.

    Returns:
        The samples without their rewards, for :func:`klimit.frontier` and :func:`klimit.best_of_n`.

    Raises:
        InputError: the files cannot be used as they are, or the disk is full; one line says what, where, what to do.
    """
    check_seed(seed)
    if isinstance(part, bool) or not isinstance(part, int) or part < 1:
        raise InputError(f"part is {part!r}; it must be a whole number of rows, 1 or more")
    with open_parts(
        source, reward=reward, prompt=prompt, where=where, lower_is_better=lower_is_better, part=part
    ) as parts:
        return _Pass(parts, n, seed).run(progress or (lambda done, total: None))


class _Pass:
    """The pass over the rewards, with what it gathers."""

    def __init__(self, parts: Parts, n: ArrayLike | None, seed: int) -> None:
        self.parts, self.seed = parts, seed
        self.offsets = np.concatenate([[0], np.cumsum(parts.counts)])
        self.sizes = choose_sizes(_outline(parts, self.offsets), n)
        self.scale = root_mean_square(parts.variances)
        self.possible = self.scale > 0 and parts.counts.min() >= MIN_COMPLETIONS
        self.grid = Grid(grid(T_LOW, self._octaves() if self.possible else 1))
        self.moments: GridMoments | None = None
        self.statistics = Spilled(len(self.grid.t)) if self.possible else None
        self.rewards: list[Rewards] = []
        self.best: list[PromptValues] = []
        self.lowest, self.binary = np.inf, True

    def run(self, progress: Progress) -> SummarisedSamples:
        """Read every part."""
        total = self.parts.n_completions
        for first, samples in self.parts:
            self._add(first, samples)
            progress(int(self.offsets[first + samples.n_prompts]), total)
        return self._whole()

    def _octaves(self) -> int:
        chosen = np.flatnonzero(probed(self.offsets))
        values, counts = self.parts.rewards_of(chosen)
        return octaves_of(values, counts, self.scale)

    def _add(self, first: int, samples: Samples) -> None:
        fewest = int(self.parts.counts.min())
        rewards = sort_rewards(samples.reward(self.parts.reward), samples.offsets, fewest=fewest)
        self.best.append(best_of_n_values(rewards.values, rewards.offsets, self.sizes, known=rewards))
        self.lowest = min(self.lowest, rewards.lowest)
        self.binary = self.binary and rewards.binary
        if self.statistics is not None:
            self._sum_up(first, rewards)
        self.rewards.append(_without_values(rewards))

    def _sum_up(self, first: int, rewards: Rewards) -> None:
        found = prompt_statistics(
            rewards.values,
            rewards.offsets,
            t_low=T_LOW / self.scale,
            octaves=len(self.grid.t) // 8,
            seed=self.seed,
            deals=deals_for(self.offsets),
            first_prompt=first,
        )
        variances = rewards.variance / self.scale / self.scale
        moments = GridMoments.of(found, rewards.counts, variances, self.grid)
        self.moments = moments if self.moments is None else self.moments.merged(moments, self.grid)
        assert self.statistics is not None
        self.statistics.append(found.jackknife)

    def _whole(self) -> SummarisedSamples:
        parts, absent = self.parts, NotKept(self.parts.label)
        kept: Any = absent
        rewards = SummarisedRewards(
            values=kept,
            offsets=self.offsets,
            mean=self._of("mean"),
            variance=self._of("variance"),
            third=self._of("third"),
            top=self._of("top"),
            at_top=self._of("at_top"),
            sizes=self.rewards[0].sizes,
            best=self._of("best"),
            pairs=self._of("pairs"),
            lowest_seen=self.lowest,
            zero_or_one=self.binary,
        )
        summary = Summary(
            self.seed,
            rewards,
            self.grid,
            self.moments,
            self.statistics,
            _joined(self.best),
            tuple(self.sizes),
        )
        return SummarisedSamples(
            rewards={parts.reward: kept},
            offsets=self.offsets,
            prompt_ids=parts.prompt_ids,
            source=parts.label,
            notes=parts.notes,
            summary=summary,
        )

    def _of(self, name: str) -> NDArray[Any]:
        """An array of the rewards' over all parts."""
        return np.concatenate([getattr(one, name) for one in self.rewards])


def _outline(parts: Parts, offsets: NDArray[np.int64]) -> Samples:
    """How many completions each prompt has, before anything is read."""
    return Samples(rewards={}, offsets=offsets, prompt_ids=np.arange(parts.n_prompts), source=parts.label)


def _without_values(rewards: Rewards) -> Rewards:
    return replace(rewards, values=np.empty(0, rewards.values.dtype))  # a slice would keep all of them


def _joined(parts: Sequence[PromptValues]) -> PromptValues:
    """The prompts of all parts."""
    names = ("gain", "kl", "kl_rough", "win_rate")
    stacked = {name: _stacked([getattr(part, name) for part in parts]) for name in names}
    base = np.concatenate([part.base for part in parts])
    return PromptValues(base=base, tied=any(part.tied for part in parts), **stacked)


def _stacked(arrays: Sequence[Array]) -> Array:
    """One below the other; rows that are all the same, as a KL without ties, once."""
    first = arrays[0][:1]
    if all((array == first).all() for array in arrays):
        return np.broadcast_to(first, (sum(map(len, arrays)), first.shape[1]))
    return np.concatenate(arrays)
