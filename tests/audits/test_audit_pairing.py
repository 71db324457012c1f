"""Policy and base on the same prompts: reordered where they are, refused by name where they are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from klimit.audits.pairing import pair
from klimit.errors import InputError
from klimit.samples import Samples, read_samples


def samples(ids, texts=None, column="prompt_id") -> Samples:
    """One completion a prompt, whose reward is its place in the list."""
    table = pd.DataFrame({column: ids, "reward": np.arange(float(len(ids)))})
    return read_samples(table if texts is None else table.assign(prompt=texts), prompt=column)


def refused(policy, base, said, **options):
    with pytest.raises(InputError, match=said) as caught:
        pair(policy, base, name="grpo", **{"shared": False, **options})
    assert "\n" not in str(caught.value)


def test_the_order_is_that_of_the_base_samples():
    policy, base = pair(samples(["c", "a", "b"]), samples(["a", "b", "c"]), name="grpo", shared=False)
    assert list(policy.prompt_ids) == list(base.prompt_ids) == ["a", "b", "c"]
    assert policy.reward().tolist() == [1, 2, 0]
    assert base.reward().tolist() == [0, 1, 2]


def test_the_same_order_changes_nothing():
    policy, base = samples([3, 1]), samples([3, 1])
    assert pair(policy, base, name="grpo", shared=False) == (policy, base)


def test_prompts_of_one_side_are_named():
    refused(
        samples(["a", "b", "x", "y", "z", "u"]),
        samples(["a", "b", "c"]),
        "4 of the 6 prompts in pandas frame are not in pandas frame .'x', 'y', 'z', ....* and 1 of the 3 in pandas "
        "frame are not in pandas frame .'c'.: policy and base need the same prompts; sample the rest, or audit those "
        r"in both with shared_prompts=True \(--shared-prompts\)",
    )
    refused(
        samples(["a"]),
        samples(["a", "b"]),
        "^1 of the 2 in pandas frame are not in pandas frame .'b'.: policy",
    )
    refused(
        samples(["a", "b"]),
        samples(["a"]),
        "^1 of the 2 prompts in pandas frame are not in pandas frame .'b'.:",
    )


def test_shared_prompts_are_audited_where_that_is_asked_for():
    policy, base = pair(samples(["x", "c", "a"]), samples(["a", "b", "c", "d"]), name="grpo", shared=True)
    assert list(policy.prompt_ids) == list(base.prompt_ids) == ["a", "c"]
    assert policy.reward().tolist() == [2, 1]
    assert base.reward().tolist() == [0, 2]
    assert policy.notes[-1] == "left out 1 of 3 prompts, which the base samples lack"
    assert base.notes[-1] == "left out 2 of 4 prompts, which grpo lacks"


def test_sharing_all_prompts_leaves_no_note():
    policy, base = samples(["a", "b"]), samples(["a", "b"])
    assert pair(policy, base, name="grpo", shared=True) == (policy, base)


@pytest.mark.parametrize("shared", [False, True])
def test_ids_that_are_numbers_here_and_text_there(shared):
    refused(
        samples([5, 7, 9]),
        samples(["7", "8"]),
        r"share no prompt: its ids are integers in the one and text in the other \(7 against '7'\); write them alike",
        shared=shared,
    )


def test_ids_that_are_simply_others():
    refused(
        samples(["a", "b", "c", "d"]),
        samples(["e"]),
        "share no prompt: the ids there are 'a', 'b', 'c', ... and 'e'; both files need the same ids",
    )


def test_keys_of_one_column_against_keys_of_two():
    table = pd.DataFrame({"task": ["t", "t"], "prompt_id": [1, 2], "reward": [0.0, 1.0]})
    both = read_samples(table, prompt=["task", "prompt_id"])
    refused(
        both,
        samples([1, 2]),
        r"ids are tuples of 2 in the one and integers in the other \(\('t', 1\) against 1\)",
    )
    assert pair(both, both, name="grpo", shared=False) == (both, both)


def test_whole_numbers_are_one_id_however_they_are_stored():
    policy, _ = pair(samples([2.0, 1.0]), samples([1, 2]), name="grpo", shared=False)
    assert policy.reward().tolist() == [1, 0]


def test_one_id_with_different_texts():
    long = "You are a helpful assistant that answers in one word. "
    refused(
        samples([1, 2], ["same", long + "Why?"]),
        samples([1, 2], ["same", long + "How?"]),
        r"prompt 2 has different texts in pandas frame \(...'one word. Why\?'\) and pandas frame "
        r"\(...'one word. How\?'\), and so have 1 of 2 prompts: the same id must mean the same prompt",
    )


def test_one_id_with_its_text_on_one_side_alone():
    policy, base = samples([1, 2], ["one", "two"]), samples([1, 2])
    assert pair(policy, base, name="grpo", shared=False) == (policy, base)
    gap = samples([1, 2], ["one", None])
    assert pair(policy, gap, name="grpo", shared=False) == (policy, gap)


def test_the_same_texts_in_another_order():
    policy, _ = pair(
        samples([2, 1], ["two", "one"]), samples([1, 2], ["one", "two"]), name="grpo", shared=False
    )
    assert list(policy.prompts) == ["one", "two"]
