"""``klimit frontier``: what it prints and writes is what Python gives."""

import json
import re

import numpy as np
import pytest
from cli_samples import table

import klimit

ARRAYS = ("kl", "gain", "gain_low", "gain_high", "reward", "beta")


def strict(text):
    """Parse JSON that knows no NaN or Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def as_array(values):
    return np.array([np.nan if value is None else value for value in values])


def same(values, array):
    """Equal to the last digit, null where the array is not finite."""
    array = np.asarray(array, dtype=float)
    return np.array_equal(as_array(values), np.where(np.isfinite(array), array, np.nan), equal_nan=True)


@pytest.fixture
def results(run, samples, tmp_path):
    """Results of one command with most options, as JSON, and the same call's from Python."""
    path = tmp_path / "out.json"
    done = run("frontier", samples, "--reward", "reward", "--kl", "0.25,0.5,4", "--n", "2,8", "--level", "0.9",
               "--seed", "3", "--json", path)  # fmt: skip
    assert done.status == 0
    limit = klimit.frontier(samples, reward="reward", kl=[0.25, 0.5, 4], level=0.9, seed=3)
    best = klimit.best_of_n(limit.samples, reward="reward", n=[2, 8], level=0.9, seed=3, limit=limit)
    return strict(path.read_text()), limit, best


def test_json_is_the_python_result_to_the_last_digit(results):
    written, limit, best = results
    for name in ARRAYS:
        assert same(written[name], getattr(limit, name)), name
    assert written["status"] == list(limit.status)
    assert written["status"] == ["estimate", "estimate", "bracket"]
    for name in ("horizon", "horizon_reason", "base_reward", "reward_max", "level", "seed"):
        assert written[name] == getattr(limit, name), name
    for name in ("n", "kl", "kl_low", "kl_high", "kl_bound", "gain", "gain_low", "gain_high", "reward",
                 "win_rate", "efficiency", "efficiency_low", "efficiency_high", "draws"):  # fmt: skip
        assert same(written["best_of_n"][name], getattr(best, name)), name


def test_json_says_how_it_was_made(results, samples):
    written, _, _ = results
    assert written["version"] == klimit.__version__
    assert written["options"]["files"] == [str(samples)]
    assert written["options"]["kl"] == [0.25, 0.5, 4]
    assert written["options"]["seed"] == 3
    assert written["kl_unit"] == "nats per completion"
    assert written["kl_direction"] == "KL(policy || base)"
    assert written["estimator"] == "extrapolated"


def test_json_lists_the_prompts_that_never_pass(run, samples):
    done = run("frontier", samples, "--reward", "correct", "--json", "-")
    written = strict(done.out)
    best = table().groupby("prompt_id")["correct"].max()
    never = list(best[best == 0].index)
    assert never
    assert written["saturation"]["below_max"] == never
    assert f"{len(never)} prompts never pass" in " ".join(done.err.split())


def test_json_on_stdout_leaves_the_words_to_stderr(run, samples):
    done = run("frontier", samples, "--reward", "reward", "--json", "-")
    assert strict(done.out)["n_prompts"] == 60
    assert "At " in done.err
    assert "Next: " in done.err


def test_prompt_keys_of_several_columns_are_lists_in_json(run, samples):
    arguments = ("frontier", samples, "--reward", "correct", "--prompt", "prompt_id", "--prompt", "group")
    frame = table().assign(group="a")
    frame.to_parquet(samples)
    written = strict(run(*arguments, "--json", "-").out)
    assert written["saturation"]["below_max"][0][1] == "a"


def test_the_report_begins_with_the_verdict_and_ends_with_an_action(run, samples):
    done = run("frontier", samples, "--reward", "reward")
    lines = done.out.splitlines()
    assert done.status == 0
    assert lines[0].startswith("60 prompts x 24 completions, reward (")
    assert lines[1].startswith("At ")
    assert [line for line in lines if line and not line.startswith(" ")][-1].startswith("Next: ")
    assert max(map(len, lines)) <= 80
    assert "KL(policy || base) in nats per completion" in done.out
    assert "[95%] intervals" in done.out


def test_the_verdict_is_the_limit_at_its_budget(run, samples):
    done = run("frontier", samples, "--reward", "reward", "--kl", "0.5")
    point = klimit.frontier(samples, reward="reward").at(kl=0.5)
    found = re.search(
        r"At 0.5 nats any method can reach at most (\S+) \(\+(\S+) \[(\S+), (\S+)\]\)", done.out
    )
    gains = [float(text) for text in found.groups()[1:]]
    assert gains == pytest.approx([point.gain, point.gain_low, point.gain_high], abs=0.006)


