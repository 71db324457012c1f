"""Aggregators: their values by hand, their limits, their names, and what they refuse."""

import pickle

import numpy as np
import pytest

from klimit.ensembles import aggregate, parse_aggregator, weighted_by
from klimit.errors import InputError

MEMBERS = np.array([[1.0, -2.0], [3.0, 0.0], [8.0, 0.5]])
NAMES = [
    "mean",
    "median",
    "min",
    "uwo:0.5",
    "uwo:0.5,1",
    "soft-min:0.1",
    "quantile:0.25",
    "log-sigmoid-centred",
    "log-sigmoid-centred:0.3",
    "log-sigmoid-centred:0,sum",
    "weighted:0.5,-0.25,2",
]


class TestByHand:
    def test_mean_median_min(self):
        np.testing.assert_allclose(aggregate(MEMBERS), [4, -0.5])
        np.testing.assert_array_equal(aggregate(MEMBERS, "median"), [3, 0])
        np.testing.assert_array_equal(aggregate(MEMBERS, "min"), [1, -2])

    def test_uwo_takes_lambda_times_the_variance_off_the_mean(self):
        variance = (9 + 1 + 16) / 3
        np.testing.assert_allclose(aggregate(MEMBERS[:, 0], "uwo:0.5"), 4 - 0.5 * variance)

    def test_uwo_s_ddof_is_a_choice_and_0_unless_named(self):
        np.testing.assert_allclose(aggregate(MEMBERS[:, 0], "uwo:0.5,1"), 4 - 0.5 * 13)
        np.testing.assert_array_equal(aggregate(MEMBERS, "uwo:0.5,0"), aggregate(MEMBERS, "uwo:0.5"))

    def test_a_lambda_of_0_is_0(self):
        np.testing.assert_array_equal(aggregate(MEMBERS, "uwo:0"), aggregate(MEMBERS, "mean"))

    def test_soft_min(self):
        expected = -2 * np.log(np.mean(np.exp(-MEMBERS / 2), axis=0))
        np.testing.assert_allclose(aggregate(MEMBERS, "soft-min:2"), expected, rtol=1e-14)

    def test_quantile_is_linear_between_order_statistics(self):
        np.testing.assert_allclose(aggregate(MEMBERS, "quantile:0.25"), [2, -1])

    def test_log_sigmoid_centred(self):
        each = -np.log1p(np.exp(-(MEMBERS - 0.3)))
        np.testing.assert_allclose(
            aggregate(MEMBERS, "log-sigmoid-centred:0.3"), each.mean(axis=0), rtol=1e-14
        )
        np.testing.assert_allclose(
            aggregate(MEMBERS, "log-sigmoid-centred:0.3,sum"), each.sum(axis=0), rtol=1e-14
        )

    def test_weighted(self):
        np.testing.assert_allclose(aggregate(MEMBERS, "weighted:0.5,-0.25,2"), [15.75, 0])


class TestProperties:
    @pytest.mark.parametrize("name", NAMES)
    def test_works_completion_by_completion_on_any_shape(self, name):
        members = np.random.default_rng(0).normal(size=(3, 4, 5))
        whole = aggregate(members, name)
        assert whole.shape == (4, 5)
        assert whole.dtype == np.float64
        for i in range(4):
            np.testing.assert_allclose(aggregate(members[:, i], name), whole[i], rtol=1e-13)

    @pytest.mark.parametrize("name", [name for name in NAMES if "weighted" not in name])
    def test_the_order_of_members_does_not_matter(self, name):
        members = np.random.default_rng(1).normal(size=(4, 30))
        np.testing.assert_allclose(
            aggregate(members[[2, 0, 3, 1]], name), aggregate(members, name), rtol=1e-12
        )

    @pytest.mark.parametrize("name", ["mean", "median", "min", "uwo:0.5", "soft-min:0.1", "quantile:0.25"])
    def test_members_that_agree_give_what_they_agree_on(self, name):
        one = np.random.default_rng(2).normal(size=20)
        np.testing.assert_allclose(aggregate(np.stack([one] * 3), name), one, rtol=1e-14)

    def test_soft_min_lies_between_min_and_mean_and_has_them_for_limits(self):
        members = np.random.default_rng(3).normal(size=(5, 100))
        least, mean = aggregate(members, "min"), aggregate(members, "mean")
        np.testing.assert_allclose(aggregate(members, "soft-min:1e-12"), least, atol=1e-11)
        np.testing.assert_allclose(aggregate(members, "soft-min:1e12"), mean, atol=1e-11)
        between = aggregate(members, "soft-min:0.7")
        assert ((least < between) & (between < mean)).all()

    def test_soft_min_does_not_overflow(self):
        np.testing.assert_allclose(aggregate([[1e300], [-1e300]], "soft-min:1e-300"), [-1e300])
        np.testing.assert_allclose(
            aggregate([[-1e5], [-1e5 + 1]], "soft-min:0.5"), [-1e5 + 0.5 * np.log(2 / (1 + np.exp(-2)))]
        )

    def test_log_sigmoid_does_not_overflow(self):
        np.testing.assert_allclose(aggregate([[-1e6], [1e6]], "log-sigmoid-centred"), [-5e5])

    def test_uwo_punishes_disagreement_but_not_bad_rewards(self):
        members = np.array([[0.0, -1.0], [2.0, -1.0]])
        np.testing.assert_allclose(aggregate(members, "uwo:1"), [0, -1])


