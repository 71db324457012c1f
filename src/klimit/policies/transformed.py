"""Best-of-N by a transformed reward, prompt by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.limit.blocks import corrected_best_gains
from klimit.limit.preparation import Rewards, sort_rewards
from klimit.policies.values import PromptValues, best_of_n_values
from klimit.rewards.transforms import IDENTITY, RANK, Transform, transform_column


def transformed_values(
    transform: Transform,
    values: NDArray[np.floating[Any]],
    offsets: NDArray[np.int64],
    sizes: Sequence[int],
    *,
    within: bool,
    seed: int,
    known: Rewards | None = None,
) -> PromptValues:
    """Best-of-N for each N of ``sizes``, its gain in the transformed reward.

    A pointwise transform makes another reward, like any. Ranks leave the selection as it is, and turn the gain into
    the win rate less a half, which is estimated without bias. For the others the gain is that of the samples
    transformed by themselves, less its bias (:func:`klimit.limit.blocks.corrected_best_gains`); its variance within
    prompts is bounded from above.

    Args:
        transform: which one.
        values: raw rewards, ``(n_completions,)``, grouped by prompt.
        offsets: ``(n_prompts + 1,)``.
        sizes: each N, from 1 to the smallest prompt's number of completions.
        within: also estimate the variances within prompts.
        seed: of the random halves that show the bias.
        known: the raw rewards sorted, where that has been done before.
    """
    if transform == RANK:
        return _ranked(best_of_n_values(values, offsets, sizes, within=within, known=known), sizes)
    if transform == IDENTITY:
        return best_of_n_values(values, offsets, sizes, within=within, known=known)
    found = best_of_n_values(transform_column(transform, values, offsets), offsets, sizes, within=within)
    if not transform.estimated:
        return found
    ordered = (sort_rewards(values, offsets) if known is None else known).values
    corrected = corrected_best_gains(ordered, offsets, transform, np.array(sizes), seed=seed)
    variance = found.gain_variance
    if variance is not None and corrected.variance is not None:
        variance = np.broadcast_to(corrected.variance, variance.shape)
        if len(variance) > 1:  # nor can prompts differ by less than what each of them leaves open
            variance = np.minimum(variance, corrected.gain.var(axis=0, ddof=1))
    base = found.base if transform.base_mean is None else np.full_like(found.base, transform.base_mean)
    return replace(found, base=base, gain=corrected.gain, gain_variance=variance, gain_bias=corrected.bias)


def _ranked(values: PromptValues, sizes: Sequence[int]) -> PromptValues:
    if values.tied:
        # N = 1 is the base policy: no rounding is a gain
        gain, variance = np.where(np.array(sizes) == 1, 0.0, values.win_rate - 0.5), values.win_variance
    else:
        n = np.array(sizes, dtype=np.float64)
        gain = np.broadcast_to(n / (n + 1) - 0.5, values.gain.shape)
        variance = None if values.win_variance is None else np.zeros_like(values.win_variance)
    return replace(values, base=np.full_like(values.base, 0.5), gain=gain, gain_variance=variance)
