"""The limit as a user asks for it, against exact truth and its own identities."""

import warnings

import numpy as np
import pytest

import klimit
from klimit.errors import InputError, KlimitWarning
from klimit.limit import exact
from klimit.samples.container import Samples
from klimit.testsystems import Bernoulli, Gaussian, systems

BUDGETS = np.array([0.05, 0.25, 0.5, 1.0])


def draw(name="gaussian", prompts=200, completions=64, seed=0, **options):
    return systems(**options)[name].draw(np.random.default_rng(seed), prompts, completions)


def ragged(parts):
    counts = [len(part) for part in parts]
    return Samples(
        rewards={"reward": np.concatenate(parts)},
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        prompt_ids=np.arange(len(parts)),
    )


@pytest.mark.filterwarnings("ignore::klimit.errors.KlimitWarning")
class TestAgainstTheEmpiricalLaw:
    """The plug-in is the exact limit of the samples' own law: two routes to one number."""

    @pytest.mark.parametrize("name", list(systems()))
    @pytest.mark.parametrize("budget", ["average", "per-prompt"])
    def test_plug_in_equals_the_exact_limit_of_the_table(self, name, budget):
        rewards = draw(name, prompts=40, completions=32)
        p = np.full(rewards.shape, 1 / 32)
        limit = klimit.frontier(rewards, budget=budget, estimator="plug-in")
        kl = BUDGETS[(limit.engine.reach[1] * 0.9 > BUDGETS)]
        solve = exact.frontier_average if budget == "average" else exact.frontier_per_prompt
        truth = np.array([np.mean(solve(p, rewards, k)[0]) for k in kl])
        values = limit.inference.estimate(limit.engine.levels(kl)).value * limit.rewards.scale
        assert values == pytest.approx(truth, rel=3e-6 if budget == "average" else 2e-4)

    @pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
    @pytest.mark.parametrize("name", ["gaussian", "bernoulli", "exponential"])
    def test_the_gain_is_a_divergence_a_covariance_and_a_difference(self, name, scale):
        rewards = draw(name, prompts=30) * scale
        pieces = klimit.frontier(rewards).pieces(0.8 * scale)
        assert pieces.gain_jeffreys == pytest.approx(pieces.gain_difference, rel=1e-10)
        assert pieces.gain_covariance == pytest.approx(pieces.gain_difference, rel=1e-10)
        # Negative control: one KL direction alone is not the gain.
        assert 2 * pieces.beta * pieces.kl != pytest.approx(pieces.gain_difference, rel=1e-3)


class TestAgainstTheTruth:
    @pytest.mark.parametrize("budget", ["average", "per-prompt"])
    def test_the_limit_of_gaussian_rewards(self, budget):
        system = Gaussian(scale=(0.5, 1.5), location_sd=1.0)
        limit = klimit.frontier(system.sample(2000, 256, seed=1), budget=budget)
        kl = BUDGETS[limit.horizon >= BUDGETS]
        assert len(kl) == len(BUDGETS)
        truth = system.frontier(kl, budget=budget)
        assert [limit.at(kl=k).gain for k in kl] == pytest.approx(truth, rel=0.03)

    def test_at_a_beta_the_tilted_policy_has_its_kl_and_gain(self):
        point = klimit.frontier(Gaussian().sample(2000, 256, seed=2)).at(beta=1.0)
        assert point.kl_low < 0.5 < point.kl_high
        assert point.gain_low < 1.0 < point.gain_high
        assert point.gain == pytest.approx(point.beta * (point.kl + point.kl_reverse))

    def test_the_price_is_the_slope(self):
        limit = klimit.frontier(draw(prompts=2000, completions=128))
        step = 1e-3
        slope = (limit.at(kl=0.5 + step).gain - limit.at(kl=0.5 - step).gain) / (2 * step)
        assert limit.at(kl=0.5).beta == pytest.approx(slope, rel=0.02)

    def test_small_budgets_follow_the_square_root_law_and_the_next_term(self):
        limit = klimit.frontier(draw("exponential", prompts=2000, completions=128))
        for kl in (1e-6, 1e-4, 1e-3):
            assert limit.at(kl=kl).gain == pytest.approx(limit.next_term(kl), rel=5e-3)
        # Negative control: at large budgets neither is the limit.
        gaussian = klimit.frontier(draw("uniform", prompts=500, completions=128))
        assert gaussian.square_root_law(3.0) > 1.3 * gaussian.at(kl=3.0).gain

    def test_best_of_n_never_lies_above_the_limit(self):
        """With a plug-in limit it seems to: the trap that the correction is for."""
        system = Gaussian()
        rewards = system.draw(np.random.default_rng(3), 3000, 32)
        kl, gain = (float(x) for x in system.best_of_n(4))
        honest, naive = (klimit.frontier(rewards, estimator=name) for name in ("extrapolated", "plug-in"))
        assert kl < honest.horizon
        assert honest.at(kl=kl).gain_high > gain
        assert honest.at(kl=kl).gain > gain
        assert (
            naive.inference.estimate(naive.engine.levels(np.array([1.8]))).value < system.best_of_n(16).gain
        )


