"""Soft best-of-N on the plane of KL and gain: one of N completions, chosen with odds exp(r / beta)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError
from klimit.policies.assemble import assemble, warn_of_limits
from klimit.policies.curve import PolicyCurve
from klimit.policies.efficiency import AverageLimit
from klimit.policies.inputs import as_settings, check_level, choose_sizes, resolve_limit
from klimit.policies.levels import Floats
from klimit.policies.soft_values import block_gain, kl_and_win_rate
from klimit.policies.ties import untied_kl
from klimit.policies.values import PromptValues
from klimit.samples import as_samples
from klimit.samples.container import Samples
from klimit.samples.sorting import sorted_groups

# Beyond, the quadrature would take thousands of nodes, to find what best-of-N gives.
_WIDEST = 1500.0


def soft_best_of_n(
    samples: Any,
    *,
    n: ArrayLike,
    beta: ArrayLike,
    reward: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    limit: AverageLimit | None = None,
    efficiency: bool = True,
    prompt: str | list[str] | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
) -> PolicyCurve:
    """Gain, KL, win rate and efficiency of soft best-of-N (arXiv:2505.03156).

    It draws N completions and answers with one of them, chosen with probability proportional to
    exp(r / beta): best-of-N for beta -> 0, the base policy for beta -> infinity, the tilted policy for
    N -> infinity. The gain is unbiased, an average over random disjoint blocks of N completions. KL and win
    rate come from quadrature (:mod:`klimit.policies.soft_values`), with the bias of few completions
    extrapolated away; the KL's interval carries what is left, which grows as N nears their number. The
    intervals are for the population that the prompts were drawn from.

    Args:
        samples: as for :func:`klimit.best_of_n`.
        n: one N or several.
        beta: temperature in units of reward, one or several; ``n`` and ``beta`` are paired (broadcast).
        reward: as for :func:`klimit.best_of_n`, like all that follow.
        level: nominal cover of the intervals.
        seed: for the random blocks, and for the limit where it is computed here.
        limit: the average-budget frontier of the same samples.
        efficiency: False to leave the efficiency out.
        prompt: columns that identify a prompt, when reading.
        where: SQL condition that chooses rows, when reading.
        lower_is_better: rewards are costs, when reading.

    Returns:
        The curve, one entry a pair; ``kl_bound`` is that of best-of-N, which no choice among N draws exceeds.

    Raises:
        InputError: as :func:`klimit.best_of_n`; a beta is not above 0, or so small against the spread of the
            rewards that the policy is best-of-N; ``n`` and ``beta`` cannot be paired.

    Warns:
        KlimitWarning: as :func:`klimit.best_of_n`.
    """
    check_level(level, "population")
    data = as_samples(samples, reward=reward, prompt=prompt, where=where, lower_is_better=lower_is_better)
    name = data.reward_name(reward)
    sizes, betas = _pairs(choose_sizes(data, n), as_settings(beta, "beta", low=0, strict=True))
    _check_spread(data, data.reward(name), betas)
    values, kl_bias = _values(data.reward(name), data.offsets, sizes, betas, seed)
    frontier = resolve_limit(
        data, name, limit, wanted=efficiency, level=level, seed=seed, target="population"
    )
    warn_of_limits(
        data, "population", constant=sizes.max() > 1 and not values.gain.any(), warned=frontier is not None
    )
    return assemble(
        "soft-best-of-n",
        {"n": sizes, "beta": betas},
        values,
        samples=data,
        reward=name,
        kl_bound=np.array([untied_kl(size) for size in sizes.tolist()]),
        kl_bias=kl_bias,
        draws=sizes.astype(np.float64),
        limit=frontier,
        level=level,
        target="population",
    )


def _pairs(sizes: list[int], betas: Floats) -> tuple[NDArray[np.int64], Floats]:
    if len(sizes) != len(betas) and 1 not in (len(sizes), len(betas)):
        raise InputError(
            f"n has {len(sizes)} values and beta {len(betas)}: they are paired, so give equally many, or one"
        )
    paired = np.broadcast_arrays(np.array(sizes, dtype=np.int64), betas)
    return paired[0].copy(), paired[1].copy()


def _check_spread(samples: Samples, rewards: NDArray[np.floating[Any]], betas: Floats) -> None:
    starts = samples.offsets[:-1]
    highest = np.maximum.reduceat(rewards, starts).astype(np.float64)
    spread = float((highest - np.minimum.reduceat(rewards, starts)).max())
    if spread / betas.min() > _WIDEST:
        raise InputError(
            f"beta = {betas.min():g} is below 1/{_WIDEST:g} of the rewards' spread within a prompt ({spread:g}): "
            "soft best-of-N is best-of-N there; use best_of_n, or a larger beta"
        )


def _values(
    rewards: NDArray[np.floating[Any]],
    offsets: NDArray[np.integer[Any]],
    sizes: NDArray[np.int64],
    betas: Floats,
    seed: int,
) -> tuple[PromptValues, Floats]:
    """One estimate a prompt and pair, and the allowance for the bias left in each mean KL."""
    n_prompts, k = len(offsets) - 1, len(sizes)
    base = np.empty(n_prompts)
    gain, kl, first, plain, win_rate = (np.zeros((n_prompts, k)) for _ in range(5))
    rng = np.random.default_rng([seed, 0x50F7])
    for group in sorted_groups(rewards, offsets):
        base[group.prompts], centred = group.centred()
        for j, (size, beta) in enumerate(zip(sizes.tolist(), betas.tolist(), strict=True)):
            if size == 1:
                win_rate[group.prompts, j] = 0.5
                continue
            gain[group.prompts, j] = block_gain(centred, size, beta, rng)
            log_weights = (centred - centred[:, -1:]) / beta
            kls, wins = kl_and_win_rate(log_weights, size, rng)
            kl[group.prompts, j], win_rate[group.prompts, j] = kls.second, wins.second
            first[group.prompts, j], plain[group.prompts, j] = kls.first, kls.plain
    depth = sizes / int(np.diff(offsets).min())
    # On test systems the bias left was below this sum; the first part alone misses it where N is near n.
    allowance = depth * np.abs((kl - first).mean(axis=0)) + depth**2 / 3 * np.abs(
        (first - plain).mean(axis=0)
    )
    return PromptValues(base, gain, kl, first, win_rate, tied=True), allowance
