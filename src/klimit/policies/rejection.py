"""Rejection sampling from the tilted policy: on the limit itself, at a cost in draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError
from klimit.policies.curve import PolicyCurve, Target
from klimit.policies.efficiency import AverageLimit
from klimit.policies.inputs import as_settings, check_level, resolve_limit
from klimit.policies.levels import Floats
from klimit.samples import as_samples
from klimit.samples.container import Samples
from klimit.samples.sorting import sorted_groups


def rejection_sampling(
    samples: Any,
    *,
    beta: ArrayLike,
    reward_max: ArrayLike,
    reward: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    target: Target = "population",
    limit: AverageLimit | None = None,
    prompt: str | list[str] | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
) -> PolicyCurve:
    """Gain, KL and cost of exact rejection sampling from the tilted policy pi0 exp(r / beta) / Z.

    It draws from the base policy until one completion is accepted, with probability
    exp((r - reward_max) / beta), and answers with it: the tilted policy exactly, hence on the limit. A prompt
    takes exp(reward_max / beta) / Z draws an answer on average, estimated with the bias of 1/Z corrected
    (jackknife). KL and gain are the limit's at this beta.

    Args:
        samples: as for :func:`klimit.best_of_n`.
        beta: reward paid per nat, one or several.
        reward_max: what no reward exceeds: one number, or one a prompt. The lower it can be set, the fewer
            draws.
        reward: as for :func:`klimit.best_of_n`, like all that follow.
        level: nominal cover of the intervals.
        seed: for the limit, where it is computed here.
        target: what the intervals are about.
        limit: the average-budget frontier of the same samples; computed if not given.
        prompt: columns that identify a prompt, when reading.
        where: SQL condition that chooses rows, when reading.
        lower_is_better: rewards are costs, when reading.

    Returns:
        The curve. ``efficiency`` is 1 by definition, ``win_rate`` is not computed (nan). Where the KL at this
        beta lies beyond the limit's horizon, ``kl`` and ``gain`` are nan and their intervals what the limit
        brackets; ``draws`` is nan, resting on too few completions. ``kl_bound`` is the mean over prompts of
        the logarithm of the draws.

    Raises:
        InputError: reward_max is below an observed reward, or of a wrong shape; a beta is not above 0;
            otherwise as :func:`klimit.frontier`.
    """
    check_level(level, target)
    data = as_samples(samples, reward=reward, prompt=prompt, where=where, lower_is_better=lower_is_better)
    name = data.reward_name(reward)
    betas = as_settings(beta, "beta", low=0, strict=True)
    largest = _check_largest(data, data.reward(name), reward_max)
    with np.errstate(over="ignore"):  # a cost that overflows lies beyond any horizon
        base, draws, bound = _draws(data.reward(name), data.offsets, betas, largest)
    frontier = resolve_limit(data, name, limit, wanted=True, level=level, seed=seed, target=target)
    assert frontier is not None
    points = [frontier.at(beta=float(b)) for b in betas]
    fields = ("kl", "kl_low", "kl_high", "gain", "gain_low", "gain_high")
    arrays = {field: np.array([getattr(point, field) for point in points]) for field in fields}
    on_limit = np.where(np.isfinite(arrays["gain"]), 1.0, np.nan)
    mean = float(base.mean())
    return PolicyCurve(
        policy="rejection-sampling",
        parameters={"beta": betas},
        **arrays,
        kl_bound=bound.mean(axis=0),
        reward=mean + arrays["gain"],
        win_rate=np.full(len(betas), np.nan),
        efficiency=on_limit,
        efficiency_low=on_limit,
        efficiency_high=on_limit,
        draws=np.where(np.isfinite(on_limit), draws.mean(axis=0), np.nan),
        base_reward=mean,
        reward_name=name,
        n_prompts=data.n_prompts,
        level=level,
        target=target,
        transform="identity",
    )


def _check_largest(samples: Samples, rewards: NDArray[np.floating[Any]], reward_max: ArrayLike) -> Floats:
    """``reward_max`` for each prompt, shape ``(n_prompts,)``."""
    largest = np.asarray(reward_max)
    if largest.dtype.kind not in "iuf" or largest.shape not in ((), (samples.n_prompts,)):
        raise InputError(
            f"reward_max has shape {largest.shape}; give one number, or one a prompt ({samples.n_prompts})"
        )
    largest = np.broadcast_to(largest, (samples.n_prompts,)).astype(np.float64)
    if not np.isfinite(largest).all():
        raise InputError("reward_max is not finite; rejection sampling needs a bound that no reward exceeds")
    seen = np.maximum.reduceat(rewards, samples.offsets[:-1]).astype(np.float64)
    above = np.flatnonzero(seen > largest)
    if len(above):
        i = int(above[0])
        raise InputError(
            f"reward_max = {largest[i]:g} is below a reward of {seen[i]:g} (prompt "
            f"{samples.prompt_ids[above[:1]].tolist()[0]!r}); no reward may exceed it"
        )
    return largest


def _draws(
    rewards: NDArray[np.floating[Any]], offsets: NDArray[np.integer[Any]], betas: Floats, largest: Floats
) -> tuple[Floats, Floats, Floats]:
    """Mean reward (n_prompts,), expected draws (n_prompts, k) and a bound on the KL (n_prompts, k), by prompt."""
    n_prompts, k = len(offsets) - 1, len(betas)
    base, draws, bound = np.empty(n_prompts), np.empty((n_prompts, k)), np.empty((n_prompts, k))
    for group in sorted_groups(rewards, offsets):
        n = group.n
        base[group.prompts], centred = group.centred()
        above = largest[group.prompts] - group.rewards[:, -1]
        for j, beta in enumerate(betas):
            weights = np.exp((centred - centred[:, -1:]) / beta)  # over exp(top / beta)
            total = weights.sum(axis=1)
            inverse = n / total
            bound[group.prompts, j] = above / beta + np.log(inverse)
            if n > 1:
                # 1/Z^ is biased upwards; its jackknife, unlike a first-order factor, also where a few weigh most.
                others = np.maximum(total[:, None] - weights, np.finfo(np.float64).tiny)
                inverse = n * inverse - (n - 1) ** 2 * (1 / others).mean(axis=1)
            draws[group.prompts, j] = np.exp(above / beta) * inverse
    return base, draws, bound
