"""Samples of test systems follow their truths, and systems that cannot exist are refused."""

from __future__ import annotations

import numpy as np
import pytest

from klimit.errors import InputError
from klimit.testsystems import (
    Bernoulli,
    BetaBernoulli,
    BetaRewards,
    Discrete,
    Gaussian,
    GaussianMixture,
    Tables,
    TestSystem,
    Uniform,
    systems,
)

P, R = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]), np.array([[0.0, 1.0, 4.0], [2.0, -1.0, 0.0]])
STUDY = {**systems(), "tables": Tables(P, R, scale=(0.5, 1.5), location_sd=1.0)}
ALL = [pytest.param(s, id=name) for name, s in STUDY.items()]
ALL += [pytest.param(s.equal(), id=f"{name}-equal") for name, s in STUDY.items()]


def within(statistic: np.ndarray, truth: float, errors: float = 4.0) -> bool:
    """Whether the mean of per-prompt statistics lies within standard errors of the truth."""
    return abs(statistic.mean() - truth) < errors * statistic.std() / np.sqrt(len(statistic)) + 1e-12


@pytest.fixture(scope="module", params=ALL)
def drawn(request: pytest.FixtureRequest) -> tuple[TestSystem, np.ndarray]:
    system = request.param
    return system, system.draw(np.random.default_rng(42), 20_000, 16)


def centred(rewards: np.ndarray) -> np.ndarray:
    return rewards - rewards.mean(axis=1, keepdims=True)


def test_draws_have_the_shape_and_moments_of_the_system(drawn) -> None:
    system, rewards = drawn
    n = rewards.shape[1]
    assert rewards.shape == (20_000, 16)
    assert rewards.dtype == np.float64
    assert within(rewards.mean(axis=1), system.mean_reward)
    assert within(rewards.var(axis=1, ddof=1), system.variance)
    third = (centred(rewards) ** 3).sum(axis=1) * n / ((n - 1) * (n - 2))
    assert within(third, system.third_cumulant)


def test_the_moments_of_another_system_would_be_noticed(drawn) -> None:
    system, rewards = drawn
    assert not within(rewards.mean(axis=1), system.mean_reward + 0.1)
    assert not within(rewards.var(axis=1, ddof=1), 1.1 * system.variance)


def test_best_of_n_of_draws(drawn) -> None:
    system, rewards = drawn

    def gain(n: int) -> np.ndarray:
        return rewards.reshape(len(rewards), -1, n).max(axis=2).mean(axis=1) - rewards.mean(axis=1)

    for n in (2, 4, 16):
        assert within(gain(n), float(system.best_of_n(n).gain))
    assert not within(gain(4), float(system.best_of_n(5).gain))


def test_log_partition_of_draws() -> None:
    # with very many completions a prompt the plug-in's own bias is out of sight
    for name, system in systems().items():
        rewards = system.draw(np.random.default_rng(7), 2000, 1000)
        t = 0.3 / np.sqrt(system.variance)
        plug_in = np.log(np.exp(t * centred(rewards)).mean(axis=1))
        assert within(plug_in, float(system.log_partition(t))), name
        assert not within(plug_in, 1.5 * float(system.log_partition(t))), name


def test_locations_and_scales_vary_between_prompts_only() -> None:
    rewards = Gaussian(scale=(0.5, 1.5), location_sd=2.0).draw(np.random.default_rng(1), 4000, 500)
    means, sds = rewards.mean(axis=1), rewards.std(axis=1, ddof=1)
    assert means.std() == pytest.approx(2.0, rel=0.05)
    assert np.quantile(sds, [0.05, 0.5, 0.95]) == pytest.approx([0.55, 1.0, 1.45], abs=0.04)
    equal = Gaussian().draw(np.random.default_rng(1), 4000, 500)
    assert equal.mean(axis=1).std() == pytest.approx(500**-0.5, rel=0.1)


def test_pass_rates_vary_between_prompts() -> None:
    rewards = BetaBernoulli(0.3, 2.0).draw(np.random.default_rng(2), 5000, 400)
    assert set(np.unique(rewards)) == {0.0, 1.0}
    rates = rewards.mean(axis=1)
    # P(p < 0.001) = 0.16: many prompts that hardly ever pass
    assert (rates == 0).mean() > 0.15
    assert rates.var() == pytest.approx(0.3 * 2 / (2.3**2 * 3.3), rel=0.15)


