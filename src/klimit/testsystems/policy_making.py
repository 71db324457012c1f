"""Ways to make a policy as a table: what training, selection and accidents turn a base policy into.

Each takes a base policy and its rewards, ``(P, K)``, and gives the policy's probabilities, ``(P, K)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from klimit.errors import InputError
from klimit.limit import exact
from klimit.limit.roots import Array
from klimit.testsystems.policy_levels import best_of_law, reward_law, spread_law


def tilted(base: Array, rewards: Array, beta: ArrayLike) -> Array:
    """base exp(r / beta) / Z; one beta, or one a prompt ``(P,)``; beta < 0 seeks small rewards, infinite is the base.

    Raises:
        InputError: a beta is 0 or NaN, or there is not one for every prompt.
    """
    betas = np.asarray(beta, dtype=float)
    if not (np.abs(betas) > 0).all():
        raise InputError(f"beta={beta!r}: betas must be numbers other than 0")
    if betas.ndim and betas.shape != base.shape[:1]:
        raise InputError(f"beta: shape {betas.shape}; give one beta, or one for each of {len(base)} prompts")
    return exact.tilted(base, rewards, np.broadcast_to(1.0 / betas, base.shape[:1]))


def best_of(base: Array, rewards: Array, n: int) -> Array:
    """Best-of-N, ties broken blindly: the mass of a reward level falls on its outputs as the base policy's does.

    Raises:
        InputError: ``n`` is not a whole number >= 1.
    """
    if not (n >= 1 and n == int(n)):
        raise InputError(f"n={n!r}: best-of-N needs a whole number >= 1")
    if n == 1:
        return base
    return spread_law(best_of_law(reward_law(base, rewards), n), base, rewards)


def permuted(base: Array, rewards: Array, strength: float, seed: int) -> Array:
    """Outputs of equal reward trade mass at random; the law of the reward stays the base policy's."""
    return spread_law(reward_law(base, rewards), noisy(base, strength, seed), rewards)


def noisy(policy: Array, strength: float, seed: int) -> Array:
    """policy exp(strength z) / Z with a standard normal z for each output: noise that the reward did not ask for.

    Raises:
        InputError: ``strength`` is negative or not finite.
    """
    if not 0 <= strength < np.inf:
        raise InputError(f"strength={strength!r}: must be >= 0 and finite")
    z = strength * np.random.default_rng(seed).standard_normal(policy.shape)
    changed = policy * np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(changed / changed.sum(axis=-1, keepdims=True))


def random_tables(
    n_prompts: int, n_outputs: int, *, n_levels: int | None = None, seed: int
) -> tuple[Array, Array]:
    """A random base policy and its rewards, ``(n_prompts, n_outputs)`` each.

    Probabilities are Dirichlet with a concentration of 0.7 to 2 that differs between prompts: no prompt is flat, and
    few outputs are too rare to be met. Rewards differ between prompts in scale (0.5 to 2) and location (normal).

    Args:
        n_prompts: rows.
        n_outputs: of each prompt.
        n_levels: evenly spaced rewards that the outputs share, each used by one output or more; None gives every output
            its own reward, normal.
        seed: of the random numbers.

    Raises:
        InputError: a size is below 1, or there are more levels than outputs.
    """
    if min(n_prompts, n_outputs) < 1:
        raise InputError(f"n_prompts={n_prompts}, n_outputs={n_outputs}: both must be at least 1")
    if n_levels is not None and not 1 <= n_levels <= n_outputs:
        raise InputError(f"n_levels={n_levels}: give 1 to {n_outputs} levels, the number of outputs, or None")
    rng = np.random.default_rng(seed)
    shape = (n_prompts, n_outputs)
    mass = rng.standard_gamma(rng.uniform(0.7, 2.0, size=(n_prompts, 1)), size=shape)
    base = mass / mass.sum(axis=1, keepdims=True)
    if n_levels is None:
        unit = rng.standard_normal(shape)
    else:
        each = np.concatenate([np.arange(n_levels), rng.integers(n_levels, size=n_outputs - n_levels)])
        unit = rng.permuted(np.broadcast_to(each, shape), axis=1) / max(n_levels - 1, 1)
    scale, location = rng.uniform(0.5, 2.0, size=(n_prompts, 1)), rng.standard_normal((n_prompts, 1))
    return base, location + scale * unit
