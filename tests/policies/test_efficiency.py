"""Gain over the limit at the same KL: a made-up limit with known errors, then the real one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import klimit
from klimit.errors import InputError
from klimit.limit.frontier import frontier
from klimit.policies import best_of_n
from klimit.policies.values import best_of_n_values
from klimit.testsystems import BetaBernoulli, Gaussian, Uniform


@dataclass
class Line:
    value: np.ndarray
    slope: np.ndarray
    influence: np.ndarray
    bias: np.ndarray


@dataclass
class Bounds:
    gain_low: float
    gain_high: float


@dataclass
class SlopeLimit:
    """A limit that is ``sum of prompts' slopes / n_prompts`` times the KL, up to a horizon."""

    slopes: np.ndarray
    horizon: float = np.inf
    bias: float = 0.0

    def linearise(self, kl: np.ndarray) -> Line:
        inside = kl <= self.horizon
        mean = self.slopes.mean()
        return Line(
            np.where(inside, mean * kl, np.nan),
            np.where(inside, mean, np.nan),
            (self.slopes - mean)[:, None] * kl,
            np.full(len(kl), self.bias),
        )

    def at(self, *, kl: float) -> Bounds:
        return Bounds(self.slopes.mean() * min(kl, self.horizon), self.slopes.mean() * kl)


@pytest.fixture
def rewards() -> np.ndarray:
    rng = np.random.default_rng(1)
    return (rng.random((400, 32)) < rng.beta(0.5, 2, size=(400, 1))).astype(float) * rng.uniform(
        1, 2, size=(400, 1)
    )


def test_it_is_the_ratio_and_undefined_without_kl(rewards: np.ndarray) -> None:
    result = best_of_n(rewards, n=[1, 4, 16], limit=SlopeLimit(np.full(400, 0.5)))
    assert np.isnan([result.efficiency[0], result.efficiency_low[0], result.efficiency_high[0]]).all()
    np.testing.assert_allclose(result.efficiency[1:], result.gain[1:] / (0.5 * result.kl[1:]), rtol=1e-12)
    assert (result.efficiency_low[1:] < result.efficiency[1:]).all()


def test_interval_is_that_of_resampling_prompts_with_their_limit(rewards: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    slopes = 0.3 + rewards.mean(axis=1)  # the limit's error goes along with the gain's
    result = best_of_n(rewards, n=8, limit=SlopeLimit(slopes))
    values = best_of_n_values(rewards.ravel(), np.arange(401) * 32, [8])
    picks = rng.integers(400, size=(4000, 400))
    ratio = values.gain[picks, 0].mean(axis=1) / (
        slopes[picks].mean(axis=1) * values.kl[picks, 0].mean(axis=1)
    )
    assert result.efficiency_high[0] - result.efficiency[0] == pytest.approx(1.966 * ratio.std(), rel=0.06)
    # Negative control: errors taken apart would give another interval.
    apart = np.hypot(
        values.gain[picks, 0].mean(axis=1).std() / values.gain.mean(),
        (slopes[picks].mean(axis=1) * values.kl[picks, 0].mean(axis=1)).std()
        / (slopes.mean() * values.kl.mean()),
    )
    assert abs(apart * result.efficiency[0] / ratio.std() - 1) > 0.2


def test_bias_left_in_the_limit_widens_it(rewards: np.ndarray) -> None:
    slopes = np.full(400, 0.5)
    plain = best_of_n(rewards, n=8, limit=SlopeLimit(slopes))
    biased = best_of_n(rewards, n=8, limit=SlopeLimit(slopes, bias=0.01))
    extra = plain.efficiency * 0.01 / (0.5 * plain.kl)
    np.testing.assert_allclose(biased.efficiency_high - plain.efficiency_high, extra, rtol=1e-10)
    np.testing.assert_allclose(plain.efficiency_low - biased.efficiency_low, extra, rtol=1e-10)


def test_beyond_the_horizon_it_is_a_range(rewards: np.ndarray) -> None:
    result = best_of_n(rewards, n=16, limit=SlopeLimit(np.full(400, 0.5), horizon=0.1))
    assert np.isnan(result.efficiency[0])
    assert result.efficiency_low[0] == pytest.approx(result.gain_low[0] / (0.5 * result.kl_high[0]))
    assert result.efficiency_high[0] == 1.0


def test_it_can_be_left_out(rewards: np.ndarray) -> None:
    result = best_of_n(rewards, n=4, limit=SlopeLimit(np.full(400, 0.5)), efficiency=False)
    assert np.isnan(result.efficiency[0])


@pytest.mark.parametrize(
    ("system", "n"), [(Gaussian(scale=(0.5, 1.5)), 4), (Uniform(), 4), (BetaBernoulli(0.3, 2.0), 8)]
)
def test_real_limits_give_the_true_efficiency(system, n: int) -> None:
    rewards = system.draw(np.random.default_rng(3), 1500, 128)
    limit = frontier(rewards)
    truth = system.best_of_n(n)
    expected = float(truth.gain / system.frontier(truth.kl))
    for result in (best_of_n(rewards, n=n, limit=limit), best_of_n(rewards, n=n)):
        assert result.efficiency_low[0] < expected < result.efficiency_high[0]
        assert result.efficiency[0] == pytest.approx(expected, abs=0.02)
    about = best_of_n(rewards, n=n, limit=frontier(rewards, target="these-prompts"), target="these-prompts")
    assert about.efficiency_low[0] < expected < about.efficiency_high[0]


def test_constant_rewards_have_no_efficiency() -> None:
    with pytest.warns(UserWarning, match="the same within every prompt"):
        result = best_of_n(np.ones((30, 16)))
    assert np.isnan(result.efficiency).all()


class TestTheLimitGiven:
    """Efficiency is against the average-budget limit of the same samples, nothing else."""

    rewards = np.random.default_rng(0).normal(size=(40, 32))

    def test_a_per_prompt_limit_is_refused(self):
        limit = klimit.frontier(self.rewards, budget="per-prompt")
        with pytest.raises(InputError, match="efficiency is against the average-budget limit"):
            klimit.best_of_n(self.rewards, limit=limit)

    def test_the_limit_of_other_samples_is_refused(self):
        limit = klimit.frontier(self.rewards + 1.0)
        with pytest.raises(InputError, match="limit= is of other samples or another reward"):
            klimit.best_of_n(self.rewards, limit=limit)

    def test_the_limit_of_the_same_samples_is_used(self):
        limit = klimit.frontier(self.rewards)
        one, other = (klimit.best_of_n(self.rewards, n=2, limit=given) for given in (limit, None))
        assert one.efficiency[0] == other.efficiency[0]
