"""Where the KL went: ``KL = necessary + allocation + shape + off-reward``, by the chain rule.

* ``necessary = limit^{-1}(G)`` under the average budget;
* ``allocation = E_x limit_x^{-1}(G_x) - necessary``: the prompts' own gains, bought as cheaply as each can be;
* ``shape = E_x KL(law of r under pi || under pi0) - E_x limit_x^{-1}(G_x)``: a reward law other than a tilted one;
* ``off_reward``: the rest, on what the reward does not see.

Every inverse is two-sided (a loss needs a KL too), so that each part is at least 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from klimit.audits.laws import RewardLaw, cells, reward_law, two_levels
from klimit.audits.least import LeastKL, least_kl
from klimit.audits.measured import Measured
from klimit.audits.pair import Pair
from klimit.audits.result import Parts
from klimit.rewards.transforms import Transform
from klimit.values import Value


@dataclass(frozen=True, eq=False)
class Rungs:
    """The ladder that the parts are the steps of: each rung is at most the next.

    Attributes:
        necessary: least KL of the gain; None where the limit gives a range only.
        range: its interval, or that range.
        own: mean over prompts of the least KL of each one's gain; None where too few completions show it.
        law: KL between the laws of the reward.
        kl: the KL.
    """

    necessary: Measured | None
    range: Value
    own: Measured | None
    law: Measured
    kl: Measured


def parts_of(
    pair: Pair,
    raw: Pair,
    transform: Transform,
    *,
    kl: Measured,
    necessary: Measured | None,
    necessary_value: Value,
    seed: int,
    level: float,
) -> Parts:
    """The four parts.

    Args:
        pair: transformed rewards.
        raw: untransformed ones.
        transform: of the rewards.
        kl: the policy's KL.
        necessary: least KL of its gain, or None.
        necessary_value: its interval, or the range of it.
        seed: of random blocks.
        level: nominal cover.
    """
    law = reward_law(pair, seed=seed)
    own = _own(pair, raw, transform, law, kl, seed=seed, level=level)
    whole = _law(law, own, kl)
    return _steps(Rungs(necessary, necessary_value, own, whole, kl), law, pair, level)


def _own(
    pair: Pair, raw: Pair, transform: Transform, law: RewardLaw, kl: Measured, *, seed: int, level: float
) -> Measured | None:
    """E_x limit_x^{-1}(G_x), with what prompts leave open whose gain their base samples cannot show."""
    known: dict[str, Any] | None = None
    if law.resolved:  # with two levels a prompt's reward law is a tilted one: shape is 0 there
        known = {"where": two_levels(pair, cells(pair)), "value": law.by_prompt}
    found: LeastKL | None = least_kl(raw, transform, seed=seed, level=level, known=known)
    if found is None:
        return law.kl if known is not None and known["where"].all() else None
    # Where a prompt is bound, its least KL is at most its KL.
    spent = kl.value + kl.influence
    value = found.mean.value + found.mean.influence
    extra = Measured.mean(np.where(found.bound, np.maximum(spent - value, 0.0), 0.0))
    above = extra.value + 2 * extra.error if extra.value > 0 else 0.0
    if known is not None and known["where"].any():
        return replace(
            found.mean,
            below=found.mean.below + law.kl.below,
            above=found.mean.above + above + law.kl.above,
        )
    return replace(found.mean, above=found.mean.above + above)


def _law(law: RewardLaw, own: Measured | None, kl: Measured) -> Measured:
    """The law's KL; on bins at least what the prompts' gains need, and up to the whole KL less what is hidden."""
    if law.resolved:
        return law.kl
    least = law.kl if own is None or own.value < law.kl.value else own
    visible = kl - law.hidden
    room = max(visible.value - least.value, 0.0)
    spread = (visible - least).error
    return replace(least, above=least.above + room + 2 * spread)


def _steps(rungs: Rungs, law: RewardLaw, pair: Pair, level: float) -> Parts:
    off = rungs.kl - rungs.law
    most = max(_high(rungs.kl, level), 0.0)
    if law.resolved and bool(two_levels(pair, cells(pair)).all()):
        shape = Value(0.0, 0.0, 0.0)
        own: Measured | None = rungs.law
    else:
        own = rungs.own
        shape = (
            Value(float("nan"), 0.0, _high(rungs.law, level)) if own is None else _step(own, rungs.law, level)
        )
    allocation, off_reward = _allocation(rungs, own, level), _positive(off, level)
    return Parts(
        necessary=rungs.range,
        allocation=_at_most(allocation, most),
        shape=_at_most(shape, most),
        off_reward=_at_most(off_reward, most),
        resolved=law.resolved,
        bins=law.bins,
    )


def _allocation(rungs: Rungs, own: Measured | None, level: float) -> Value:
    nan = float("nan")
    if own is None:
        return Value(nan, 0.0, max(_high(rungs.law, level) - max(rungs.range.low, 0.0), 0.0))
    if rungs.necessary is not None:
        return _step(rungs.necessary, own, level)
    found = own.interval(level)
    return Value(nan, max(found.low - rungs.range.high, 0.0), max(found.high - rungs.range.low, 0.0))


def _step(lower: Measured, upper: Measured, level: float) -> Value:
    return _positive(upper - lower, level)


def _positive(part: Measured, level: float) -> Value:
    """A part's interval; it is known not to be negative, its estimate only up to its error."""
    found = part.interval(level)
    return Value(found.estimate, max(found.low, min(found.estimate, 0.0)), max(found.high, 0.0))


def _at_most(part: Value, most: float) -> Value:
    """No part is more than the whole KL may be."""
    return Value(part.estimate, min(part.low, most), max(min(part.high, most), np.nan_to_num(part.estimate)))


def _high(measured: Measured, level: float) -> float:
    return measured.interval(level).high
