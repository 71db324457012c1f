"""Test systems say the truth: published tables, closed forms, high-precision references, and identities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from klimit.limit import exact
from klimit.testsystems import (
    Bernoulli,
    BetaBernoulli,
    BetaRewards,
    Discrete,
    Exponential,
    Gaussian,
    GaussianMixture,
    Tables,
    TestSystem,
    Uniform,
    systems,
)

STUDY = systems()
EQUAL = {name: system.equal() for name, system in STUDY.items()}
ALL = [pytest.param(s, id=name) for name, s in STUDY.items()]
ALL += [pytest.param(s, id=f"{name}-equal") for name, s in EQUAL.items()]
BUDGETS = np.array([1e-6, 0.01, 0.2, 0.7, 1.2, 2.5])

THEORY = """
2   0.1931  0.1759 0.1667  0.7564 0.5000  0.6215 0.5642
4   0.6363  0.3040 0.3000  1.5867 1.0833  1.1281 1.0294
16  1.8351  0.4413 0.4412  3.2918 2.3807  1.9158 1.7660
64  3.1745  0.4846 0.4846  4.9595 3.7439  2.5197 2.3437
256 4.5491  0.4961 0.4961  6.5738 5.1243  3.0163 2.8269
"""


@pytest.mark.parametrize(
    ("system", "column"), [(Uniform(), 2), (Exponential(), 4), (Gaussian(), 6)], ids=lambda v: str(v)
)
def test_limits_and_best_of_n_of_the_theory(system: TestSystem, column: int) -> None:
    table = np.array([line.split() for line in THEORY.strip().splitlines()], dtype=float)
    best = system.best_of_n(table[:, 0])
    np.testing.assert_allclose(best.kl, table[:, 1], rtol=0, atol=5.1e-5)
    np.testing.assert_allclose(system.frontier(best.kl), table[:, column], rtol=0, atol=5.1e-5)
    np.testing.assert_allclose(best.gain, table[:, column + 1], rtol=0, atol=5.1e-5)


def test_the_square_root_law_is_not_the_limit() -> None:
    for system in (Uniform(), Exponential()):
        kl = system.best_of_n([4, 64]).kl
        law = np.sqrt(2 * system.variance * kl)
        assert (np.abs(law / system.frontier(kl) - 1) > 0.05).all()
    assert (np.sqrt(2 * kl) < Exponential().best_of_n([4, 64]).gain).any()  # as a bound it fails


# log-partitions averaged over scales U(0.5, 1.5), by 30-digit arithmetic with another quadrature
REFERENCES = {
    "beta-bernoulli": {1: 0.0489996585572045936, 5: 1.44858261318819564, 30: 21.9906227669349578},
    "beta": {0.01: 1.38230882648382421e-6, 1: 0.0143168245075716519, 200: 123.1430594823024},
    "two-normals": {0.01: 9.42579628422880488e-5, 5: 14.734966469079283, 10: 51.571856370017676},
    "five-levels": {0.01: 7.39112674552315773e-5, 1: 0.856886812444601873, 30: 81.0042677468395002},
    "exponential": {0.001: 5.4208371183790708e-7, 0.6: 0.432356585762846828, 0.666: 0.729201284048622007},
    "uniform": {0.001: 4.51388883637152912e-8, 1: 0.0446267361643937639, 30: 11.6440313556988806},
}


@pytest.mark.parametrize("name", REFERENCES)
def test_log_partitions_to_twelve_digits(name: str) -> None:
    tilts = np.array(list(REFERENCES[name]), dtype=float)
    expected = np.array(list(REFERENCES[name].values()))
    np.testing.assert_allclose(STUDY[name].log_partition(tilts), expected, rtol=5e-13)


@pytest.mark.parametrize(
    "system",
    [
        Bernoulli(1e-6, scale=(0.1, 3.0)),
        Discrete((0.0, 0.1, 1.0, 5.0, 5.5), (0.2, 0.79, 0.009, 0.0005, 0.0005), scale=(0.1, 3.0)),
        GaussianMixture((0.0, 5.0), (1.0, 0.3), (0.99, 0.01), scale=(0.1, 3.0)),
        BetaRewards(0.3, 0.3, scale=(0.1, 3.0)),
        BetaBernoulli(2.0, 2.0, scale=(0.1, 3.0)),
    ],
    ids=lambda s: type(s).__name__,
)
def test_averages_over_wide_scales_are_as_exact_as_a_brute_sum(system: TestSystem) -> None:
    x, w = np.polynomial.legendre.leggauss(800)
    t = np.geomspace(0.01, 100.0, 15)
    each = [replace(system, scale=float(s)).log_partition(t) for s in 1.55 + 1.45 * x]
    np.testing.assert_allclose(system.log_partition(t), 0.5 * w @ np.array(each), rtol=1e-11)


def test_limits_in_closed_form() -> None:
    kl = np.array([1e-8, 0.3, 4.0])
    scaled = Gaussian(scale=(0.5, 1.5), location_sd=1.0)
    np.testing.assert_allclose(scaled.frontier(kl), np.sqrt(2 * kl * 13 / 12), rtol=1e-13)
    np.testing.assert_allclose(scaled.frontier(kl, budget="per-prompt"), np.sqrt(2 * kl), rtol=1e-13)
    t = np.array([0.01, 0.5, 0.9])
    exponential = t / (1 - t) + np.log1p(-t)
    np.testing.assert_allclose(Exponential().frontier(exponential), t / (1 - t), rtol=1e-12)
    q = np.array([0.21, 0.5, 0.999])
    bernoulli = q * np.log(q / 0.2) + (1 - q) * np.log((1 - q) / 0.8)
    np.testing.assert_allclose(Bernoulli(0.2).frontier(bernoulli), q - 0.2, rtol=1e-12)
    assert Bernoulli(0.2).kl(1 / 2.7725887222397811) == pytest.approx(0.831777, abs=5e-7)


def test_scale_as_a_number_multiplies_gains_only() -> None:
    np.testing.assert_allclose(
        Uniform(scale=3.0).frontier(BUDGETS), 3 * Uniform().frontier(BUDGETS), rtol=1e-12
    )
    np.testing.assert_allclose(
        Uniform(scale=3.0).best_of_n(5), Uniform().best_of_n(5) * np.array([1, 3]), rtol=1e-12
    )


@pytest.mark.parametrize("system", ALL)
def test_identities(system: TestSystem) -> None:
    beta = system.beta_at(BUDGETS)
    inside = beta > 0
    budgets, beta = BUDGETS[inside], beta[inside]
    limit, tilt = system.frontier(budgets), 1 / beta
    centred = system.log_partition(tilt)
    # the tilted policy spends the budget and reaches the limit; so does the dual; so does beta times Jeffreys
    np.testing.assert_allclose(system.kl(beta), budgets, rtol=1e-10)
    np.testing.assert_allclose(system.gain(beta), limit, rtol=1e-10)
    np.testing.assert_allclose((budgets + centred) / tilt, limit, rtol=1e-10)
    np.testing.assert_allclose(beta * (system.kl(beta) + centred), limit, rtol=1e-10)
    np.testing.assert_allclose(system.log_partition(tilt, derivative=1), limit, rtol=1e-10)


@pytest.mark.parametrize("system", ALL)
def test_derivatives_of_the_log_partition(system: TestSystem) -> None:
    t, h = np.array([-0.4, 0.1, 0.4]), 1e-3
    below, middle, above = (system.log_partition(t + k * h) for k in (-1, 0, 1))
    np.testing.assert_allclose(system.log_partition(t, derivative=1), (above - below) / (2 * h), rtol=2e-5)
    np.testing.assert_allclose(
        system.log_partition(t, derivative=2), (above - 2 * middle + below) / h**2, rtol=1e-4
    )


@pytest.mark.parametrize("system", ALL)
@pytest.mark.parametrize("budget", ["average", "per-prompt"])
def test_the_slope_of_the_limit_is_beta(system: TestSystem, budget: str) -> None:
    kl, h = np.array([0.1, 0.6, 1.2]), 1e-4
    slope = (system.frontier(kl + h, budget=budget) - system.frontier(kl - h, budget=budget)) / (2 * h)
    np.testing.assert_allclose(slope, system.beta_at(kl, budget=budget), rtol=1e-5)


@pytest.mark.parametrize("system", ALL)
def test_no_tilt_bounds_below_the_limit(system: TestSystem) -> None:
    tilts = np.geomspace(1e-3, 0.66, 100)[:, None]  # below the exponential's endpoint
    bounds = (BUDGETS + system.log_partition(tilts)) / tilts
    assert (bounds >= system.frontier(BUDGETS) * (1 - 1e-12)).all()


@pytest.mark.parametrize("system", ALL)
def test_average_budget_does_at_least_as_well_as_per_prompt(system: TestSystem) -> None:
    average, per_prompt = system.frontier(BUDGETS), system.frontier(BUDGETS, budget="per-prompt")
    assert (average >= per_prompt * (1 - 1e-12)).all()
    if system.scale is not None and np.isfinite(system.frontier(np.inf)):
        assert (average > 1.005 * per_prompt).any()


@pytest.mark.parametrize("system", ALL)
def test_small_budgets_follow_the_square_root_law_and_its_next_term(system: TestSystem) -> None:
    kl = np.array([1e-4, 1e-6, 1e-8])
    limit, v, k3 = system.frontier(kl), system.variance, system.third_cumulant
    first = np.sqrt(2 * v * kl)
    second = first + k3 / (3 * v) * kl
    # what two terms leave falls as kl, relative to the limit; what one leaves, if rewards are skewed, as its root
    assert (np.abs(limit / second - 1) < 40 * kl).all()
    if abs(k3) > 0.05 * v**1.5:
        assert np.abs(limit / first - 1)[-1] > 100 * kl[-1]


def test_per_prompt_limits_over_pass_rates_match_plain_quadrature() -> None:
    system = BetaBernoulli(2.0, 3.0)
    for kl in (0.3, 1.0):

        def gain(p: float, kl: float = kl) -> float:
            return float(exact.frontier_per_prompt([1 - p, p], [0.0, 1.0], kl)[0]) * 12 * p * (1 - p) ** 2

        edge = np.exp(-kl)
        expected = sum(quad(gain, *ends, epsabs=1e-11)[0] for ends in ((0, edge), (edge, 1)))
        assert system.frontier(kl, budget="per-prompt") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("budget", ["average", "per-prompt"])
def test_pass_rates_from_a_beta_law_match_tables_of_their_quantiles(budget: str) -> None:
    from scipy.special import betaincinv

    p = betaincinv(0.3, 2.0, (np.arange(20_000) + 0.5) / 20_000)
    tables = Tables(np.stack([1 - p, p], axis=1), np.broadcast_to([0.0, 1.0], (len(p), 2)))
    kl = np.array([0.2, 1.0, 2.0])
    system = BetaBernoulli(0.3, 2.0)
    np.testing.assert_allclose(
        tables.frontier(kl, budget=budget), system.frontier(kl, budget=budget), rtol=1e-3
    )
    np.testing.assert_allclose(tables.best_of_n([2, 32]), system.best_of_n([2, 32]), rtol=1e-3)


def test_tables_are_the_exact_module() -> None:
    rng = np.random.default_rng(5)
    p, r = rng.dirichlet(np.ones(6), size=7), rng.integers(0, 4, size=(7, 6)).astype(float)
    system, kl = Tables(p, r), np.array([0.1, 0.8, 3.0])
    np.testing.assert_allclose(system.frontier(kl), exact.frontier_average(p, r, kl)[0], rtol=1e-12)
    per_prompt = exact.frontier_per_prompt(p, r, kl[:, None])[0].mean(axis=1)
    np.testing.assert_allclose(system.frontier(kl, budget="per-prompt"), per_prompt, rtol=1e-12)
    np.testing.assert_allclose(system.mean_reward, (p * r).sum(axis=1).mean(), rtol=1e-13)


@pytest.mark.parametrize("system", ALL)
def test_saturation(system: TestSystem) -> None:
    top = system.saturation
    assert system.frontier(np.inf) == pytest.approx(float(top.gain))
    if np.isfinite(top.kl):
        np.testing.assert_array_equal(system.frontier([top.kl, top.kl + 1]), top.gain)
        assert system.frontier(0.98 * top.kl) < top.gain
        np.testing.assert_array_equal(system.beta_at([top.kl, 10.0]), [0.0, 0.0])
        assert system.kl(0.0) == top.kl
        assert system.gain(0.0) == top.gain
    assert system.frontier(0.0) == 0.0
    assert system.beta_at(0.0) == np.inf


def test_saturation_by_hand() -> None:
    np.testing.assert_allclose(Bernoulli(0.2).saturation, (-np.log(0.2), 0.8), rtol=1e-14)
    # E -log p under Beta(0.3, 2): 1 / 0.3 + 1 / 1.3
    np.testing.assert_allclose(BetaBernoulli(0.3, 2.0).saturation, (1 / 0.3 + 1 / 1.3, 2 / 2.3), rtol=1e-13)
    np.testing.assert_allclose(Discrete((0, 1, 5), (0.5, 0.4, 0.1)).saturation, (np.log(10), 4.1), rtol=1e-13)
    assert Uniform().saturation.kl == np.inf
    assert Uniform(scale=2.0).saturation.gain == 1.0


def test_the_exponential_frontier_is_attained_at_every_budget() -> None:
    system = Exponential(scale=(0.5, 1.5))
    kl = np.array([5.0, 20.0, 60.0])
    limit, beta = system.frontier(kl), system.beta_at(kl)
    assert (beta >= 1.5).all()  # the price of a nat falls towards the largest scale
    assert (np.diff(beta) <= 0).all()
    np.testing.assert_allclose(np.diff(limit) / np.diff(kl), 1.5, rtol=0.02)
    assert system.log_partition(0.7) == np.inf  # beyond 1 / 1.5 no policy has a finite log-partition


def test_extreme_budgets_and_pass_rates_give_numbers() -> None:
    for system in (*STUDY.values(), BetaBernoulli(0.05, 0.5), BetaRewards(0.5, 0.5), GaussianMixture()):
        for budget in ("average", "per-prompt"):
            limit = system.frontier([0.0, 1e-300, 1e-9, 50.0, 1e4], budget=budget)
            assert np.isfinite(limit).all()
            assert (np.diff(limit) >= -1e-12).all()
