"""``klimit ensemble``: what it prints and writes is what Python gives."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from cli_proxies import frame, members_table

import klimit
from klimit.proxies.by_members import hacking_by_members
from klimit.testsystems import random_ensemble

NAMES = ["proxy_1", "proxy_2", "proxy_3", "proxy_4"]
ALL = ",".join(NAMES)


def strict(text):
    """Parse JSON that knows no NaN or Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def made(source, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", klimit.KlimitWarning)
        return klimit.ensemble(source, **{"proxies": NAMES, **options})


def same(written, value):
    numbers = [value.estimate, value.low, value.high]
    return written == dict(
        zip(("estimate", "low", "high"), [x if np.isfinite(x) else None for x in numbers], strict=True)
    )


@pytest.fixture
def scored(tmp_path):
    members_table().to_parquet(tmp_path / "members.parquet")
    return tmp_path / "members.parquet"


def told(run, *arguments, proxies=ALL, gold="gold", subsets=0):
    judge = ["--gold", gold] if gold else []
    return run("ensemble", *arguments, "--proxies", proxies, *judge, "--subsets", subsets)


def test_the_verdict_comes_first_and_one_action_last(run, scored):
    done = told(run, scored)
    lines = done.out.splitlines()
    assert done.status == 0
    assert lines[0].startswith("The mean of 4 proxies is worth 1.")
    assert re.search(
        r"correlation with gold 0\.\d\d\s+\[0\.\d\d, 0\.\d\d\] against 0\.\d\d \(proxy_\d\)", done.out
    )
    assert done.out.count("\nNext: ") == 1
    assert [line for line in lines if line and not line.startswith(" ")][-1].startswith("Next: ")
    assert max(map(len, lines)) <= 80


def test_the_verdict_says_the_numbers_of_python(run, scored):
    text, found = " ".join(told(run, scored).out.split()), made(scored, gold="gold")
    own, errors = found.correlation, found.errors
    best = max(one.estimate for one in errors.correlation)
    assert f"is worth {own.estimate / best:.3g} of the best one" in text
    assert f"gold {own.estimate:.2f} [{own.low:.2f}, {own.high:.2f}] against {best:.2f}" in text
    # Of the error variance of the mean of K, floor / (floor + rest / K) is shared.
    floor, rest = errors.floor.estimate, errors.rest.estimate
    assert f"{100 * floor / (floor + rest / 4):.0f}% [" in text
    assert "of it is shared" in text


def test_json_is_the_python_result_to_the_last_digit(run, scored):
    done = told(run, scored, "--aggregate", "uwo:0.5", "--level", "0.9", "--seed", "3", "--json", "-")
    written = strict(done.out)
    found = made(scored, gold="gold", aggregate="uwo:0.5", level=0.9, seed=3)
    assert same(written["correlation"], found.correlation)
    for name in ("floor", "rest", "shared", "ceiling", "mean_correlation"):
        assert same(written["errors"][name], getattr(found.errors, name)), name
    assert written["errors"]["covariance"] == found.errors.covariance.tolist()
    assert written["errors"]["law"]["law"] == found.errors.law.law.tolist()
    assert same(written["weights"]["best_less_equal"], found.weights.best_less_equal)
    assert all(map(same, written["collocation"]["reliability"], found.collocation.reliability))
    assert written["collocation"]["test"]["p_value"] == found.collocation.test.p_value
    assert (written["name"], written["aggregator"]) == ("ensemble_uwo:0.5", "uwo:0.5")
    assert written["options"]["files"] == [str(scored)]
    assert done.err.split("Next: ")[1].split() == written["action"].split()


def test_gap_and_threshold_by_members_are_those_of_python(run, scored):
    done = told(run, scored, "--json", "-", subsets=2)
    hacked = hacking_by_members(made(scored, gold="gold"), most=2)
    written = strict(done.out)["hacking_by_members"]
    assert written["kl"] == hacked.kl
    assert [len(same) for same in written["subsets"]] == [2, 2, 2, 1]
    assert written["total"] == [4, 6, 4, 1]
    for mine, theirs in zip(written["subsets"], hacked.subsets, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert one["members"] == list(other.members)
            assert same(one["gold_gain"], other.gold_gain)
            assert same(one["threshold"], other.threshold)
    rows = re.findall(r"^(\d)   (\d of \d) +\+\d", done.err, re.M)
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert rows[1][1] == "2 of 6"
    assert max(map(len, done.err.splitlines())) <= 80


def test_without_gold_the_reliabilities_are_told_and_that_they_are_blind(run, scored):
    done = told(run, scored, "--json", "-", gold=None)
    written, text = strict(done.out), " ".join(done.err.split())
    found = made(scored).collocation
    assert "blind to errors that they share" in text
    assert written["errors"] is written["correlation"] is written["hacking_by_members"] is None
    mean = found.mean_correlation
    assert f"has correlation {mean.estimate:.2f} [{mean.low:.2f}, {mean.high:.2f}]" in text
    for name, value in zip(NAMES, found.reliability, strict=True):
        assert re.search(
            rf"^{name} +{value.estimate:.2f} \[{value.low:.2f}, {value.high:.2f}\]", done.err, re.M
        )
    assert "with --gold" in written["action"]


def test_shared_errors_show_with_gold_and_call_for_another_kind(run, scored):
    done = told(run, scored)
    text = " ".join(done.out.split())
    assert "Their agreement alone would claim" in text
    assert "Next: add a proxy of another kind" in text


def test_independent_errors_are_not_said_to_be_shared(run, tmp_path):
    frame(random_ensemble(80, 24, 4, 1.5, 0.0, seed=4).sample(120, 64, seed=3)).to_parquet(
        tmp_path / "i.parquet"
    )
    text = " ".join(told(run, tmp_path / "i.parquet").out.split())
    assert "Nothing shows that they share an error" in text
    assert "Their agreement alone" not in text
    assert "Next: add members of this kind" in text


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_output_is_the_samples_with_the_new_column(run, scored, tmp_path, kind):
    table = (
        members_table().assign(note=lambda t: "n" + t["sample_id"].astype(str)).sample(frac=1, random_state=0)
    )
    table.to_parquet(tmp_path / "more.parquet", index=False)
    output = tmp_path / f"out.{kind}"
    done = told(run, tmp_path / "more.parquet", "--aggregate", "min", "--output", output)
    assert f"wrote {output}" in done.err
    written = pd.read_parquet(output) if kind == "parquet" else pd.read_csv(output)
    assert len(written) == len(table)
    merged = written.merge(
        table, on=["prompt_id", "sample_id"], suffixes=("", "_given"), validate="one_to_one"
    )
    for name in (*NAMES, "gold"):
        assert merged[name].to_numpy() == pytest.approx(merged[f"{name}_given"].to_numpy(), rel=1e-12)
    assert (merged["note"] == merged["note_given"]).all()
    # Once more by hand: standardised within prompts, then the least.
    groups = merged.groupby("prompt_id")[NAMES]
    units = (merged[NAMES] - groups.transform("mean")) / groups.transform("std")
    assert merged["ensemble_min"].to_numpy() == pytest.approx(units.min(axis=1).to_numpy(), abs=1e-9)


def test_the_output_can_be_read_again_and_optimised(run, scored, tmp_path):
    told(run, scored, "--name", "rm", "--output", tmp_path / "out.parquet")
    done = run("hacking", tmp_path / "out.parquet", "--proxy", "rm", "--gold", "gold")
    assert done.status == 0
    assert done.out.startswith("Optimising rm helps gold")


def test_prompts_of_several_columns_or_texts_keep_their_names(run, tmp_path):
    table = members_table().rename(columns={"prompt_id": "task"}).assign(level="a")
    table.to_parquet(tmp_path / "two.parquet", index=False)
    told(
        run,
        tmp_path / "two.parquet",
        "--prompt",
        "task",
        "--prompt",
        "level",
        "--output",
        tmp_path / "o.parquet",
    )
    written = pd.read_parquet(tmp_path / "o.parquet")
    assert set(table.columns) <= set(written.columns)
    assert sorted(written["task"].unique()) == sorted(table["task"].unique())
    texts = (
        members_table().assign(prompt=lambda t: "q" + t["prompt_id"].astype(str)).drop(columns="prompt_id")
    )
    texts.to_parquet(tmp_path / "texts.parquet", index=False)
    told(run, tmp_path / "texts.parquet", "--output", tmp_path / "t.parquet")
    assert set(pd.read_parquet(tmp_path / "t.parquet").columns) == {*texts.columns, "ensemble_mean"}


@pytest.mark.parametrize("gold", ["gold", None])
def test_the_figure_is_written(run, scored, tmp_path, gold):
    done = told(run, scored, "--plot", tmp_path / "a.png", gold=gold, subsets=1)
    assert done.status == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "name",
    [
        "median",
        "min",
        "uwo:0.5",
        "uwo:0.5,1",
        "soft-min:0.3",
        "quantile:0.25",
        "log-sigmoid-centred",
        "weighted:1,2,0,1",
    ],
)
def test_every_aggregator_is_told_in_80_columns(run, scored, name):
    done = told(run, scored, "--aggregate", name, subsets=1)
    assert done.status == 0
    assert max(map(len, done.out.splitlines())) <= 80
    assert not {"nan", "inf"} & set(re.findall(r"\w+", done.out.lower()))


def test_weights_of_a_fixed_number_of_members_are_not_asked_of_fewer(run, scored):
    out = " ".join(told(run, scored, "--aggregate", "weighted:1,2,0,1", subsets=1).out.split())
    assert "no gap and threshold by members" in out


def test_too_few_completions_for_the_tilt_leave_the_rest(run, tmp_path):
    members_table(60, 8).to_parquet(tmp_path / "few.parquet")
    done = told(run, tmp_path / "few.parquet", subsets=1)
    assert done.status == 0
    assert "no gap and threshold by members" in " ".join(done.out.split())


def test_two_proxies_with_gold_or_with_an_output_will_do(run, scored, tmp_path):
    assert told(run, scored, proxies="proxy_1,proxy_2").status == 0
    done = told(run, scored, "--output", tmp_path / "o.csv", proxies="proxy_1,proxy_2", gold=None)
    assert done.status == 0
    assert "their agreement does not tell how good they are" in " ".join(done.out.split())


def test_prompts_with_few_completions_are_left_out_only_when_asked(run, tmp_path):
    table = members_table()
    table[(table["prompt_id"] != 7) | (table["sample_id"] < 2)].to_parquet(tmp_path / "r.parquet")
    assert told(run, tmp_path / "r.parquet").status == 2
    done = told(run, tmp_path / "r.parquet", "--min-completions", "3", "--json", "-")
    assert strict(done.out)["n_prompts"] == 59


def test_help_shows_an_example_and_every_option(run):
    text = run("ensemble", "--help").out
    options = "proxies gold aggregate output where prompt level seed json plot lower-is-better subsets name"
    for option in options.split():
        assert f"--{option}" in text
    assert "klimit ensemble samples.parquet --proxies rm_a,rm_b,rm_c --gold human" in text
