"""Exact limits of finite tables: identities, duality, saturation, and rewards of any scale."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from klimit.errors import InputError
from klimit.limit import exact

TILTS = np.array([1e-6, 1e-3, 0.1, 1.0, 3.0, 30.0, 3000.0])


@pytest.fixture(scope="module")
def tables() -> tuple[np.ndarray, np.ndarray]:
    """Forty prompts, nine outputs, some with probability zero, some tied, rewards within (-3, 3)."""
    rng = np.random.default_rng(20260507)
    p = rng.dirichlet(np.full(9, 0.4), size=40)
    p[::5, 3] = 0.0
    p /= p.sum(axis=1, keepdims=True)
    return p, np.round(rng.uniform(-3, 3, size=p.shape), 1)


def plain_log_partition(p: np.ndarray, r: np.ndarray, t: float) -> np.ndarray:
    """log E exp(t r) as anyone would write it, less its linear part."""
    return np.log((p * np.exp(t * r)).sum(axis=-1)) - t * (p * r).sum(axis=-1)


def test_the_gain_is_beta_times_jeffreys_the_covariance_form_and_a_difference_of_means(tables) -> None:
    p, r = tables
    for t in TILTS:
        gain = exact.gain(p, r, t)
        tilted = (exact.tilted(p, r, t) * r).sum(axis=-1)
        np.testing.assert_allclose(exact.jeffreys(p, r, t) / t, gain, rtol=1e-10)
        np.testing.assert_allclose(exact.covariance_gain(p, r, t), gain, rtol=1e-10)
        np.testing.assert_allclose(tilted - exact.mean_reward(p, r), gain, rtol=0, atol=1e-10)
        np.testing.assert_allclose(exact.tilted_reward(p, r, t), tilted, rtol=0, atol=1e-10)


def test_a_covariance_under_the_tilted_policy_is_not_the_gain(tables) -> None:
    p, r = tables
    q = exact.tilted(p, r, 1.0)
    weight = np.exp(r)
    wrong = (q * r * weight).sum(-1) / (q * weight).sum(-1) - (q * r).sum(-1)
    assert np.abs(wrong / exact.gain(p, r, 1.0) - 1).max() > 0.1


def test_divergences_are_those_of_the_tilted_probabilities(tables) -> None:
    p, r = tables
    for t in (0.01, 1.0, 5.0):
        q = exact.tilted(p, r, t)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_ratio = np.where(p > 0, np.log(q / p), 0.0)
        np.testing.assert_allclose(exact.forward_kl(p, r, t), (q * log_ratio).sum(-1), rtol=0, atol=1e-13)
        np.testing.assert_allclose(exact.reverse_kl(p, r, t), -(p * log_ratio).sum(-1), rtol=0, atol=1e-13)


def test_cumulants_are_the_derivatives_of_the_log_partition(tables) -> None:
    p, r = tables
    h = 1e-3
    for t in (-1.0, 0.3, 2.0):
        at = exact.cumulants(p, r, t)
        below, middle, above = (plain_log_partition(p, r, t + k * h) for k in (-1, 0, 1))
        np.testing.assert_allclose(at.log_partition, middle, rtol=0, atol=1e-13)
        np.testing.assert_allclose(at.gain, (above - below) / (2 * h), rtol=0, atol=1e-5)
        np.testing.assert_allclose(at.variance, (above - 2 * middle + below) / h**2, rtol=0, atol=1e-5)


def test_small_tilts_keep_their_relative_accuracy() -> None:
    p, r = np.array([0.8, 0.2]), np.array([0.0, 1.0])
    # L = V t^2 / 2 + K3 t^3 / 6 + ...; KL = V t^2 / 2 + K3 t^3 / 3 + ...
    t = 1e-7
    np.testing.assert_allclose(exact.forward_kl(p, r, t), 0.08 * t**2 * (1 + 0.4 * t), rtol=1e-12)
    np.testing.assert_allclose(exact.reverse_kl(p, r, t), 0.08 * t**2 * (1 + 0.2 * t), rtol=1e-12)
    # the obvious formula cancels
    assert abs(plain_log_partition(p, r, t) / (0.08 * t**2) - 1) > 1e-3


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_the_reward_does_not_matter(tables, scale: float) -> None:
    p, r = tables
    kl = np.array([1e-6, 0.1, 1.0, 3.0])
    for function in (exact.frontier_average, lambda p, r, kl: exact.frontier_per_prompt(p, r, kl[:, None])):
        gain, beta = function(p, r, kl)
        wild_gain, wild_beta = function(p, scale * r, kl)
        np.testing.assert_allclose(wild_gain / scale, gain, rtol=1e-11)
        np.testing.assert_allclose(wild_beta / scale, beta, rtol=1e-6)


def test_rewards_far_from_zero_change_nothing(tables) -> None:
    p, r = tables
    gain, _ = exact.frontier_average(p, r, [0.1, 1.0])
    shifted, _ = exact.frontier_average(p, r + 1e6, [0.1, 1.0])
    np.testing.assert_allclose(shifted, gain, rtol=1e-8)  # what float64 leaves of r + 1e6


def test_constant_rewards_cannot_be_improved() -> None:
    for value in (0.1, 7.0, -1e9):
        p, r = np.full((3, 4), 0.25), np.full((3, 4), value)
        gain, _ = exact.frontier_average(p, r, [0.0, 0.1, 10.0])
        np.testing.assert_array_equal(gain, np.zeros(3))
        np.testing.assert_array_equal(exact.forward_kl(p, r, 3.0), np.zeros(3))


def test_the_dual_bounds_the_limit_at_every_tilt_and_touches_it_at_the_best(tables) -> None:
    p, r = tables
    kl = np.array([0.01, 0.3, 1.0, 2.0])
    gain, beta = exact.frontier_average(p, r, kl)
    np.testing.assert_allclose(exact.dual_value(p, r, 1 / beta, kl), gain, rtol=1e-12)
    bounds = exact.dual_value(p, r, np.geomspace(1e-3, 1e3, 200)[:, None], kl)
    assert (bounds >= gain - 1e-12).all()
    assert (bounds.min(axis=0) < gain * 1.01).all()
    # primal: the tilted policy at that beta has that KL and that gain
    np.testing.assert_allclose(exact.forward_kl(p, r, 1 / beta[:, None]).mean(axis=1), kl, rtol=1e-10)
    np.testing.assert_allclose(exact.gain(p, r, 1 / beta[:, None]).mean(axis=1), gain, rtol=1e-10)


def test_frontiers_agree_with_a_bracketing_root_finder(tables) -> None:
    p, r = tables
    for kl in (1e-4, 0.5, 1.5):

        def excess(log_t: float, kl: float = kl) -> float:
            return float(exact.forward_kl(p, r, np.exp(log_t)).mean()) - kl

        t = np.exp(brentq(excess, -12, 8, xtol=1e-14))
        gain, beta = exact.frontier_average(p, r, kl)
        assert gain == pytest.approx(exact.gain(p, r, t).mean(), rel=1e-11)
        assert beta == pytest.approx(1 / t, rel=1e-8)


def test_average_budget_does_at_least_as_well_as_per_prompt(tables) -> None:
    p, r = tables
    kl = np.geomspace(1e-3, 5.0, 12)
    average, _ = exact.frontier_average(p, r, kl)
    per_prompt, _ = exact.frontier_per_prompt(p, r, kl[:, None])
    assert (average >= per_prompt.mean(axis=1)).all()
    assert (average > 1.001 * per_prompt.mean(axis=1)).any()


def test_the_limit_saturates_where_theory_says(tables) -> None:
    p, r = tables
    top_kl, top_gain = exact.saturation(p, r)
    best = np.where(p > 0, r, -np.inf).max(axis=1)
    reach = np.where(r == best[:, None], p, 0).sum(axis=1)
    np.testing.assert_allclose(top_kl, -np.log(reach), atol=1e-14)
    np.testing.assert_allclose(top_gain, best - (p * r).sum(axis=1), atol=1e-14)
    room = top_kl.mean()
    gain, beta = exact.frontier_average(p, r, [0.99 * room, room, 2 * room, np.inf])
    assert gain[0] < gain[1]
    np.testing.assert_allclose(gain[1:], top_gain.mean(), rtol=1e-14)
    np.testing.assert_array_equal(beta[1:], np.zeros(3))


def test_the_slope_of_the_limit_is_beta(tables) -> None:
    p, r = tables
    kl, h = np.array([0.05, 0.5, 1.5]), 1e-4
    _, beta = exact.frontier_average(p, r, kl)
    above, _ = exact.frontier_average(p, r, kl + h)
    below, _ = exact.frontier_average(p, r, kl - h)
    np.testing.assert_allclose((above - below) / (2 * h), beta, rtol=1e-5)


def test_weights_count_prompts(tables) -> None:
    p, r = tables[0][:2], tables[1][:2]
    repeated = exact.frontier_average(p[[0, 0, 0, 1]], r[[0, 0, 0, 1]], [0.3, 1.0])
    weighted = exact.frontier_average(p, r, [0.3, 1.0], weights=[3, 1])
    np.testing.assert_allclose(weighted, repeated, rtol=1e-12)
    assert not np.allclose(weighted, exact.frontier_average(p, r, [0.3, 1.0]), rtol=1e-3)


def test_padding_with_zero_probability_is_invisible() -> None:
    p, r = np.array([0.8, 0.2]), np.array([0.0, 1.0])
    padded = exact.frontier_average([0.8, 0.0, 0.2, 0.0], [0.0, 1e9, 1.0, -1e9], [0.1, 1.0, 5.0])
    np.testing.assert_allclose(padded, exact.frontier_average(p, r, [0.1, 1.0, 5.0]), rtol=1e-12)


def test_bernoulli_by_hand() -> None:
    p, r = np.array([0.8, 0.2]), np.array([0.0, 1.0])
    t = np.log(0.8 / 0.2) - np.log(0.2 / 0.8)
    assert t == pytest.approx(2.772589, abs=5e-7)
    assert exact.forward_kl(p, r, t) == pytest.approx(0.831777, abs=5e-7)
    gain, beta = exact.frontier_average(p, r, 0.8 * np.log(4) + 0.2 * np.log(0.25))
    assert gain == pytest.approx(0.6, rel=1e-13)
    assert beta == pytest.approx(1 / t, rel=1e-10)


@pytest.mark.parametrize(
    ("p", "r", "message"),
    [
        ([0.5, 0.5], [1.0], r"probabilities have shape \(2,\) and rewards \(1,\)"),
        ([], [], "one entry an output"),
        ([0.5, np.nan], [0.0, 1.0], "must be finite"),
        ([0.5, 0.5], [0.0, np.inf], "must be finite"),
        ([1.5, -0.5], [0.0, 1.0], r"negative \(-0.5\)"),
        ([0.5, 0.4], [0.0, 1.0], "miss 1 by 0.1; divide them by their sum"),
    ],
)
def test_tables_that_are_none(p: list[float], r: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        exact.check_tables(p, r)


@pytest.mark.parametrize("kl", [-0.1, np.nan])
def test_budgets_are_not_negative(kl: float) -> None:
    with pytest.raises(InputError, match="must be >= 0"):
        exact.frontier_average([0.8, 0.2], [0.0, 1.0], [0.5, kl])
    with pytest.raises(InputError, match="must be >= 0"):
        exact.frontier_per_prompt([0.8, 0.2], [0.0, 1.0], kl)
