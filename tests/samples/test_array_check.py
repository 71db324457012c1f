"""A plain array of rewards: 2-D, finite, its precision kept."""

import numpy as np
import pytest

from klimit.errors import InputError
from klimit.samples import Samples, as_samples, read_samples
from klimit.samples.checks import check_array


def test_an_array_becomes_samples_row_by_row():
    samples = read_samples([[1, 2, 3], [4, 5, 6]])
    assert samples.reward().tolist() == [1, 2, 3, 4, 5, 6]
    assert samples.offsets.tolist() == [0, 3, 6]
    assert samples.prompt_ids.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.float16, np.float32),
        (">f4", np.float32),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (bool, np.float64),
    ],
)
def test_precision_is_kept_or_widened(given, kept):
    array = check_array(np.ones((2, 3), dtype=given))
    assert array.dtype == kept
    assert array.dtype.isnative
    assert (array == 1).all()


def test_a_float32_array_is_not_copied():
    array = np.ones((2, 3), dtype=np.float32)
    assert check_array(array) is array


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array(1.0), "a 0-D array; a 2-D array is needed, one row a prompt"),
        (np.zeros(4), r"a 1-D array of 4 values; .* \(one prompt: rewards\[None, :\]\)"),
        (np.zeros((2, 3, 4)), r"a 3-D array of shape \(2, 3, 4\); .* one at a time, rewards\[:, :, 0\]"),
        (np.zeros((0, 4)), r"the array is empty, of shape \(0, 4\)"),
        (np.zeros((4, 0)), r"the array is empty, of shape \(4, 0\)"),
        ([["a", "b"]], "the array holds <U1, not numbers"),
        ([[1j]], "the array holds complex128, not numbers"),
        ([[None, 1.0]], "the array holds object, not numbers"),
        ([[1, 2], [3]], "prompt 1 has 1 value where prompt 0 has 2 values; .*one row a completion"),
        ([[1, 2], 3], "prompt 1 has no list where prompt 0 has 2 values"),
        ([[[1], [2, 3]]], "ragged below the second level"),
        (np.ma.masked_invalid([[1, np.nan]]), "1 of 2 values are masked"),
        ([[1, np.nan], [-np.inf, 2]], r"1 missing or NaN and 1 infinite of 4 values.* \[0, 1\], \[1, 0\]"),
        (np.full((2, 5), np.nan), r"10 missing or NaN of 10 values, .* \[0, 0\], \[0, 1\], \[0, 2\];"),
    ],
)
def test_what_is_no_array_of_rewards_is_refused(values, said):
    with pytest.raises(InputError, match=said) as caught:
        read_samples(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ([], "no samples: the list is empty"),
        ({"reward": [1.0]}, r"a dict is not a table; give pandas.DataFrame\(rows\)"),
        ([{"reward": 1.0}], r"a list of dicts is not a table; give pandas.DataFrame\(rows\)"),
        (3, "samples cannot be read from int; give a path, a frame, a dataset or a 2-D array"),
        (None, "samples cannot be read from NoneType"),
    ],
)
def test_what_is_no_source_at_all_is_refused(source, said):
    with pytest.raises(InputError, match=said):
        read_samples(source)


def test_columns_cannot_be_named_for_an_array():
    with pytest.raises(InputError, match="array: where= needs a table with columns"):
        read_samples([[1.0, 2.0]], where="reward > 1")


def test_samples_are_returned_as_they_are_or_with_some_rewards():
    samples = read_samples([[1.0, 2.0]]).with_reward("other", [3.0, 4.0])
    assert read_samples(samples) is samples
    assert as_samples(samples) is samples
    assert list(read_samples(samples, rewards="other").rewards) == ["other"]
    assert list(as_samples(samples, reward="other").rewards) == ["other"]
    with pytest.raises(InputError, match=r"2 rewards; choose one with reward= .*: reward, other"):
        samples.reward()
    with pytest.raises(
        InputError, match=r"no reward 'othr' \(did you mean 'other'\?\); rewards: reward, other"
    ):
        as_samples(samples, reward="othr")
    with pytest.raises(
        InputError, match="prompt= needs a table with columns; these samples are read already"
    ):
        as_samples(samples, prompt="x")


def test_costs_change_sign_and_say_so():
    told: list[str] = []
    samples = read_samples(np.array([[0, 2]], dtype=np.float32), lower_is_better=True, notify=told.append)
    assert samples.reward().tolist() == [0, -2]
    assert samples.reward().dtype == np.float32
    assert not np.signbit(samples.reward()[0])
    assert told == list(samples.notes) == ["lower is better: changed the sign of reward"]


def test_a_reward_added_needs_one_value_a_completion():
    with pytest.raises(InputError, match=r"reward 'b' has shape \(3,\); one value a completion is \(2,\)"):
        Samples.from_array([[1.0, 2.0]]).with_reward("b", [1, 2, 3])