class TestInvariances:
    @pytest.mark.parametrize("budget", ["average", "per-prompt"])
    @pytest.mark.parametrize("scale", [1e-9, 1e9])
    def test_unit_and_level_of_the_reward_do_not_matter(self, scale, budget):
        rewards = draw(prompts=80)
        one, other = (klimit.frontier(r, budget=budget) for r in (rewards, rewards * scale + 3 * scale))
        assert other.horizon == pytest.approx(one.horizon, rel=1e-6)
        kl = one.horizon / 2
        assert other.at(kl=kl).gain == pytest.approx(one.at(kl=kl).gain * scale, rel=1e-6)
        assert other.at(kl=kl).gain_low == pytest.approx(one.at(kl=kl).gain_low * scale, rel=1e-6)

    def test_the_order_of_rows_does_not_matter(self):
        rewards = draw("five-levels", prompts=60)
        shuffled = np.random.default_rng(9).permuted(rewards, axis=1)
        one, other = klimit.frontier(rewards), klimit.frontier(shuffled)
        assert np.array_equal(one.gain_low, other.gain_low, equal_nan=True)
        assert np.array_equal(one.gain_high, other.gain_high)

    def test_a_shift_of_one_prompt_does_not_matter(self):
        rewards = draw(prompts=60)
        shift = np.linspace(-5, 5, 60)[:, None]
        kl = np.array([0.1, 0.5])
        one, other = klimit.frontier(rewards, kl=kl), klimit.frontier(rewards + shift, kl=kl)
        assert other.gain == pytest.approx(one.gain, rel=1e-8)

    def test_seeds_repeat_and_differ(self):
        rewards = draw(prompts=60)
        gains = [klimit.frontier(rewards, seed=seed, kl=[0.5]).gain_high[0] for seed in (1, 1, 2)]
        assert gains[0] == gains[1]
        assert gains[0] != gains[2]
        assert gains[2] == pytest.approx(gains[0], rel=0.02)

    def test_float32_gives_the_same_limit(self):
        rewards = draw("bernoulli", prompts=60, scale=None, location_sd=0.0)
        one, other = klimit.frontier(rewards), klimit.frontier(rewards.astype(np.float32))
        assert np.array_equal(one.gain, other.gain, equal_nan=True)

    def test_unequal_numbers_of_completions(self):
        rewards = draw(prompts=400, completions=128)
        parts = [row[: 64 + 64 * (i % 2)] for i, row in enumerate(rewards)]
        limit = klimit.frontier(ragged(parts))
        assert limit.at(kl=0.5).gain == pytest.approx(klimit.frontier(rewards).at(kl=0.5).gain, rel=0.04)


