"""Best-of-N in transformed rewards: by rank it is the win rate, elsewhere the bias of the transform is removed."""

import warnings

import numpy as np
import pytest

import klimit
from klimit.errors import InputError
from klimit.policies import best_of_n, best_of_poisson
from klimit.testsystems import Bernoulli, Discrete, Exponential, Gaussian, systems

UNIT = {
    "gaussian": Gaussian(),
    "exponential": Exponential(),
    "five-levels": Discrete(),
    "bernoulli": Bernoulli(0.2),
}


def draw(name="gaussian", prompts=200, completions=64, seed=0, **options):
    return systems(**options)[name].draw(np.random.default_rng(seed), prompts, completions)


class TestRank:
    @pytest.mark.parametrize("target", ["population", "these-prompts"])
    def test_without_ties_gain_and_efficiency_are_known(self, target):
        result = best_of_n(draw("exponential", 50), transform="rank", target=target)
        n = result.n
        np.testing.assert_allclose(result.gain, n / (n + 1) - 0.5, rtol=1e-14)
        np.testing.assert_allclose(result.gain_low, result.gain, rtol=1e-14)
        np.testing.assert_allclose(result.gain_high, result.gain, rtol=1e-14)
        np.testing.assert_allclose(result.reward, n / (n + 1), rtol=1e-14)
        assert result.base_reward == 0.5
        limit = klimit.frontier(draw("exponential", 50), transform="rank")
        expected = [g / limit.at(kl=k).gain for g, k in zip(result.gain[1:], result.kl[1:], strict=True)]
        np.testing.assert_allclose(result.efficiency[1:], expected, rtol=1e-12)
        np.testing.assert_allclose(result.efficiency_low[1:], expected, rtol=1e-12)
        assert (result.efficiency[1:] < 1).all()

    @pytest.mark.parametrize("name", ["bernoulli", "five-levels", "beta-bernoulli"])
    def test_with_ties_the_gain_is_the_win_rate_less_a_half(self, name):
        rewards = draw(name)
        ranked, raw = (
            best_of_n(rewards, transform="rank", efficiency=False),
            best_of_n(rewards, efficiency=False),
        )
        np.testing.assert_allclose(ranked.gain, raw.win_rate - 0.5, rtol=1e-12, atol=1e-15)
        for part in ("kl", "kl_low", "kl_high", "win_rate"):
            np.testing.assert_array_equal(getattr(ranked, part), getattr(raw, part))
        assert (ranked.gain_low[1:] < ranked.gain[1:]).all()
        assert (ranked.gain[1:] < ranked.gain_high[1:]).all()

    def test_the_win_rate_of_passing_is_half_the_pass_rate(self):
        rewards = draw("beta-bernoulli", scale=None, location_sd=0.0)
        ranked, raw = (
            best_of_n(rewards, n=[2, 8], transform=t, efficiency=False) for t in ("rank", "identity")
        )
        np.testing.assert_allclose(ranked.gain, raw.gain / 2, rtol=1e-12)
        np.testing.assert_allclose(ranked.gain_high, raw.gain_high / 2, rtol=1e-12)

    @pytest.mark.parametrize(("n", "widest"), [(2, 1.2), (8, 1.7), (16, 2.2)])
    def test_the_variance_within_prompts_is_that_of_redraws_or_more(self, n, widest):
        """The jackknife errs on the side of caution (Efron and Stein), the more the larger a share N takes."""
        system = Discrete()
        redraws = [
            best_of_n(
                system.draw(np.random.default_rng(seed), 60, 16),
                n=n,
                transform="rank",
                target="these-prompts",
                efficiency=False,
            )
            for seed in range(150)
        ]
        spread = np.std([r.gain[0] for r in redraws], ddof=1)
        half = np.mean([(r.gain_high[0] - r.gain_low[0]) / 2 for r in redraws])
        assert 0.88 < half / 1.96 / spread < widest


