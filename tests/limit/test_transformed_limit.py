"""The limit of transformed rewards: known without ties, estimated by blocks otherwise, like any where pointwise."""

import warnings

import numpy as np
import pytest

import klimit
from klimit.errors import InputError, KlimitWarning
from klimit.limit import exact
from klimit.limit.blocks import best_gains, block_offsets, corrected_best_gains, dealt
from klimit.limit.closed_form import ClosedForm, rank_cumulants
from klimit.policies.values import best_of_n_values
from klimit.rewards import RANK, parse_transform
from klimit.samples.container import Samples
from klimit.testsystems import Bernoulli, Discrete, Exponential, Gaussian, Uniform, systems

KL = np.array([0.05, 0.25, 0.5, 1.0])
ESTIMATED = ["standardised", "rank", "log-sigmoid-centred"]


def draw(name="gaussian", prompts=200, completions=64, seed=0, **options):
    return systems(**options)[name].draw(np.random.default_rng(seed), prompts, completions)


def ragged(parts):
    counts = [len(part) for part in parts]
    return Samples(
        rewards={"reward": np.concatenate(parts)},
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        prompt_ids=np.arange(len(parts)),
    )


def covers(limit, truth):
    inside = limit.status == "estimate"
    return (limit.gain_low <= truth)[inside] & (truth <= limit.gain_high)[inside]