class TestNames:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_name_gives_itself(self, name):
        assert str(parse_aggregator(name)) == name
        assert parse_aggregator(parse_aggregator(name).name) == parse_aggregator(name)

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("uwo: 0.50", "uwo:0.5"),
            ("uwo:0.5, 0", "uwo:0.5"),
            ("soft-min:1.0", "soft-min:1"),
            ("log-sigmoid-centred:0", "log-sigmoid-centred"),
            ("log-sigmoid-centred:0,mean", "log-sigmoid-centred"),
        ],
    )
    def test_one_meaning_has_one_name(self, text, name):
        assert parse_aggregator(text) == parse_aggregator(name)

    @pytest.mark.parametrize("name", NAMES)
    def test_can_be_sent_to_another_process(self, name):
        there = pickle.loads(pickle.dumps(parse_aggregator(name)))
        np.testing.assert_array_equal(there(MEMBERS), aggregate(MEMBERS, name))

    def test_weights_are_kept_without_rounding(self):
        weights = np.array([1 / 3, 2 / 7, 0.1 + 0.2])
        np.testing.assert_array_equal(parse_aggregator(weighted_by(weights).name).weights(3), weights)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("average", "choose mean, median, min"),
            ("medan", "did you mean 'median'"),
            ("mean:2", "takes no number"),
            ("uwo", "give lambda, such as uwo:0.5"),
            ("uwo:-1", "lambda cannot be negative"),
            ("uwo:1,2", "ddof is 0 or 1"),
            ("uwo:x", "'x' is no finite number"),
            ("uwo:inf", "'inf' is no finite number"),
            ("soft-min", "give tau"),
            ("soft-min:0", "above 0"),
            ("quantile", "give a quantile"),
            ("quantile:1.5", "from 0 to 1"),
            ("log-sigmoid-centred:1,max", "sum or mean"),
            ("weighted", "one weight a member"),
            ("weighted:0,0", "every weight is 0"),
            (3, "give a name"),
        ],
    )
    def test_what_cannot_be_is_refused_in_one_line(self, text, message):
        with pytest.raises(InputError, match=message) as caught:
            parse_aggregator(text)
        assert "\n" not in str(caught.value)


class TestRefusals:
    def test_a_missing_reward_is_named_not_skipped(self):
        members = MEMBERS.copy()
        members[1, 0] = np.nan
        with pytest.raises(InputError, match="member 1, completion 0"):
            aggregate(members, "mean")

    def test_uwo_with_ddof_1_needs_two(self):
        with pytest.raises(InputError, match="needs at least 2 members; there are 1"):
            aggregate(MEMBERS[:1], "uwo:0.5,1")

    def test_weights_are_for_so_many_members(self):
        with pytest.raises(InputError, match="needs 2 members; there are 3"):
            aggregate(MEMBERS, "weighted:1,1")

    @pytest.mark.parametrize("members", [[], [[1.0, 2.0], [3.0]], [["a"]], 1.0])
    def test_what_is_no_array_of_members_is_refused(self, members):
        with pytest.raises(InputError, match="members' rewards"):
            aggregate(members)