def test_a_budget_beyond_the_horizon_is_answered_with_bounds(run, samples):
    done = run("frontier", samples, "--reward", "reward", "--kl", "9")
    assert re.search(r"At 9 nats the most that any method can reach lies between \S+ and \S+", done.out)
    assert re.search(r"9.00 +\+\S+ to \+\S+ +- +bracket", done.out)
    assert "estimate\n" not in done.out


def test_the_default_rows_hold_the_horizon_and_one_budget_beyond(run, samples):
    horizon = klimit.frontier(samples, reward="reward").horizon
    rows = re.findall(
        r"^([\d.]+) +\+.*(estimate|bracket)", run("frontier", samples, "--reward", "reward").out, re.M
    )
    assert [status for _, status in rows].count("bracket") == 1
    budgets = [float(kl) for kl, _ in rows]
    assert budgets == sorted(budgets)
    assert budgets[-2] == pytest.approx(horizon, rel=0.06)
    assert budgets[-1] > horizon


def test_guesses_and_written_files_are_said_on_stderr(run, samples, tmp_path):
    done = run("frontier", samples, "--reward", "reward", "--json", tmp_path / "out.json")
    assert "klimit: read by their names: prompt = prompt_id; sample = sample_id" in done.err
    assert f"klimit: wrote {tmp_path / 'out.json'}" in done.err


def test_warnings_are_lines_with_a_mark_and_in_json(run, tmp_path):
    table(5, 16).to_parquet(tmp_path / "few.parquet")
    done = run("frontier", tmp_path / "few.parquet", "--reward", "reward", "--json", tmp_path / "out.json")
    assert "! 5 prompts: interval and horizon of so few are rough" in done.out
    assert any(
        "interval and horizon of so few are rough" in line
        for line in strict((tmp_path / "out.json").read_text())["warnings"]
    )


def test_ties_are_shown_beside_the_formula_that_ignores_them(run, samples):
    assert "untied KL" in run("frontier", samples, "--reward", "correct").out
    assert "untied KL" not in run("frontier", samples, "--reward", "reward").out


def test_options_reach_the_estimate(run, samples):
    def read(*arguments):
        return strict(run("frontier", samples, *arguments, "--kl", "0.5", "--json", "-").out)

    plain = read("--reward", "reward")
    per_prompt = read("--reward", "reward", "--budget", "per-prompt")
    assert (
        per_prompt["gain"][0]
        == klimit.frontier(samples, reward="reward", budget="per-prompt", kl=[0.5]).gain[0]
    )
    assert per_prompt["gain"] != plain["gain"]
    these = read("--reward", "reward", "--target", "these-prompts")
    assert these["gain"] == plain["gain"]
    assert these["gain_high"] != plain["gain_high"]
    cost = read("--reward", "reward", "--lower-is-better")
    assert cost["base_reward"] == pytest.approx(-plain["base_reward"])
    some = read("--reward", "reward", "--where", "prompt_id < 30")
    assert some["n_prompts"] == 30
    capped = read("--reward", "reward", "--reward-max", "20")
    assert capped["reward_max"] == 20


def test_several_files_are_one_set_of_samples(run, tmp_path):
    frame = table()
    frame[frame["prompt_id"] < 20].to_parquet(tmp_path / "a.parquet")
    frame[frame["prompt_id"] >= 20].to_parquet(tmp_path / "b.parquet")
    done = run("frontier", tmp_path / "*.parquet", "--reward", "reward")
    assert done.out.startswith("60 prompts x 24 completions")


def test_ragged_prompts_are_told_by_range_and_median(run, tmp_path):
    frame = table()
    frame[(frame["prompt_id"] > 9) | (frame["sample_id"] < 20)].to_parquet(tmp_path / "ragged.parquet")
    done = run("frontier", tmp_path / "ragged.parquet", "--reward", "reward")
    assert done.out.startswith("60 prompts x 20-24 (median 24) completions")


@pytest.mark.parametrize(("name", "first"), [("l.png", b"\x89PNG"), ("l.SVG", b"<?xml"), ("l.pdf", b"%PDF")])
def test_figures_are_written_in_the_format_of_their_name(run, samples, tmp_path, name, first):
    done = run("frontier", samples, "--reward", "reward", "--plot", tmp_path / name)
    assert done.status == 0
    assert (tmp_path / name).read_bytes().startswith(first)


def test_the_same_command_gives_the_same_output(run, samples, tmp_path):
    first = run("frontier", samples, "--reward", "reward", "--json", "-", "--plot", tmp_path / "a.svg")
    again = run("frontier", samples, "--reward", "reward", "--json", "-", "--plot", tmp_path / "b.svg")
    assert first.out == again.out
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_version_and_help(run):
    assert run("--version").out == f"klimit {klimit.__version__}\n"
    bare, asked = run(), run("--help")
    assert bare.status == asked.status == 0
    assert "Examples:" in bare.out
    assert bare.out == asked.out
    for command in ("frontier", "demo"):
        assert "Examples:" in run(command, "--help").out
