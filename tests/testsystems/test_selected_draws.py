"""Best-of-N, Best-of-Poisson and soft best-of-N of test systems: by hand, by enumeration, by another quadrature."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.special import expi

from klimit.errors import InputError
from klimit.testsystems import (
    Bernoulli,
    BetaBernoulli,
    BetaRewards,
    Discrete,
    Exponential,
    Gaussian,
    Tables,
    TestSystem,
    Uniform,
    systems,
)

STUDY = systems()
ALL = [pytest.param(s, id=name) for name, s in STUDY.items()]
ALL += [pytest.param(s.equal(), id=f"{name}-equal") for name, s in STUDY.items()]
COUNTS = np.array([1, 2, 3, 8, 64, 1024])


@pytest.mark.parametrize("system", ALL)
def test_nothing_passes_above_the_limit(system: TestSystem) -> None:
    soft = [system.soft_best_of_n(n, 0.7) for n in (2, 20)]
    for curve in (system.best_of_n(COUNTS), system.best_of_poisson([0.0, 0.5, 7.0, 300.0]), *soft):
        limit = system.frontier(curve.kl)
        assert (curve.gain <= limit * (1 + 1e-11) + 1e-15).all()
        assert (curve.kl >= 0).all()
        assert (limit - curve.gain <= 0.45 * limit).all()  # and none of them is a bad policy


def test_a_wrong_kl_would_pass_above_the_limit() -> None:
    # half the KL, or the reward of N + 1 draws: the check above can fail
    for system in (Uniform(), Gaussian(), STUDY["five-levels"]):
        best = system.best_of_n(16)
        assert best.gain > system.frontier(0.5 * best.kl)
    assert Uniform().best_of_n(40).gain > Uniform().frontier(Uniform().best_of_n(16).kl)


def test_best_of_n_without_ties() -> None:
    harmonic = np.array([np.sum(1 / np.arange(1, n + 1)) for n in COUNTS])
    np.testing.assert_allclose(Uniform().best_of_n(COUNTS).gain, COUNTS / (COUNTS + 1) - 0.5, atol=1e-15)
    np.testing.assert_allclose(Exponential().best_of_n(COUNTS).gain, harmonic - 1, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(
        Uniform().best_of_n(COUNTS).kl, np.log(COUNTS) - (COUNTS - 1) / COUNTS, atol=1e-15
    )
    # 30-digit references
    np.testing.assert_allclose(
        Gaussian().best_of_n([2, 16, 1024]).gain,
        [0.564189583547756287, 1.76599139305478797, 3.24823960137541234],
        rtol=1e-13,
    )
    np.testing.assert_allclose(
        STUDY["two-normals"].best_of_n([2, 16, 1024]).gain,
        [0.730039814953964327, 2.65309799868263453, 3.96016323449473848],
        rtol=1e-13,
    )
    np.testing.assert_allclose(BetaRewards(2, 5).best_of_n(2).gain, 0.0899100899100899101, rtol=1e-13)


def test_best_of_n_with_ties_by_hand() -> None:
    # Bernoulli: the best of N passes with q = 1 - (1 - p)^N
    q = 1 - 0.8 ** COUNTS.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = q * np.log(q / 0.2) + np.where(q < 1, (1 - q) * np.log((1 - q) / 0.8), 0.0)
    best = Bernoulli(0.2).best_of_n(COUNTS)
    np.testing.assert_allclose(best.kl, kl, atol=1e-14)
    np.testing.assert_allclose(best.gain, q - 0.2, atol=1e-15)
    # the formula for untied rewards is only an upper bound
    assert (best.kl[1:] < np.log(COUNTS[1:]) - 1 + 1 / COUNTS[1:] - 0.05).all()


def test_best_of_n_with_ties_by_enumeration() -> None:
    levels, p = np.array([0.0, 1.0, 1.0, 3.0]), np.array([0.3, 0.25, 0.15, 0.3])
    best = Tables(p[None, :], levels[None, :]).best_of_n(3)
    # ties broken blindly: the first of the best three
    q = np.zeros(4)
    for draw in product(range(4), repeat=3):
        q[max(draw, key=lambda k: levels[k])] += np.prod(p[list(draw)])
    assert best.kl == pytest.approx((q * np.log(q / p)).sum(), rel=1e-13)
    assert best.gain == pytest.approx(((q - p) * levels).sum(), rel=1e-13)


def test_averages_over_pass_rates() -> None:
    # gain of best-of-N: E (1 - p) - E (1 - p)^N = B-function ratios; 30-digit references from another quadrature
    np.testing.assert_allclose(
        STUDY["beta-bernoulli"].best_of_n([2, 16, 1024]).gain,
        [0.0790513833992094862, 0.376477292685742257, 0.723796655410474871],
        rtol=1e-12,
    )
    n = 7
    rng = np.random.default_rng(11)
    p = rng.beta(2.0, 3.0, size=400_000)
    q = 1 - (1 - p) ** n
    kl = q * np.log(q / p) + (1 - q) * (n - 1) * np.log1p(-p)
    truth = BetaBernoulli(2.0, 3.0).best_of_n(n).kl
    assert abs(truth - kl.mean()) < 4 * kl.std() / np.sqrt(len(p))


def test_the_order_and_splitting_of_levels_do_not_matter() -> None:
    whole = Discrete((0.0, 1.0, 2.0), (0.5, 0.3, 0.2))
    split = Discrete((2.0, 0.0, 1.0, 0.0, 1.0), (0.2, 0.25, 0.1, 0.25, 0.2))
    for curve in ("best_of_n", "best_of_poisson"):
        np.testing.assert_allclose(
            getattr(split, curve)([1, 4, 50]), getattr(whole, curve)([1, 4, 50]), rtol=1e-12
        )
    np.testing.assert_allclose(split.soft_best_of_n(4, 0.5), whole.soft_best_of_n(4, 0.5), rtol=1e-12)


def test_levels_that_never_occur_are_invisible() -> None:
    whole = Discrete((0.0, 1.0, 2.0), (0.5, 0.3, 0.2))
    padded = Discrete((-1.0, 0.0, 0.5, 1.0, 2.0, 9.0), (0.0, 0.5, 0.0, 0.3, 0.2, 0.0))
    np.testing.assert_allclose(padded.best_of_n([2, 30]), whole.best_of_n([2, 30]), rtol=1e-13)
    np.testing.assert_allclose(padded.soft_best_of_n(3, 1.0), whole.soft_best_of_n(3, 1.0), rtol=1e-13)
    np.testing.assert_allclose(padded.saturation, whole.saturation, rtol=1e-13)


def test_best_of_poisson_in_closed_form() -> None:
    mu = np.array([0.3, 1.0, 30.0, 300.0])
    kl = np.log1p(mu) - 1 + np.exp(-(1 + mu)) * (expi(1 + mu) - expi(1)) / mu
    curve = Uniform().best_of_poisson(mu)
    np.testing.assert_allclose(curve.kl, kl, rtol=1e-11)
    # uniform rewards are win rates
    np.testing.assert_allclose(curve.gain, 0.5 - 1 / mu + (1 - np.exp(-mu)) / mu**2, rtol=1e-11)
    references = [1.6658336665278452e-7, 6.60140258458379597]
    np.testing.assert_allclose(Uniform().best_of_poisson([1e-3, 2000]).kl, references, rtol=1e-12)
    np.testing.assert_array_equal(Uniform().best_of_poisson(0.0), (0.0, 0.0))


def test_best_of_poisson_mixes_best_of_n() -> None:
    mu, system = 2.5, STUDY["five-levels"]
    n = np.arange(1, 60)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(n[:-1]))])
    weights = np.exp(-mu + (n - 1) * np.log(mu) - log_factorial)
    gain = (weights * system.best_of_n(n).gain).sum()
    assert system.best_of_poisson(mu).gain == pytest.approx(gain, rel=1e-12)
    assert system.best_of_poisson(mu).kl < (weights * system.best_of_n(n).kl).sum()  # KL is convex


def test_soft_best_of_n_by_enumeration() -> None:
    levels, p, beta = np.array([0.0, 1.0, 2.5]), np.array([0.5, 0.3, 0.2]), 0.8
    w = np.exp(levels / beta)
    for n in (2, 3, 5):
        q = np.zeros(3)
        for draw in product(range(3), repeat=n):
            chosen = w[list(draw)] / w[list(draw)].sum()
            np.add.at(q, list(draw), np.prod(p[list(draw)]) * chosen)
        curve = Discrete(tuple(levels), tuple(p)).soft_best_of_n(n, beta)
        assert curve.kl == pytest.approx((q * np.log(q / p)).sum(), rel=1e-12)
        assert curve.gain == pytest.approx(((q - p) * levels).sum(), rel=1e-12)


@pytest.mark.parametrize("system", [pytest.param(s.equal(), id=name) for name, s in STUDY.items()])
def test_soft_best_of_n_lies_between_best_of_n_and_the_base(system: TestSystem) -> None:
    hard = system.best_of_n(6)
    betas = np.sqrt(system.variance) * np.array([0.15, 0.6, 3.0, 300.0])
    soft = system.soft_best_of_n(6, betas)
    for value, limit in zip(soft, hard, strict=True):
        assert (np.diff(value) < 0).all()
        assert 0.9 * limit < value[0] < limit
    assert soft.kl[-1] < 1e-4
    np.testing.assert_array_equal(system.soft_best_of_n(1, 0.5), (0.0, 0.0))


@pytest.mark.parametrize(
    "name", ["gaussian", "uniform", "beta", "bernoulli", "five-levels", "beta-bernoulli"]
)
def test_soft_best_of_n_tends_to_the_tilted_policy(name: str) -> None:
    system, beta = STUDY[name].equal(), 1.0
    many = system.soft_best_of_n([10**3, 10**5], beta)
    gaps = np.abs(np.array([many.kl - system.kl(beta), many.gain - system.gain(beta)]))
    assert (gaps[:, 1] < 1e-4).all()
    assert (gaps[:, 1] < gaps[:, 0] / 30).all()


def test_soft_best_of_two_gaussians_by_simulation() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((400_000, 2))
    first = 1 / (1 + np.exp(x[:, 1] - x[:, 0]))
    kept = first * x[:, 0] + (1 - first) * x[:, 1]
    truth = Gaussian().soft_best_of_n(2, 1.0)
    assert abs(truth.gain - kept.mean()) < 4 * kept.std() / np.sqrt(len(kept))


def test_scales_reach_soft_best_of_n_through_their_odds() -> None:
    scaled = Discrete(scale=2.0).soft_best_of_n(4, 1.0)
    plain = Discrete().soft_best_of_n(4, 0.5)
    np.testing.assert_allclose(scaled, plain * np.array([1.0, 2.0]), rtol=1e-13)
    mixed = Discrete(scale=(0.5, 1.5)).soft_best_of_n(4, 1.0)
    grid = [Discrete(scale=s).soft_best_of_n(4, 1.0) for s in np.linspace(0.5, 1.5, 41)]
    weights = np.full(41, 1 / 40)
    weights[[0, -1]] = 1 / 80
    np.testing.assert_allclose(mixed, weights @ np.array(grid), rtol=1e-3)


@pytest.mark.parametrize("n", [0, -3, 2.5, np.nan, np.inf])
def test_counts_are_whole_and_positive(n: float) -> None:
    with pytest.raises(InputError, match="best-of-N needs whole numbers >= 1"):
        Gaussian().best_of_n([4, n])
    with pytest.raises(InputError, match="best-of-N needs whole numbers >= 1"):
        Gaussian().soft_best_of_n(n, 1.0)


def test_rates_and_betas_are_finite_and_not_negative() -> None:
    with pytest.raises(InputError, match="needs finite rates >= 0"):
        Gaussian().best_of_poisson(-1.0)
    with pytest.raises(InputError, match="needs finite rates >= 0"):
        Gaussian().best_of_poisson(np.inf)
    with pytest.raises(InputError, match="must be > 0 and finite"):
        Gaussian().soft_best_of_n(4, 0.0)
