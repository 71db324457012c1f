"""Variance within prompts, by leaving out one completion at a time: for intervals about the given prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.policies.levels import Floats, Ints, Levels


def gain_variance(centred: NDArray[np.floating[Any]], fewer: Floats, whole: Floats | None = None) -> Floats:
    """Within-prompt variance of the gain of a policy that weighs a prompt's sorted rewards, one a prompt.

    Args:
        centred: rewards less their prompt's mean, ascending, shape ``(p, n)``.
        fewer: the policy's weights for n - 1 rewards, shape ``(n - 1,)``: their jackknife is the variance.
        whole: its weights for n, where those for n - 1 are of another policy (best-of-N at N = n): the
            variance is then the Efron-Stein bound, conservative.
    """
    n = centred.shape[1]
    below = np.zeros(centred.shape)
    np.cumsum(centred[:, :-1] * fewer, axis=1, out=below[:, 1:])
    above = np.zeros(centred.shape)
    above[:, :-1] = np.cumsum((centred[:, 1:] * fewer)[:, ::-1], axis=1)[:, ::-1]
    # Without completion i the mean moves to -r_i / (n - 1), the rewards being centred.
    without = below + above + centred / (n - 1)
    if whole is None:
        spread = without - without.mean(axis=1, keepdims=True)
        return np.asarray((n - 1) / n * (spread**2).sum(axis=1))
    return np.asarray(((without - (centred @ whole)[:, None]) ** 2).sum(axis=1))


def kl_variance(
    levels: Levels,
    n: int,
    n_prompts: int,
    *,
    fewer: Callable[[Ints, Ints], Floats],
    whole: Callable[[Ints, Ints], Floats] | None = None,
) -> Floats:
    """Within-prompt variance of an estimated KL that is a constant less a sum over tied levels, one a prompt.

    Args:
        levels: tied levels of prompts with ``n`` completions each.
        n: completions of each of these prompts.
        n_prompts: length of the result; zero for the other prompts.
        fewer: the loss of levels by their ``at`` and ``upto``, for n - 1 completions.
        whole: the same for n completions, where ``fewer`` is of another policy; see :func:`gain_variance`.
    """
    variance = np.zeros(n_prompts)
    if not len(levels.at):
        return variance
    at, upto = levels.at, levels.upto

    def loss(at: Ints, upto: Ints, possible: NDArray[np.bool_]) -> Floats:
        out = np.zeros(len(at))
        key, place = np.unique(upto[possible] * (n + 1) + at[possible], return_inverse=True)
        distinct_upto, distinct_at = np.divmod(key, n + 1)
        out[possible] = fewer(distinct_at, distinct_upto)[place]
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
        return np.asarray(before - before[first][group])

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

    if whole is None:
        spread = total((losses - (total(losses) / n)[member]) ** 2)
        variance[tied] = (n - 1) / n * spread
    else:
        all_of_them = np.bincount(group, weights=whole(at, upto))
        variance[tied] = total((losses - all_of_them[member]) ** 2)
    return variance
