"""Best-of-N prompt by prompt: unbiased gains and win rates, KLs corrected for their bias."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.limit.blocks import best_gains
from klimit.limit.preparation import Rewards, sort_rewards
from klimit.order_statistics import best_weights, subset_ratio
from klimit.policies.levels import Floats, Ints, Levels, join_levels, tied_levels
from klimit.policies.ties import kl_with_ties, level_loss, untied_kl
from klimit.policies.wins import best_of_n_table, level_excess, tie_excess
from klimit.policies.within import gain_variance, kl_variance
from klimit.rewards.ties import most_by_chance
from klimit.samples.sorting import groups_of_sorted


@dataclass(frozen=True, eq=False)
class PromptValues:
    """A policy's estimates, one a prompt and setting: of shape ``(n_prompts, k)``, but ``base`` and ``tied``.

    Attributes:
        base: mean reward of each prompt's completions, shape ``(n_prompts,)``.
        gain: reward of the policy less ``base``.
        kl: KL from the base policy, nats; corrected for bias, so single values may leave the possible range.
        kl_rough: the same from a correction of one order less.
        win_rate: probability of beating a completion of the base policy, ties half.
        tied: whether the KL depends on ties: some prompt shows a reward three times (twice if it has fewer
            than eight completions; a rare pair among more is no atom, but two equal floats).
        gain_variance: variance of ``gain`` given the prompt, where asked for.
        kl_variance: the same of ``kl``.
        win_variance: the same of ``win_rate``.
        gain_bias: allowance for the bias left in the mean gain, ``(k,)``; None where it is unbiased.
    """

    base: Floats
    gain: Floats
    kl: Floats
    kl_rough: Floats
    win_rate: Floats
    tied: bool
    gain_variance: Floats | None = None
    kl_variance: Floats | None = None
    win_variance: Floats | None = None
    gain_bias: Floats | None = None


def best_of_n_values(
    values: NDArray[np.floating[Any]],
    offsets: NDArray[np.integer[Any]],
    sizes: Sequence[int],
    *,
    within: bool = False,
    known: Rewards | None = None,
) -> PromptValues:
    """Best-of-N for each N of ``sizes``, prompt by prompt.

    Args:
        values: rewards, shape ``(n_completions,)``, grouped by prompt.
        offsets: shape ``(n_prompts + 1,)``; prompt ``i`` owns ``offsets[i]:offsets[i + 1]``.
        sizes: each N, from 1 to the smallest prompt's number of completions.
        within: also estimate the variances within prompts.
        known: the same rewards sorted, where that has been done before.
    """
    n_prompts, k = len(offsets) - 1, len(sizes)
    rewards = sort_rewards(values, np.asarray(offsets, dtype=np.int64)) if known is None else known
    gain = _gains(rewards, sizes)
    variance = _gain_variances(rewards, sizes) if within else None
    joined = _levels(rewards)
    kl, kl_rough, win_rate, kl_var, win_var = (np.zeros((n_prompts, k)) for _ in range(5))
    for j, size in enumerate(sizes):
        kl[:, j] = kl_rough[:, j] = untied_kl(size)
        win_rate[:, j] = size / (size + 1)
        for n, part in joined.items():
            loss, rough = kl_with_ties(part, n, size, n_prompts)
            kl[:, j] -= loss
            kl_rough[:, j] -= rough
            win_rate[:, j] -= tie_excess(part, best_of_n_table(n, size), n_prompts)
            if within:
                kl_var[:, j] += _kl_variance(part, n, size, n_prompts)
                win_var[:, j] += _win_variance(part, n, size, n_prompts)
    tied = ties_matter(joined)
    if not within:
        return PromptValues(rewards.mean, gain, kl, kl_rough, win_rate, tied)
    return PromptValues(rewards.mean, gain, kl, kl_rough, win_rate, tied, variance, kl_var, win_var)


def _gains(rewards: Rewards, sizes: Sequence[int]) -> Floats:
    """Unbiased gains, one a prompt and N; those at powers of two came with the sorting."""
    asked = np.array(sizes, dtype=np.int64)
    gain = np.zeros((rewards.n_prompts, len(asked)))
    place = np.minimum(np.searchsorted(rewards.sizes, asked), max(len(rewards.sizes) - 1, 0))
    there = (rewards.sizes[place] == asked) if len(rewards.sizes) else np.zeros(len(asked), dtype=bool)
    gain[:, there] = rewards.best[:, place[there]]
    missing = ~there & (asked > 1)  # N = 1 is the base policy
    if missing.any():
        gain[:, missing] = best_gains(rewards.values, rewards.offsets, asked[missing])
    return gain


def _gain_variances(rewards: Rewards, sizes: Sequence[int]) -> Floats:
    variance = np.zeros((rewards.n_prompts, len(sizes)))
    for group in groups_of_sorted(rewards.values, rewards.offsets):
        centred = group.centred()[1]
        variance[group.prompts] = np.stack([_gain_variance(centred, size) for size in sizes], axis=1)
    return variance


def _levels(rewards: Rewards) -> dict[int, Levels]:
    """Levels that prompts show at least twice, by their number of completions."""
    parts: dict[int, list[Levels]] = {}
    for group in groups_of_sorted(rewards.values, rewards.offsets, np.flatnonzero(rewards.pairs)):
        parts.setdefault(group.n, []).append(tied_levels(group))
    return {n: join_levels(found) for n, found in parts.items()}


def ties_matter(levels: Mapping[int, Levels]) -> bool:
    """Whether the levels, by their prompts' numbers of completions, show more than a rare pair of equal floats."""
    return any(int(part.at.max()) > most_by_chance(n) for n, part in levels.items())


def _gain_variance(centred: NDArray[np.floating[Any]], size: int) -> Floats:
    n = centred.shape[1]
    if size == 1:
        return np.zeros(len(centred))
    if size < n:
        return gain_variance(centred, best_weights(n - 1, size))
    return gain_variance(centred, best_weights(n - 1, n - 1), best_weights(n, n))


def _kl_variance(levels: Levels, n: int, size: int, n_prompts: int) -> Floats:
    def loss(total: int, size: int) -> Callable[[Ints, Ints], Floats]:
        ratio = subset_ratio(total, size)
        return lambda at, upto: ratio[upto] * level_loss(at, upto, size)[0]

    return _variance(levels, n, size, n_prompts, loss)


def _win_variance(levels: Levels, n: int, size: int, n_prompts: int) -> Floats:
    def loss(total: int, size: int) -> Callable[[Ints, Ints], Floats]:
        table = best_of_n_table(total, size)
        return lambda at, upto: level_excess(table, at, upto)

    return _variance(levels, n, size, n_prompts, loss)


def _variance(
    levels: Levels,
    n: int,
    size: int,
    n_prompts: int,
    loss: Callable[[int, int], Callable[[Ints, Ints], Floats]],
) -> Floats:
    """Of a constant less a sum over levels of ``loss(completions, N)``; nothing can happen to N = 1."""
    if size == 1:
        return np.zeros(n_prompts)
    if size < n:
        return kl_variance(levels, n, n_prompts, fewer=loss(n - 1, size))
    return kl_variance(levels, n, n_prompts, fewer=loss(n - 1, n - 1), whole=loss(n, n))
