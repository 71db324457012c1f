"""Selectors for inference: the rewards of N candidates in, the index of the answer out.

Each takes rewards of shape ``(N,)`` and returns an int, or of shape ``(batch, N)`` and returns an int array of
shape ``(batch,)``: the candidates of one prompt must be i.i.d. draws from the base policy. Selectors are random:
equal rewards are chosen among uniformly, never by their position. ``seed`` is an int, a
:class:`numpy.random.Generator` (which advances), or None for fresh entropy. What a selector gains for its KL:
:func:`klimit.best_of_n` and its relatives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError

Seed = int | np.random.Generator | None
Indices = NDArray[np.int64]

# Best-of-Poisson is refused where it asks for more than the candidates at hand more often than this.
_SHORT = 1e-4


def best_of_n(rewards: ArrayLike, *, seed: Seed = None) -> int | Indices:
    """The candidate of most reward.

    Args:
        rewards: ``(N,)`` or ``(batch, N)``.
        seed: for ties.

    Returns:
        The index, an int or an int array ``(batch,)``.

    Raises:
        InputError: rewards are not finite, not numbers, or of a wrong shape.
    """
    values = _check(rewards)
    return _shaped(_best(values, np.random.default_rng(seed)), rewards)


def soft_best_of_n(rewards: ArrayLike, *, beta: float, seed: Seed = None) -> int | Indices:
    """A candidate, chosen with probability proportional to exp(reward / beta) (arXiv:2505.03156).

    Args:
        rewards: as for :func:`best_of_n`.
        beta: temperature in units of reward, above 0; infinity chooses uniformly.
        seed: for the choice.

    Returns:
        The index, an int or an int array ``(batch,)``.

    Raises:
        InputError: as :func:`best_of_n`, or beta is not above 0.
    """
    values = _check(rewards)
    _check_beta(beta)
    rng = np.random.default_rng(seed)
    # The Gumbel-max trick: exact, whatever the range of the rewards. Adding the noise at the scale of beta
    # and not dividing by it cannot overflow; taking off the largest first keeps small differences.
    lifted = values - values.max(axis=1, keepdims=True)
    noise = rng.gumbel(size=values.shape)
    scores = noise if np.isinf(beta) else lifted + beta * noise
    # Gumbels too small against the rewards to tell equal scores apart leave ties, to be broken like any.
    return _shaped(_best(scores, rng), rewards)


def best_of_poisson(rewards: ArrayLike, *, mu: float, seed: Seed = None) -> int | Indices:
    """The best of the first 1 + Poisson(mu) candidates (arXiv:2506.19248).

    Args:
        rewards: as for :func:`best_of_n`, candidates in the order they were drawn.
        mu: mean number of candidates looked at beyond the first, at least 0.
        seed: for their number, and for ties.

    Returns:
        The index, an int or an int array ``(batch,)``.

    Raises:
        InputError: as :func:`best_of_n`; mu is negative or not finite; or N is so small that more than one
            answer in 10,000 would ask for more candidates. Where one does all the same, it gets the best of N.
    """
    from scipy.special import gammainc, gammaincinv

    values = _check(rewards)
    if not (np.isfinite(mu) and mu >= 0):
        raise InputError(f"mu is {mu}; it is the mean of a Poisson law, at least 0")
    n = values.shape[1]
    short = float(gammainc(n, mu)) if mu > 0 else 0.0
    if short > _SHORT * (1 + 1e-9):
        largest = np.floor(float(gammaincinv(n, _SHORT)) * 1000) / 1000
        raise InputError(
            f"{n} candidates are too few for mu = {mu:g}: a share of {short:.2g} of the answers would ask for more; "
            f"give more candidates, or mu of at most {largest:g}"
        )
    rng = np.random.default_rng(seed)
    looked_at = 1 + rng.poisson(mu, size=len(values))
    seen = np.arange(n) < looked_at[:, None]
    return _shaped(_best(np.where(seen, values, -np.inf), rng, among=seen), rewards)


def rejection_sampling(
    rewards: ArrayLike, *, beta: float, reward_max: float, seed: Seed = None
) -> int | Indices:
    """The first candidate accepted, each with probability exp((reward - reward_max) / beta).

    An accepted candidate is an exact draw from the tilted policy, pi0 exp(r / beta) / Z. Where none of the
    candidates is accepted the index is -1: draw more, and try again with those alone.

    Args:
        rewards: as for :func:`best_of_n`, candidates in the order they were drawn.
        beta: reward paid per nat, above 0; infinity accepts the first.
        reward_max: what no reward exceeds.
        seed: for the acceptances.

    Returns:
        The index or -1, an int or an int array ``(batch,)``.

    Raises:
        InputError: as :func:`best_of_n`; beta is not above 0; a reward exceeds reward_max.
    """
    values = _check(rewards)
    _check_beta(beta)
    if not np.isfinite(reward_max):
        raise InputError(f"reward_max is {reward_max}; it must be finite")
    above = values > reward_max
    if above.any():
        raise InputError(
            f"reward_max is {reward_max:g}, and {int(above.sum())} rewards exceed it (largest {values.max():g}); "
            "the acceptance probability would exceed 1"
        )
    rng = np.random.default_rng(seed)
    # An exponential variable exceeds x with probability exp(-x): no underflow, however small.
    accepted = rng.exponential(size=values.shape) >= (reward_max - values) / beta
    index = np.where(accepted.any(axis=1), accepted.argmax(axis=1), -1)
    return _shaped(index.astype(np.int64), rewards)


def _check(rewards: ArrayLike) -> NDArray[np.float64]:
    """The rewards as floats, shape ``(batch, N)``."""
    array = np.asarray(rewards)
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
        raise InputError(
            f"rewards are a {array.ndim}-D array of {array.dtype}; give numbers of shape (N,) or (batch, N)"
        )
    if array.shape[-1] == 0:
        raise InputError("rewards have no candidates; give at least one")
    values = np.atleast_2d(array).astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{int(bad.sum())} of {values.size} rewards are NaN or infinite, the first at candidate {column} of "
            f"prompt {row}; every candidate needs a finite reward"
        )
    return values


def _check_beta(beta: float) -> None:
    if not beta > 0:
        raise InputError(f"beta is {beta}; it is a temperature in units of reward, above 0")


def _best(
    values: NDArray[np.float64], rng: np.random.Generator, *, among: NDArray[np.bool_] | None = None
) -> Indices:
    """The index of each row's largest value, uniformly among equals (and within ``among``)."""
    top = values == values.max(axis=1, keepdims=True)
    if among is not None:
        top &= among
    index: Indices = top.argmax(axis=1).astype(np.int64)
    tied = np.flatnonzero(top.sum(axis=1) > 1)
    if len(tied):
        index[tied] = np.where(top[tied], rng.random((len(tied), values.shape[1])), -1.0).argmax(axis=1)
    return index


def _shaped(index: Indices, rewards: ArrayLike) -> int | Indices:
    return index if np.ndim(rewards) == 2 else int(index[0])
