"""Best-of-Poisson on the plane of KL and gain: the best of 1 + Poisson(mu) completions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError
from klimit.order_statistics import best_weights
from klimit.policies.assemble import assemble, warn_of_limits
from klimit.policies.curve import PolicyCurve, Target
from klimit.policies.efficiency import AverageLimit
from klimit.policies.inputs import as_settings, check_level, resolve_limit
from klimit.policies.levels import Floats, Ints, Levels, join_levels, tied_levels
from klimit.policies.rank import RankPolicy, kl_loss, level_loss
from klimit.policies.rank import best_of_poisson as rank_policy
from klimit.policies.ties import BIAS_LEFT
from klimit.policies.values import PromptValues, ties_matter
from klimit.policies.wins import WinTable, tie_excess, win_table
from klimit.policies.within import gain_variance, kl_variance
from klimit.samples import as_samples
from klimit.samples.sorting import sorted_groups

# How often more completions may be asked for than a prompt has: what is then missing is below the rounding of
# any gain or KL that is ever reported.
_SHORT = 1e-4


def best_of_poisson(
    samples: Any,
    *,
    mu: ArrayLike | None = None,
    reward: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    target: Target = "population",
    limit: AverageLimit | None = None,
    efficiency: bool = True,
    prompt: str | list[str] | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
) -> PolicyCurve:
    """Gain, KL, win rate and efficiency of Best-of-Poisson (arXiv:2506.19248).

    It answers with the best of N = 1 + Poisson(mu) completions. The gain is the Poisson mixture of best-of-N's
    unbiased gains. Without ties the KL is log(1 + mu) - 1 + exp(-1 - mu) [Ei(1 + mu) - Ei(1)] / mu; with ties
    it is less, and estimated (:mod:`klimit.policies.rank`).

    Args:
        samples: as for :func:`klimit.best_of_n`.
        mu: mean of N - 1, one or several; by default 1, 3, 7, 15, ... as far as the completions reach.
        reward: as for :func:`klimit.best_of_n`, like all that follow.
        level: nominal cover of the intervals.
        seed: for the limit, where it is computed here.
        target: what the intervals are about.
        limit: the average-budget frontier of the same samples.
        efficiency: False to leave the efficiency out.
        prompt: columns that identify a prompt, when reading.
        where: SQL condition that chooses rows, when reading.
        lower_is_better: rewards are costs, when reading.

    Returns:
        The curve; its ``mu`` are the values in the order given, its ``draws`` are 1 + mu.

    Raises:
        InputError: a mu is not above 0, or so large that one answer in 10,000 would need more completions than
            the smallest prompt has (the largest possible is named); otherwise as :func:`klimit.best_of_n`.

    Warns:
        KlimitWarning: as :func:`klimit.best_of_n`.
    """
    check_level(level, target)
    data = as_samples(samples, reward=reward, prompt=prompt, where=where, lower_is_better=lower_is_better)
    name = data.reward_name(reward)
    smallest = int(data.counts.min())
    rates = _choose_rates(mu, smallest)
    policies = [rank_policy(rate) for rate in rates.tolist()]
    values = _values(data.reward(name), data.offsets, rates, policies, within=target == "these-prompts")
    frontier = resolve_limit(data, name, limit, wanted=efficiency, level=level, seed=seed, target=target)
    warn_of_limits(data, target, constant=not values.gain.any(), warned=frontier is not None)
    draws = 1 + rates
    untied = np.array([policy.untied_kl() for policy in policies])
    last = np.abs((values.kl - values.kl_rough).mean(axis=0))
    return assemble(
        "best-of-poisson",
        {"mu": rates},
        values,
        samples=data,
        reward=name,
        kl_bound=untied,
        kl_bias=np.maximum(np.minimum(draws / smallest, 1.0) * last, BIAS_LEFT * untied * values.tied),
        draws=draws,
        limit=frontier,
        level=level,
        target=target,
    )


def largest_rate(n: int) -> float:
    """The largest mu for which 1 + Poisson(mu) exceeds ``n`` at most once in 10,000 answers."""
    from scipy.special import gammaincinv

    return float(gammaincinv(n, _SHORT))


def size_chances(n: int, mu: float) -> Floats:
    """P(N = 1), ..., P(N = n) for N = 1 + Poisson(mu), what exceeds n counted as n; shape ``(n,)``."""
    from scipy.special import gammainc, gammaln

    k = np.arange(n)
    chances = np.exp(k * np.log(mu) - mu - gammaln(k + 1))
    chances[-1] = gammainc(n - 1, mu) if n > 1 else 1.0
    return np.asarray(chances)


def poisson_weights(n: int, mu: float) -> Floats:
    """Weights of a prompt's ``n`` sorted rewards in the unbiased reward of Best-of-Poisson, shape ``(n,)``."""
    weights = np.zeros(n)
    for size, chance in enumerate(size_chances(n, mu), start=1):
        if chance > 1e-18:
            weights += chance * best_weights(n, size)
    return weights