def test_sampling_is_seeded() -> None:
    system = systems()["two-normals"]
    first, again, other = (system.sample(5, 8, seed=s) for s in (1, 1, 2))
    assert first.n_prompts == 5
    assert first.counts.tolist() == [8] * 5
    np.testing.assert_array_equal(first.reward(), again.reward())
    assert (first.reward() != other.reward()).all()
    np.testing.assert_array_equal(first.reward().reshape(5, 8), system.draw(np.random.default_rng(1), 5, 8))


def test_many_levels_are_drawn_as_few_are() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(40))
    rewards = Discrete(tuple(range(40)), tuple(p)).draw(np.random.default_rng(1), 1, 200_000)
    counts = np.bincount(rewards[0].astype(int), minlength=40)
    assert (((counts - 2e5 * p) ** 2 / (2e5 * p)).sum()) < 39 + 4 * np.sqrt(78)


def test_given_tables_are_sampled_in_order_with_their_log_probabilities() -> None:
    samples = Tables(P, R, location_sd=1.0).sample_these(50_000, seed=4)
    outputs = samples.metadata["output"].reshape(2, -1)
    assert samples.n_prompts == 2
    for row in range(2):
        np.testing.assert_allclose(np.bincount(outputs[row]) / 50_000, P[row], atol=0.01)
    np.testing.assert_allclose(samples.logprob.reshape(2, -1), np.log(P[np.arange(2)[:, None], outputs]))
    shift = samples.reward().reshape(2, -1) - R[np.arange(2)[:, None], outputs]
    assert np.ptp(shift, axis=1).max() < 1e-12
    assert (np.abs(shift[:, 0]) > 1e-3).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(scale=(1.5, 0.5)), r"scale=\(1.5, 0.5\): give a number > 0 or \(low, high\)"),
        (lambda: Gaussian(scale=0.0), "scale=0.0: give a number > 0"),
        (lambda: Gaussian(scale=float("nan")), "scale=nan: give a number > 0"),
        (lambda: Uniform(location_sd=-1.0), "location_sd=-1.0: must be >= 0"),
        (lambda: Bernoulli(1.0), "strictly between 0 and 1"),
        (lambda: BetaBernoulli(0.0, 2.0), "a=0.0, b=2.0; both must be finite and at least 0.05"),
        (lambda: BetaRewards(2.0, np.inf), "b=inf; both must be finite and at least 0.05"),
        (lambda: GaussianMixture((0.0,), (1.0, 2.0), (0.5, 0.5)), "sequences of one length"),
        (lambda: GaussianMixture((0.0, 1.0), (1.0, 0.0), (0.5, 0.5)), "sds finite and > 0"),
        (lambda: GaussianMixture((0.0, 1.0), (1.0, 1.0), (0.5, 0.6)), "miss 1 by 0.1"),
        (lambda: GaussianMixture((0.0, 1.0), (1.0, 1.0), (1.0, 0.0)), "weights must be > 0"),
        (lambda: Discrete((0.0, 1.0), (0.5, 0.6)), "miss 1 by 0.1"),
        (lambda: Discrete(P, P), "flat sequences; use Tables"),
        (lambda: Tables(P[0], R[0]), r"shape \(3,\); they must be \(prompts, outputs\)"),
        (lambda: Tables(P, R, scale=(0.5, 1.5)).sample_these(3, seed=0), "the given prompts have one scale"),
        (lambda: Gaussian().frontier(-1.0), "budgets are in nats and must be >= 0; got -1.0"),
        (
            lambda: Gaussian().frontier(1.0, budget="total"),
            "budget='total': choose 'average' or 'per-prompt'",
        ),
        (lambda: Gaussian().kl([-0.5, 1.0]), "must be >= 0"),
    ],
)
def test_what_cannot_be_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_the_study_has_eight_laws_and_their_equal_twins() -> None:
    study, equal = systems(), systems(scale=None, location_sd=0.0)
    assert len(study) == 8
    assert all(s.scale == (0.5, 1.5) and s.location_sd == 1.0 for s in study.values())
    for name, system in study.items():
        twin = system.equal()
        assert (twin.scale, twin.location_sd) == (None, 0.0)
        assert type(twin) is type(equal[name])
        np.testing.assert_array_equal(twin.frontier([0.1, 1.0]), equal[name].frontier([0.1, 1.0]))
