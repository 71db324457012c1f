"""Bad input ends a command with status 2 and one line on stderr; nothing is written, no traceback shown."""

import json

import numpy as np
import pandas as pd
import pytest
from cli_samples import table

GOOD = table(6, 8)


def changed(row, column, value):
    frame = GOOD.astype({column: object}) if isinstance(value, str) else GOOD.copy()
    frame.loc[row, column] = value
    return frame


def parquet_bytes(tmp_path):
    GOOD.to_parquet(tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (tmp_path / "whole.parquet").unlink()
    return content


def refused(run, folder, *arguments, said):
    """Run with both outputs asked for: neither may appear."""
    outputs = [] if "--json" in arguments else ["--json", folder / "out.json"]
    outputs += [] if "--plot" in arguments else ["--plot", folder / "out.png"]
    before = sorted(folder.iterdir())
    done = run("frontier", *arguments, *outputs)
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("klimit: error: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    assert said in done.err
    assert sorted(folder.iterdir()) == before


def test_a_missing_file_names_the_nearest(run, samples, tmp_path):
    refused(run, tmp_path, tmp_path / "sample.parquet", said="did you mean")


def test_a_missing_column_names_the_nearest(run, samples, tmp_path):
    refused(run, tmp_path, samples, "--reward", "rewrd", said="did you mean 'reward'?")
    refused(run, tmp_path, samples, "--prompt", "promptid", said="did you mean 'prompt_id'?")


def test_an_empty_file(run, tmp_path):
    (tmp_path / "empty.parquet").touch()
    refused(run, tmp_path, tmp_path / "empty.parquet", said="the file is empty")


def test_a_file_with_columns_but_no_rows(run, tmp_path):
    (tmp_path / "none.csv").write_text("prompt_id,reward\n")
    refused(run, tmp_path, tmp_path / "none.csv", said="no rows")


def test_rewards_that_are_words(run, tmp_path):
    (tmp_path / "words.csv").write_text("prompt_id,reward\na,good\na,bad\n")
    refused(run, tmp_path, tmp_path / "words.csv", said="reward")


def test_rewards_of_mixed_types(run, tmp_path):
    rows = [{"prompt_id": 1, "reward": 1.0}, {"prompt_id": 1, "reward": "high"}]
    (tmp_path / "mixed.jsonl").write_text("\n".join(map(json.dumps, rows)))
    refused(run, tmp_path, tmp_path / "mixed.jsonl", said="reward")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rewards_that_are_not_finite_are_counted_and_placed(run, tmp_path, value):
    changed(10, "reward", value).to_parquet(tmp_path / "bad.parquet")
    refused(run, tmp_path, tmp_path / "bad.parquet", "--reward", "reward", said="1 ")


def test_a_missing_prompt_id(run, tmp_path):
    changed(3, "prompt_id", np.nan).to_parquet(tmp_path / "bad.parquet")
    refused(run, tmp_path, tmp_path / "bad.parquet", said="prompt_id")


def test_one_prompt_id_with_two_texts(run, tmp_path):
    frame = GOOD.assign(prompt=["text " + str(i) for i in GOOD["prompt_id"]])
    frame.loc[1, "prompt"] = "another text"
    frame.to_parquet(tmp_path / "bad.parquet")
    refused(run, tmp_path, tmp_path / "bad.parquet", said="prompt")


def test_a_repeated_sample_id(run, tmp_path):
    changed(1, "sample_id", 0).to_parquet(tmp_path / "bad.parquet")
    refused(run, tmp_path, tmp_path / "bad.parquet", said="sample_id")


def test_rewards_in_three_dimensions(run, tmp_path):
    rows = [{"prompt_id": i, "reward": [[0.0, 1.0], [1.0, 0.0]]} for i in range(3)]
    (tmp_path / "deep.jsonl").write_text("\n".join(map(json.dumps, rows)))
    refused(run, tmp_path, tmp_path / "deep.jsonl", said="reward")


@pytest.mark.parametrize("budgets", ["-1", "0", "0.5,0", "nan", "0.5,,1", "half"])
def test_budgets_that_are_none(run, samples, tmp_path, budgets):
    refused(run, tmp_path, samples, "--kl", budgets, said="kl")


@pytest.mark.parametrize(
    ("sizes", "said"), [("4,25", "N = 25 is above 24"), ("0", "at least 1"), ("2.5", "--n")]
)
def test_an_n_above_the_completions_or_none_at_all(run, samples, tmp_path, sizes, said):
    refused(run, tmp_path, samples, "--reward", "reward", "--n", sizes, said=said)


@pytest.mark.parametrize("cut", [100, -20])
def test_a_truncated_parquet_file(run, tmp_path, cut):
    (tmp_path / "cut.parquet").write_bytes(parquet_bytes(tmp_path)[:cut])
    refused(run, tmp_path, tmp_path / "cut.parquet", said="cut.parquet")


def test_a_corrupt_parquet_file(run, tmp_path):
    content = bytearray(parquet_bytes(tmp_path))
    content[4:-8] = bytes(len(content) - 12)
    (tmp_path / "bad.parquet").write_bytes(content)
    refused(run, tmp_path, tmp_path / "bad.parquet", said="bad.parquet")


def test_a_broken_csv(run, tmp_path):
    (tmp_path / "bad.csv").write_text('prompt_id,reward\n1,0.5\n1,"0.7\n2,3,4,5\n')
    refused(run, tmp_path, tmp_path / "bad.csv", said="bad.csv")


def test_several_rewards_and_no_choice(run, tmp_path):
    GOOD.rename(columns={"reward": "reward_a", "correct": "reward_b"}).to_parquet(tmp_path / "two.parquet")
    refused(run, tmp_path, tmp_path / "two.parquet", said="--reward")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--json", "{folder}/none/out.json", "there is no folder"),
        ("--json", "{folder}", "is a folder"),
        ("--json", "{folder}/samples.parquet", "would destroy it"),
        ("--json", "{folder}/" + "x" * 300 + ".json", "cannot be written"),
        ("--plot", "{folder}/none/out.png", "there is no folder"),
        ("--plot", "{folder}/out.jpeg", "must end in .png, .svg, .pdf"),
        ("--plot", "{folder}/out", "must end in"),
    ],
)
def test_an_output_path_that_cannot_be_written(run, samples, tmp_path, option, value, said):
    value = value.format(folder=tmp_path)
    refused(run, tmp_path, samples, "--reward", "reward", option, value, said=said)


