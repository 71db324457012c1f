"""Rewards known for a part of the completions are labels; anywhere else a missing reward is refused."""

import numpy as np
import pandas as pd
import pytest

import klimit
from klimit import InputError
from klimit.samples import Samples, read_samples


def frame(gold):
    return pd.DataFrame({"prompt_id": [1, 1, 2, 2], "proxy": [0.1, 0.2, 0.3, 0.4], "gold": gold})


def test_labels_are_nan_where_there_is_none():
    samples = read_samples(frame([1.0, None, None, 0.5]), rewards="proxy", labels="gold")
    np.testing.assert_array_equal(samples.labels["gold"], [1.0, np.nan, np.nan, 0.5])
    assert list(samples.rewards) == ["proxy"]
    kept = samples.rows(np.array([True, True, False, True]))
    np.testing.assert_array_equal(kept.labels["gold"], [1.0, np.nan, 0.5])
    np.testing.assert_array_equal(samples.select([1, 0]).labels["gold"], [np.nan, 0.5, 1.0, np.nan])


def test_costs_change_the_sign_of_labels_too():
    samples = read_samples(frame([1.0, None, 0.0, 2.0]), rewards="proxy", labels="gold", lower_is_better=True)
    np.testing.assert_array_equal(samples.labels["gold"], [-1.0, np.nan, 0.0, -2.0])


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ([None, None, None, None], "'gold' .*missing for every completion|'gold' holds"),
        ([1.0, np.inf, 0.0, 1.0], "'gold' is infinite in 1 completion"),
        (["a", "b", "c", "d"], "'gold' holds text"),
    ],
)
def test_labels_that_cannot_be(gold, said):
    with pytest.raises(InputError, match=said):
        read_samples(frame(gold), rewards="proxy", labels="gold")


def test_a_reward_of_samples_made_by_hand_must_be_finite():
    samples = Samples(
        {"gold": np.array([1.0, np.nan, 0.5, 2.0])}, np.array([0, 2, 4]), np.array(["a", "b"], dtype=object)
    )
    with pytest.raises(
        InputError, match=r"'gold': 1 missing or NaN of 4 values \(first in completion 1 of prompt 'a'\)"
    ):
        klimit.frontier(samples)
    with pytest.raises(InputError, match="every completion needs a finite reward"):
        klimit.best_of_n(samples, reward="gold")
    assert read_samples(samples, rewards=[], labels="gold").labels["gold"][0] == 1.0
