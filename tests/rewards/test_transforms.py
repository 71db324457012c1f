"""Reward transforms: their values by hand, their order, their names, and prompts with any numbers of samples."""

import itertools
import pickle

import numpy as np
import pytest

from klimit.errors import InputError
from klimit.policies.levels import tied_levels
from klimit.policies.values import best_of_n_values, ties_matter
from klimit.rewards import IDENTITY, parse_transform, transform_column, transform_values
from klimit.rewards.ties import shows_ties
from klimit.samples.sorting import sorted_groups

NAMES = [
    "identity",
    "standardised",
    "rank",
    "log-sigmoid-centred",
    "log-sigmoid-centred:0.85",
    "clipped:-0.5,1",
]
BASE = np.array([[0.0, 1.0, 1.0, 4.0], [2.0, 2.0, 2.0, 2.0]])
VALUES = np.array([[-1.0, 1.0, 9.0], [1.0, 2.0, 3.0]])


def rows(name, base=BASE, values=VALUES):
    return parse_transform(name).rows(base, values)


class TestByHand:
    def test_standardised_is_the_z_score_and_0_where_the_base_samples_are_constant(self):
        sd = np.sqrt((1.5**2 + 0.5**2 + 0.5**2 + 2.5**2) / 3)
        expected = [[-2.5 / sd, -0.5 / sd, 7.5 / sd], [0, 0, 0]]
        np.testing.assert_allclose(rows("standardised"), expected, rtol=1e-14)

    def test_rank_is_the_share_of_base_samples_beaten_ties_half(self):
        np.testing.assert_array_equal(rows("rank"), [[0, 0.5, 1], [0, 0.5, 1]])

    def test_a_base_sample_ties_with_itself(self):
        np.testing.assert_array_equal(rows("rank", BASE, BASE), [[0.125, 0.5, 0.5, 0.875], [0.5] * 4])

    def test_log_sigmoid_is_centred_on_the_median_or_another_quantile(self):
        expected = -np.log1p(np.exp(-(VALUES - [[1.0], [2.0]])))
        np.testing.assert_allclose(rows("log-sigmoid-centred"), expected, rtol=1e-14)
        centre = np.array([[1.0 + 3 * 0.1], [2.0]])  # between the third and the fourth of four: 0.7 * 3 = 2.1
        expected = -np.log1p(np.exp(-(VALUES - centre)))
        np.testing.assert_allclose(rows("log-sigmoid-centred:0.7"), expected, rtol=1e-14)

    def test_clipped_keeps_to_its_bounds(self):
        np.testing.assert_array_equal(rows("clipped:-0.5,2"), [[-0.5, 1, 2], [1, 2, 2]])
        np.testing.assert_array_equal(rows("clipped:,2"), [[-1, 1, 2], [1, 2, 2]])
        np.testing.assert_array_equal(rows("clipped:0,inf"), [[0, 1, 9], [1, 2, 3]])


class TestProperties:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_none_decreases_in_the_reward(self, name, dtype):
        rng = np.random.default_rng(0)
        base = np.sort(rng.normal(size=(20, 15)).round(1).astype(dtype), axis=1)
        values = np.sort(rng.normal(size=(20, 40)).round(1).astype(dtype), axis=1)
        out = rows(name, base, values)
        assert out.dtype == np.float64
        assert out.shape == values.shape
        assert (np.diff(out, axis=1) >= 0).all()
        assert (np.diff(out, axis=1) > 0).any()
        assert (out[:, 1:] == out[:, :-1])[values[:, 1:] == values[:, :-1]].all()

    @pytest.mark.parametrize("name", ["standardised", "rank"])
    @pytest.mark.parametrize(("scale", "shift"), [(1e-200, 0.0), (1e150, 0.0), (1.0, 1e6)])
    def test_standardised_and_rank_know_no_unit(self, name, scale, shift):
        rng = np.random.default_rng(1)
        base, values = np.sort(rng.integers(0, 9, (6, 12)) / 8, axis=1), rng.integers(-3, 12, (6, 5)) / 8
        expected = rows(name, base, values)
        np.testing.assert_allclose(
            rows(name, base * scale + shift, values * scale + shift), expected, atol=1e-9
        )

    def test_large_rewards_do_not_overflow(self):
        assert np.isfinite(rows("log-sigmoid-centred", BASE * 1e300, VALUES * 1e300)).all()

    @pytest.mark.parametrize("name", NAMES)
    def test_a_column_is_its_own_base_samples(self, name):
        rng = np.random.default_rng(2)
        counts = rng.integers(1, 12, size=30)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        values = rng.normal(size=offsets[-1]).round(1)
        transform = parse_transform(name)
        own = transform_values(transform, values, offsets, values, offsets)
        column = transform_column(transform, values, offsets)
        for a, b in itertools.pairwise(offsets):
            np.testing.assert_allclose(np.sort(column[a:b]), np.sort(own[a:b]), rtol=1e-13, atol=1e-15)

    def test_the_identity_hands_back_the_very_array(self):
        values = np.arange(4, dtype=np.float32)
        assert transform_column(IDENTITY, values, np.array([0, 4])) is values


