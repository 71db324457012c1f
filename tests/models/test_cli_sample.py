"""``klimit sample`` as a user meets it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import polars as pl
import pytest

from klimit.cli.entry import run


def arguments(model, prompts, output, *more):
    return [
        "sample", "--model", str(model), "--prompts", str(prompts), "-o", str(output), "--max-new-tokens", "4", *more
    ]  # fmt: skip


def test_it_writes_a_file_that_the_other_commands_read(tiny_model, prompts_file, tmp_path, capsys):
    output = tmp_path / "base.parquet"
    assert run(arguments(tiny_model, prompts_file, output, "-n", "40")) == 0
    assert capsys.readouterr().err == f"klimit: wrote {output}\n"
    frame = pl.read_parquet(output)
    assert frame.columns == [
        "prompt_id", "sample_id", "prompt", "completion", "prompt_token_ids", "completion_token_ids", "logprob",
        "finish_reason",
    ]  # fmt: skip
    rewarded = frame.with_columns(reward=pl.col("completion_token_ids").list.len().cast(pl.Float64))
    rewarded.write_parquet(tmp_path / "rewarded.parquet")
    assert run(["frontier", str(tmp_path / "rewarded.parquet")]) == 0


def test_a_second_run_says_that_it_is_complete(tiny_model, prompts_file, tmp_path, capsys):
    output = tmp_path / "base.parquet"
    for _ in range(2):
        assert run(arguments(tiny_model, prompts_file, output, "-n", "2")) == 0
    assert f"klimit: {output} is complete already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--temperature", "0"], "klimit: error: temperature is 0; it must be above 0"),
        (["--model", "none/none"], "klimit: error: none/none: is no folder here"),
        (["-n", "x"], "klimit: error: Invalid value for '-n'"),
    ],
)
def test_errors_are_one_line(more, message, tiny_model, prompts_file, tmp_path, capsys):
    assert run(arguments(tiny_model, prompts_file, tmp_path / "base.parquet", *more)) == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1
    assert not (tmp_path / "base.parquet").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_stops_it_and_the_next_run_goes_on(tiny_model, prompts_file, tmp_path):
    output = tmp_path / "base.parquet"
    command = [
        sys.executable,
        "-c",
        "from klimit.cli import main; main()",
        *arguments(tiny_model, prompts_file, output, "-n", "20000"),
    ]
    command += ["--batch-size", "4"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as started:
        folder = tmp_path / "base.parquet.parts"
        while not list(folder.glob("part-*.parquet")):
            assert started.poll() is None, started.stderr.read()
            time.sleep(0.05)
        pressed = time.monotonic()
        started.send_signal(signal.SIGINT)
        said = started.communicate(timeout=60)[1]
    assert time.monotonic() - pressed < 20
    assert started.returncode == 130
    assert said.splitlines()[-2:] == [
        "klimit: what is done is kept; the same command goes on from there",
        "klimit: interrupted",
    ]
    assert not output.exists()
    assert list(folder.glob("part-*.parquet"))