class TestHorizonAndBracket:
    @pytest.mark.filterwarnings("ignore:half of the limit")
    def test_more_prompts_do_not_shrink_the_horizon(self):
        for name in ("gaussian", "uniform", "bernoulli", "exponential"):
            medians = [
                np.median([klimit.frontier(draw(name, prompts, 64, seed)).horizon for seed in range(9)])
                for prompts in (60, 1200)
            ]
            assert medians[1] > 0.9 * medians[0]

    def test_more_completions_push_it_out(self):
        near, far = (klimit.frontier(draw(prompts=300, completions=n)).horizon for n in (16, 512))
        assert far > 2 * near

    def test_beyond_it_there_are_bounds_that_hold_and_no_estimate(self):
        system = Gaussian()
        limit = klimit.frontier(system.draw(np.random.default_rng(0), 300, 32))
        for kl in (1.5 * limit.horizon, 4 * limit.horizon):
            point = limit.at(kl=kl)
            assert point.status == "bracket"
            assert np.isnan(point.gain)
            assert np.isnan(point.beta)
            assert point.gain_low < system.frontier(kl) < point.gain_high

    def test_the_band_is_continuous_at_the_horizon_and_never_falls(self):
        limit = klimit.frontier(draw("beta", prompts=300))
        before, after = limit.at(kl=limit.horizon), limit.at(kl=limit.horizon * 1.000001)
        assert after.gain_high == pytest.approx(before.gain_high, rel=1e-4)
        assert after.gain_low == pytest.approx(before.gain_low, rel=1e-4)
        assert np.all(np.diff(limit.gain_high) > -1e-9)
        beyond = limit.status == "bracket"
        assert np.all(np.diff(limit.gain_low[beyond]) >= 0)

    def test_a_known_largest_reward_tightens_it(self):
        rewards = draw("uniform", prompts=200, completions=32, scale=None, location_sd=0.0)
        free, capped = klimit.frontier(rewards), klimit.frontier(rewards, reward_max=1.0)
        kl = 3 * free.horizon
        assert capped.at(kl=kl).gain_high < free.at(kl=kl).gain_high
        assert capped.at(kl=kl).gain_high == pytest.approx(0.5, abs=0.02)

    def test_pass_or_fail_rewards_have_one(self):
        limit = klimit.frontier(Bernoulli(0.2).sample(200, 64, seed=0))
        assert limit.reward_max == 1.0
        assert np.nanmax(limit.reward) <= 1.0
        assert klimit.frontier(draw("bernoulli")).reward_max is None

    @pytest.mark.filterwarnings("ignore:half of the limit")
    @pytest.mark.parametrize("target", ["population", "these-prompts"])
    def test_the_cap_leaves_room_for_the_error_of_the_base_mean(self, target):
        system = Bernoulli(0.2)
        limits = [klimit.frontier(system.sample(40, 64, seed=seed), target=target) for seed in range(40)]
        points = [limit.at(kl=2.5) for limit in limits]
        assert np.mean([point.gain_low <= 0.8 <= point.gain_high for point in points]) >= 0.85

    def test_best_of_n_bounds_it_from_below(self):
        limit = klimit.frontier(draw("exponential", prompts=300, completions=256, scale=None))
        kl_64 = np.log(64) - 63 / 64
        assert limit.at(kl=kl_64).gain_low > limit.at(kl=limit.horizon).gain_low
        assert limit.at(kl=kl_64).gain_low > 3.0  # best-of-64 gains 3.74

    def test_an_average_budget_allows_what_a_per_prompt_budget_allows(self):
        rewards = draw(prompts=200)
        average, each = (klimit.frontier(rewards, budget=b) for b in ("average", "per-prompt"))
        for kl in (0.1, 0.5, 3.0, 5.0):
            assert each.at(kl=kl).gain_high <= average.at(kl=kl).gain_high + 1e-12
        assert average.at(kl=0.5).gain > each.at(kl=0.5).gain


class TestInverse:
    def test_it_undoes_the_limit(self):
        limit = klimit.frontier(draw(prompts=300, completions=128))
        for kl in (0.05, 0.3, 0.6):
            point = limit.at(kl=kl)
            needed = limit.kl_for(gain=point.gain)
            assert needed.status == "estimate"
            assert needed.kl == pytest.approx(kl, rel=2e-3)
            assert needed.kl_low < kl < needed.kl_high

    def test_its_interval_is_the_band_read_sideways(self):
        limit = klimit.frontier(draw(prompts=300, completions=128))
        needed = limit.kl_for(gain=limit.at(kl=0.4).gain)
        assert limit.at(kl=needed.kl_low).gain_high == pytest.approx(needed.gain, rel=2e-3)
        assert limit.at(kl=needed.kl_high).gain_low == pytest.approx(needed.gain, rel=2e-3)

    def test_beyond_the_horizon_it_is_a_range(self):
        limit = klimit.frontier(draw(prompts=300, completions=32))
        gain = 1.2 * limit.at(kl=limit.horizon).gain_high
        needed = limit.kl_for(gain=gain)
        assert needed.status == "bracket"
        assert np.isnan(needed.kl)
        assert limit.horizon < needed.kl_low < needed.kl_high

    def test_no_gain_needs_no_kl(self):
        assert klimit.frontier(draw()).kl_for(gain=0.0).kl == 0.0

    def test_under_a_per_prompt_budget_beyond_saturation(self):
        rewards = np.random.default_rng(0).choice([0, 0.5, 1], size=(50, 64), p=[0.4, 0.3, 0.3])
        needed = klimit.frontier(rewards, budget="per-prompt").kl_for(gain=5)
        assert np.isnan(needed.kl)
        assert np.isinf(needed.kl_high)

    @pytest.mark.parametrize("gain", ["1", None, float("nan")])
    def test_a_gain_that_is_no_number_is_refused(self, gain):
        with pytest.raises(InputError, match="gain="):
            klimit.frontier(draw(prompts=30)).kl_for(gain=gain)

    def test_an_impossible_gain_is_refused(self):
        limit = klimit.frontier(Bernoulli(0.2).sample(100, 32, seed=0))
        with pytest.raises(InputError, match="no policy gains more than"):
            limit.kl_for(gain=0.95)


