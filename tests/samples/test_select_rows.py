"""Choosing and reordering prompts, choosing completions: everything known of them comes along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from klimit.errors import InputError
from klimit.samples import LazyColumn, Samples, read_samples
from klimit.samples.lazy import peek

TABLE = pd.DataFrame(
    {
        "prompt_id": ["a", "b", "a", "c", "c", "c"],
        "prompt": ["A?", "B?", "A?", "C?", "C?", "C?"],
        "reward": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "logprob": [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0],
        "ref_logprob": [-1.5, -2.5, -3.5, -4.5, -5.5, -6.5],
        "token_kl": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        "sampling_logprob": [-1.1, -2.1, -3.1, -4.1, -5.1, -6.1],
        "n_tokens": [1, 2, 3, 4, 5, 6],
        "truncated": [False, True, False, False, True, False],
        "completion": ["one", "two", "three", "four", "five", "six"],
        "note": ["x", "y", "z", "u", "v", "w"],
    }
)


@pytest.fixture
def samples(tmp_path):
    TABLE.to_parquet(tmp_path / "ragged.parquet")
    return read_samples(tmp_path / "ragged.parquet")


def is_subset(found: Samples, rows: list[int], prompts: list[str]) -> bool:
    """Whether the samples are these rows of the table, in every column."""
    wanted = TABLE.iloc[rows]
    for name in ("logprob", "ref_logprob", "token_kl", "sampling_logprob", "n_tokens", "truncated"):
        assert getattr(found, name).tolist() == wanted[name].tolist(), name
    assert found.reward().tolist() == wanted["reward"].tolist()
    assert list(np.asarray(found.completions)) == wanted["completion"].tolist()
    assert list(np.asarray(found.metadata["note"])) == wanted["note"].tolist()
    assert list(found.prompt_ids) == prompts
    assert list(found.prompts) == [f"{one.upper()}?" for one in prompts]
    sizes = [int((wanted["prompt_id"] == one).sum()) for one in prompts]
    assert found.counts.tolist() == sizes
    return True


def test_prompts_are_chosen_and_reordered(samples):
    assert is_subset(samples.select([2, 0]), [3, 4, 5, 0, 2], ["c", "a"])
    assert is_subset(samples.select([False, True, True]), [1, 3, 4, 5], ["b", "c"])
    assert is_subset(samples.select([2, 0]).select([1]), [0, 2], ["a"])


def test_all_prompts_in_their_order_are_the_same_samples(samples):
    assert samples.select([0, 1, 2]) is samples
    assert samples.rows(np.ones(6, dtype=bool)) is samples


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ([], "no prompt is left"),
        ([False, False, False], "no prompt is left"),
        ([0, 0], "prompts are chosen by distinct places from 0 to 2"),
        ([3], "distinct places from 0 to 2"),
        ([-1], "distinct places from 0 to 2"),
        ([True, False], r"the mask has shape \(2,\); one value a prompt is \(3,\)"),
    ],
)
def test_prompts_that_cannot_be_chosen(samples, prompts, said):
    with pytest.raises(InputError, match=rf"ragged.parquet: .*{said}"):
        samples.select(np.array(prompts, dtype=bool if prompts and isinstance(prompts[0], bool) else int))


def test_completions_are_chosen_and_prompts_left_empty_counted(samples):
    # In the order of the samples: rows 0, 2 of a; 1 of b; 3, 4, 5 of c.
    kept = samples.rows(np.array([False, True, False, True, False, True]))
    assert is_subset(kept, [2, 3, 5], ["a", "c"])
    assert kept.notes[-1] == "left out 1 of 3 prompts: no completion chosen"
    whole = samples.rows(np.array([False, True, True, True, False, True]))
    assert is_subset(whole, [2, 1, 3, 5], ["a", "b", "c"])
    assert whole.notes == samples.notes


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.zeros(6, dtype=bool), "no completion is left"),
        (
            np.ones(5, dtype=bool),
            r"the mask is bool of shape \(5,\); it must be bool, one value a completion, \(6,\)",
        ),
        (np.arange(6), "the mask is int64"),
    ],
)
def test_completions_that_cannot_be_chosen(samples, mask, said):
    with pytest.raises(InputError, match=said):
        samples.rows(mask)


def test_texts_stay_unread_until_looked_at(samples):
    chosen = samples.select([2, 0]).rows(np.array([True, True, False, True, True]))
    for column in (chosen.completions, chosen.metadata["note"], samples.completions):
        assert isinstance(column, LazyColumn)
        assert column._values is None
    assert list(chosen.completions) == ["four", "five", "one", "three"]
    assert samples.metadata["note"]._values is None


def test_a_peek_reads_the_first_rows_alone(samples):
    places, texts = samples.completions.peek(3)
    assert samples.completions._values is None
    by_place = dict(zip(places.tolist(), texts, strict=True))
    assert by_place == {0: "one", 1: "three", 2: "two"}  # rows 0, 2 and 1 of the file
    chosen = samples.select([2, 0])
    places, texts = chosen.completions.peek(4)
    assert dict(zip(places.tolist(), texts, strict=True)) == {0: "four", 3: "one", 4: "three"}
    np.asarray(samples.completions)
    assert len(samples.completions.peek(2)[0]) == 2


def test_a_peek_into_an_array_spreads_over_it():
    places, values = peek(np.arange(100) * 2, 5)
    assert values.tolist() == (places * 2).tolist()
    assert places[0] == 0
    assert places[-1] == 99


def test_samples_made_by_hand_are_chosen_from_alike():
    samples = replace(Samples.from_array(np.arange(6.0).reshape(3, 2)), completions=np.array(list("abcdef")))
    chosen = samples.select([2, 1])
    assert chosen.reward().tolist() == [4, 5, 2, 3]
    assert chosen.completions.tolist() == list("efcd")
    assert chosen.logprob is None
