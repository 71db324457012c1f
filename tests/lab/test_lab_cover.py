"""``benchmarks/lab_cover.py``: its committed table, in which every interval covers, and the study itself, shrunken."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from klimit.lab import Law
from klimit.lab.findings import BUDGETS, PARTS, QUANTITIES, SIZES
from klimit.values import Value

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WORLDS = ("safety", "summarization")
# Jobs of the study that the table does not hold yet.
OPEN = {
    "safety": ("hacking by rm_a", "audit at beta 0.1"),
    "summarization": ("hacking by rm_weak", "audit at beta 0.1"),
}
# Intervals that are known to cover too rarely, and why: docs/cover.md.
KNOWN = {("safety", "rm_weak tilted to KL 3", "gold_gain")}


@pytest.fixture(scope="module")
def study():
    """The script and its studies, with fewer prompts drawn."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        studies, script = import_module("lab_cover_studies"), import_module("lab_cover")
    finally:
        sys.path.remove(str(BENCHMARKS))
    studies.PROMPTS = 100
    return script, studies


# The table.


def rows(world):
    with (BENCHMARKS / "lab_cover.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["world"] == world]


def test_the_bar_is_two_standard_errors_below_93_per_cent(study):
    script, _ = study
    for n in (100, 756, 1000):
        bar = 93 - 200 * np.sqrt(0.93 * 0.07 / n)
        assert script.rare(bar - 0.01, n)
        assert not script.rare(bar + 0.01, n)
    # Few are counted exactly: one miss in three is no wonder at 93%, two are.
    assert not script.rare(200 / 3, 3)
    assert script.rare(100 / 3, 3)
    assert not script.rare(0.0, 1)


@pytest.mark.parametrize("world", WORLDS)
def test_every_interval_within_the_horizon_covers_but_for_those_known_not_to(study, world):
    low = {
        (world, row["policy"], row["quantity"])
        for row in rows(world)
        if int(row["within"]) and study[0].rare(float(row["cover"]), int(row["within"]))
    }
    assert low == {each for each in KNOWN if each[0] == world}


@pytest.mark.parametrize("world", WORLDS)
def test_every_range_beyond_the_horizon_holds_the_truth(study, world):
    for row in rows(world):
        if int(row["beyond"]):
            assert not study[0].rare(float(row["bracket"]), int(row["beyond"])), row


def wanted(job):
    """Prompts, policy and quantity of what a job draws."""
    if job.startswith("limit"):
        prompts = "all" if job == "limit of all prompts" else "held_out"
        limit = {(prompts, f"limit at KL {kl:g}", "gain") for kl in BUDGETS}
        return limit | {(prompts, f"best-of-{n}", name) for n in SIZES for name in QUANTITIES}
    what, _, which = job.partition(" at " if job.startswith("audit") else " by ")
    if what == "audit":
        names = [f"{method} at {which} spreads" for method in ("grpo", "ppo")]
        return {("held_out", name, each) for name in names for each in (*QUANTITIES, *PARTS)}
    gains = ("proxy_gain", "gold_gain")
    along = {
        ("held_out", f"{which} tilted to KL {kl}", gain) for kl in (0.25, 0.5, 1, 2, 3) for gain in gains
    }
    picked = {("held_out", f"best-of-{n} by {which}", each) for n in SIZES for each in ("kl", *gains)}
    lost = {
        ("held_out", f"{which} at beta {beta} spreads", each)
        for beta in (1, 0.3)
        for each in ("gap", "regret")
    }
    return along | picked | lost | {("held_out", which, "threshold")}


@pytest.mark.parametrize("world", WORLDS)
def test_every_quantity_was_drawn_a_thousand_times(study, world):
    found = rows(world)
    assert all(int(row["redraws"]) >= 1000 for row in found)
    counts = ("within", "beyond", "unanswered")
    assert all(sum(int(row[name]) for name in counts) == int(row["redraws"]) for row in found)
    names = {(row["prompts"], row["policy"], row["quantity"]) for row in found}
    drawn = [job for job in study[0].JOBS if job not in OPEN[world]]
    assert names == set().union(*map(wanted, drawn))


# The study.


def outcome(script, made, n=12):
    return script.rows_of("safety", "held_out", made, script.redraws(made, range(n)))


def moved(world):
    """A policy a little way from the base model, as a law."""
    noise = 0.4 * np.random.default_rng(1).standard_normal(world.base.logprob.shape)
    logprob = world.base.logprob + noise
    return Law(world.tree, logprob - np.log(np.exp(logprob).sum(axis=1, keepdims=True)))


@pytest.mark.parametrize("kind", ["limit", "audit", "hacking"])
def test_intervals_hold_the_truth_of_a_shrunken_world(study, safety, kind):
    script, studies = study
    made = {
        "limit": lambda: studies.limit_study(safety, "held_out"),
        "audit": lambda: studies.audit_study(safety, "held_out", {"moved": moved(safety)}),
        "hacking": lambda: studies.hacking_study(safety, "held_out", "first"),
    }[kind]()
    found = outcome(script, made)
    assert [(row.study, row.policy, row.quantity) for row in found] == list(made.truths)
    assert sum(row.within == 12 for row in found) > len(found) / 2
    assert all(row.within + row.beyond + row.unanswered == row.redraws == 12 for row in found)
    assert script.misses(found) == []


def narrow(value):
    return Value(
        *(value.estimate + 0.1 * (x - value.estimate) for x in (value.estimate, value.low, value.high))
    )


def shifted(value):
    by = value.high - value.low
    return Value(value.estimate + by, value.low + by, value.high + by)


@pytest.mark.parametrize("spoilt", [narrow, shifted])
def test_intervals_that_are_wrong_are_found_out(study, safety, spoilt):
    script, studies = study
    right = studies.limit_study(safety, "held_out")
    wrong = replace(
        right, redraw=lambda seed: {name: spoilt(value) for name, value in right.redraw(seed).items()}
    )
    assert len(script.misses(outcome(script, wrong))) > len(right.truths) / 2


def test_a_wrong_range_beyond_the_horizon_is_found_out_too(study):
    script, studies = study
    name = ("frontier", "limit at KL 9", "gain")
    for low, high in ((0.0, 0.9), (1.1, np.inf)):
        made = studies.Study({name: 1.0}, lambda seed, ends=(low, high): {name: Value(np.nan, *ends)})
        (row,) = outcome(script, made)
        assert (row.within, row.beyond, row.bracket) == (0, 12, 0.0)
        assert script.misses([row]) == [row]


def test_what_is_refused_is_counted_apart(study):
    script, studies = study
    names = [("audit", "policy", name) for name in ("kl", "gain")]
    made = studies.Study(
        dict.fromkeys(names, 1.0), lambda seed: {names[0]: Value(1.0, 0.5, np.inf)} if seed % 2 else {}
    )
    kl, gain = outcome(script, made)
    assert (kl.within, kl.endless, kl.beyond, kl.unanswered, kl.cover) == (6, 6, 0, 6, 100.0)
    assert (gain.within, gain.unanswered) == (0, 12)


def test_a_study_that_was_stopped_goes_on_with_the_same_redraws(study, safety, tmp_path):
    script, _ = study
    for n in (2, 3):
        script.run(safety, "limit", n, tmp_path / "in parts.csv")
    next((safety.folder / "cover").glob("*")).unlink()
    script.run(safety, "limit", 3, tmp_path / "at once.csv")
    assert (tmp_path / "in parts.csv").read_text() == (tmp_path / "at once.csv").read_text()
    assert {row["redraws"] for row in script.read(tmp_path / "at once.csv")} == {"3"}


def test_checkpoints_are_trained_once_and_their_laws_are_those_enumerated(study, safety, monkeypatch):
    pytest.importorskip("trl", reason="needs the extra train")
    _, studies = study
    monkeypatch.setattr("klimit.lab.runs.BATCH", 32)
    monkeypatch.setattr(studies, "STEPS", 2)
    monkeypatch.setattr(studies, "METHODS", {"grpo": studies.METHODS["grpo"]})
    ((name, law),) = studies.laws_of(safety, 0.3).items()
    assert name == "grpo at beta 0.3 spreads"
    assert safety.audit(law).kl > 0
    made = {path: path.stat().st_mtime_ns for path in (safety.folder / "runs").rglob("*") if path.is_file()}
    (again,) = studies.laws_of(safety, 0.3).values()
    np.testing.assert_array_equal(again.logprob, law.logprob)
    assert made == {
        path: path.stat().st_mtime_ns for path in (safety.folder / "runs").rglob("*") if path.is_file()
    }
    (folder,) = (path.parent for path in made if path.name == "law.npy")
    np.testing.assert_allclose(safety.enumerate(folder).logprob, law.logprob, rtol=1e-6)
