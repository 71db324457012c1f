"""From one estimate a prompt to a policy's curve: means, intervals and efficiency."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import KlimitWarning
from klimit.policies.curve import PolicyCurve, Target
from klimit.policies.efficiency import AverageLimit, efficiency
from klimit.policies.intervals import Interval, kl_interval, mean_interval
from klimit.policies.levels import Floats
from klimit.policies.values import PromptValues
from klimit.samples.container import Samples


def assemble(
    policy: str,
    parameters: Mapping[str, NDArray[Any]],
    values: PromptValues,
    *,
    samples: Samples,
    reward: str,
    kl_bound: Floats,
    kl_bias: Floats,
    draws: Floats,
    limit: AverageLimit | None,
    level: float,
    target: Target,
    transform: str = "identity",
) -> PolicyCurve:
    """Average ``values`` over prompts.

    Args:
        policy: the curve's name.
        parameters: its settings.
        values: one estimate a prompt and setting.
        samples: where they come from.
        reward: the reward column.
        kl_bound: analytic upper bound on the KL, shape ``(k,)``.
        kl_bias: allowance for the bias left in the mean KL, shape ``(k,)``.
        draws: expected base draws an answer, shape ``(k,)``.
        limit: the limit for the efficiency; None for none.
        level: nominal cover.
        target: what the intervals are about.
        transform: of the reward, by name.
    """
    given = target == "these-prompts"
    gain = mean_interval(values.gain, level=level, within=values.gain_variance if given else None)
    if values.gain_bias is not None:
        gain = Interval(gain.mean, gain.low - values.gain_bias, gain.high + values.gain_bias)
    if values.tied:
        kl = kl_interval(
            values.kl,
            kl_bias,
            kl_bound,
            depth=np.minimum(draws / int(samples.counts.min()), 1.0),
            level=level,
            within=values.kl_variance if given else None,
        )
    else:
        kl = Interval(kl_bound, kl_bound, kl_bound)
    nothing = Interval(*(np.full(len(kl_bound), np.nan) for _ in range(3)))
    share = nothing
    if limit is not None:
        share = efficiency(
            values.gain,
            values.kl,
            gain_interval=gain,
            kl_interval=kl,
            kl_bias=kl_bias,
            gain_bias=values.gain_bias,
            limit=limit,
            level=level,
            given_prompts=given,
        )
    base = float(values.base.mean())
    return PolicyCurve(
        policy=policy,
        parameters=parameters,
        kl=kl.mean,
        kl_low=kl.low,
        kl_high=kl.high,
        kl_bound=kl_bound,
        gain=gain.mean,
        gain_low=gain.low,
        gain_high=gain.high,
        reward=base + gain.mean,
        win_rate=values.win_rate.mean(axis=0),
        efficiency=share.mean,
        efficiency_low=share.low,
        efficiency_high=share.high,
        draws=draws,
        base_reward=base,
        reward_name=reward,
        n_prompts=samples.n_prompts,
        level=level,
        target=target,
        transform=transform,
    )


def warn_of_limits(samples: Samples, target: Target, *, constant: bool, warned: bool) -> None:
    """Warn where the samples leave something unsaid: one completion, one prompt, constant rewards.

    Args:
        samples: the samples.
        target: what the intervals are about.
        constant: whether rewards are constant within every prompt.
        warned: whether a frontier of the same samples has warned of the last two already.
    """
    single = np.flatnonzero(samples.counts == 1)
    if len(single):
        _warn(
            f"{len(single)} of {samples.n_prompts} prompts have one completion (first: prompt "
            f"{samples.prompt_ids[single[:1]].tolist()[0]!r}), so N can only be 1, the base policy"
        )
    elif constant and not warned:
        _warn("rewards are the same within every prompt: no selection gains anything, as far as they show")
    if samples.n_prompts == 1 and target == "population" and not warned:
        _warn("one prompt says nothing about others: no intervals; target='these-prompts' gives some")


def _warn(message: str) -> None:
    warnings.warn(message, KlimitWarning, stacklevel=4)
