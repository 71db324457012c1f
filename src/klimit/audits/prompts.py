"""The audit prompt by prompt, and which prompts had KL spent on them for nothing."""

from __future__ import annotations

import numpy as np

from klimit.audits.least import per_prompt_least_kl
from klimit.audits.measured import Array
from klimit.audits.pair import Pair, prompt_means, prompt_variances
from klimit.audits.result import PromptTable
from klimit.samples.container import Samples

_SPENT, _GAINED = 2.0, 1.0  # standard errors


def prompt_table(pair: Pair, policy: Samples, completion_kl: Array | None) -> PromptTable:
    """Gains, KLs and least KLs of the prompts.

    Args:
        pair: transformed rewards.
        policy: its samples, for ids and truncation.
        completion_kl: the KL estimator's value of each of the policy's completions; None without log-probabilities.
    """
    errors = [
        prompt_variances(values, offsets) / np.diff(offsets)
        for values, offsets in ((pair.rewards, pair.offsets), (pair.base_rewards, pair.base_offsets))
    ]
    gain_error = np.sqrt(errors[0] + errors[1])
    kl = kl_error = None
    idle = np.zeros(pair.n_prompts, dtype=bool)
    if completion_kl is not None:
        kl = pair.means(completion_kl)
        kl_error = np.sqrt(prompt_variances(completion_kl, pair.offsets) / pair.counts)
        # The rounding of sums over tokens is no KL.
        shown = np.isfinite(kl_error) & (kl > _SPENT * kl_error + 1e-9)
        idle = shown & np.isfinite(gain_error) & (pair.gain <= _GAINED * gain_error)
    cut = (
        None if policy.truncated is None else prompt_means(policy.truncated.astype(np.float64), pair.offsets)
    )
    return PromptTable(
        prompt_id=policy.prompt_ids,
        gain=pair.gain,
        gain_error=gain_error,
        kl=kl,
        kl_error=kl_error,
        least_kl=per_prompt_least_kl(pair),
        idle=idle,
        truncated=cut,
    )
