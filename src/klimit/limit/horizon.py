"""The horizon: the largest KL budget at which the estimated limit can be trusted, from the data alone.

A budget passes when what the jackknife corrects still shrinks the way a removable bias does, when that correction
and the disagreement between extrapolations are small shares of the gain, and when the samples of one prompt can
show such a KL at all. The horizon is the largest budget such that it and all smaller ones pass.
"""

from __future__ import annotations

import numpy as np

from klimit.limit.dual import Array
from klimit.limit.estimator import LimitEstimator, extrapolate, remaining_bias

BUDGETS = 192  # candidate budgets

# Chosen by the cover of the intervals after selection, see benchmarks/cover.py.
_SHRINK, _SHRINK_NOISE = 0.67, 0.7
_CORRECTION_SHARE = 0.045
_DISAGREEMENT_SHARE = 0.03
_LOG_N_MARGIN = 1.0


def conditions(estimator: LimitEstimator, kl: Array) -> dict[str, Array]:
    """Which budgets pass each condition, by name, ``(K,)`` booleans."""
    curve = estimator.curve
    u = curve.argmin(kl)
    reach = np.isfinite(u)
    u = np.where(reach, u, estimator.grid.u[0])
    weights = estimator.grid.basis(u) / estimator.grid.t
    jackknife = estimator.jackknife_levels @ weights.T
    plug_in = estimator.plug_in_levels @ weights.T
    correction, coarser = jackknife[0] - plug_in[0], jackknife[1] - plug_in[1]
    d1, d2 = jackknife[0] - jackknife[1], jackknife[1] - jackknife[2]
    # The noise of a difference is smooth in t: its root is interpolated, not its covariance over the grid.
    noise = np.interp(u, estimator.grid.u, estimator.noise / estimator.grid.t)
    added = extrapolate(d1, d2, noise**2)
    gain = curve.value(kl, u) + added - d1 / 3
    disagreement = np.abs(added - d1 / 3) + remaining_bias(d1, d2)
    margin = _SHRINK_NOISE / np.sqrt(estimator.n_prompts)
    return {
        "reach": reach,
        "shrink": correction <= (_SHRINK - margin) * coarser,
        "correction": correction <= _CORRECTION_SHARE * gain,
        "disagreement": disagreement <= _DISAGREEMENT_SHARE * gain,
        "samples": kl <= np.log(estimator.counts).mean() - _LOG_N_MARGIN,
    }


def horizon(estimator: LimitEstimator) -> float:
    """The largest trusted budget, in nats; 0 when none is."""
    curve = estimator.curve
    low, high = curve.kl_min, curve.kl_max
    if not high > low > 0:
        return 0.0
    kl = np.geomspace(low, high, BUDGETS)
    good = np.logical_and.reduce(list(conditions(estimator, kl).values()))
    stop = len(kl) if good.all() else int(np.argmin(good))
    return float(kl[stop - 1]) if stop else 0.0
