"""Effective sample sizes and Pareto k-hat agree with their definition and with an independent implementation."""

import warnings

import arviz_stats.base
import numpy as np
import pytest

from klimit.limit.tails import weight_tails

LAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "uniform": lambda rng, n: rng.random(n),
    "heavy": lambda rng, n: rng.exponential(size=n) ** 2,
}


def one(rewards, t):
    ess, shape = weight_tails(np.sort(rewards), np.array([0, len(rewards)]), t)
    return float(ess[0]), float(shape[0])


def independent(rewards, t):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(arviz_stats.base.array_stats.psislw(-t * (np.sort(rewards) - rewards.max()))[1])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [25, 100, 225, 226, 1000, 4096])
def test_k_hat_is_that_of_an_independent_implementation(law, n):
    rewards = LAWS[law](np.random.default_rng(n), n)
    for t in (1e-3, 0.2, 1.0, 3.0):
        assert one(rewards, t)[1] == pytest.approx(independent(rewards, t), rel=1e-8)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_unit_and_the_origin_of_the_reward_change_nothing(unit):
    rewards = np.random.default_rng(1).normal(size=300)
    assert one(unit * rewards, 1.5 / unit) == pytest.approx(one(rewards, 1.5), rel=1e-9)
    assert one(rewards + 1000.0, 1.5) == pytest.approx(one(rewards, 1.5), rel=1e-9)


def test_the_effective_sample_size_is_the_square_of_the_sum_over_the_sum_of_squares():
    rewards = np.random.default_rng(2).normal(size=1000)
    w = np.exp(2.5 * (rewards - rewards.max()))
    assert one(rewards, 2.5)[0] == pytest.approx(w.sum() ** 2 / (w @ w), rel=1e-12)
    assert one(rewards, 1e-9)[0] == pytest.approx(1000.0)
    assert one(rewards, 1e6)[0] == pytest.approx(1.0)


def test_where_a_tail_has_no_shape_there_is_no_number():
    rng = np.random.default_rng(3)
    assert np.isnan(one(rng.normal(size=24), 1.0)[1])
    assert np.isnan(one((rng.random(500) < 0.3).astype(float), 1.0)[1])
    steps = np.append(np.zeros(180), np.arange(1.0, 21.0))  # half the tail at its threshold
    assert np.isnan(one(steps, 0.1)[1])
    assert np.isfinite(one(rng.normal(size=25), 1.0)[1])
    apart = np.exp(np.linspace(0.0, 8.0, 400))
    assert np.isnan(one(apart, 20.0)[1])  # all weights but one are less than the smallest number


def test_ragged_prompts_are_the_same_one_by_one():
    rng = np.random.default_rng(4)
    counts = rng.integers(1, 400, size=40)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    rewards = [np.sort(rng.normal(size=n)).astype(np.float32) for n in counts]
    ess, shape = weight_tails(np.concatenate(rewards), offsets, 2.0)
    alone = np.array([one(x, 2.0) for x in rewards])
    assert np.array_equal(ess, alone[:, 0])
    assert np.array_equal(shape, alone[:, 1], equal_nan=True)
