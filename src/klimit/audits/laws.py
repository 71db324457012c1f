"""The KL between the laws of the reward: what of a policy's KL the reward can see at all.

By the chain rule ``KL(pi || pi0) = KL(law of r under pi || under pi0) + E KL(pi(.|r) || pi0(.|r))``: the second term is
spent off the reward. Two ways to the first, both from counts:

* **levels**: where rewards repeat, the estimator of Zhang and Grabchak (2014), digammas in place of logarithms, whose
  bias falls exponentially in the counts; what the policy's rare levels leave of it is estimated from how many were seen
  once and twice (Chao, Wang and Jost 2013). Levels too rare among the base samples are bounded from above by the
  log-sum inequality, ``p log(p/q) <= E[log pi/pi0; level]``.
* **bins**: where they hardly repeat. A binned law has no more KL than the law itself (data processing), so this is a
  lower bound; edges come from one half of the base samples and counts from the other, so that neither bends the other.
  From above the law's KL is bounded by the policy's KL, less what completions of equal reward show off the reward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.audits.bins import bin_of
from klimit.audits.measured import Array, Measured
from klimit.audits.pair import Ints, Pair

_UNSEEN = 0.6  # of the policy's mass on levels that no base sample shows: see _by_levels
_UNSURE = 0.5  # of the correction for rare levels: how far it may be off
_FEW = 8  # completions of a prompt, of either policy, below which its counts say next to nothing
_SPARSE = 0.2  # share of the policy's completions on rare levels from which bins are used
_BIN = 4  # base samples a bin
_DEALS = 4


@dataclass(frozen=True, eq=False)
class RewardLaw:
    """KL between the laws of the reward under the policy and under its base.

    Attributes:
        kl: mean over prompts; its ``below`` and ``above`` carry what rare levels leave open.
        by_prompt: ``(P,)``; for levels all but unbiased, for bins a lower bound.
        hidden: a lower bound on the KL spent off the reward: completions of equal reward and unequal log ratio.
        resolved: whether the law was estimated on the levels themselves.
        bins: levels or bins, mean over prompts.
    """

    kl: Measured
    by_prompt: Array
    hidden: Measured
    resolved: bool
    bins: float


@dataclass(frozen=True, eq=False)
class Cells:
    """Levels of the reward within prompts, those that either policy shows; ``(C,)``.

    Attributes:
        prompt: whose.
        own: the policy's completions there.
        base: the base policy's.
        of: the cell of each of the policy's completions, ``(n,)``.
    """

    prompt: Ints
    own: Array
    base: Array
    of: Ints


def cells(pair: Pair) -> Cells:
    """The levels of every prompt."""
    prompt = np.concatenate([pair.prompt, pair.base_prompt])
    reward = np.concatenate([pair.rewards, pair.base_rewards])
    order = np.lexsort((reward, prompt))
    p, r = prompt[order], reward[order]
    new = np.ones(len(p), dtype=bool)
    new[1:] = (p[1:] != p[:-1]) | (r[1:] != r[:-1])
    of = np.empty(len(p), dtype=np.int64)
    of[order] = np.cumsum(new) - 1
    n, n_cells = len(pair.rewards), int(new.sum())
    return Cells(p[new], _count(of[:n], n_cells), _count(of[n:], n_cells), of[:n])


def reward_law(pair: Pair, *, seed: int) -> RewardLaw:
    """Estimate or bound the KL between the laws of the reward."""
    assert pair.log_ratio is not None
    found = cells(pair)
    hidden = Measured.mean(_hidden(pair, found))
    single = found.own * ((found.own == 1) | (found.base == 0))
    if single.sum() <= _SPARSE * len(pair.rewards) or two_levels(pair, found).all():
        return _by_levels(pair, found, hidden)
    return _by_bins(pair, hidden, seed)


def few(pair: Pair) -> NDArray[np.bool_]:
    """Prompts with so few completions, of either policy, that their reward law is left open."""
    return np.asarray(np.minimum(pair.counts, pair.base_counts) < _FEW)


def two_levels(pair: Pair, found: Cells) -> NDArray[np.bool_]:
    """Prompts whose reward has two levels at most: as all their completions show, if those are more than a few."""
    if len(np.unique(pair.rewards)) <= 2 and len(np.unique(np.append(pair.rewards, pair.base_rewards))) <= 2:
        return np.ones(pair.n_prompts, dtype=bool)
    return np.asarray(_count(found.prompt, pair.n_prompts) <= 2) & ~few(pair)


def _open_where_few(law: Array, pair: Pair) -> tuple[Array, float, float]:
    """The prompts' estimates, and how much lower and higher their mean may be for prompts with few completions.

    There nothing is known but that the reward law's KL lies between 0 and the prompt's KL.
    """
    assert pair.log_ratio is not None
    left = few(pair)
    if not left.any():
        return law, 0.0, 0.0
    bounded = np.where(left, np.maximum(law, 0.0), law)
    below = float(np.where(left, bounded, 0.0).mean())
    room = Measured.mean(np.where(left, np.maximum(pair.means(pair.log_ratio) - bounded, 0.0), 0.0))
    return bounded, below, room.value + 2 * room.error


def _by_levels(pair: Pair, found: Cells, hidden: Measured) -> RewardLaw:
    assert pair.log_ratio is not None
    n, m = pair.counts[found.prompt], pair.base_counts[found.prompt]
    part = _law_terms(found.own, n, found.base, m)
    by_prompt = _total(found.prompt, part, pair.n_prompts)
    most = _total(found.of, pair.log_ratio, len(n)) / n
    # A level of base probability q falls short by p E1(m q) and goes unseen with probability exp(-m q): an allowance
    # of p log(1 + 1/(m q)) each time it does covers that on average, and the log-sum inequality bounds 1/q.
    allowance = np.maximum(most - part, 0.0) + _UNSEEN * found.own / n
    unseen = (found.base == 0) & (found.own > 0)
    open_above = _total(found.prompt, np.where(unseen, allowance, 0.0), pair.n_prompts)
    owed = _owed_to_rare(found.prompt, found.own, pair)
    unsure = _UNSURE * float(owed.mean())
    above = Measured.mean(open_above)
    law, lower, higher = _open_where_few(by_prompt - owed, pair)
    return RewardLaw(
        kl=Measured.mean(
            law,
            below=unsure + lower,
            above=above.value + (2 * above.error if above.value > 0 else 0.0) + unsure + higher,
        ),
        by_prompt=law,
        hidden=hidden,
        resolved=True,
        bins=len(n) / pair.n_prompts,
    )


def _owed_to_rare(prompt: Ints, own: Array, pair: Pair) -> Array:
    """By how much the entropy of the policy's law falls short for levels it shows rarely, ``(P,)``.

    Chao, Wang and Jost's term: each level seen once stands for levels of a typical probability ``a``, which the
    numbers seen once and twice tell, pooled over prompts; they owe the tail of the series of ``-log a``.
    """
    once, twice = float((own == 1).sum()), float((own == 2).sum())
    share = _total(prompt, (own == 1).astype(np.float64), pair.n_prompts) / pair.counts
    if once == 0:
        return np.zeros(pair.n_prompts)
    n = pair.counts
    a = 2 * twice / ((n - 1) * once + 2 * twice) if twice else 2 / ((n - 1) * (once - 1) + 2)
    sizes, which = np.unique(n, return_inverse=True)
    tails = np.array(
        [_tail(int(size), float(rate)) for size, rate in zip(sizes, a[_first(which)], strict=True)]
    )
    return np.asarray(share * tails[which])


def _first(which: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    return np.asarray(np.unique(which, return_index=True)[1])


def _tail(n: int, a: float) -> float:
    """``sum over r >= n of (1 - a)**(r - n + 1) / r``."""
    if a >= 1:
        return 0.0
    steps = np.arange(int(min(40 / a, 1e6)) + 1)
    return float(((1 - a) ** (steps + 1) / (steps + n)).sum())


def _law_terms(own: Array, n: Array, base: Array, m: Array) -> Array:
    """Each level's part in the KL between two laws, from counts ``own`` of ``n`` and ``base`` of ``m``."""
    from scipy.special import digamma

    seen = np.maximum(own, 1.0)
    logs = digamma(seen) - digamma(n) + digamma(m + 1) - digamma(base + 1)
    return np.asarray(np.where(own > 0, own / n * logs, 0.0))


