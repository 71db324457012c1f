"""``klimit hacking``: what it prints and writes is what Python gives."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from cli_proxies import proxy_table

import klimit

VALUES = ("threshold", "threshold_beta", "worse_than_base")
ARRAYS = ("kl", "beta", *(f"{name}{end}" for name in ("proxy_gain", "gold_gain", "gold_limit", "covariance")
                          for end in ("", "_low", "_high")))  # fmt: skip
WORLDS = ("heavy_error", "never", "at_zero", "two_peaks", "binary")


def strict(text):
    """Parse JSON that knows no NaN or Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def hacked(source, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", klimit.KlimitWarning)
        return klimit.hacking(source, proxy="proxy", gold="gold", **options)


def plain(numbers):
    return [x if np.isfinite(x) else None for x in np.asarray(numbers, dtype=float).tolist()]


def same(written, value):
    return written == dict(
        zip(("estimate", "low", "high"), plain([value.estimate, value.low, value.high]), strict=True)
    )


@pytest.fixture
def scored(tmp_path):
    """Completions scored by a proxy that is hacked within the horizon."""
    proxy_table(150, 64, kind="binary").to_parquet(tmp_path / "scored.parquet")
    return tmp_path / "scored.parquet"


def told(run, *arguments):
    return run("hacking", *arguments, "--proxy", "proxy", "--gold", "gold")


def test_the_verdict_comes_first_and_one_action_last(run, scored):
    done = told(run, scored)
    lines = done.out.splitlines()
    assert done.status == 0
    assert re.match(
        r"Optimising proxy helps gold up to 0\.\d+ nats \[0\.\d+, \d\.\d+\] \(best-of-N:", lines[0]
    )
    assert done.out.count("\nNext: ") == 1
    assert [line for line in lines if line and not line.startswith(" ")][-1].startswith("Next: ")
    assert max(map(len, lines)) <= 80


def test_the_verdict_says_the_numbers_of_python(run, scored):
    text = " ".join(told(run, scored).out.split())
    found = hacked(scored)
    low, at, high = found.threshold.low, found.threshold.estimate, found.threshold.high
    assert f"helps gold up to {at:.2f} nats [{low:.2f}, {high:.2f}]" in text
    best = found.best_of_n.best
    assert f"up to N = {best.setting.estimate:g})" in text
    gain = best.gold_gain
    assert (
        f"Best-of-{best.setting.estimate:g} by it gains +{gain.estimate:.3f} [{gain.low:.3f}, {gain.high:.3f}]"
        in text
    )
    assert f"beta {found.best.setting.estimate:.3f}" in text


def test_the_table_along_the_tilt_is_the_result_at_round_budgets(run, scored):
    out = told(run, scored).out
    rows = re.findall(
        r"^(\d\.\d+) +(\d\.\d+) +\+(\d\.\d+) +\+(\d\.\d+) \[(\S+), (\S+)\] +\+(\d\.\d+)", out, re.M
    )
    assert len(rows) >= 4
    budgets = [float(row[0]) for row in rows]
    found = hacked(scored, kl=budgets)
    for column, name in enumerate(("beta", "proxy_gain", "gold_gain", "gold_gain_low", "gold_gain_high")):
        values = [float(row[column + 1]) for row in rows]
        assert values == pytest.approx(getattr(found, name), rel=2e-3, abs=6e-4), name


def test_budgets_and_sizes_asked_for_are_those_shown(run, scored):
    done = told(run, scored, "--kl", "0.3,0.6,5", "--n", "4,16", "--json", "-")
    written, found = strict(done.out), hacked(scored, kl=[0.3, 0.6, 5.0], n=[4, 16])
    assert written["kl"] == [0.3, 0.6, 5.0]
    assert written["gold_gain"] == plain(found.gold_gain)
    assert written["gold_gain"][2] is None
    assert written["best_of_n"]["setting"] == [4, 16]
    assert re.search(r"^5\.00 +- +- +- ", done.err, re.M)
    assert "-: beyond the horizon." in done.err


def test_json_is_the_python_result_to_the_last_digit(run, scored):
    done = told(run, scored, "--level", "0.9", "--seed", "3", "--json", "-")
    written, found = strict(done.out), hacked(scored, level=0.9, seed=3)
    for name in VALUES:
        assert same(written[name], getattr(found, name)), name
    for name in ARRAYS:
        assert written[name] == plain(getattr(found, name)), name
    for name in ("setting", "kl", "gold_gain"):
        assert same(written["best"][name], getattr(found.best, name)), name
        assert same(written["best_of_n"]["best"][name], getattr(found.best_of_n.best, name)), name
        assert same(written["best_of_poisson"]["best"][name], getattr(found.best_of_poisson.best, name)), name
    assert written["best_of_n"]["gold_gain_high"] == plain(found.best_of_n.gold_gain_high)
    assert written["gap"]["regret_bound"] == found.gap(beta=found.best.setting.estimate).regret_bound
    assert (written["horizon"], written["n_labels"]) == (found.horizon, found.n_labels)
    assert written["kl_direction"] == "KL(policy || base)"
    assert written["options"]["files"] == [str(scored)]
    assert done.err.split("Next: ")[1].split() == written["action"].split()


@pytest.mark.parametrize("kind", WORLDS)
def test_every_world_is_told_in_80_columns_without_a_number_that_is_none(run, tmp_path, kind):
    proxy_table(kind=kind).to_parquet(tmp_path / "s.parquet")
    done = told(run, tmp_path / "s.parquet", "--plot", tmp_path / "s.png")
    assert done.status == 0
    assert max(map(len, done.out.splitlines())) <= 80
    assert not {"nan", "inf", "none"} & set(re.findall(r"\w+", done.out.lower().replace(": none", "")))
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_a_proxy_that_harms_is_not_to_be_optimised(run, tmp_path):
    proxy_table(kind="at_zero").to_parquet(tmp_path / "s.parquet")
    out = told(run, tmp_path / "s.parquet").out
    assert out.startswith("Optimising proxy harms gold from the start.")
    assert "Next: do not optimise this proxy." in out


def test_a_proxy_that_is_not_hacked_helps_as_far_as_the_samples_show(run, tmp_path):
    proxy_table(150, 64, kind="never").to_parquet(tmp_path / "s.parquet")
    out = " ".join(told(run, tmp_path / "s.parquet").out.split())
    assert "helps gold as far as the samples show" in out
    assert "does not turn down within" in out
    assert "Next: optimise up to " in out


def test_a_proxy_without_any_bearing_is_not_said_to_help(run, tmp_path):
    table = proxy_table()
    table["proxy"] = np.random.default_rng(0).normal(size=len(table))
    table.to_parquet(tmp_path / "s.parquet")
    text = " ".join(told(run, tmp_path / "s.parquet").out.split())
    assert re.search(
        r"Nothing shows that optimising proxy helps gold|nothing shows that it helps at any KL", text
    )
    assert "Next: do not optimise this proxy" in text


def test_labels_for_a_part_say_how_many_there_are_and_how_many_are_wanted(run, tmp_path):
    table = proxy_table(300, 64, labelled=0.25)
    table.to_parquet(tmp_path / "s.parquet")
    done = told(run, tmp_path / "s.parquet", "--json", "-")
    written, text = strict(done.out), " ".join(done.err.split())
    assert written["n_labels"] == table["gold"].notna().sum() == 4800
    assert "gold is known for 4,800 of 19,200 completions (25%);" in text
    assert re.search(
        r"(about|at least) [\d,]+ labels would settle the threshold to a quarter either way", text
    )
    assert "must be up to chance" in text
    assert written["gap"] is None


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_every_format_gives_the_same_result_missing_labels_and_all(run, tmp_path, kind):
    table = proxy_table(80, 32, labelled=0.5)
    file = tmp_path / f"s.{kind}"
    if kind == "parquet":
        table.to_parquet(file)
    elif kind == "csv":
        table.to_csv(file, index=False)
    else:
        file.write_text(table.to_json(orient="records", lines=True, double_precision=15))
    written = strict(told(run, file, "--json", "-").out)
    found = hacked(table)
    assert written["n_labels"] == found.n_labels
    assert written["best_of_n"]["gold_gain"] == pytest.approx(found.best_of_n.gold_gain, abs=1e-9)


def test_costs_are_turned(run, scored, tmp_path):
    table = pd.read_parquet(scored)
    table.assign(gold=-table["gold"], proxy=-table["proxy"]).to_parquet(tmp_path / "cost.parquet")
    plainly = strict(told(run, scored, "--json", "-").out)
    turned = strict(told(run, tmp_path / "cost.parquet", "--lower-is-better", "--json", "-").out)
    assert turned["gold_gain"] == pytest.approx(plainly["gold_gain"])
    assert any("lower is better" in note for note in turned["notes"])


def test_prompts_with_few_completions_are_left_out_only_when_asked(run, scored, tmp_path):
    table = pd.read_parquet(scored)
    table = table[(table["prompt_id"] != 7) | (table["sample_id"] < 5)]
    table.to_parquet(tmp_path / "ragged.parquet")
    assert "--min-completions 16" in told(run, tmp_path / "ragged.parquet").err
    done = told(run, tmp_path / "ragged.parquet", "--min-completions", "16", "--json", "-")
    assert strict(done.out)["n_prompts"] == 149
    assert "left out 1 of 150 prompts" in done.err


def test_the_figure_is_written_with_curves_even_where_few_budgets_are_asked(run, scored, tmp_path):
    done = told(run, scored, "--kl", "0.5", "--plot", tmp_path / "a.svg")
    assert done.status == 0
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    assert f"wrote {tmp_path / 'a.svg'}" in done.err


def test_help_shows_an_example_and_every_option(run):
    text = run("hacking", "--help").out
    for option in ("--proxy", "--gold", "--kl", "--n ", "--where", "--prompt", "--min-completions", "--level", "--seed",
                   "--json", "--plot", "--lower-is-better"):  # fmt: skip
        assert option in text
    assert "klimit hacking samples.parquet --proxy reward_model --gold human" in text
