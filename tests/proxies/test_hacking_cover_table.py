"""The committed table of ``benchmarks/hacking_cover.py``: thresholds, gaps, regrets and curves cover."""

import csv
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[2] / "benchmarks" / "hacking_cover.csv"
WORLDS = ("heavy error", "never", "at zero", "two peaks", "binary")
ALWAYS = ("threshold", "worse_than_base", "gold of best-of-2")
ALONG = ("gold_gain", "proxy_gain", "covariance")


def rows():
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_interval_covers_over_a_thousand_redraws():
    for row in rows():
        assert int(row["repetitions"]) >= 1000, row
        assert float(row["cover"]) >= 93 - 2 * float(row["standard_error"]), row


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("completions", "labelled"), [("64", "1"), ("128", "0.25")])
def test_every_quantity_was_studied_with_all_labels_and_with_some(world, completions, labelled):
    found = {
        row["quantity"]: row
        for row in rows()
        if (row["world"], row["completions"], row["labelled"]) == (world, completions, labelled)
    }
    wanted = {*ALWAYS, *(f"{name} at {share} of the horizon" for name in ALONG for share in (0.1, 0.5, 0.9))}
    if labelled == "1":
        wanted |= {f"{name} at beta {beta}" for name in ("gap", "regret") for beta in (1, 2)}
    assert wanted <= found.keys()
    assert all(int(found[name]["repetitions"]) >= 1000 for name in ("threshold", "worse_than_base"))


def test_the_worlds_hold_a_threshold_none_and_one_at_zero():
    truth = {row["world"]: float(row["truth"]) for row in rows() if row["quantity"] == "threshold"}
    assert truth["at zero"] == 0
    assert truth["never"] == float("inf")
    assert 0 < truth["heavy error"] < float("inf")
