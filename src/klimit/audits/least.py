"""The least KL that each prompt's own gain needs: ``limit_x^{-1}(G_x) = sup over t of t G_x - L_x(t)``, any ``t``.

Both ``G_x`` and ``L_x`` come from few completions and the supremum turns their noise into bias, upwards, in every
prompt alike. So the whole functional is computed on random blocks of both policies' completions, of sizes
``n, n/2, n/4, n/8``: twice the finer less the coarser removes the ``1/m`` term, and the means over prompts are
extrapolated as the limit's are (:mod:`klimit.limit.estimator`).

``t`` is held to where the tilted base samples of a prompt still count for several: beyond, they say nothing. A prompt
whose gain asks for more is *bound*; its value there is a lower bound, its KL an upper one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from klimit.audits.halves import transformed
from klimit.audits.measured import Array, Measured
from klimit.audits.pair import Ints, Pair, prompt_means
from klimit.limit.blocks import block_offsets
from klimit.limit.estimator import Inference
from klimit.limit.kernels import deal_seed, in_chunks
from klimit.limit.levels import PromptLevels
from klimit.limit.shuffles import shuffled_rows
from klimit.rewards.transforms import Transform

MIN_COMPLETIONS = 16  # of either policy, for eighths of two
_DEPTH = 4  # block sizes n, n/2, n/4, n/8
_MOST_SHARE = 0.08  # one over the effective sample size that a tilt must leave, mean over prompts
_FIRST_TILT, _LAST_TILT = 0.1, 50.0  # over the spread of the reward
_MOST_WORK, _MOST_DEALS = 400_000, 8
_BOUND = 1e-6
_BEYOND = 1.0  # nats over log m


@numba.njit(cache=True, nogil=True)
def _tilted(z: Array, t: float) -> tuple[float, float, float, float]:
    """``log mean exp(t z)``, its first two derivatives, and the effective sample size."""
    n = len(z)
    top = t * z[0]
    for i in range(n):
        top = max(top, t * z[i])
    s0, s1, s2, squares = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        w = np.exp(t * z[i] - top)
        s0 += w
        s1 += w * z[i]
        s2 += w * z[i] * z[i]
        squares += w * w
    mean = s1 / s0
    return top + np.log(s0 / n), mean, max(s2 / s0 - mean * mean, 0.0), s0 * s0 / squares


@numba.njit(cache=True, nogil=True)
def _supremum(z: Array, gain: float, low: float, high: float) -> tuple[float, float]:
    """``sup of t gain - log mean exp(t z)`` over ``low <= t <= high``, and its ``t``; ``z`` of mean 0, unit scale."""
    smallest, largest = z[0], z[0]
    for i in range(len(z)):
        smallest, largest = min(smallest, z[i]), max(largest, z[i])
    if smallest == largest:
        return 0.0, 0.0
    if gain == 0.0:
        return 0.0, 0.0
    # At an end of what was seen the supremum is the log of the share there; beyond it, infinite.
    left, right = (0.0, high) if gain > 0 else (low, 0.0)
    if gain >= largest and high == np.inf:
        if gain > largest:
            return np.inf, np.inf
        return -np.log((z == largest).mean()), np.inf
    if gain <= smallest and low == -np.inf:
        if gain < smallest:
            return np.inf, -np.inf
        return -np.log((z == smallest).mean()), -np.inf
    t = gain
    if not left < t < right:
        t = 0.5 * (left + right) if abs(left + right) < 1e6 else gain
    for _ in range(60):
        _, mean, variance, _ = _tilted(z, t)
        step_from = gain - mean
        if step_from > 0:
            left = t
        else:
            right = t
        step = step_from / variance if variance > 1e-300 else np.inf
        new = t + step
        if not left < new < right:
            new = 2.0 * t if right == np.inf or left == -np.inf else 0.5 * (left + right)
        if abs(new - t) <= 1e-9 * (1.0 + abs(t)):
            t = new
            break
        t = new
    return t * gain - _tilted(z, t)[0], t


@numba.njit(cache=True, nogil=True)
def _suprema(
    base: Array,
    offsets: Ints,
    gains: Array,
    low: Array,
    high: Array,
    first: int,
    last: int,
    value: Array,
    tilt: Array,
) -> None:
    """The supremum of every row: base rewards less their mean, gains and tilts in the reward's unit."""
    for p in range(first, last):
        z = base[offsets[p] : offsets[p + 1]]
        total = 0.0
        for i in range(len(z)):
            total += z[i] * z[i]
        scale = np.sqrt(total / len(z))
        if scale == 0.0:  # a straight line in t, up to where t may go
            end = high[p] if gains[p] > 0 else low[p]
            value[p], tilt[p] = 0.0 if gains[p] == 0.0 or end == 0.0 else gains[p] * end, end
            continue
        found, t = _supremum(z / scale, gains[p] / scale, low[p] * scale, high[p] * scale)
        value[p], tilt[p] = found, t / scale


