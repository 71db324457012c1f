"""Worlds in which a proxy is optimised: base policy, gold and proxy as tables ``(P, K)``, each of a known shape.

Where a world has an exploit, it is one output a prompt, rare, with the prompt's largest proxy and little gold.
Prompts differ in base masses, scale and location.
"""

from __future__ import annotations

import numpy as np

from klimit.errors import InputError
from klimit.limit.roots import Array

World = tuple[Array, Array, Array]


def check_sizes(n_prompts: int, n_outputs: int, least: int) -> None:
    """Sizes that a world can be made of.

    Raises:
        InputError: no prompt, or fewer outputs than ``least``.
    """
    if n_prompts < 1 or n_outputs < least:
        raise InputError(
            f"n_prompts={n_prompts}, n_outputs={n_outputs}: at least 1 and {least} are needed here"
        )


def _masses(rng: np.random.Generator, n_prompts: int, n_outputs: int) -> Array:
    """Dirichlet rows whose concentration differs between prompts."""
    mass = rng.standard_gamma(rng.uniform(0.8, 2.0, size=(n_prompts, 1)), size=(n_prompts, n_outputs)) + 1e-3
    return np.asarray(mass / mass.sum(axis=1, keepdims=True))


def _with_exploit(rng: np.random.Generator, n_prompts: int, n_outputs: int, share: Array | float) -> Array:
    """Base masses with the last output's about ``share``."""
    last = share * rng.uniform(0.7, 1.3, size=(n_prompts, 1))
    return np.concatenate([_masses(rng, n_prompts, n_outputs - 1) * (1.0 - last), last], axis=1)


def _placed(rng: np.random.Generator, gold: Array, proxy: Array) -> tuple[Array, Array]:
    """Prompts' scales, and locations of their own for either reward."""
    scale = rng.uniform(0.75, 1.25, size=(len(gold), 1))
    shifts = rng.standard_normal((2, len(gold), 1))
    return shifts[0] + scale * gold, shifts[1] + scale * proxy


def heavy_error(n_prompts: int, n_outputs: int, seed: int) -> World:
    """Gold rises, and falls below the base policy's once the exploits are found."""
    check_sizes(n_prompts, n_outputs, 3)
    rng = np.random.default_rng(seed)
    base = _with_exploit(rng, n_prompts, n_outputs, 0.015)
    gold = rng.standard_normal(base.shape)
    proxy = gold + 0.4 * rng.standard_normal(base.shape)
    gold[:, -1], proxy[:, -1] = -2.0, np.maximum(2.3, proxy[:, :-1].max(axis=1) + 0.1)
    return base, *_placed(rng, gold, proxy)


def independent(n_prompts: int, n_outputs: int, sign: float, seed: int) -> World:
    """proxy = ``sign`` gold + error with gold and error independent under the base policy, hence under every tilt.

    The covariance is ``sign`` times the variance of gold under the tilt: it never changes its sign.
    """
    side = round(np.sqrt(n_outputs))
    check_sizes(n_prompts, n_outputs, 4)
    if side * side != n_outputs:
        raise InputError(
            f"n_outputs={n_outputs}: this world pairs values of gold and error; give a square number"
        )
    rng = np.random.default_rng(seed)
    shape = (n_prompts, side)
    mass = _masses(rng, *shape)[:, :, None] * _masses(rng, *shape)[:, None, :]
    gold, error = rng.standard_normal((*shape, 1)), 0.7 * rng.standard_normal((n_prompts, 1, side))
    values = (np.broadcast_to(v, mass.shape).reshape(n_prompts, -1) for v in (gold, sign * gold + error))
    return mass.reshape(n_prompts, -1), *_placed(rng, *values)


def two_peaks(n_prompts: int, n_outputs: int, seed: int) -> World:
    """Gold rises, dips, rises to a second and higher peak, falls: prompts of two kinds, hacked at different tilts.

    The even prompts' proxies are ten times as steep, so that their exploits are found before the odd prompts have
    moved.
    """
    check_sizes(n_prompts, n_outputs, 3)
    rng = np.random.default_rng(seed)
    early = (np.arange(n_prompts) % 2 == 0)[:, None]
    base = _with_exploit(rng, n_prompts, n_outputs, np.where(early, 0.09, 0.01))
    gold = rng.standard_normal(base.shape)
    proxy = gold + 0.2 * rng.standard_normal(base.shape)
    gold[:, -1:] = np.where(early, -0.75, -1.4)
    proxy[:, -1:] = np.maximum(np.where(early, 2.4, 2.2), proxy[:, :-1].max(axis=1, keepdims=True) + 0.1)
    shifts = rng.standard_normal((2, n_prompts, 1))
    return base, shifts[0] + np.where(early, 1.7, 2.2) * gold, shifts[1] + np.where(early, 7.2, 0.7) * proxy


def binary(n_prompts: int, n_outputs: int, seed: int) -> World:
    """Gold 0 or 1, proxy the share of ten tests passed, with ties; a quarter of the prompts never succeed.

    Right outputs pass up to nine tests; an exploit that passes all ten is wrong, in three prompts of four.
    """
    check_sizes(n_prompts, n_outputs, 4)
    rng = np.random.default_rng(seed)
    kind = np.arange(n_prompts)[:, None] % 16
    base = _with_exploit(rng, n_prompts, n_outputs, 0.02)
    chance = np.where(kind % 4 == 3, 0.0, rng.uniform(0.2, 0.6, size=(n_prompts, 1)))
    right = rng.random(base.shape) < chance
    right[:, 0] = chance[:, 0] > 0
    passed = np.minimum(rng.binomial(10, np.where(right, 0.7, 0.4)), 9)
    exploited = kind[:, 0] // 4 < 3
    passed[exploited, -1], right[exploited, -1] = 10, False
    return base, right.astype(float), passed / 10.0


def error_law(rng: np.random.Generator, tail: float, shape: tuple[int, ...]) -> Array:
    """Student's t with ``tail`` degrees of freedom (inf: normal), of variance 1 where it has one.

    Raises:
        InputError: ``tail`` is not above 0.
    """
    if not tail > 0:
        raise InputError(f"tail={tail!r}: degrees of freedom of the error, > 0; inf for a normal one")
    if np.isinf(tail):
        return rng.standard_normal(shape)
    return rng.standard_t(tail, size=shape) * (np.sqrt((tail - 2.0) / tail) if tail > 2 else 1.0)