def test_outputs_are_checked_before_the_samples_are_read(run, samples, tmp_path, monkeypatch):
    monkeypatch.setattr("klimit.samples.as_samples", lambda *_, **__: pytest.fail("read too early"))
    refused(run, tmp_path, samples, "--plot", tmp_path / "none" / "out.png", said="there is no folder")


def test_two_outputs_of_one_name(run, samples, tmp_path):
    same = tmp_path / "out.png"
    refused(run, tmp_path, samples, "--json", same, "--plot", same, said="named for two outputs")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "mean"], "choose one of 'average', 'per-prompt'"),
        (["--target", "all"], "choose one of 'population', 'these-prompts'"),
        (["--level", "95"], "give a probability"),
        (["--seed", "-1"], "not negative"),
        (["--where", "reward >"], "where"),
        (["--where", "reward > 99"], "keeps none"),
        (["--reward", "correct", "--reward-max", "0.5"], "reward_max"),
        (["--level", "high"], "--level"),
        (["--no-such-option"], "--no-such-option"),
        (["--kl"], "--kl"),
    ],
)
def test_options_that_cannot_be(run, samples, tmp_path, arguments, said):
    reward = [] if "--reward" in arguments else ["--reward", "reward"]
    refused(run, tmp_path, samples, *reward, *arguments, said=said)


@pytest.mark.parametrize("arguments", [["fronteir"], ["frontier"], ["--nothing"]])
def test_usage_errors_are_one_line_that_points_to_help(run, arguments):
    done = run(*arguments)
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "--help" in done.err


def test_line_breaks_and_escapes_in_names_stay_on_one_line(run, tmp_path):
    frame = pd.DataFrame({"prompt_id": ["a", "a"], "re\nward\x1b[31m": [0.0, 1.0]})
    frame.to_parquet(tmp_path / "odd.parquet")
    refused(run, tmp_path, tmp_path / "odd.parquet", said="no reward column")
