"""Rejection sampling from the tilted policy: on the limit, at a known cost in draws."""

from __future__ import annotations

import numpy as np
import pytest

from klimit.errors import InputError
from klimit.limit.frontier import frontier
from klimit.limit.result import Point
from klimit.policies import rejection_sampling
from klimit.testsystems import Bernoulli, Uniform


@pytest.mark.parametrize(("system", "largest"), [(Bernoulli(0.2), 1.0), (Uniform(), 1.0)])
def test_it_lies_on_the_limit_at_the_known_cost(system, largest: float) -> None:
    rewards = system.draw(np.random.default_rng(20260505), 1000, 128)
    result = rejection_sampling(rewards, beta=[2.0, 0.7], reward_max=largest)
    t = 1 / result.beta
    truth_kl, truth_gain = system.kl(result.beta), system.gain(result.beta)
    log_z = system.log_partition(t) + t * system.mean_reward
    np.testing.assert_allclose(result.draws, np.exp(t * largest - log_z), rtol=0.01)
    np.testing.assert_allclose(result.kl_bound, t * largest - log_z, rtol=0.01)
    assert ((result.gain_low < truth_gain) & (truth_gain < result.gain_high)).all()
    assert ((result.kl_low < truth_kl) & (truth_kl < result.kl_high)).all()
    assert (result.kl < result.kl_bound).all()
    np.testing.assert_array_equal(result.efficiency, 1.0)


def test_few_completions_do_not_bias_the_cost() -> None:
    class Anywhere:
        """A limit with an estimate at every beta: the cost alone is looked at."""

        def at(self, *, beta: float) -> Point:
            return Point(0.1, 0.1, 0.1, 0.1, beta, "estimate", 0.1, 0.1, 0.1)

    rewards = Bernoulli(0.2).draw(np.random.default_rng(20260506), 40_000, 8)
    result = rejection_sampling(rewards, beta=1.0, reward_max=1.0, limit=Anywhere())
    truth = np.e / (0.8 + 0.2 * np.e)
    plug_in = (np.e / np.exp(rewards).mean(axis=1)).mean()
    assert abs(plug_in - truth) > 0.02
    assert result.draws[0] == pytest.approx(truth, abs=0.01)


def test_a_limit_per_prompt_lowers_the_cost() -> None:
    rewards = Uniform(location_sd=1.0).draw(np.random.default_rng(7), 200, 64)
    limit = frontier(rewards)
    one = rejection_sampling(rewards, beta=1.0, reward_max=rewards.max(), limit=limit)
    each = rejection_sampling(rewards, beta=1.0, reward_max=rewards.max(axis=1), limit=limit)
    assert each.draws[0] < 0.5 * one.draws[0]
    assert each.gain[0] == one.gain[0]


def test_beyond_the_horizon_nothing_is_extrapolated() -> None:
    rewards = np.random.default_rng(8).standard_normal((200, 32))
    result = rejection_sampling(rewards, beta=0.1, reward_max=8.0)
    assert np.isnan([result.kl[0], result.gain[0], result.draws[0], result.efficiency[0]]).all()
    assert result.gain_low[0] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 1.0, "reward_max": 2.5}, r"reward_max = 2.5 is below a reward of 3 \(prompt 0\)"),
        ({"beta": 1.0, "reward_max": [3.0, 3.0, 3.0]}, "one number, or one a prompt"),
        ({"beta": 1.0, "reward_max": np.inf}, "reward_max is not finite"),
        ({"beta": 0.0, "reward_max": 3.0}, "beta is 0.0"),
    ],
)
def test_bad_settings_are_refused(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rejection_sampling(np.array([[0.0, 1.0, 3.0], [0.0, 1.0, 2.0]]), **options)
