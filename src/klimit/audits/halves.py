"""Quantities of rewards transformed by few base samples, without the bias that so few leave.

A transform made from a prompt's ``m`` base samples (their spread, quantile, ranks) is biased by ``O(1/m)``, and so is
what is computed from rewards it transforms. Halves of the base samples show twice that bias.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from klimit.audits.measured import Array
from klimit.audits.pair import Pair
from klimit.limit.blocks import block_offsets
from klimit.limit.kernels import deal_seed
from klimit.limit.shuffles import shuffled_rows
from klimit.rewards.transforms import Transform, transform_values

MIN_COMPLETIONS = 8  # of the base policy, for halves that say anything


def transformed(pair: Pair, transform: Transform) -> Pair:
    """Both policies' rewards in the light of the base samples."""
    own, theirs = (
        transform_values(transform, values, offsets, pair.base_rewards, pair.base_offsets)
        for values, offsets in ((pair.rewards, pair.offsets), (pair.base_rewards, pair.base_offsets))
    )
    return replace(pair, rewards=own, base_rewards=theirs)


def without_transform_bias(
    raw: Pair, transform: Transform, quantity: Callable[[Pair], Array], *, seed: int
) -> Array:
    """A quantity of every prompt, linear in nothing but its means: twice the whole less the mean over base halves.

    Args:
        raw: untransformed rewards.
        transform: which.
        quantity: of transformed rewards, one or several arrays over prompts, ``(..., P)``.
        seed: of the halves.
    """
    whole = quantity(transformed(raw, transform))
    if not transform.estimated or raw.base_counts.min() < MIN_COMPLETIONS:
        return whole
    order = shuffled_rows(raw.base_offsets, deal_seed(seed, 0))
    edges = block_offsets(raw.base_offsets, 2)
    total = np.zeros_like(whole)
    for side in (0, 1):
        starts, ends = edges[:-1].reshape(-1, 2)[:, side], edges[1:].reshape(-1, 2)[:, side]
        sizes = ends - starts
        offsets = np.append(0, np.cumsum(sizes))
        rows = order[np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])]
        half = replace(raw, base_rewards=raw.base_rewards[rows], base_offsets=offsets)
        total += quantity(transformed(half, transform)) / 2
    return np.asarray(2 * whole - total)
