"""Random blocks of each prompt's completions, each transformed by its own: for transforms that are estimates.

A transform made from a prompt's ``n`` samples (their mean, spread, quantile, ranks) is itself biased by ``O(1/n)``,
and so is whatever is computed from the transformed rewards. Blocks of ``n/2, n/4, n/8`` samples that are transformed
by themselves show how that bias falls, like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.limit.dealing import deal_prompts
from klimit.limit.dual import Array
from klimit.limit.kernels import deal_seed, in_chunks
from klimit.limit.moments import best_pass, by_size
from klimit.rewards.transforms import RANK, Transform, transform_column

DEPTH = 4  # block sizes n, n/2, n/4, n/8
EIGHTHS = 8
MIN_COMPLETIONS = 32  # of a prompt: an eighth of fewer has no spread or rank to speak of
_MOST_WORK, _MOST_DEALS = 12_000_000, 8
_BLOCK_WORK = 400  # a block costs as much as that many completions


@dataclass(frozen=True, eq=False)
class Blocks:
    """Transformed rewards of blocks, as if each were a prompt.

    Attributes:
        values: ascending within each block, ``(n_completions,)``.
        offsets: ``(n_prompts * parts + 1,)``; the blocks of a prompt follow each other.
        parts: blocks of each prompt.
    """

    values: Array
    offsets: NDArray[np.int64]
    parts: int


def dealt(
    values: NDArray[np.floating[Any]],
    offsets: NDArray[np.int64],
    transform: Transform,
    *,
    seed: int,
    number: int,
    parts: tuple[int, ...],
) -> Iterator[Blocks]:
    """One deal of the samples into blocks, coarse or fine; a coarse block holds neighbouring fine ones.

    Args:
        values: raw rewards, ascending within prompts, ``(n_completions,)``.
        offsets: ``(n_prompts + 1,)``.
        transform: what every block is transformed by.
        seed: of the deals.
        number: of this one.
        parts: blocks a prompt, each 1, 2, 4 or 8.
    """
    shuffled = np.empty(len(values))
    deal_prompts(values, offsets, EIGHTHS, deal_seed(seed, number), shuffled)
    for count in parts:
        edges = block_offsets(offsets, count)
        yield Blocks(np.asarray(transform_column(transform, shuffled, edges)), edges, count)


def block_offsets(offsets: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """Offsets of the blocks of every prompt."""
    eighths = np.arange(0, EIGHTHS, EIGHTHS // parts)
    inner = offsets[:-1, None] + (eighths * np.diff(offsets)[:, None]) // EIGHTHS
    return np.append(inner.reshape(-1), offsets[-1])


def deals_for_blocks(offsets: NDArray[np.int64]) -> int:
    """How often to deal: small samples can afford to average the luck of it away."""
    blocks = (2**DEPTH - 2) * (len(offsets) - 1)
    work = (DEPTH - 1) * int(offsets[-1]) + _BLOCK_WORK * blocks
    return int(min(_MOST_DEALS, max(1, _MOST_WORK // work)))


@dataclass(frozen=True, eq=False)
class CorrectedGains:
    """Best-of-N in a transformed reward.

    Attributes:
        gain: one a prompt, ``(P, J)``.
        bias: an allowance for the bias that is left in their mean, ``(J,)``.
        variance: of a prompt's gain within the prompt, a mean over prompts bounded from above, ``(J,)``; None where
            nothing was corrected, or the transform is ``rank``.
    """

    gain: Array
    bias: Array
    variance: Array | None


def best_gains(
    values: NDArray[np.floating[Any]], offsets: NDArray[np.int64], sizes: NDArray[np.int64]
) -> Array:
    """Gain of best-of-N of each prompt (or block), the U-statistic over its subsets; ``(P, J)``.

    Args:
        values: rewards, ascending within prompts, ``(n_completions,)``.
        offsets: ``(P + 1,)``.
        sizes: each N, from 1 to the smallest prompt's number of completions, ``(J,)``.
    """
    out = np.empty((len(offsets) - 1, len(sizes)))
    if not len(sizes):  # a prompt with a single completion leaves no N above 1
        return out
    counts = np.diff(offsets)

    def work(first: int, last: int) -> None:
        best_pass(values, offsets, by_size(counts, first, last), sizes, out)

    in_chunks(work, offsets)
    return out


def corrected_best_gains(
    values: NDArray[np.floating[Any]],
    offsets: NDArray[np.int64],
    transform: Transform,
    sizes: NDArray[np.int64],
    *,
    seed: int,
) -> CorrectedGains:
    """Gain of best-of-N in the transformed reward, without the bias of an estimated transform.

    ``G_m`` is the gain in blocks of ``m`` samples, each transformed by its own. ``C_n = 2 G_n - G_{n/2}`` is without
    the ``1/n`` of its bias, ``C_n + (C_n - C_{n/2})/3`` without the ``1/n**2``. Blocks show N up to their size; beyond,
    the correction of the largest such N is carried on, as a share of the gain. Ranks need the first step only (without
    ties their bias is a share ``1/n``). Below :data:`MIN_COMPLETIONS` nothing else is corrected: blocks of fewer
    may be constant.

    Args:
        values: raw rewards, ascending within prompts, ``(n_completions,)``.
        offsets: ``(n_prompts + 1,)``.
        transform: which one.
        sizes: each N, from 1 to the smallest prompt's number of completions, ``(J,)``.
        seed: of the blocks.
    """
    sizes = np.asarray(sizes, dtype=np.int64)
    column = transform_column(transform, values, offsets)
    whole = best_gains(column, offsets, sizes)
    fewest = int(np.diff(offsets).min())
    if not len(sizes) or fewest < (4 if transform == RANK else MIN_COMPLETIONS):
        return CorrectedGains(whole, np.zeros(len(sizes)), None)
    half, quarter = fewest // 2, fewest // 4
    asked = np.concatenate([sizes, [half, quarter]])

    def mean_gains(parts: int) -> tuple[Array, Array]:
        """``G_{n/parts}`` of each prompt, at N that such blocks show; and its variance within prompts, a mean."""
        upto, deals = np.minimum(asked, fewest // parts), deals_for_blocks(offsets)
        total, spread = np.zeros((len(offsets) - 1, len(asked))), np.zeros(len(asked))
        for number in range(deals):
            (blocks,) = dealt(values, offsets, transform, seed=seed, number=number, parts=(parts,))
            each = best_gains(blocks.values, blocks.offsets, upto).reshape(-1, parts, len(asked))
            total += each.mean(axis=1) / deals
            spread += each.var(axis=1, ddof=1).mean(axis=0) / parts / deals
        return total, spread

    plain = np.concatenate([whole, best_gains(column, offsets, asked[-2:])], axis=1)
    halves, variance = mean_gains(2)
    once = 2 * plain - halves
    gain = np.where(sizes <= half, once[:, :-2], whole * _ratio(once[:, -2], plain[:, -2]))
    if transform == RANK:
        return CorrectedGains(gain, np.zeros(len(sizes)), None)
    last = once - (2 * halves - mean_gains(4)[0])
    twice = once + last / 3
    gain = np.where(sizes <= quarter, twice[:, :-2], gain * _ratio(twice[:, -1], once[:, -1]))
    left = np.maximum(0.5 * np.abs(last.mean(axis=0)), 0.1 * np.abs((once - plain).mean(axis=0)))
    carried = 2 * np.abs(gain.mean(axis=0)) * left[-1] / max(abs(float(twice[:, -1].mean())), 1e-300)
    carried += np.where(sizes > half, 0.5 * np.abs((gain - whole).mean(axis=0)), 0.0)
    bias = np.where(sizes == 1, 0.0, np.where(sizes <= quarter, left[:-2], carried))
    # Halves of a prompt differ by all that its samples leave open, the transform included.
    growth = np.array([_ratio(whole[:, j], plain[:, -2]) ** 2 for j in range(len(sizes))])
    variance = np.where(sizes <= half, variance[:-2], variance[-2] * growth)
    noise = np.sqrt(variance)
    return CorrectedGains(
        gain, bias, (noise + (np.std(gain - whole, axis=0) if len(gain) > 1 else noise)) ** 2
    )


def _ratio(after: Array, before: Array) -> float:
    """Of two means; one where there is nothing."""
    mean = float(before.mean())
    return float(after.mean()) / mean if mean != 0 else 1.0
