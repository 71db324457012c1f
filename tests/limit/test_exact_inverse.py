"""The limit read backwards on tables: least KL and tilt of a gain, against grids, optimisers and the forward limit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from klimit.errors import InputError
from klimit.limit import exact
from klimit.limit.exact_inverse import least_kl_average, least_kl_per_prompt

TILTS = np.array([-300.0, -20.0, -1.0, -0.03, -1e-6, 1e-8, 0.01, 1.0, 5.0, 100.0, 1000.0])


@pytest.fixture(scope="module")
def tables() -> tuple[np.ndarray, np.ndarray]:
    """Forty prompts of nine outputs, some of probability zero, some tied, scales that differ tenfold."""
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(9, 0.7), size=40)
    p[::5, 3] = 0.0
    p /= p.sum(axis=1, keepdims=True)
    return p, np.round(rng.normal(size=p.shape), 1) * rng.uniform(0.3, 3.0, size=(40, 1))


@pytest.mark.parametrize("t", TILTS)
def test_the_kl_of_a_tilt_is_the_least_for_its_gain(tables, t: float) -> None:
    p, r = tables
    c = exact.cumulants(p, r, t)
    kl, tilt = least_kl_per_prompt(p, r, c.gain)
    np.testing.assert_allclose(kl, c.kl, rtol=1e-11)
    mean_kl, shared = least_kl_average(p, r, c.gain.mean())
    np.testing.assert_allclose(mean_kl, c.kl.mean(), rtol=1e-11)
    if np.abs(t) <= 20:  # further out the gain's rounding moves the tilt
        np.testing.assert_allclose(shared, t, rtol=1e-9)
        below = np.abs(c.gain) < 0.999 * exact.saturation(p, np.sign(t) * r)[1]
        np.testing.assert_allclose(tilt[below], t, rtol=1e-9)


def test_the_supremum_agrees_with_a_grid_and_an_optimiser(tables) -> None:
    p, r = tables
    d = r - (p * r).sum(axis=1, keepdims=True)

    def objective(t: float, gain: float) -> float:
        return t * gain - np.log((p * np.exp(t * d)).sum(axis=1)).mean()

    grid = np.linspace(-8.0, 8.0, 4001)
    for gain in (-0.7, -0.1, 0.02, 0.5, 1.0):
        kl, t = least_kl_average(p, r, gain)
        values = np.array([objective(x, gain) for x in grid])
        best = minimize_scalar(lambda x, g=gain: -objective(x, g), bracket=(t - 0.3, t + 0.3), tol=1e-12)
        assert values.max() <= kl + 1e-12
        assert values.max() == pytest.approx(kl, abs=1e-5)
        assert -best.fun == pytest.approx(float(kl), abs=1e-11)
        assert abs(grid[values.argmax()] - t) <= 0.004


@pytest.mark.parametrize("gain", [-0.4, 0.35])
def test_no_policy_gets_the_gain_for_less(gain: float) -> None:
    # primal: minimise the KL over all policies of two prompts with that average gain
    p = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    r = np.array([[0.0, 1.0, 2.0], [0.5, 3.0, 0.0]])

    def mean_kl(flat: np.ndarray) -> float:
        q = flat.reshape(2, 3)
        return float((q * np.log(q / p)).sum() / 2)

    limits = [
        {"type": "eq", "fun": lambda flat: flat.reshape(2, 3).sum(axis=1) - 1},
        {"type": "eq", "fun": lambda flat: ((flat.reshape(2, 3) - p) * r).sum() / 2 - gain},
    ]
    start = np.random.default_rng(0).dirichlet(np.ones(3), size=2).reshape(-1)
    found = minimize(
        mean_kl, start, method="SLSQP", bounds=[(1e-9, 1.0)] * 6, constraints=limits, options={"ftol": 1e-14}
    )
    kl, t = least_kl_average(p, r, gain)
    assert found.success
    assert found.fun == pytest.approx(float(kl), abs=1e-8)
    np.testing.assert_allclose(found.x.reshape(2, 3), exact.tilted(p, r, t), atol=1e-5)


def test_it_inverts_the_frontier(tables) -> None:
    p, r = tables
    budgets = np.array([1e-8, 1e-3, 0.1, 0.5, 1.0, 1.5])
    weights = np.linspace(0.1, 2.0, len(p))
    for w in (None, weights):
        gains, betas = exact.frontier_average(p, r, budgets, weights=w)
        kl, t = least_kl_average(p, r, gains, weights=w)
        np.testing.assert_allclose(kl, budgets, rtol=1e-11)
        np.testing.assert_allclose(t, 1 / betas, rtol=1e-7)
    gains, betas = exact.frontier_per_prompt(p, r, np.full(len(p), 0.2))
    inner = betas > 0
    kl, t = least_kl_per_prompt(p, r, gains)
    np.testing.assert_allclose(kl[inner], 0.2, rtol=1e-11)
    np.testing.assert_allclose(t[inner], 1 / betas[inner], rtol=1e-7)


def test_losses_are_gains_of_the_reward_turned_round(tables) -> None:
    p, r = tables
    gains = np.array([-0.6, -0.01, 0.2])
    kl, t = least_kl_average(p, r, gains)
    turned_kl, turned_t = least_kl_average(p, -r, -gains)
    np.testing.assert_array_equal(kl, turned_kl)
    np.testing.assert_array_equal(t, -turned_t)
    assert (kl > 0).all()  # a loss is not free


def test_a_coin_by_hand() -> None:
    # pass rate 1/4: q log(q/p) + (1-q) log((1-q)/(1-p)), t = logit q - logit p
    p, r = [0.75, 0.25], [0.0, 1.0]
    kl, t = least_kl_per_prompt(p, r, [0.25, -0.125])
    np.testing.assert_allclose(
        kl, [0.5 * np.log(4 / 3), 0.125 * np.log(0.5) + 0.875 * np.log(7 / 6)], rtol=1e-14
    )
    np.testing.assert_allclose(t, [np.log(3), np.log(3 / 7)], rtol=1e-13)


def test_at_an_end_the_kl_is_that_of_the_atom_and_beyond_it_infinite() -> None:
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.9, 0.0]])
    r = np.array([[0.0, 1.0, 1.0], [2.0, 0.0, 9.0]])  # the output of probability 0 is out of reach
    top, bottom = np.array([0.5, 1.8]), np.array([-0.5, -0.2])
    kl, t = least_kl_per_prompt(p, r, [top, bottom, top + 1e-9, bottom - 1e-9])
    np.testing.assert_allclose(kl[:2], -np.log([[0.5, 0.1], [0.5, 0.9]]), rtol=1e-14)
    np.testing.assert_array_equal(kl[2:], np.inf)
    np.testing.assert_array_equal(t, np.inf * np.array([[1, 1], [-1, -1], [1, 1], [-1, -1]]))
    kl, t = least_kl_average(p, r, [top.mean(), bottom.mean(), 2.0, top.mean() * (1 - 1e-9)])
    np.testing.assert_allclose(kl[:2], [-np.log([0.5, 0.1]).mean(), -np.log([0.5, 0.9]).mean()], rtol=1e-14)
    assert kl[2] == np.inf
    assert kl[3] == pytest.approx(kl[0], abs=1e-6)
    assert 0 < t[3] < np.inf


def test_no_gain_needs_no_kl_and_constant_rewards_allow_none() -> None:
    p = np.full((2, 4), 0.25)
    r = np.array([[0.1, 0.1, 0.1, 0.1], [0.0, 1.0, 2.0, 3.0]])
    kl, t = least_kl_per_prompt(p, r, [0.0, 0.0])
    np.testing.assert_array_equal([kl, t], np.zeros((2, 2)))
    kl, t = least_kl_per_prompt(p, r, [[0.01, 0.01], [-0.01, -0.01]])
    np.testing.assert_array_equal(kl[:, 0], np.inf)
    np.testing.assert_array_equal(t[:, 0], [np.inf, -np.inf])
    np.testing.assert_allclose(kl[:, 1], 0.01**2 / 2 / 1.25, rtol=1e-3)  # G^2 / (2 V)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_the_reward_does_not_matter_to_the_kl(tables, scale: float) -> None:
    p, r = tables
    gains = np.array([-0.3, 1e-6, 0.8])
    kl, t = least_kl_average(p, r, gains)
    wild_kl, wild_t = least_kl_average(p, scale * r, scale * gains)
    np.testing.assert_allclose(wild_kl, kl, rtol=1e-11)
    np.testing.assert_allclose(wild_t * scale, t, rtol=1e-9)


def test_small_gains_keep_their_relative_accuracy() -> None:
    # KL = G^2 / (2 V) - K3 G^3 / (6 V^3) + ...: V = 0.16, K3 = 0.096 for a coin of 0.2
    gain = 1e-7
    kl, _ = least_kl_per_prompt([0.8, 0.2], [0.0, 1.0], gain)
    np.testing.assert_allclose(kl, gain**2 / 0.32 - 0.096 * gain**3 / (6 * 0.16**3), rtol=1e-12)


def test_nan_is_refused() -> None:
    with pytest.raises(InputError, match="gain: NaN"):
        least_kl_average([0.5, 0.5], [0.0, 1.0], [0.1, np.nan])


def test_the_frontier_is_exact_close_to_saturation_too():
    p, r = np.array([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25]]), np.array([[0.0, 0.99, 1.0], [0.0, 1.0, 10.0]])
    for t in (3.0, 300.0, 1000.0):
        tilts = np.full(2, t)
        gain, beta = exact.frontier_average(p, r, exact.forward_kl(p, r, tilts).mean())
        assert gain == pytest.approx(exact.gain(p, r, tilts).mean(), abs=1e-12)
        assert beta == pytest.approx(1 / t, rel=1e-6)