class TestRanksWithoutTies:
    """Uniform on (0, 1) whatever the reward: nothing to estimate."""

    @pytest.mark.parametrize("budget", ["average", "per-prompt"])
    @pytest.mark.parametrize("name", ["gaussian", "exponential", "uniform", "two-normals"])
    def test_the_limit_is_that_of_uniform_rewards(self, name, budget):
        kl = np.geomspace(1e-9, 400, 60)
        limit = klimit.frontier(draw(name, 20, 12), transform="rank", budget=budget, kl=kl)
        assert set(limit.status) == {"estimate"}
        np.testing.assert_allclose(limit.gain, Uniform().frontier(kl), rtol=1e-13)
        np.testing.assert_allclose(limit.beta, Uniform().beta_at(kl), rtol=1e-12)
        np.testing.assert_array_equal(limit.gain_low, limit.gain)
        np.testing.assert_array_equal(limit.gain_high, limit.gain)
        assert limit.base_reward == 0.5
        assert limit.base_reward_error == 0.0

    @pytest.mark.parametrize("t", [1e-6, 0.01, 0.9, 1.1, 5.0, 40.0, 1e9])
    def test_it_has_the_closed_form(self, t):
        limit = klimit.frontier(draw(prompts=9, completions=20), transform="rank")
        point = limit.at(beta=1 / t)
        known = rank_cumulants(np.array([t]))
        assert point.gain == pytest.approx(float(known.gain[0]), rel=1e-14)
        assert point.gain == pytest.approx(point.beta * (point.kl + point.kl_reverse), rel=1e-9)
        if 0.9 < t < 50:  # where the textbook form does not cancel
            win_rate = 1 / (1 - np.exp(-t)) - 1 / t
            assert point.gain == pytest.approx(win_rate - 0.5, rel=1e-12)
            assert point.kl == pytest.approx(t * win_rate - np.log(np.expm1(t) / t), rel=1e-11)

    def test_the_table_of_the_theory(self):
        kl = np.log([2, 4, 16, 64, 256]) - 1 + 1 / np.array([2, 4, 16, 64, 256])
        limit = klimit.frontier(draw(prompts=9, completions=20), transform="rank", kl=kl)
        np.testing.assert_allclose(limit.gain, [0.1759, 0.3040, 0.4413, 0.4846, 0.4961], atol=5e-5)

    @pytest.mark.parametrize("gain", [1e-6, 0.1, 0.3, 0.49, 0.4999999])
    def test_its_inverse_is_exact(self, gain):
        needed = klimit.frontier(draw(prompts=9, completions=20), transform="rank").kl_for(gain=gain)
        assert needed.kl_low == needed.kl == needed.kl_high
        assert float(Uniform().frontier(needed.kl)) == pytest.approx(gain, rel=1e-10)

    def test_no_policy_wins_always(self):
        limit = klimit.frontier(draw(prompts=9, completions=20), transform="rank")
        assert limit.kl_for(gain=0.5).kl_high == np.inf
        with pytest.raises(
            InputError, match=r"no policy gains more than about 0.5, .* to the largest reward 1"
        ):
            limit.kl_for(gain=0.51)

    def test_it_needs_neither_many_completions_nor_many_prompts(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            one = klimit.frontier(draw(prompts=1, completions=20), transform="rank", kl=[1.0])
        assert one.gain_high[0] == one.gain_low[0] == pytest.approx(float(Uniform().frontier(1.0)))

    def test_but_enough_to_know_that_nothing_ties(self):
        with pytest.warns(KlimitWarning, match=r"fewer than 32 completions .*, too few for 'rank'"):
            limit = klimit.frontier(draw(prompts=20, completions=3), transform="rank")
        assert limit.horizon == 0

    def test_a_rare_pair_of_equal_floats_is_no_tie_but_three_are(self):
        rewards = draw(prompts=30, completions=64)
        rewards[3, 5] = rewards[3, 40]
        assert klimit.frontier(rewards, transform="rank").rewards.known
        rewards[3, 9] = rewards[3, 40]
        assert not klimit.frontier(rewards, transform="rank").rewards.known

    def test_every_other_method_of_the_result_works(self):
        limit = klimit.frontier(draw(prompts=30, completions=64), transform="rank")
        assert limit.horizon_reason == "known"
        assert limit.kl[-1] < 10 < limit.horizon
        lines = limit.linearise([0.5, 2.0])
        assert not lines.influence.any()
        assert not lines.bias.any()
        assert limit.square_root_law(1e-4) == pytest.approx(float(Uniform().frontier(1e-4)), rel=1e-4)
        assert limit.pieces(0.5).gain_covariance == pytest.approx(limit.pieces(0.5).gain_jeffreys)
        assert len(limit.diagnostics(kl=1.0)) == 30
        assert limit.saturation.status == "unknown"
        assert limit.to_frame().gain.notna().all()

    def test_the_engine_agrees_with_what_the_limit_shows(self):
        engine = ClosedForm(5, 0.25)
        assert engine.levels(KL).corrected == pytest.approx(
            np.broadcast_to(engine.estimate(KL).value, (3, 5, 4))
        )
        assert engine.means(KL).plug_in[1] == pytest.approx(Uniform().frontier(KL) / 0.25)


class TestAgainstTheTruth:
    """Prompts differ in level and scale; where the transform undoes both, all have the limit of the unit law."""

    @pytest.mark.parametrize("budget", ["average", "per-prompt"])
    @pytest.mark.parametrize(
        ("name", "unit"),
        [
            ("gaussian", Gaussian()),
            ("bernoulli", Bernoulli(0.2)),
            ("five-levels", Discrete()),
            ("uniform", Uniform()),
        ],
    )
    def test_standardised_rewards(self, name, unit, budget):
        limit = klimit.frontier(draw(name, 300, 128), transform="standardised", budget=budget, kl=KL)
        truth = unit.frontier(KL) / np.sqrt(unit.variance)
        assert (limit.status == "estimate").all()
        np.testing.assert_allclose(limit.gain, truth, rtol=0.02)
        assert covers(limit, truth).all()
        # Negative control: raw rewards have another limit, that of the mean square scale.
        raw = klimit.frontier(draw(name, 300, 128), kl=KL)
        assert not covers(raw, truth).all()

    def test_gaussian_standardised_rewards_gain_the_root_of_twice_the_kl(self):
        limit = klimit.frontier(draw("gaussian", 500, 256), transform="standardised", kl=KL)
        np.testing.assert_allclose(limit.gain, np.sqrt(2 * KL), rtol=0.01)

    @pytest.mark.parametrize("budget", ["average", "per-prompt"])
    @pytest.mark.parametrize(
        ("name", "p"), [("bernoulli", [0.8, 0.2]), ("five-levels", [0.35, 0.3, 0.2, 0.1, 0.05])]
    )
    def test_ranks_with_ties(self, name, p, budget):
        win_rates = np.cumsum(p) - np.array(p) / 2
        truth = exact.frontier_average(p, win_rates, KL)[0]
        limit = klimit.frontier(draw(name, 300, 64), transform="rank", budget=budget, kl=KL)
        assert not limit.rewards.known
        assert covers(limit, truth).all()
        np.testing.assert_allclose(limit.gain, truth, rtol=0.01)
        # Negative control: with ties, the closed form is too high.
        assert not covers(limit, Uniform().frontier(KL)).all()

    def test_the_win_rate_of_passing_is_half_the_pass_rate(self):
        """Win rates of 0/1 rewards are (1 - p)/2 and 1 - p/2: the limit is half that of the raw reward."""
        system = systems(scale=None, location_sd=0.0)["beta-bernoulli"]
        limit = klimit.frontier(system.sample(1000, 64, seed=3), transform="rank", kl=[0.1, 0.25, 0.5])
        truth = system.frontier(limit.kl) / 2
        assert covers(limit, truth).all()
        np.testing.assert_allclose(limit.gain, truth, rtol=0.05)

    @pytest.mark.parametrize(
        ("text", "centre"), [("log-sigmoid-centred", 1.0), ("log-sigmoid-centred:0.85", 3.0)]
    )
    def test_log_sigmoid_of_five_levels(self, text, centre):
        p, r = np.array([0.35, 0.3, 0.2, 0.1, 0.05]), np.arange(5.0)
        if centre == 3.0:
            p = np.array([0.35, 0.2, 0.2, 0.2, 0.05])
        truth = exact.frontier_average(p, -np.log1p(np.exp(-(r - centre))), KL)[0]
        rewards = Discrete(probabilities=tuple(p), location_sd=1.0).draw(np.random.default_rng(0), 300, 128)
        limit = klimit.frontier(rewards, transform=text, kl=KL)
        assert covers(limit, truth).all()
        np.testing.assert_allclose(limit.gain, truth, rtol=0.03)

    @pytest.mark.parametrize("transform", ["standardised", "log-sigmoid-centred"])
    def test_intervals_for_these_prompts_are_narrower_where_prompts_differ(self, transform):
        rewards = draw("five-levels", 200, 128)
        rewards[::2] *= -1  # skewed to one side or the other
        whole, given = (
            klimit.frontier(rewards, transform=transform, target=target, kl=[0.05])
            for target in ("population", "these-prompts")
        )
        assert given.gain[0] == whole.gain[0]
        assert given.gain_high[0] - given.gain_low[0] < whole.gain_high[0] - whole.gain_low[0]

    def test_a_transform_of_the_sample_alone_would_be_biased(self):
        """Negative control: standardising first and estimating as if rewards were raw misses the truth."""
        kl = [0.05, 0.1, 0.2]
        rewards = Exponential(scale=(0.5, 1.5)).draw(np.random.default_rng(5), 3000, 128)
        truth = Exponential().frontier(kl)
        once = (rewards - rewards.mean(axis=1, keepdims=True)) / rewards.std(axis=1, ddof=1, keepdims=True)
        with pytest.warns(KlimitWarning, match="as if normalised within prompts"):
            naive = klimit.frontier(once, kl=kl)
        ours = klimit.frontier(rewards, transform="standardised", kl=kl)
        assert covers(ours, truth).all()
        assert not covers(naive, truth).all()

    def test_the_jackknife_is_wrong_for_ranks(self):
        """Negative control: midranks without ties are a fixed grid, for which the jackknife adds a false correction."""
        midranks = np.tile((np.arange(64) + 0.5) / 64, (100, 1))
        with pytest.warns(KlimitWarning, match="same mean and spread"):
            limit = klimit.frontier(midranks, kl=[0.5], estimator="jackknife")
        truth = float(Uniform().frontier(0.5))
        assert limit.gain[0] / truth - 1 > 0.005
        blocks = klimit.frontier(np.round(draw(prompts=100), 12), transform="rank", kl=[0.5])
        assert blocks.gain[0] == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("transform", ESTIMATED)
class TestInvariances:
    @pytest.mark.parametrize("budget", ["average", "per-prompt"])
    def test_neither_level_nor_order_of_rows_matters(self, transform, budget):
        rewards = draw("five-levels", 60)
        shuffled = np.random.default_rng(9).permuted(rewards, axis=1) + np.linspace(-5, 5, 60)[:, None]
        one, other = (
            klimit.frontier(r, transform=transform, budget=budget, kl=KL) for r in (rewards, shuffled)
        )
        np.testing.assert_allclose(other.gain_low, one.gain_low, rtol=1e-6)
        np.testing.assert_allclose(other.gain_high, one.gain_high, rtol=1e-6)

    def test_the_scale_of_each_prompt_matters_to_log_sigmoid_alone(self, transform):
        rewards = draw("five-levels", 60)
        scaled = rewards * np.linspace(0.5, 2, 60)[:, None]
        one, other = (klimit.frontier(r, transform=transform, kl=[0.2]) for r in (rewards, scaled))
        same = other.gain_high[0] == pytest.approx(one.gain_high[0], rel=1e-9)
        assert same == (transform != "log-sigmoid-centred")

    def test_unequal_numbers_of_completions(self, transform):
        rewards = draw("five-levels", 400, 128)
        parts = [row[: 64 + (i % 65)] for i, row in enumerate(rewards)]
        for budget in ("average", "per-prompt"):
            whole, part = (
                klimit.frontier(x, transform=transform, budget=budget, kl=[0.3])
                for x in (rewards, ragged(parts))
            )
            assert part.gain[0] == pytest.approx(whole.gain[0], rel=0.03)

    def test_seeds_repeat_and_differ(self, transform):
        rewards = draw("five-levels", 60)
        gains = [
            klimit.frontier(rewards, seed=s, kl=[0.5], transform=transform).gain_high[0] for s in (1, 1, 2)
        ]
        assert gains[0] == gains[1]
        assert gains[0] != gains[2]
        assert gains[2] == pytest.approx(gains[0], rel=0.05)

    def test_a_point_at_a_beta_lies_on_the_limit(self, transform):
        limit = klimit.frontier(draw("five-levels", 300), transform=transform)
        point = limit.at(beta=limit.at(kl=0.3).beta)
        assert point.kl_low < 0.3 < point.kl_high
        assert point.gain == pytest.approx(limit.at(kl=point.kl).gain, rel=0.02)

    def test_the_inverse_undoes_it(self, transform):
        limit = klimit.frontier(draw("five-levels", 300), transform=transform)
        assert limit.kl_for(gain=limit.at(kl=0.3).gain).kl == pytest.approx(0.3, rel=5e-3)


class TestPointwise:
    """Clipping makes another reward, like any."""

    def test_it_is_the_limit_of_the_clipped_column(self):
        rewards = draw("gaussian")
        one, other = (
            klimit.frontier(rewards, transform="clipped:-1,1"),
            klimit.frontier(np.clip(rewards, -1, 1)),
        )
        for name in ("gain", "gain_low", "beta"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert one.horizon == other.horizon

    def test_bounds_that_nothing_reaches_change_nothing(self):
        rewards = draw("gaussian")
        one, other = klimit.frontier(rewards, transform="clipped:-inf,inf"), klimit.frontier(rewards)
        np.testing.assert_array_equal(one.gain_high, other.gain_high)
        np.testing.assert_array_equal(one.gain, other.gain)

    def test_an_upper_bound_that_is_reached_is_the_largest_reward(self):
        limit = klimit.frontier(draw("gaussian"), transform="clipped:-1,1")
        assert limit.reward_max == limit.ceiling == 1.0
        free = klimit.frontier(draw("gaussian"), transform="clipped:-1,50")
        assert free.reward_max is None
        assert free.ceiling == 50
        assert limit.at(kl=9.0).gain_high < 2
        assert klimit.frontier(draw("gaussian"), transform="clipped:-1,50", reward_max=90.0).reward_max == 50

    def test_pass_or_fail_rewards_keep_theirs(self):
        limit = klimit.frontier(Bernoulli(0.2).sample(100, 64, seed=0), transform="clipped:-3,3")
        assert limit.reward_max == 1.0


class TestBracketsAndWarnings:
    @pytest.mark.parametrize("transform", ESTIMATED)
    @pytest.mark.parametrize("budget", ["average", "per-prompt"])
    def test_too_few_completions_are_bracketed_with_a_warning(self, transform, budget):
        with pytest.warns(
            KlimitWarning,
            match=f"40 of 40 prompts have fewer than 32 completions .*, too few for '{transform}'",
        ):
            limit = klimit.frontier(draw("five-levels", 40, 31), transform=transform, budget=budget)
        assert limit.horizon == 0
        truth = {"rank": 0.37, "standardised": 1.3, "log-sigmoid-centred": 0.6}[transform]  # about, at 1 nat
        point = limit.at(kl=1.0)
        assert 0.3 * truth < point.gain_low < truth < point.gain_high

    @pytest.mark.parametrize(("transform", "top"), [("rank", 0.5), ("standardised", np.inf)])
    def test_the_bracket_ends_at_what_the_transform_allows(self, transform, top):
        with pytest.warns(KlimitWarning, match="fewer than 32"):
            limit = klimit.frontier(draw("five-levels", 40, 16), transform=transform)
        assert limit.at(kl=99.0).gain_high == top

    def test_the_log_sigmoid_ends_at_0(self):
        limit = klimit.frontier(draw("five-levels", 200, 128), transform="log-sigmoid-centred")
        assert limit.at(kl=99.0).gain_high == pytest.approx(-limit.base_reward, rel=0.2)

    def test_the_bounds_beyond_the_horizon_hold(self):
        for transform, truth in (("standardised", np.sqrt(2 * 4.0)), ("rank", 0.4933)):
            rewards = draw("gaussian", 300, 32).round(1 if transform == "rank" else 9)
            point = klimit.frontier(rewards, transform=transform).at(kl=4.0)
            assert point.status == "bracket"
            assert point.gain_low < truth < point.gain_high

    def test_what_klimit_normalised_itself_is_no_cause_for_alarm(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for transform in (*ESTIMATED, "clipped:-1,1"):
                klimit.frontier(draw("five-levels", completions=128), transform=transform)

    @pytest.mark.parametrize("transform", ["identity", "clipped:-1,1", "log-sigmoid-centred"])
    def test_but_what_others_have_is_where_it_matters(self, transform):
        raw = draw(prompts=60)
        normalised = (raw - raw.mean(axis=1, keepdims=True)) / raw.std(axis=1, keepdims=True)
        with pytest.warns(KlimitWarning, match="as if normalised within prompts"):
            klimit.frontier(normalised, transform=transform)

    @pytest.mark.parametrize("transform", ["rank", "standardised"])
    def test_ranks_and_standard_scores_do_not_see_that_it_was_done_before(self, transform):
        raw = draw("five-levels", 60, 128)
        normalised = (raw - raw.mean(axis=1, keepdims=True)) / raw.std(axis=1, keepdims=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            one, other = (klimit.frontier(x, transform=transform, kl=KL) for x in (raw, normalised.round(12)))
        np.testing.assert_allclose(other.gain, one.gain, rtol=1e-7)

    def test_constant_rewards(self):
        for transform in ESTIMATED:
            with pytest.warns(KlimitWarning, match="the same within every prompt"):
                limit = klimit.frontier(np.ones((25, 40)), transform=transform)
            assert limit.horizon == 0

    def test_successes_too_rare_for_a_standard_deviation_leave_no_horizon(self):
        """Prompts that pass once in a thousand have standard scores without bound, which these samples do not show."""
        rewards = systems(scale=None)["beta-bernoulli"].draw(np.random.default_rng(0), 300, 32)
        with pytest.warns(KlimitWarning, match="no budget can be trusted"):
            assert klimit.frontier(rewards, transform="standardised").horizon == 0

    @pytest.mark.parametrize("transform", ESTIMATED)
    def test_a_largest_raw_reward_has_no_use(self, transform):
        with pytest.raises(InputError, match=f"reward_max=1.0: it has no use with transform='{transform}'"):
            klimit.frontier(draw("bernoulli"), transform=transform, reward_max=1.0)

    def test_an_unknown_transform_is_refused(self):
        with pytest.raises(InputError, match="did you mean 'standardised'"):
            klimit.frontier(draw(), transform="standardized")


class TestBlocks:
    @pytest.mark.parametrize("transform", ESTIMATED)
    def test_blocks_share_out_every_sample_and_are_transformed_by_their_own(self, transform):
        rng = np.random.default_rng(0)
        parts = [np.sort(rng.normal(size=n)) for n in (32, 45, 64)]
        values, offsets = np.concatenate(parts), np.array([0, 32, 77, 141])
        chosen = parse_transform(transform)
        (raw,) = dealt(values, offsets, parse_transform("clipped:-inf,inf"), seed=3, number=1, parts=(4,))
        (made,) = dealt(values, offsets, chosen, seed=3, number=1, parts=(4,))
        np.testing.assert_array_equal(raw.offsets, block_offsets(offsets, 4))
        for i, part in enumerate(parts):
            np.testing.assert_array_equal(np.sort(raw.values[offsets[i] : offsets[i + 1]]), part)
        for a, b in zip(raw.offsets[:-1], raw.offsets[1:], strict=True):
            own = np.sort(raw.values[a:b])[None]
            np.testing.assert_allclose(made.values[a:b], chosen.rows(own, own)[0], rtol=1e-13, atol=1e-15)

    def test_the_deals_differ_from_one_another(self):
        values, offsets = np.arange(64.0), np.array([0, 64])
        deals = [
            next(
                iter(dealt(values, offsets, parse_transform("clipped:,99"), seed=0, number=k, parts=(2,)))
            ).values
            for k in (0, 0, 1)
        ]
        assert np.array_equal(deals[0], deals[1])
        assert not np.array_equal(deals[0], deals[2])

    def test_best_of_n_by_rank_without_ties_is_known_exactly_by_the_correction_too(self):
        rewards, sizes = np.sort(draw(prompts=30), axis=1), np.array([2, 4, 8, 16, 32, 64])
        found = corrected_best_gains(rewards.ravel(), np.arange(31) * 64, RANK, sizes, seed=0)
        gain = found.gain
        np.testing.assert_allclose(gain, np.tile(sizes / (sizes + 1) - 0.5, (30, 1)), rtol=1e-12)
        assert not found.bias.any()
        # Negative control: among themselves, the winner counts itself.
        own = best_gains((rewards.argsort(axis=1).ravel() + 0.5) / 64, np.arange(31) * 64, sizes)
        assert own / gain - 1 == pytest.approx(np.full(own.shape, 1 / 64))

    def test_best_of_n_by_rank_with_ties_agrees_with_the_unbiased_win_rate(self):
        rewards = np.sort(draw("five-levels", 2000, 32), axis=1)
        offsets, sizes = np.arange(2001) * 32, np.array([2, 4, 8, 16, 32])
        ours = corrected_best_gains(rewards.ravel(), offsets, RANK, sizes, seed=0).gain
        win_rate = best_of_n_values(rewards.ravel(), offsets, sizes.tolist()).win_rate
        np.testing.assert_allclose(ours.mean(axis=0), win_rate.mean(axis=0) - 0.5, rtol=6e-3)
