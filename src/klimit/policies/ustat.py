"""Unbiased order statistics: averages over all subsets of a prompt's completions, without drawing any."""

from __future__ import annotations

import numpy as np

from klimit.policies.groups import Floats, Levels


def subset_ratio(n: int, size: int) -> Floats:
    """C(m, size) / C(n, size) for m = 0..n, shape ``(n + 1,)``.

    It is the probability that a random subset of ``size`` of the ``n`` completions lies within given ``m``
    of them, hence unbiased for F^size where ``m`` counts the completions with cdf at most F. The running
    product from the top is accurate to rounding and underflows to zero harmlessly.
    """
    ratio = np.zeros(n + 1)
    m = np.arange(n, size, -1)
    ratio[size:] = np.cumprod(np.concatenate([[1.0], (m - size) / m]))[::-1]
    return ratio


def best_weights(n: int, size: int) -> Floats:
    """Weights of the sorted rewards in the unbiased reward of best-of-``size``, shape ``(n,)``.

    Weight i (1-based, ascending) is C(i - 1, size - 1) / C(n, size): the share of the subsets of which
    completion i is the best. They sum to one.
    """
    return subset_ratio(n - 1, size - 1) * (size / n)


def tie_excess(levels: Levels, n: int, size: int, n_prompts: int) -> Floats:
    """What ties take from the win rate of best-of-``size`` against one base draw, per prompt, unbiased.

    Of a random subset of ``size + 1`` completions let one be the base draw and the others best-of-``size``.
    If t of them share the top, the win rate, ties counting half, is 1 - max(t, 2) / (2 (size + 1)): the
    untied size / (size + 1), less the mean of (t - 2)^+ / (2 (size + 1)), which is returned.

    Args:
        levels: tied levels of prompts with ``n`` completions each.
        n: completions of each of these prompts.
        size: N, less than n.
        n_prompts: length of the result; zero for the other prompts.
    """
    at, upto = levels.at, levels.upto
    among = subset_ratio(n, size + 1)
    # P(one given completion and `size` others from m given ones) = C(m, size) / C(n, size + 1).
    with_one = subset_ratio(n - 1, size) * ((size + 1) / n)
    below = upto - at
    excess = at * (with_one[upto - 1] + with_one[below]) - 2 * (among[upto] - among[below])
    return np.bincount(levels.prompt, weights=excess, minlength=n_prompts) / (2 * (size + 1))
