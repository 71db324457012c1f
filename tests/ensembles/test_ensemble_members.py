"""Subsets of members: all of them where they are few, a seeded sample where they are many."""

from itertools import combinations

import pytest

from klimit.ensembles import all_sizes, subsets_of
from klimit.errors import InputError


def test_few_subsets_are_all_there():
    found = subsets_of(5, 2)
    assert found.members == tuple(combinations(range(5), 2))
    assert found.complete
    assert found.total == 10


def test_many_are_sampled_each_once_and_alike_for_one_seed():
    found = subsets_of(14, 7, most=50, seed=3)
    assert len(found.members) == len(set(found.members)) == 50
    assert found.total == 3432
    assert not found.complete
    assert all(len(set(one)) == 7 and list(one) == sorted(one) for one in found.members)
    assert found == subsets_of(14, 7, most=50, seed=3)
    assert found != subsets_of(14, 7, most=50, seed=4)


def test_a_sample_holds_every_member_about_equally_often():
    found = subsets_of(12, 4, most=400, seed=0)
    counts = [sum(k in one for one in found.members) for k in range(12)]
    assert max(abs(count - 400 / 3) for count in counts) < 4 * (400 * 2 / 9) ** 0.5


def test_every_size_up_to_all():
    sizes = all_sizes(4)
    assert [one.size for one in sizes] == [1, 2, 3, 4]
    assert [one.total for one in sizes] == [4, 6, 4, 1]


@pytest.mark.parametrize("size", [0, 4])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(InputError, match="from 1 to 3"):
        subsets_of(3, size)


def test_at_least_one_subset_is_wanted():
    with pytest.raises(InputError, match="at least one"):
        subsets_of(3, 1, most=0)