class TestCorrectedForBias:
    @pytest.mark.parametrize(
        ("name", "n", "plain_bias"),
        [
            ("gaussian", 4, 0.006),
            ("exponential", 4, 0.025),
            ("five-levels", 32, 0.012),
            ("bernoulli", 16, 0.03),
        ],
    )
    def test_standardised_gains_are_those_of_the_unit_law(self, name, n, plain_bias):
        unit = UNIT[name]
        truth = float(unit.best_of_n(n).gain) / np.sqrt(unit.variance)
        rewards = draw(name, 20_000, 32)
        ours = best_of_n(rewards, n=n, transform="standardised", efficiency=False)
        assert ours.gain_low[0] < truth < ours.gain_high[0]
        assert ours.gain[0] == pytest.approx(truth, rel=0.02)
        # Negative control: the samples standardised by themselves are biased beyond their interval.
        once = (rewards - rewards.mean(axis=1, keepdims=True)) / np.maximum(
            rewards.std(axis=1, ddof=1, keepdims=True), 1e-12
        )
        naive = best_of_n(once, n=n, efficiency=False)
        assert naive.gain[0] / truth - 1 > plain_bias
        assert not naive.gain_low[0] < truth < naive.gain_high[0]

    @pytest.mark.parametrize("target", ["population", "these-prompts"])
    @pytest.mark.parametrize("transform", ["standardised", "log-sigmoid-centred"])
    def test_intervals_cover(self, transform, target):
        system, sizes = Discrete(location_sd=2.0), [4, 16, 32]
        levels = np.arange(5.0)
        p = np.array(system.probabilities)
        values = (levels - p @ levels) / np.sqrt(system.variance)
        if transform != "standardised":
            values = -np.log1p(np.exp(1 - levels))
        truth = Discrete(levels=tuple(values), probabilities=tuple(p)).best_of_n(sizes).gain
        held = []
        for seed in range(80):
            rewards = system.draw(np.random.default_rng(seed), 60, 32)
            result = best_of_n(rewards, n=sizes, transform=transform, target=target, efficiency=False)
            held.append((result.gain_low <= truth) & (truth <= result.gain_high))
        assert (np.mean(held, axis=0) >= 0.88).all()

    def test_efficiency_stays_below_one(self):
        result = best_of_n(draw("gaussian", 400, 128), n=[4, 8], transform="standardised")
        unit = Gaussian()
        truth = unit.best_of_n([4, 8])
        expected = truth.gain / np.sqrt(2 * truth.kl)
        assert (result.efficiency_low < expected).all()
        assert (expected < result.efficiency_high).all()
        assert (result.efficiency < 1).all()

    def test_few_completions_are_left_as_they_are(self):
        rewards = draw("gaussian", 50, 16)
        once = (rewards - rewards.mean(axis=1, keepdims=True)) / rewards.std(axis=1, ddof=1, keepdims=True)
        ours = best_of_n(rewards, transform="standardised", efficiency=False)
        np.testing.assert_allclose(ours.gain, best_of_n(once, efficiency=False).gain, rtol=1e-12)

    @pytest.mark.parametrize("transform", ["standardised", "rank", "log-sigmoid-centred", "clipped:-1,1"])
    def test_n_of_1_is_the_base_policy(self, transform):
        result = best_of_n(draw("five-levels"), n=1, transform=transform, efficiency=False)
        assert result.gain[0] == result.kl[0] == 0
        assert result.win_rate[0] == pytest.approx(0.5)
        assert result.gain_low[0] == result.gain_high[0] == 0
        assert result.reward[0] == result.base_reward

    def test_one_prompt_has_an_interval_about_itself(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = best_of_n(
                draw("gaussian", 1), n=4, transform="standardised", target="these-prompts", efficiency=False
            )
        assert result.gain_low[0] < result.gain[0] < result.gain_high[0]


def test_clipping_makes_ties_and_best_of_n_goes_by_the_clipped_reward():
    rewards = draw("gaussian")
    one = best_of_n(rewards, transform="clipped:-1,1", efficiency=False)
    other = best_of_n(np.clip(rewards, -1, 1), efficiency=False)
    for part in ("kl", "gain", "gain_low", "win_rate"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    assert (one.kl[1:] < one.kl_bound[1:]).all()


def test_the_curve_names_its_transform():
    assert best_of_n(draw(), n=2, transform="clipped: 0,1.0", efficiency=False).transform == "clipped:0,1"
    assert best_of_n(draw(), n=2, efficiency=False).transform == "identity"


class TestLimits:
    """Efficiency is against the limit of the same transform."""

    def test_a_limit_of_another_transform_is_refused(self):
        samples = klimit.Samples.from_array(draw("five-levels"))
        limit = klimit.frontier(samples, transform="rank")
        with pytest.raises(
            InputError,
            match="under transform='rank', this policy's gain under 'identity'; make both with one",
        ):
            best_of_n(samples, limit=limit)
        with pytest.raises(InputError, match="this policy's gain under 'standardised'"):
            best_of_n(samples, limit=limit, transform="standardised")
        with pytest.raises(InputError, match="make both with one transform"):
            best_of_poisson(samples, limit=limit)

    def test_the_limit_given_and_the_limit_computed_give_the_same(self):
        samples = klimit.Samples.from_array(draw("five-levels"))
        limit = klimit.frontier(samples, transform="log-sigmoid-centred:0.5")
        given = best_of_n(samples, n=4, limit=limit, transform="log-sigmoid-centred")
        np.testing.assert_array_equal(
            given.efficiency_high, best_of_n(samples, n=4, transform="log-sigmoid-centred").efficiency_high
        )

    def test_an_unknown_transform_is_refused(self):
        with pytest.raises(InputError, match="did you mean 'rank'"):
            best_of_n(draw(), transform="ranks")
