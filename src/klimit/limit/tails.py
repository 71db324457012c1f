"""How the weights ``exp(t r)`` of each prompt are spread: effective sample size, and Pareto k-hat of their tail.

The shape of the tail is the empirical Bayes estimate of Zhang and Stephens (2009) for a generalised Pareto law, with
the prior of Vehtari et al. (arXiv:1507.02646) on the shape. Its sums of logarithms are logarithms of running products.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from klimit.limit.compiled import INNER, OUTER
from klimit.limit.dual import Array
from klimit.limit.elementary import exp, log
from klimit.limit.kernels import in_chunks

_FEWEST_FOR_TAIL = 25  # completions below which the tail has too few values for a fit
_FEWEST_DISTINCT = 5
_PRIOR_SCALES, _PRIOR_DRAWS, _PRIOR_SHAPE = 3.0, 10.0, 0.5
_LANES = 8
_FACTORS = 8  # multiplied before their logarithm is taken
_NARROW, _WIDE = 1e9, 1e35  # factors beyond which four times so many, or so many, might overflow
_NEAR_ZERO = 0.01  # products of 1 - x are exact enough, unless all x are smaller
_NEGLIGIBLE = 10 * 2.220446049250313e-16  # share of the posterior


@numba.njit(fastmath=True, **INNER)
def _weigh(values: NDArray[Any], top: float, t: float, out: Array) -> tuple[float, float]:
    """Set ``out`` to ``exp(t (values - top))``; sums of them and of their squares."""
    total, squares = 0.0, 0.0
    for i in range(len(values)):
        w = exp(t * (values[i] - top))
        out[i] = w
        total += w
        squares += w * w
    return total, squares


@numba.njit(**INNER)
def _distinct(ordered: NDArray[Any]) -> int:
    count = 1
    for i in range(1, len(ordered)):
        count += ordered[i] != ordered[i - 1]
    return count


@numba.njit(fastmath={"contract"}, **INNER)
def _multiply(x: Array, b: Array, product: Array) -> None:
    """Multiply by ``1 - b x`` for each of eight ``x``."""
    x0, x1, x2, x3, x4, x5, x6, x7 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    for j in range(len(b)):
        a = b[j]
        first = ((1.0 - a * x0) * (1.0 - a * x1)) * ((1.0 - a * x2) * (1.0 - a * x3))
        second = ((1.0 - a * x4) * (1.0 - a * x5)) * ((1.0 - a * x6) * (1.0 - a * x7))
        product[j] *= first * second


@numba.njit(fastmath={"contract"}, **INNER)
def _take_logs(product: Array, total: Array) -> None:
    for j in range(len(product)):
        total[j] += log(product[j])
        product[j] = 1.0


@numba.njit(fastmath=True, **INNER)
def _mean_log(excess: Array, b: float) -> float:
    """The mean over ``x`` of ``log(1 - b x)``."""
    total = 0.0
    if abs(b) * excess[-1] < _NEAR_ZERO:
        for i in range(len(excess)):
            total += np.log1p(-b * excess[i])
    else:
        for i in range(len(excess)):
            total += log(1.0 - b * excess[i])
    return total / len(excess)


@numba.njit(**INNER)
def _mean_logs(excess: Array, b: Array, out: Array, product: Array) -> None:
    """:func:`_mean_log` of several ``b``, by running products, for which there is room."""
    m, largest = len(excess), excess[-1]
    widest = 0.0
    for j in range(len(b)):
        widest = max(widest, abs(b[j]))
    factor = 1.0 + widest * largest
    if factor > _WIDE:
        for j in range(len(b)):
            out[j] = _mean_log(excess, b[j])
        return
    together = 4 if factor < _NARROW else 1
    for j in range(len(b)):
        product[j], out[j] = 1.0, 0.0
    groups = m // _FACTORS
    for group in range(groups):
        _multiply(excess[group * _FACTORS : (group + 1) * _FACTORS], b, product)
        if (group + 1) % together == 0:
            _take_logs(product, out)
    _take_logs(product, out)
    for i in range(groups * _FACTORS, m):
        for j in range(len(b)):
            product[j] *= 1.0 - b[j] * excess[i]
    _take_logs(product, out)
    for j in range(len(b)):
        out[j] = _mean_log(excess, b[j]) if abs(b[j]) * largest < _NEAR_ZERO else out[j] / m


@numba.njit(fastmath={"contract"}, **INNER)
def _likelihoods(b: Array, shape: Array, m: int, out: Array) -> bool:
    """The profile log-likelihood of each ``b``; False where floats do not hold it."""
    bad = 0
    for j in range(len(b)):
        out[j] = -b[j] / shape[j]
        bad += not 0.0 < out[j] < np.inf
    for j in range(len(b)):
        out[j] = m * (log(out[j]) - shape[j] - 1.0)
    return bad == 0


@numba.njit(fastmath={"contract"}, **INNER)
def _exponentiate(x: Array, most: float) -> None:
    for j in range(len(x)):
        x[j] = exp(x[j] - most)


@numba.njit(fastmath={"contract"}, **INNER)
def _posterior_mean(b: Array, shape: Array, m: int, points: int, likelihood: Array) -> float:
    """The mean of ``b[:points]`` under its profile likelihood, for which there is room; nan where floats end."""
    if not _likelihoods(b, shape, m, likelihood):
        return np.nan
    most = likelihood[0]
    for j in range(points):
        most = max(most, likelihood[j])
    _exponentiate(likelihood, most)
    total = 0.0
    for j in range(points):
        total += likelihood[j]
    kept, mean = 0.0, 0.0
    for j in range(points):
        if likelihood[j] >= _NEGLIGIBLE * total:
            kept += likelihood[j]
            mean += likelihood[j] * b[j]
    return mean / kept


@numba.njit(**INNER)
def fit_shape(excess: Array) -> float:
    """The shape ``k`` of a generalised Pareto law, from ascending values above the threshold; nan if it has none."""
    m = len(excess)
    quartile = excess[int(m / 4 + 0.5) - 1]
    if not quartile > 0:
        return np.nan
    points = 30 + int(m**0.5)
    room = np.empty((3, -(-points // _LANES) * _LANES))  # loops over whole registers are faster
    b, shape = room[0], room[1]
    for j in range(len(b)):
        grown = np.sqrt(points / (min(j, points - 1) + 0.5))
        b[j] = (1.0 - grown) / (_PRIOR_SCALES * quartile) + 1.0 / excess[-1]
    _mean_logs(excess, b, shape, room[2])
    fitted = _mean_log(excess, _posterior_mean(b, shape, m, points, room[2]))
    return (m * fitted + _PRIOR_DRAWS * _PRIOR_SHAPE) / (m + _PRIOR_DRAWS)


@numba.njit(**INNER)
def _tail_shape(values: NDArray[Any], weights: Array) -> float:
    """Of ascending weights, which are changed."""
    n = len(values)
    tail = int(np.ceil(min(0.2 * n, 3.0 * np.sqrt(n))))
    if n < _FEWEST_FOR_TAIL or _distinct(values[n - tail :]) < _FEWEST_DISTINCT:
        return np.nan
    fitted = int(3.0 * n**0.5) if n > 225 else n // 5
    cutoff = weights[n - fitted - 1]
    for i in range(n - fitted, n):
        weights[i] -= cutoff
    return fit_shape(weights[n - fitted :])


@numba.njit(**OUTER)
def tails_pass(
    values: NDArray[Any],
    offsets: NDArray[np.int64],
    first: int,
    last: int,
    t: float,
    ess: Array,
    shape: Array,
) -> None:
    """Fill rows ``first`` to ``last`` of :func:`weight_tails`."""
    longest = 1
    for p in range(first, last):
        longest = max(longest, offsets[p + 1] - offsets[p])
    room = np.empty(longest)
    for p in range(first, last):
        ordered = values[offsets[p] : offsets[p + 1]]
        weights = room[: len(ordered)]
        total, squares = _weigh(ordered, np.float64(ordered[-1]), t, weights)
        ess[p] = total * total / squares
        shape[p] = _tail_shape(ordered, weights)


def weight_tails(
    values: NDArray[np.floating[Any]], offsets: NDArray[np.int64], t: float
) -> tuple[Array, Array]:
    """Effective sample size ``(sum w)^2 / sum w^2`` and Pareto k-hat of the weights ``exp(t r)`` of prompts, ``(P,)``.

    The shape is nan where a tail has none: fewer than 25 completions, fewer than five different rewards in the tail
    (0/1 rewards among them), whose weights are bounded by their few values, or a quarter of it at its threshold, where
    weights too small for a number are.

    Args:
        values: rewards, ascending within prompts, ``(n_completions,)``.
        offsets: ``(P + 1,)``.
        t: one over beta, in units of one over the reward.
    """
    ess, shape = np.empty((2, len(offsets) - 1))

    def work(first: int, last: int) -> None:
        tails_pass(values, offsets, first, last, t, ess, shape)

    in_chunks(work, offsets)
    return ess, shape
