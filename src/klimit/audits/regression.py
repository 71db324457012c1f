"""The log ratio ``log pi/pi0`` regressed on the reward within prompts: how near a policy is to a tilted one.

At the optimum, ``log pi/pi0 = r/beta - log Z`` for every completion: a straight line of slope ``1/beta`` within each
prompt. Slope and R2 pool the prompts' covariances, each unbiased: ``slope = E Cov(l, r) / E Var(r)``.
"""

from __future__ import annotations

import numpy as np

from klimit.audits.measured import Array, Measured, ratio
from klimit.audits.pair import Pair, prompt_covariances
from klimit.audits.result import Regression
from klimit.values import Value


def moments(pair: Pair) -> Array:
    """Each prompt's ``Cov(l, r)``, ``Var(r)`` and ``Var(l)`` over the policy's completions, ``(3, P)``.

    Prompts with one completion say nothing: they count as 0, as ``n - 1`` would have it.
    """
    assert pair.log_ratio is not None
    reward, log_ratio = pair.rewards, pair.log_ratio
    pairs = ((log_ratio, reward), (reward, reward), (log_ratio, log_ratio))
    found = [prompt_covariances(first, second, pair.offsets) for first, second in pairs]
    return np.where(pair.counts > 1, np.stack(found), 0.0)


def regress(found: Array, level: float) -> tuple[Regression | None, Measured | None]:
    """The regression and its slope with influences; None where the reward never varies within a prompt.

    Args:
        found: :func:`moments`, ``(3, P)``.
        level: nominal cover.
    """
    shared, of_reward, of_ratio = (Measured.mean(x) for x in found)
    if not of_reward.value > 0:
        return None, None
    b = shared.value / of_reward.value
    slope = Measured(b, (shared.influence - b * of_reward.influence) / of_reward.value)
    fitted = ratio(shared, of_reward, level)
    return Regression(fitted, _inverse(fitted), _r_squared(shared, of_reward, of_ratio, level)), slope


def _inverse(slope: Value) -> Value | None:
    if not slope.estimate > 0:
        return None
    return Value(
        1 / slope.estimate,
        1 / slope.high if np.isfinite(slope.high) else 0.0,
        1 / slope.low if slope.low > 0 else np.inf,
    )


def _r_squared(shared: Measured, of_reward: Measured, of_ratio: Measured, level: float) -> Value:
    if not of_ratio.value > 0:
        return Value(float("nan"), 0.0, 1.0)
    root = np.sqrt(of_reward.value * of_ratio.value)
    correlation = shared.value / root
    influence: Array = shared.influence / root - correlation * (
        of_reward.influence / (2 * of_reward.value) + of_ratio.influence / (2 * of_ratio.value)
    )
    found = Measured(correlation, influence).interval(level)
    ends = sorted(min(abs(end), 1.0) for end in (found.low, found.high))
    # The square has its minimum at no correlation.
    low = 0.0 if found.low <= 0 <= found.high else ends[0]
    value = correlation**2
    return Value(value, min(low**2, value), max(ends[1] ** 2, value))
