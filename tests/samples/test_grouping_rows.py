"""Grouping: prompts in order of first appearance, rows of a prompt in their own order."""

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from klimit.samples.grouping import group_rows, repeated

keys = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@settings(derandomize=True)
@given(keys)
def test_groups_are_those_of_a_dictionary(keys):
    expected = defaultdict(list)
    for row, key in enumerate(keys):
        expected[key].append(row)
    groups = group_rows(np.array(keys, dtype=np.uint64))
    rows = groups.sort(np.arange(len(keys)))
    assert groups.keys.tolist() == list(expected)
    found = [rows[a:b].tolist() for a, b in zip(groups.offsets, groups.offsets[1:], strict=False)]
    assert found == list(expected.values())
    assert groups.rows(np.arange(len(keys))).tolist() == rows.tolist()


def test_rows_that_stand_together_are_not_moved():
    assert group_rows(np.array([7, 7, 3, 9, 9], dtype=np.uint64)).order is None
    assert group_rows(np.array([7, 3, 7], dtype=np.uint64)).order is not None


def test_more_prompts_than_sixteen_bits():
    keys = np.tile(np.arange(70_000, dtype=np.uint64)[::-1], 2)
    groups = group_rows(keys)
    assert groups.keys.tolist() == list(range(69_999, -1, -1))
    assert (np.diff(groups.offsets) == 2).all()
    assert (groups.sort(keys).reshape(-1, 2) == groups.keys[:, None]).all()


@settings(derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 3)), min_size=1, max_size=30))
def test_repeats_are_pairs_seen_before(pairs):
    groups = group_rows(np.array([prompt for prompt, _ in pairs], dtype=np.uint64))
    ids = groups.sort(np.array([one for _, one in pairs], dtype=np.int64))
    seen: set[tuple[int, int]] = set()
    expected = []
    for place, pair in enumerate(zip(groups.prompt_of().tolist(), ids.tolist(), strict=True)):
        if pair in seen:
            expected.append(place)
        seen.add(pair)
    assert repeated(groups, ids).tolist() == expected