@numba.njit(cache=True, nogil=True)
def _scales(base: Array, offsets: Ints, out: Array) -> None:
    for p in range(len(offsets) - 1):
        total = 0.0
        for i in range(offsets[p], offsets[p + 1]):
            total += base[i] * base[i]
        out[p] = np.sqrt(total / (offsets[p + 1] - offsets[p]))


@numba.njit(cache=True, nogil=True)
def _mean_share(base: Array, offsets: Ints, scales: Array, t: float) -> float:
    """One over the effective sample size of the samples tilted by ``t`` over each prompt's scale, mean over prompts."""
    total, used = 0.0, 0
    for p in range(len(scales)):
        if scales[p] > 0.0:
            total += 1.0 / _tilted(base[offsets[p] : offsets[p + 1]], t / scales[p])[3]
            used += 1
    return total / used if used else 0.0


def suprema(
    base: Array, offsets: Ints, gains: Array, reach: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """The least KL of each row's gain and its tilt, ``(R,)`` each, straight from the samples (biased upwards).

    Args:
        base: base rewards less their row's mean, flat.
        offsets: of the rows, ``(R + 1,)``.
        gains: ``(R,)``.
        reach: bounds on the tilt, ``(R,)`` each; none by default: infinite where no base sample reaches the gain.
    """
    rows = len(gains)
    low, high = (np.full(rows, -np.inf), np.full(rows, np.inf)) if reach is None else reach
    value, tilt = np.empty((2, rows))

    def work(first: int, last: int) -> None:
        _suprema(base, offsets, gains, low, high, first, last, value, tilt)

    in_chunks(work, offsets)
    return value, tilt


def reaches(base: Array, offsets: Ints) -> tuple[Array, Array]:
    """The tilts, either side, that leave the prompts' base samples an effective size on average; ``(P,)`` each.

    One tilt for all, in units of the prompt's spread: a prompt whose samples lack large rewards by chance would
    allow itself a larger one.
    """
    scales = np.empty(len(offsets) - 1)
    _scales(base, offsets, scales)
    inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scales > 0)
    low, high = (_last_tilt(base, offsets, scales, sign) * inverse for sign in (-1.0, 1.0))
    return low, high


def _last_tilt(base: Array, offsets: Ints, scales: Array, sign: float) -> float:
    inside, outside = 0.0, _FIRST_TILT
    while _mean_share(base, offsets, scales, sign * outside) <= _MOST_SHARE:
        inside, outside = outside, 2 * outside
        if outside > _LAST_TILT:
            return sign * outside
    for _ in range(12):
        middle = (inside + outside) / 2
        if _mean_share(base, offsets, scales, sign * middle) <= _MOST_SHARE:
            inside = middle
        else:
            outside = middle
    return sign * inside


@dataclass(frozen=True, eq=False)
class LeastKL:
    """The least KL that every prompt's own gain needs.

    Attributes:
        mean: over prompts, bias removed; for prompts that are bound, a lower bound.
        bound: prompts whose gain lies beyond what their base samples can show, ``(P,)``.
    """

    mean: Measured
    bound: NDArray[np.bool_]