def _choose_rates(mu: ArrayLike | None, smallest: int) -> Floats:
    largest = largest_rate(smallest)
    if mu is None:
        rates = np.exp2(np.arange(1, smallest.bit_length() + 1)) - 1.0
        rates = rates[rates <= largest]
        return np.asarray(rates) if len(rates) else np.array([largest])
    rates = as_settings(mu, "mu", low=0, strict=True)
    if rates.max() > largest:
        raise InputError(
            f"mu = {rates.max():g} is above {np.floor(largest * 1000) / 1000:g}, the largest possible: beyond, more "
            f"than one answer in 10,000 needs more completions than the {smallest} of the smallest prompt"
        )
    return rates


def _win_table(n: int, mu: float) -> WinTable:
    if n == 1:
        return win_table(1, [], [])
    # A base draw is needed besides: N = n, all but never asked for, counts as n - 1.
    chances = size_chances(n - 1, mu)
    sizes = np.flatnonzero(chances > 1e-14) + 1
    return win_table(n, sizes.tolist(), chances[sizes - 1].tolist())


def _values(
    rewards: NDArray[np.floating[Any]],
    offsets: NDArray[np.integer[Any]],
    rates: Floats,
    policies: list[RankPolicy],
    *,
    within: bool,
) -> PromptValues:
    n_prompts, k = len(offsets) - 1, len(rates)
    base = np.empty(n_prompts)
    gain, gain_var, kl_var = np.empty((n_prompts, k)), np.zeros((n_prompts, k)), np.zeros((n_prompts, k))
    weights: dict[int, Floats] = {}
    fewer: dict[int, Floats] = {}
    levels: dict[int, list[Levels]] = {}
    for group in sorted_groups(rewards, offsets):
        n = group.n
        if n not in weights:
            weights[n] = np.stack([poisson_weights(n, rate) for rate in rates], axis=1)
        if within and n not in fewer and n > 1:
            fewer[n] = np.stack([poisson_weights(n - 1, rate) for rate in rates], axis=1)
        base[group.prompts], centred = group.centred()
        gain[group.prompts] = centred @ weights[n]
        if within and n > 1:
            columns = [gain_variance(centred, fewer[n][:, j]) for j in range(k)]
            gain_var[group.prompts] = np.stack(columns, axis=1)
        found = tied_levels(group)
        if len(found.at):
            levels.setdefault(n, []).append(found)

    joined = {n: join_levels(parts) for n, parts in levels.items()}
    untied = np.array([policy.untied_kl() for policy in policies])
    kl, kl_rough = np.tile(untied, (n_prompts, 1)), np.tile(untied, (n_prompts, 1))
    win_rate = np.tile(1 - 1 / rates - np.expm1(-rates) / rates**2, (n_prompts, 1))
    for n, part in joined.items():
        for j, policy in enumerate(policies):
            loss, rough = kl_loss(policy, part, n, n_prompts)
            kl[:, j] -= loss
            kl_rough[:, j] -= rough
            win_rate[:, j] -= tie_excess(part, _win_table(n, float(rates[j])), n_prompts)
            if within:
                kl_var[:, j] += kl_variance(part, n, n_prompts, fewer=_loss(policy, n - 1))
    return PromptValues(base, gain, kl, kl_rough, win_rate, ties_matter(joined), gain_var, kl_var)


def _loss(policy: RankPolicy, n: int) -> Callable[[Ints, Ints], Floats]:
    return lambda at, upto: level_loss(policy, at, upto, n)[0]