class TestPoorSamples:
    """Whatever can still be said is said, with a warning."""

    def test_constant_rewards(self):
        with pytest.warns(KlimitWarning, match="the same within every prompt"):
            limit = klimit.frontier(np.ones((25, 20)))
        assert limit.horizon == 0
        assert limit.at(kl=1.0).gain_low == 0

    def test_one_completion_a_prompt(self):
        with pytest.warns(KlimitWarning):
            limit = klimit.frontier(np.arange(30.0).reshape(30, 1))
        assert limit.horizon == 0
        assert limit.base_reward == pytest.approx(14.5)

    def test_a_prompt_with_three_completions_is_named(self):
        parts = [np.random.default_rng(i).normal(size=3 if i == 7 else 30) for i in range(40)]
        with pytest.warns(
            KlimitWarning, match="1 of 40 prompts have fewer than 4 completions .prompt 7 has 3"
        ):
            assert klimit.frontier(ragged(parts)).horizon == 0

    def test_one_prompt(self):
        rewards = draw(prompts=1, completions=512)
        with pytest.warns(KlimitWarning, match="one prompt says nothing about others"):
            assert np.isinf(klimit.frontier(rewards, kl=[0.1]).gain_high[0])
        with pytest.warns(KlimitWarning, match="1 prompt: interval and horizon of so few are rough"):
            limit = klimit.frontier(rewards, kl=[0.1], target="these-prompts")
        assert np.isfinite(limit.gain_high[0])

    def test_a_few_prompts_that_carry_the_result_are_named(self):
        rewards = draw(prompts=100, completions=64)
        rewards[42] *= 30
        with pytest.warns(
            KlimitWarning, match=r"half of the limit's variance comes from 1 of 100 prompts \(42\)"
        ):
            klimit.frontier(rewards)

    def test_good_samples_pass_without_a_warning(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            klimit.frontier(draw())

    def test_few_prompts_get_a_short_horizon_and_a_warning(self):
        with pytest.warns(KlimitWarning, match="10 prompts: interval and horizon of so few are rough"):
            limits = [klimit.frontier(Gaussian().sample(10, 128, seed=seed)) for seed in range(12)]
        assert max(limit.horizon for limit in limits) < 2.2

    def test_prompts_that_agree_by_chance_are_not_certain(self):
        passes = np.zeros((50, 64))
        passes[:, :12] = 1
        with pytest.warns(KlimitWarning, match="same mean and spread"):
            point = klimit.frontier(passes).at(kl=0.3)
        assert point.gain_high - point.gain_low > 0.01

    def test_normalised_rewards_are_noticed_and_raw_ones_are_not(self):
        raw = draw(prompts=60)
        normalised = (raw - raw.mean(axis=1, keepdims=True)) / raw.std(axis=1, keepdims=True)
        with pytest.warns(KlimitWarning, match="as if normalised within prompts"):
            klimit.frontier(normalised)

    def test_untrusted_at_every_budget_says_so(self):
        with pytest.warns(KlimitWarning, match="no budget can be trusted"):
            assert klimit.frontier(draw("exponential", prompts=60, completions=5)).horizon == 0


class TestSaturation:
    def test_equal_pass_rates(self):
        limit = klimit.frontier(Bernoulli(0.2).sample(2000, 128, seed=0))
        assert limit.saturation.status == "estimate"
        assert limit.saturation.kl == pytest.approx(np.log(5), abs=4 * limit.saturation.standard_error)
        assert limit.saturation.gain == pytest.approx(0.8, abs=0.01)

    def test_prompts_that_never_pass_leave_it_unknown(self):
        limit = klimit.frontier(
            systems(scale=None, location_sd=0.0)["beta-bernoulli"].sample(200, 32, seed=0)
        )
        assert limit.saturation.status == "unknown"
        never = np.flatnonzero(limit.rewards.top == 0)
        assert len(never) > 20
        assert set(limit.saturation.below_max) == set(never)

    def test_a_best_reward_seen_once_may_have_better_ones_behind_it(self):
        assert klimit.frontier(draw("uniform")).saturation.status == "unknown"


class TestDiagnostics:
    def test_heavy_weights_show(self):
        limit = klimit.frontier(draw("exponential", prompts=40, completions=200, scale=None))
        table = limit.diagnostics(beta=[5.0, 1.0])
        light, heavy = (table[table.beta == b] for b in (5.0, 1.0))
        assert heavy.pareto_k.median() > 0.6 > light.pareto_k.median()
        assert (light.ess > heavy.ess.max()).mean() > 0.9
        assert table.ess.between(1, 200).all()

    def test_zero_one_rewards_have_no_tail_to_fit(self):
        table = klimit.frontier(Bernoulli(0.3).sample(30, 50, seed=0)).diagnostics(beta=0.5)
        assert table.pareto_k.isna().all()
        assert table.ess.notna().all()

    def test_the_prompts_that_limit_the_horizon_come_first(self):
        rewards = draw(prompts=50, scale=None, completions=64)
        rewards[13] *= 4
        with pytest.warns(KlimitWarning):
            table = klimit.frontier(rewards).diagnostics()
        assert table.prompt_id[0] == 13
        assert table.correction_share.sum() == pytest.approx(1)

    def test_beyond_the_horizon_it_asks_for_a_beta(self):
        with pytest.raises(InputError, match="beyond the horizon"):
            klimit.frontier(draw()).diagnostics(kl=9.0)


class TestResult:
    def test_arrays_points_and_frame_agree(self):
        limit = klimit.frontier(draw(), kl=[0.2, 0.4, 9.0])
        frame = limit.to_frame()
        assert list(frame.columns) == ["kl", "gain", "gain_low", "gain_high", "reward", "beta", "status"]
        assert list(frame.status) == ["estimate", "estimate", "bracket"]
        for i, kl in enumerate(limit.kl):
            point = limit.at(kl=kl)
            assert frame.gain_low[i] == pytest.approx(point.gain_low, rel=1e-12)
            assert frame.gain_high[i] == pytest.approx(point.gain_high, rel=1e-12)
        assert frame.reward[0] == pytest.approx(limit.base_reward + frame.gain[0])

    def test_default_budgets_reach_past_the_horizon(self):
        limit = klimit.frontier(draw())
        assert np.all(np.diff(limit.kl) > 0)
        assert limit.horizon in limit.kl
        assert {"estimate", "bracket"} == set(limit.status)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"kl": [0.5, -1]}, "kl=-1: a KL budget is a finite number of nats above 0"),
            ({"kl": 0}, "kl=0"),
            ({"kl": ["a"]}, "give KL budgets in nats"),
            ({"budget": "mean"}, "choose one of 'average', 'per-prompt'"),
            ({"level": 95}, "level=95: give a probability"),
            ({"level": "a"}, "level='a': give a finite number"),
            ({"seed": 1.5}, "seed=1.5: give a whole number"),
            ({"seed": None}, "seed=None"),
            ({"kl": "1"}, "give KL budgets in nats"),
            ({"kl": True}, "give KL budgets in nats"),
            ({"reward_max": "x"}, "reward_max='x'"),
            ({"target": "all"}, "choose one of 'population'"),
            ({"seed": -1}, "seed=-1"),
            ({"reward_max": 0.1}, "reward_max=0.1 is below a reward"),
        ],
    )
    def test_options_that_cannot_be_are_named(self, options, message):
        with pytest.raises(InputError, match=message):
            klimit.frontier(draw(prompts=20), **options)

    def test_a_point_takes_a_budget_or_a_beta(self):
        limit = klimit.frontier(draw())
        with pytest.raises(InputError, match="exactly one"):
            limit.at()
        with pytest.raises(InputError, match="exactly one"):
            limit.at(kl=1.0, beta=1.0)
        with pytest.raises(InputError, match="beta=-1"):
            limit.at(beta=-1.0)
        with pytest.raises(InputError, match="belongs to the average budget"):
            klimit.frontier(draw(), budget="per-prompt").at(beta=1.0)
