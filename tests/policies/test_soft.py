"""Soft best-of-N: quadrature against enumeration, the truth of test systems, and both limits of beta."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from klimit.errors import InputError
from klimit.policies import best_of_n, soft_best_of_n
from klimit.policies.soft_values import block_gain, densities
from klimit.testsystems import BetaBernoulli, Discrete, Gaussian


def soft(samples: object, **options: object):
    return soft_best_of_n(samples, efficiency=False, **options)


@pytest.mark.parametrize("spread", [0.1, 3.0, 40.0])
def test_density_is_that_of_enumerating_all_draws(spread: float) -> None:
    z = np.array([0.0, -1.0, -0.3, -0.3]) * spread
    w = np.exp(z)
    size = 3
    expected = np.zeros(4)
    for draw in product(range(4), repeat=size):
        np.add.at(expected, list(draw), w[list(draw)] / w[list(draw)].sum())
    expected *= 4 / 4**size
    (rho,) = densities(z[None], size, (1,))
    np.testing.assert_allclose(rho[0, 0], expected, rtol=1e-7)


def test_gain_is_the_mean_over_random_blocks_of_completions() -> None:
    row = np.array([0.0, 1.0, 2.0, -3.0, 0.5, 0.7])
    row -= row.mean()

    def softmax_mean(x: np.ndarray) -> float:
        return float((np.exp(x) * x).sum() / np.exp(x).sum())

    expected = np.mean([softmax_mean(row[list(s)]) for s in combinations(range(6), 3)])
    gains = block_gain(np.tile(row, (4000, 1)), 3, 1.0, np.random.default_rng(1))
    assert abs(gains.mean() - expected) < 4 * gains.std() / np.sqrt(4000)
    whole = block_gain(row[None], 6, 1.0, np.random.default_rng(1))
    assert whole[0] == pytest.approx(softmax_mean(row))


@pytest.mark.parametrize(
    ("system", "beta"),
    [(Gaussian(), 0.3), (Gaussian(), 1.0), (Discrete(), 0.5), (BetaBernoulli(0.3, 2.0), 0.2)],
)
def test_intervals_hold_the_truth_up_to_all_completions(system, beta: float) -> None:
    result = soft(
        system.draw(np.random.default_rng(20260504), 1500, 32), n=[2, 8, 16, 32], beta=beta, level=0.9999
    )
    truth = system.soft_best_of_n(result.n, beta)
    assert ((result.gain_low < truth.gain) & (truth.gain < result.gain_high)).all()
    assert ((result.kl_low < truth.kl) & (truth.kl < result.kl_high)).all()
    assert (result.kl_high - result.kl_low)[1] < 0.15 * truth.kl[1] + 0.02


def test_small_beta_is_best_of_n_and_large_beta_the_base_policy() -> None:
    rewards = Gaussian().draw(np.random.default_rng(2), 300, 32)
    hard = best_of_n(rewards, n=4, efficiency=False)
    result = soft(rewards, n=4, beta=[0.01, 1e6])
    assert result.gain[0] == pytest.approx(hard.gain[0], rel=0.02)
    assert result.kl[0] == pytest.approx(hard.kl[0], abs=2e-3)
    assert result.win_rate[0] == pytest.approx(0.8, abs=2e-3)
    assert result.gain[1] == pytest.approx(0.0, abs=0.02)
    assert result.kl[1] == pytest.approx(0.0, abs=1e-6)
    assert result.win_rate[1] == pytest.approx(0.5, abs=1e-4)


def test_shifting_rewards_changes_nothing_and_scaling_goes_with_beta() -> None:
    rewards = np.round(Gaussian().draw(np.random.default_rng(3), 50, 16), 3)
    plain, moved = soft(rewards, n=4, beta=0.5), soft(8 * rewards + 64, n=4, beta=4.0)
    np.testing.assert_allclose(moved.gain, 8 * plain.gain, rtol=1e-10)
    np.testing.assert_allclose(moved.kl, plain.kl, rtol=1e-9)


def test_the_seed_decides() -> None:
    rewards = Gaussian().draw(np.random.default_rng(4), 50, 16)
    assert soft(rewards, n=4, beta=1.0, seed=3).kl[0] == soft(rewards, n=4, beta=1.0, seed=3).kl[0]
    assert soft(rewards, n=4, beta=1.0, seed=3).kl[0] != soft(rewards, n=4, beta=1.0, seed=4).kl[0]


def test_n_and_beta_are_paired() -> None:
    rewards = Gaussian().draw(np.random.default_rng(5), 30, 16)
    result = soft(rewards, n=[1, 4], beta=[0.5, 0.2])
    np.testing.assert_array_equal(result.n, [1, 4])
    np.testing.assert_array_equal(result.beta, [0.5, 0.2])
    assert (result.gain[0], result.kl[0], result.win_rate[0]) == (0, 0, 0.5)
    with pytest.raises(InputError, match="n has 2 values and beta 3"):
        soft(rewards, n=[2, 4], beta=[1, 2, 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 4, "beta": 0.0}, "beta is 0.0; it must be above 0"),
        ({"n": 4, "beta": -1.0}, "above 0"),
        ({"n": 99, "beta": 1.0}, "N = 99 is above 16"),
        ({"n": 4, "beta": 1e-5}, "use best_of_n, or a larger beta"),
    ],
)
def test_bad_settings_are_refused(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        soft(Gaussian().draw(np.random.default_rng(6), 5, 16), **options)