@pytest.mark.parametrize("name", NAMES)
def test_ragged_prompts_are_transformed_each_by_its_own_base_samples(name):
    rng = np.random.default_rng(3)
    n, m = rng.integers(1, 6, size=40), rng.integers(1, 5, size=40)
    base_offsets, offsets = (np.concatenate([[0], np.cumsum(x)]) for x in (n, m))
    base, values = rng.normal(size=base_offsets[-1]).round(1), rng.normal(size=offsets[-1]).round(1)
    transform = parse_transform(name)
    out = transform_values(transform, values, offsets, base, base_offsets)
    for i in range(40):
        own = values[offsets[i] : offsets[i + 1]][None]
        expected = transform.rows(np.sort(base[base_offsets[i] : base_offsets[i + 1]])[None], own)[0]
        np.testing.assert_array_equal(out[offsets[i] : offsets[i + 1]], expected)


def test_other_prompts_are_refused():
    with pytest.raises(
        InputError, match="rewards of 1 prompts and base samples of 2; both must be of the same"
    ):
        transform_values(
            parse_transform("rank"), np.ones(2), np.array([0, 2]), np.ones(2), np.array([0, 1, 2])
        )


class TestNames:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("rank", "rank"),
            ("log-sigmoid-centred:0.5", "log-sigmoid-centred"),
            (" log-sigmoid-centred : .85 ", "log-sigmoid-centred:0.85"),
            ("clipped: 0, 1.0", "clipped:0,1"),
            ("clipped:,1", "clipped:-inf,1"),
            ("clipped:-2.5,", "clipped:-2.5,inf"),
        ],
    )
    def test_one_name_for_one_transform(self, text, name):
        transform = parse_transform(text)
        assert transform.name == str(transform) == name
        assert parse_transform(name) == transform
        assert parse_transform(transform) is transform

    def test_different_transforms_differ(self):
        assert (
            len({parse_transform(name) for name in [*NAMES, "clipped:0,1", "clipped:0,2"]}) == len(NAMES) + 2
        )

    @pytest.mark.parametrize("name", NAMES)
    def test_they_travel_between_processes(self, name):
        transform = pickle.loads(pickle.dumps(parse_transform(name)))
        assert transform == parse_transform(name)
        np.testing.assert_array_equal(transform.rows(BASE, VALUES), rows(name))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "standardized",
                r"there is no such transform \(did you mean 'standardised'\?\); choose identity, ",
            ),
            ("Rank", r"did you mean 'rank'\?"),
            ("log-sigmoid-centered", r"did you mean 'log-sigmoid-centred'\?"),
            ("winsorised", "there is no such transform; choose"),
            ("", "there is no such transform; choose"),
            (3, "transform=3: give a name: identity, "),
            (None, "transform=None: give a name"),
            ("rank:2", "'rank' takes no number; write transform='rank'"),
            ("clipped", "give both bounds, clipped:LOW,HIGH, such as clipped:0,1"),
            ("clipped:1", "give both bounds"),
            ("clipped:0,1,2", "give both bounds"),
            ("clipped:1,1", "the lower bound must be below the upper one"),
            ("clipped:inf,", "the lower bound must be below the upper one"),
            ("clipped:a,1", "'a' is no number"),
            ("clipped:nan,1", "'nan' is no number"),
            ("log-sigmoid-centred:", "'' is no number"),
            ("log-sigmoid-centred:1", "give a quantile between 0 and 1, such as 0.85"),
            ("log-sigmoid-centred:85", "give a quantile between 0 and 1"),
        ],
    )
    def test_what_is_no_transform_is_said_in_one_line(self, text, message):
        with pytest.raises(InputError, match=message) as caught:
            parse_transform(text)
        assert "\n" not in str(caught.value)


class TestTies:
    """One notion of ties for the limit of ranks and for best-of-N's KL."""

    @pytest.mark.parametrize("seed", range(40))
    def test_the_limit_and_best_of_n_agree_on_what_ties_are(self, seed):
        rng = np.random.default_rng(seed)
        counts = rng.integers(1, 14, size=rng.integers(1, 6))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        values = rng.integers(0, 60, size=offsets[-1]).astype(float)
        ordered = np.concatenate(list(map(np.sort, np.split(values, offsets[1:-1]))))
        levels = {}
        for group in sorted_groups(values, offsets):
            found = tied_levels(group)
            if len(found.at):
                levels[group.n] = found
        expected = ties_matter(levels)
        assert shows_ties(ordered, offsets) == expected
        assert best_of_n_values(values, offsets, [1]).tied == expected

    @pytest.mark.parametrize(
        ("rewards", "tied"), [([1, 1], True), ([*list(range(7)), 6], False), ([0, *range(7), 0, 0], True)]
    )
    def test_a_pair_among_many_is_no_tie(self, rewards, tied):
        assert shows_ties(np.sort(np.array(rewards, dtype=float)), np.array([0, len(rewards)])) == tied

    def test_equal_rewards_of_different_prompts_are_no_tie(self):
        assert not shows_ties(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0, 2, 4]))