def _by_bins(pair: Pair, hidden: Measured, seed: int) -> RewardLaw:
    rng = np.random.default_rng(seed)
    by_prompt, owed = np.zeros((2, pair.n_prompts))
    bins = 0.0
    by_value = np.lexsort((pair.base_rewards, pair.base_prompt))
    for _ in range(_DEALS):
        mixed = rng.random(len(pair.base_rewards))
        order = np.lexsort((mixed, pair.base_prompt))
        half = np.empty(len(order), dtype=np.int64)
        place = np.arange(len(order)) - np.repeat(pair.base_offsets[:-1], np.diff(pair.base_offsets))
        half[order] = place % 2
        for side in (0, 1):
            value, few, count = _binned(pair, by_value, half[by_value] == side)
            by_prompt += (value - few) / (2 * _DEALS)
            owed += few / (2 * _DEALS)
            bins += count / (2 * _DEALS)
    law, lower, _ = _open_where_few(by_prompt, pair)
    return RewardLaw(
        kl=Measured.mean(law, below=_UNSURE * float(owed.mean()) + lower),
        by_prompt=law,
        hidden=hidden,
        resolved=False,
        bins=bins,
    )


def _binned(pair: Pair, by_value: Ints, for_edges: NDArray[np.bool_]) -> tuple[Array, Array, float]:
    """The law's KL on bins whose edges come from some base samples, counts from the others; ``(P,)``.

    Also what its rare bins owe, ``(P,)``, and the mean number of bins.

    Args:
        pair: of policy and base.
        by_value: the base samples in the order of their rewards within prompts.
        for_edges: which of these give the edges.
    """
    base_values, base_prompt = pair.base_rewards[by_value], pair.base_prompt[by_value]
    values, prompt = base_values[for_edges], base_prompt[for_edges]
    size = np.bincount(prompt, minlength=pair.n_prompts)
    rank = np.arange(len(values)) - np.repeat(np.cumsum(size) - size, size)
    # A bin of at least _BIN base samples: what is left over goes to the last one.
    starts = (rank % _BIN == 0) & (rank > 0) & (size[prompt] - rank >= _BIN)
    edge, edge_prompt = values[starts], prompt[starts]
    n_bins = np.bincount(edge_prompt, minlength=pair.n_prompts) + 1
    first = np.cumsum(n_bins) - n_bins
    of_prompt = np.concatenate([[0], np.cumsum(n_bins - 1)])
    own = bin_of(pair.rewards, pair.prompt, edge, of_prompt, first)
    base = bin_of(base_values[~for_edges], base_prompt[~for_edges], edge, of_prompt, first)
    total = int(n_bins.sum())
    of = np.repeat(np.arange(pair.n_prompts), n_bins)
    counts, base_counts = _count(own, total), _count(base, total)
    n = pair.counts[of]
    m = np.bincount(base_prompt[~for_edges], minlength=pair.n_prompts).astype(np.float64)[of]
    part = _law_terms(counts, n, base_counts, m)
    return _total(of, part, pair.n_prompts), _owed_to_rare(of, counts, pair), float(n_bins.mean())


def _hidden(pair: Pair, found: Cells) -> Array:
    """What completions of equal reward show of the KL off the reward, ``(P,)``: too little, never too much, on average.

    Within a level the KL is ``E l + log E exp(-l)`` over the policy's completions there; by Jensen's inequality the
    mean of few exponentials falls short.
    """
    assert pair.log_ratio is not None
    low = np.full(len(found.own), np.inf)
    np.minimum.at(low, found.of, pair.log_ratio)
    shifted = pair.log_ratio - low[found.of]
    own = np.maximum(found.own, 1.0)
    mean = _total(found.of, shifted, len(own)) / own
    weight = _total(found.of, np.exp(-shifted), len(own)) / own
    gap = np.where(found.own > 1, mean + np.log(np.where(weight > 0, weight, 1.0)), 0.0)
    return _total(found.prompt, found.own * gap, pair.n_prompts) / pair.counts


def _count(of: Ints, size: int) -> Array:
    return np.bincount(of, minlength=size).astype(np.float64)


def _total(of: Ints, values: Array, size: int) -> Array:
    return np.asarray(np.bincount(of, weights=values, minlength=size), dtype=np.float64)
