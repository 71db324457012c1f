"""Variance within prompts, by leaving out one completion at a time: for intervals about the given prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.policies.groups import Floats, Ints, Levels
from klimit.policies.ties import level_loss
from klimit.policies.ustat import best_weights, subset_ratio


def gain_variance(centred: NDArray[np.floating[Any]], size: int) -> Floats:
    """Within-prompt variance of the best-of-``size`` gain, one a prompt.

    The jackknife variance of the U-statistic less the mean; at ``size = n``, where no subset is left, the
    Efron-Stein bound with the best of the others in its place (conservative).

    Args:
        centred: rewards less their prompt's mean, ascending, shape ``(p, n)``.
        size: N, at most n.
    """
    n = centred.shape[1]
    if size == 1:
        return np.zeros(len(centred))
    kept = min(size, n - 1)
    weights = best_weights(n - 1, kept)
    below = np.zeros(centred.shape)
    np.cumsum(centred[:, :-1] * weights, axis=1, out=below[:, 1:])
    above = np.zeros(centred.shape)
    above[:, :-1] = np.cumsum((centred[:, 1:] * weights)[:, ::-1], axis=1)[:, ::-1]
    # Without completion i the mean moves to -r_i / (n - 1), the rewards being centred.
    without = below + above + centred / (n - 1)
    if size < n:
        spread = without - without.mean(axis=1, keepdims=True)
        return np.asarray((n - 1) / n * (spread**2).sum(axis=1))
    whole = centred @ best_weights(n, size)
    return np.asarray(((without - whole[:, None]) ** 2).sum(axis=1))


def kl_variance(levels: Levels, n: int, size: int, n_prompts: int) -> Floats:
    """Within-prompt variance of the estimated KL of best-of-``size``, one a prompt, by the same rule.

    Args:
        levels: tied levels of prompts with ``n`` completions each.
        n: completions of each of these prompts.
        size: N, at most n.
        n_prompts: length of the result; zero for the other prompts.
    """
    variance = np.zeros(n_prompts)
    if size == 1 or not len(levels.at):
        return variance
    kept = min(size, n - 1)
    ratio = subset_ratio(n - 1, kept)

    at, upto = levels.at, levels.upto

    def loss(at: Ints, upto: Ints, possible: NDArray[np.bool_]) -> Floats:
        out = np.zeros(len(at))
        at, upto = at[possible], upto[possible]
        out[possible] = ratio[upto] * level_loss(at, upto, kept)[0]
        return out

    # A level's loss once a completion below it, at it, or above it is left out.
    if_below = loss(at, upto - 1, upto > at)
    if_at = loss(at - 1, upto - 1, at > 0)
    if_above = loss(at, upto, upto < n)

    first = np.flatnonzero(np.diff(levels.prompt, prepend=-1))
    tied = levels.prompt[first]
    group = np.cumsum(np.diff(levels.prompt, prepend=-1) != 0) - 1
    total_below = np.add.reduceat(if_below, first)

    def preceding(x: Floats) -> Floats:
        before = np.cumsum(x) - x
        return before - before[first][group]

    # Left out: one of the level's own, or one of the untied completions just above it, or below the first.
    above_it = total_below[group] - preceding(if_below) - if_below
    own = preceding(if_above) + if_at + above_it
    next_untied = preceding(if_above) + if_above + above_it
    following = np.append(upto[1:] - at[1:], 0)
    following[np.append(first[1:], len(at)) - 1] = n
    losses = np.concatenate([own, next_untied, total_below])
    times = np.concatenate([at, following - upto, (upto - at)[first]]).astype(np.float64)
    member = np.concatenate([group, group, np.arange(len(tied))])

    def total(x: Floats) -> Floats:
        sums = np.bincount(member, weights=times * x, minlength=len(tied))
        return np.asarray(sums, dtype=np.float64)

    if size < n:
        spread = total((losses - (total(losses) / n)[member]) ** 2)
        variance[tied] = (n - 1) / n * spread
    else:
        fine = level_loss(at, upto, size)[0] * subset_ratio(n, size)[upto]
        whole = np.bincount(group, weights=fine)
        variance[tied] = total((losses - whole[member]) ** 2)
    return variance
