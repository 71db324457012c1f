"""Best-of-Poisson: closed forms, the mixture of best-of-N, ties, and how far the completions reach."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import poisson

from klimit.errors import InputError
from klimit.policies import best_of_n, best_of_poisson, rank
from klimit.policies.poisson import largest_rate, poisson_weights, size_chances
from klimit.testsystems import BetaBernoulli, Discrete, Gaussian


def density(u: float, mu: float) -> float:
    return (mu * u + 1) * np.exp(mu * (u - 1))


def entropy(u: float, mu: float) -> float:
    return density(u, mu) * (np.log(mu * u + 1) + mu * (u - 1))


@pytest.mark.parametrize("mu", [0.01, 0.5, 3.0, 40.0, 300.0, 900.0])
def test_untied_kl_is_the_quadrature_of_its_density(mu: float) -> None:
    points = [1 - 1 / (1 + mu)]
    total = quad(density, 0, 1, args=(mu,), points=points, limit=500)[0]
    integral = quad(entropy, 0, 1, args=(mu,), points=points, limit=500)[0]
    assert total == pytest.approx(1.0, abs=1e-9)
    assert rank.best_of_poisson(mu).untied_kl() == pytest.approx(integral, abs=1e-9)


@pytest.mark.parametrize(("policy", "form"), [(rank.best_of(7), "n"), (rank.best_of_poisson(6.0), "mu")])
def test_loss_of_a_level_is_what_averaging_takes(policy, form: str) -> None:
    def g(u: float) -> float:
        return 7 * u**6 if form == "n" else density(u, 6.0)

    low, high = 0.55, 0.9
    inner = quad(lambda u: g(u) * np.log(g(u)), low, high)[0]
    mass = quad(g, low, high)[0]
    expected = inner - mass * np.log(mass / (high - low))
    assert policy.loss(np.array([low]), np.array([high]))[0] == pytest.approx(expected, abs=1e-12)


def test_gain_is_the_poisson_mixture_of_best_of_n() -> None:
    rewards = Discrete().draw(np.random.default_rng(1), 20, 24)
    every_n = best_of_n(rewards, n=np.arange(1, 25), efficiency=False)
    result = best_of_poisson(rewards, mu=[0.5, 5.0], efficiency=False)
    for j, mu in enumerate(result.mu):
        chances = poisson.pmf(np.arange(24), mu)
        assert result.gain[j] == pytest.approx(chances @ every_n.gain, rel=2e-5)
        assert result.win_rate[j] == pytest.approx(chances @ every_n.win_rate, rel=2e-5)
    np.testing.assert_array_equal(result.draws, 1 + result.mu)


def test_sizes_and_weights_sum_to_one() -> None:
    for n, mu in ((1, 1e-4), (16, 4.0), (200, 120.0)):
        assert size_chances(n, mu).sum() == pytest.approx(1.0, abs=1e-12)
        assert poisson_weights(n, mu).sum() == pytest.approx(1.0, abs=1e-12)


def test_untied_rewards_have_the_closed_forms() -> None:
    result = best_of_poisson(Gaussian().draw(np.random.default_rng(2), 20, 64), efficiency=False)
    mu = result.mu
    np.testing.assert_array_equal(mu, [1, 3, 7, 15, 31])
    np.testing.assert_array_equal(result.kl_low, result.kl_high)
    np.testing.assert_allclose(result.win_rate, 1 - 1 / mu + (1 - np.exp(-mu)) / mu**2, rtol=1e-12)


@pytest.mark.parametrize("system", [Gaussian(), Discrete(), BetaBernoulli(0.3, 2.0)])
def test_intervals_hold_the_truth(system) -> None:
    result = best_of_poisson(
        system.draw(np.random.default_rng(20260503), 2000, 48), level=0.9999, efficiency=False
    )
    truth = system.best_of_poisson(result.mu)
    assert ((result.gain_low < truth.gain) & (truth.gain < result.gain_high)).all()
    assert ((result.kl_low <= truth.kl + 1e-9) & (truth.kl <= result.kl_high + 1e-9)).all()
    assert (result.gain_high - result.gain_low < 0.3 * result.gain).all()


def test_more_than_the_completions_reach_is_refused_with_the_largest_mu() -> None:
    rewards = Gaussian().draw(np.random.default_rng(3), 5, 16)
    largest = np.floor(1000 * largest_rate(16)) / 1000
    assert poisson.sf(15, largest) == pytest.approx(1e-4, rel=0.01)
    best_of_poisson(rewards, mu=largest, efficiency=False)
    with pytest.raises(InputError, match=rf"mu = 10 is above {largest:g}, the largest possible.*the 16 of"):
        best_of_poisson(rewards, mu=[1.0, 10.0], efficiency=False)


@pytest.mark.parametrize("mu", [0.0, -1.0, np.inf, "x"])
def test_bad_mu_is_refused(mu) -> None:
    with pytest.raises(InputError, match="mu is"):
        best_of_poisson(np.eye(4), mu=mu)
