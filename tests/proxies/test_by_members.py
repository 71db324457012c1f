"""Threshold and gap against the number of members are those of the subsets themselves."""

from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest

import klimit
from klimit import InputError
from klimit.proxies.by_members import hacking_by_members
from klimit.testsystems import random_ensemble

pytestmark = pytest.mark.filterwarnings("ignore::klimit.errors.KlimitWarning")

WORLD = random_ensemble(100, 30, 4, 1.5, 0.2, seed=4)
SAMPLES = WORLD.sample(60, 32, seed=3)


@cache
def ensemble(aggregate="mean", gold="gold"):
    return klimit.ensemble(SAMPLES, proxies=WORLD.names, gold=gold, aggregate=aggregate)


@cache
def every_subset():
    return hacking_by_members(ensemble(), most=6)


def test_every_subset_is_asked_where_they_are_few():
    found = every_subset()
    assert found.size.tolist() == [1, 2, 3, 4]
    assert found.total.tolist() == [len(same) for same in found.subsets] == [4, 6, 4, 1]
    assert len({subset.members for same in found.subsets for subset in same}) == 15


def test_a_subset_is_what_hacking_says_of_its_own_ensemble():
    found, names = every_subset(), WORLD.names[1:3]
    alone = klimit.ensemble(SAMPLES, proxies=names, gold="gold")
    exact = klimit.hacking(alone.samples, proxy=alone.name, gold="gold", kl=[found.kl])
    (subset,) = (one for one in found.subsets[1] if one.members == names)
    assert subset.gold_gain.estimate == pytest.approx(exact.gold_gain[0])
    assert subset.gold_gain.high == pytest.approx(exact.gold_gain_high[0])
    assert subset.threshold.low == pytest.approx(exact.threshold.low)
    assert subset.best_n.gold_gain.estimate == pytest.approx(exact.best_of_n.best.gold_gain.estimate)
    assert found.gold_limit.estimate == pytest.approx(exact.gold_limit[0])


def test_means_and_ends_are_those_over_subsets():
    found = every_subset()
    mean, least, most = found.gold_gain
    values = [subset.gold_gain.estimate for subset in found.subsets[1]]
    assert (mean[1], least[1], most[1]) == pytest.approx((np.mean(values), min(values), max(values)))
    assert found.gap[0] == pytest.approx(found.gold_limit.estimate - mean)
    assert found.gap[1] == pytest.approx(found.gold_limit.estimate - most)


def test_the_gap_narrows_with_members_and_the_gain_of_best_of_n_grows():
    found = every_subset()
    assert (np.diff(found.gap[0]) < 0).all()
    assert (np.diff(found.best_n_gain[0]) > 0).all()
    assert (np.diff(found.best_gain[0]) > 0).all()


def test_gold_is_compared_within_every_horizon():
    found = every_subset()
    horizons = [subset.horizon for same in found.subsets for subset in same]
    assert found.kl <= min(horizons)
    assert all(np.isfinite(subset.gold_gain.estimate) for same in found.subsets for subset in same)
    given = hacking_by_members(ensemble(), most=1, kl=0.1)
    assert given.kl == 0.1
    with pytest.raises(InputError, match="beyond the horizon of some subset"):
        hacking_by_members(ensemble(), most=1, kl=9.0)


def test_a_sample_of_subsets_is_seeded_and_says_how_many_there_are():
    found, again = (hacking_by_members(ensemble(), most=2, seed=1) for _ in range(2))
    assert [len(same) for same in found.subsets] == [2, 2, 2, 1]
    assert found.total.tolist() == [4, 6, 4, 1]
    assert found.to_frame().equals(again.to_frame())


def test_thresholds_are_nan_where_some_subset_has_none_and_counted():
    found = every_subset()
    known = [sum(subset.threshold.known for subset in same) for same in found.subsets]
    assert found.turned.tolist() == known
    for k, same in enumerate(found.subsets):
        assert np.isfinite(found.threshold[0][k]) == (known[k] == len(same))


def test_the_table_has_one_row_a_subset():
    table = every_subset().to_frame()
    assert len(table) == 15
    assert table["size"].tolist() == [1] * 4 + [2] * 6 + [3] * 4 + [4]
    first = every_subset().subsets[0][0]
    assert table.loc[0, "gold_gain_low"] == first.gold_gain.low
    assert table.loc[0, "members"] == "proxy_1"


def test_an_aggregator_that_needs_two_members_is_asked_of_two_or_more():
    assert hacking_by_members(ensemble("uwo:0.5,1"), most=1).size.tolist() == [2, 3, 4]


def test_progress_is_told_for_every_subset():
    said = []

    @contextmanager
    def watch(what):
        said.append(what)
        yield

    hacking_by_members(ensemble(), most=1, watch=watch)
    assert said == [f"optimising ensemble {k} of 4" for k in (1, 2, 3, 4)]


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(InputError, match="no gold"):
        hacking_by_members(ensemble(gold=None))
    with pytest.raises(InputError, match="cannot be asked of fewer"):
        hacking_by_members(ensemble("weighted:1,1,1,0"))
    with pytest.raises(InputError, match="most=0"):
        hacking_by_members(ensemble(), most=0)
    few = klimit.ensemble(WORLD.sample(60, 8, seed=1), proxies=WORLD.names, gold="gold")
    with pytest.raises(InputError, match="fewer than 16 completions"):
        hacking_by_members(few)
