"""The horizon: the largest KL budget at which the estimated limit can be trusted, from the data alone.

A budget passes when what the jackknife corrects still shrinks the way a removable bias does, when that correction
and the disagreement between extrapolations are small shares of the gain, and when the samples of one prompt can
show such a KL at all. The horizon is the largest budget such that it and all smaller ones pass.
"""

from __future__ import annotations

import numpy as np

from klimit.limit.dual import Array
from klimit.limit.estimator import extrapolate, remaining_bias
from klimit.limit.levels import Budget, MeanLevels

BUDGETS = 512  # candidate budgets, 2% apart

# Chosen by the cover of the intervals after selection, see benchmarks/cover.py.
_SHRINK, _SHRINK_NOISE, _SHRINK_NOISE_MOST = 0.67, 0.7, 0.1
_CORRECTION_SHARE = 0.045
_DISAGREEMENT_SHARE = 0.03
_LOG_N_MARGIN = 1.0
_FEW_PROMPTS, _SHARE_FEW_PROMPTS = 50, 0.1
_NEGLIGIBLE_SHARE = 0.02  # a correction so small need not be seen to shrink, where the bias may cross 0


def conditions(means: MeanLevels, kl: Array, counts: Array) -> dict[str, Array]:
    """Which budgets pass each condition, by name, ``(K,)`` booleans.

    Args:
        means: averages over prompts at the budgets.
        kl: the budgets.
        counts: completions of each prompt, ``(P,)``.
    """
    finest, half, quarter = means.corrected
    correction, coarser = finest - means.plug_in[0], half - means.plug_in[1]
    d1, d2 = finest - half, half - quarter
    added = extrapolate(d1, d2, means.noise)
    gain = finest + added
    disagreement = np.abs(added - d1 / 3) + remaining_bias(d1, d2, correction if means.estimated else None)
    margin = min(_SHRINK_NOISE / np.sqrt(len(counts)), _SHRINK_NOISE_MOST)
    if means.estimated:
        correction, coarser = np.abs(correction), np.abs(coarser)
    shrinks = correction <= (_SHRINK - margin) * coarser
    if means.estimated:
        shrinks |= correction <= _NEGLIGIBLE_SHARE * gain
    return {
        "shrink": shrinks,
        "correction": correction <= _CORRECTION_SHARE * gain,
        "disagreement": disagreement <= _DISAGREEMENT_SHARE * gain,
        # Few prompts cannot tell how fast the bias shrinks; the weights can say when there is little of it.
        "weights": means.share <= _SHARE_FEW_PROMPTS
        if len(counts) < _FEW_PROMPTS
        else np.ones(len(kl), dtype=bool),
        "samples": kl <= np.log(counts).mean() - _LOG_N_MARGIN,
    }


def horizon_and_reason(budget: Budget | None, counts: Array) -> tuple[float, str]:
    """The largest trusted budget, in nats, and the condition that ends it; 0 when none passes."""
    if budget is None:
        return 0.0, "completions"
    low, high = budget.reach
    if not high > low > 0:
        return 0.0, "reach"
    kl = np.geomspace(low, high, BUDGETS)
    passed = conditions(budget.means(kl), kl, counts)
    good = np.logical_and.reduce(list(passed.values()))
    if good.all():
        return float(kl[-1]), "reach"
    stop = int(np.argmin(good))
    reason = next(name for name, ok in passed.items() if not ok[stop])
    return (float(kl[stop - 1]) if stop else 0.0), reason