def least_kl(
    raw: Pair, transform: Transform, *, seed: int, level: float, known: dict[str, Any] | None = None
) -> LeastKL | None:
    """Estimate the mean over prompts of the least KL; None where a prompt has too few completions for blocks.

    Args:
        raw: untransformed rewards; the transform is recomputed on every block.
        transform: of the rewards.
        seed: of the random blocks.
        level: of the interval (for the skewness).
        known: ``where``: prompts, boolean, whose least KL is known otherwise; ``value``: that, ``(P,)``.
    """
    if min(raw.counts.min(), raw.base_counts.min()) < MIN_COMPLETIONS:
        return None
    whole = transformed(raw, transform)
    centred = whole.base_rewards - np.repeat(whole.base_mean, np.diff(whole.base_offsets))
    reach = reaches(centred, raw.base_offsets)
    free, tilt = suprema(centred, raw.base_offsets, whole.gain, reach)
    # A block without the prompt's best rewards would ask any price for the gain; the same cap for blocks of all sizes
    # leaves the differences between them to the bias.
    most = np.log(raw.base_counts) + _BEYOND
    free = np.minimum(free, most)
    inner = np.where(whole.gain > 0, tilt < reach[1] * (1 - _BOUND), tilt > reach[0] * (1 - _BOUND))
    bound = ~inner & (whole.gain != 0.0)
    blocks = np.zeros((_DEPTH, raw.n_prompts))
    blocks[0] = free
    deals = int(np.clip(_MOST_WORK // (len(raw.rewards) + len(raw.base_rewards)), 1, _MOST_DEALS))
    for number in range(deals):
        order, base_order = (
            shuffled_rows(offsets, deal_seed(seed, 2 * number + side))
            for side, offsets in enumerate((raw.offsets, raw.base_offsets))
        )
        for depth in range(1, _DEPTH):
            value = _on_blocks(raw, transform, order, base_order, 1 << depth, reach, most)
            blocks[depth] += value / deals
    if known is not None:
        blocks[:, known["where"]] = known["value"][known["where"]]
        bound &= ~known["where"]
    mean = _extrapolated(blocks, level)
    # At the last tilt the plug-in errs by half the inverse of the effective size, which no prompt's own data correct.
    return LeastKL(replace(mean, below=mean.below + _MOST_SHARE * float(bound.mean())), bound)


def _on_blocks(
    raw: Pair,
    transform: Transform,
    order: Ints,
    base_order: Ints,
    parts: int,
    reach: tuple[Array, Array],
    most: Array,
) -> Array:
    """Mean over a prompt's blocks of the functional on each, ``(P,)``."""
    offsets, base_offsets = block_offsets(raw.offsets, parts), block_offsets(raw.base_offsets, parts)
    block = transformed(
        Pair(raw.rewards[order], offsets, raw.base_rewards[base_order], base_offsets, None, None), transform
    )
    centred = block.base_rewards - np.repeat(block.base_mean, np.diff(base_offsets))
    low, high = (np.repeat(side, parts) for side in reach)
    value, _ = suprema(centred, base_offsets, block.gain, (low, high))
    return np.asarray(np.minimum(value.reshape(-1, parts), most[:, None]).mean(axis=1))


def _extrapolated(blocks: Array, level: float) -> Measured:
    corrected = (2 * blocks[:-1] - blocks[1:])[:, :, None]
    levels = PromptLevels(
        corrected=corrected,
        plug_in=blocks[0][:, None],
        shift=np.zeros(1),
        within=lambda prompts: np.zeros_like(blocks[0][prompts, None]),
    )
    found = Inference(level=level).estimate(levels)
    # Blocks may be too small for a bias of 1/m**2, which Richardson's step removes. Its last change bounds what is left
    # where that falls at least as fast as 1/m.
    steps = corrected[:, :, 0].mean(axis=1)
    richardson = steps[:-1] + (steps[:-1] - steps[1:]) / 3
    bias = max(float(found.bias[0]), float(abs(richardson[0] - richardson[1])))
    return Measured(float(found.value[0]), found.influence[:, 0], bias, bias)


def per_prompt_least_kl(pair: Pair) -> Array:
    """Each prompt's own plug-in, ``(P,)``: biased upwards by noise; infinite where no base sample reaches the gain."""
    centred = pair.base_rewards - np.repeat(
        prompt_means(pair.base_rewards, pair.base_offsets), np.diff(pair.base_offsets)
    )
    return suprema(centred, pair.base_offsets, pair.gain)[0]
