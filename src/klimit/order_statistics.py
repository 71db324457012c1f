"""Unbiased order statistics: averages over all subsets of a prompt's completions, without drawing any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
