"""Python functions as rewards: given what TRL's trainers give, checked row by row, resumable; without torch."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import numpy as np
import polars as pl
import pytest

import klimit
from klimit.cli.entry import run
from klimit.errors import InputError
from klimit.models.functions import FunctionReward
from klimit.models.parts import read_metadata

TEXTS = pl.DataFrame(
    {
        "prompt_id": [0, 0, 1, 1, 2],
        "prompt": ["p", "p", "q", "q", "r"],
        "completion": ["a", "bb", "", "cccc", "ddd"],
        "completion_token_ids": [[2], [3, 3], [0], [4, 4, 4, 4], [5, 5, 5]],
        "answer": ["a", "b", "c", "d", "e"],
    }
)
LENGTHS = [1.0, 2.0, 0.0, 4.0, 3.0]


def length(completions, **kwargs):
    return [float(len(each)) for each in completions]


def user(text):
    return [{"role": "user", "content": text}]


def assistant(text):
    return [{"role": "assistant", "content": text}]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def base():
    """A file of samples in the current folder."""
    TEXTS.write_parquet("base.parquet")
    return "base.parquet"


def module(name, text):
    """A module in the current folder."""
    with open(f"{name}.py", "w") as opened:
        opened.write(text)


def scored(reward, path="base.parquet", **settings):
    return pl.read_parquet(klimit.score(reward=reward, input=path, **settings))


# What a function is given, and what becomes of what it returns


@pytest.mark.parametrize("chat", [False, True])
def test_it_is_given_what_trainers_give(chat, base):
    frame = TEXTS
    if chat:
        frame = frame.with_columns(prompt=pl.Series([user(text) for text in frame["prompt"]]))
    frame.write_parquet(base)
    seen = []

    def reward(prompts, completions, **kwargs):
        seen.append({"prompts": prompts, "completions": completions, **kwargs})
        return [0.0] * len(prompts)

    scored(reward, batch_size=5)
    texts, answers = frame["prompt"].to_list(), TEXTS["completion"].to_list()
    assert seen == [
        {
            "prompts": texts,
            "completions": [assistant(each) for each in answers] if chat else answers,
            "completion_ids": TEXTS["completion_token_ids"].to_list(),
            "completion_token_ids": TEXTS["completion_token_ids"].to_list(),
            "prompt_id": [0, 0, 1, 1, 2],
            "answer": list("abcde"),
        }
    ]


def test_completions_that_are_messages_already_stay_so(base):
    messages = {"prompt": [user("p")] * 2, "completion": [assistant("a"), assistant("bb")]}
    pl.DataFrame(messages).write_parquet(base)
    found = scored(lambda completions, **kwargs: [len(each[0]["content"]) for each in completions])
    assert found["reward_lambda"].to_list() == [1.0, 2.0]


def test_a_function_may_take_only_what_it_needs(base):
    def right(completions, answer):
        return [each == wanted for each, wanted in zip(completions, answer, strict=True)]

    assert scored(right)["reward_right"].to_list() == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_a_function_may_be_a_coroutine_also_where_a_loop_runs_already(base):
    async def slow(completions, **kwargs):
        await asyncio.sleep(0)
        return length(completions)

    async def notebook():
        return scored(slow, output="notebook.parquet")

    assert scored(slow, output="plain.parquet")["reward_slow"].to_list() == LENGTHS
    assert asyncio.run(notebook())["reward_slow"].to_list() == LENGTHS


@pytest.mark.parametrize(
    "made",
    [
        list,
        tuple,
        np.array,
        lambda values: [np.float32(each) for each in values],
        lambda values: map(int, values),
    ],
)
def test_whatever_holds_one_number_a_completion_is_a_float64_column_at_the_end(made, base):
    found = scored({"size": lambda completions: made(length(completions))})
    assert found.columns == [*TEXTS.columns, "reward_size"]
    assert found.schema["reward_size"] == pl.Float64
    assert found["reward_size"].to_list() == LENGTHS
    assert found.drop("reward_size").equals(TEXTS)


def test_a_function_of_a_module_in_the_current_folder_is_found_and_recorded(base):
    module("my_rewards", "def size(completions, **kwargs):\n    return [len(each) for each in completions]\n")
    assert scored("my_rewards:size")["reward_size"].to_list() == LENGTHS
    about = read_metadata(base)["score reward_size"]
    assert about["reward"] == "my_rewards:size"
    assert len(about["source"]) == 16
    assert about["engine"].startswith("Python 3.")
    assert str(os.getcwd()) not in sys.path


def test_a_module_that_was_changed_is_read_anew(base):
    for factor in (2, 3):
        module(
            "changing_rewards",
            f"def size(completions):\n    return [{factor} * len(e) for e in completions]\n# {factor}",
        )
        found = scored("changing_rewards:size", output=f"{factor}.parquet")
        assert found["reward_size"].to_list() == [factor * each for each in LENGTHS]
    sources = [read_metadata(f"{factor}.parquet")["score reward_size"]["source"] for factor in (2, 3)]
    assert sources[0] != sources[1]


def test_a_source_that_cannot_be_read_is_told(base):
    namespace = {}
    exec("def size(completions):\n    return [len(each) for each in completions]", namespace)
    said = []
    scored(namespace["size"], say=said.append)
    assert "size cannot be read: a change of it between runs would not be noticed" in said[0]
    assert read_metadata(base)["score reward_size"]["source"] is None


def test_several_in_one_pass_each_with_metadata_of_its_own(base):
    calls = []

    def one(completions):
        calls.append("one")
        return length(completions)

    def two(completions):
        calls.append("two")
        return [-each for each in length(completions)]

    found = scored([one, two], batch_size=3)
    assert calls == ["one", "two"] * 2
    assert found["reward_two"].to_list() == [-each for each in LENGTHS]
    scored({"three": one})
    steps = read_metadata(base)
    assert list(steps) == ["score reward_one", "score reward_two", "score reward_three"]
    assert [steps[name]["columns"] for name in steps] == [["reward_one"], ["reward_two"], ["reward_three"]]


@pytest.mark.parametrize(
    ("asked", "column"),
    [
        ("my.package:size", "reward_size"),
        ("my.package:Scorer.size", "reward_size"),
        ("my.package:reward_size", "reward_size"),
        ("short=my.package:size", "reward_short"),
        ("reward_short=my.package:size", "reward_short"),
        ("Skywork/Skywork-Reward-V2-Qwen3-0.6B", "reward_Skywork_Reward_V2_Qwen3_0_6B"),
        ("safe=./guard", "reward_safe"),
        ("/models/guard/", "reward_guard"),
        ("./a=b", "reward_a_b"),
    ],
)
def test_a_column_is_named_after_its_reward(asked, column):
    from klimit.models.rewards import asked as read

    (found,) = read(asked)
    assert found.column == column
    assert found.is_function == (":" in asked)


# What cannot be used


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("[1.0, 2.0]", r"base.parquet, rows 1 to 5: bad:reward returned 2 rewards for 5 completions"),
        ("[1.0] * 6", "returned 6 rewards for 5 completions"),
        ("None", "returned None; a list of floats is needed"),
        ("1.0", r"returned float 1\.0; a list of floats"),
        ("'12345'", "returned str '12345'; a list of floats"),
        ("[0, 0, None, 0, 0]", "base.parquet, row 3: bad:reward gave None; every completion needs a reward"),
        (
            "[0, 0, 0, float('nan'), 0]",
            "base.parquet, row 4: bad:reward gave nan; a reward is a finite number",
        ),
        ("[0, float('-inf'), 0, 0, 0]", "row 2: bad:reward gave -inf"),
        ("['1', 0, 0, 0, 0]", "row 1: bad:reward gave str '1', which is no number"),
        ("[[0], 0, 0, 0, 0]", r"row 1: bad:reward gave list \[0\], which is no number"),
        ("__import__('numpy').zeros((5, 1))", "row 1: bad:reward gave ndarray .*, which is no number"),
        (
            "[1 // len(c) for c in completions]",
            r"row 3: bad:reward raised ZeroDivisionError: .* \(bad.py, line 2\)",
        ),
        ("__import__('sys').exit()", r"row 1: bad:reward raised SystemExit \(bad.py, line 2\)"),
        (
            "[0] if len(completions) == 1 else completions[9]",
            "rows 1 to 2: bad:reward raised IndexError: list index out of range",
        ),
    ],
)
def test_a_function_that_fails_is_told_with_the_row_and_nothing_is_written(returned, message, base, capsys):
    module("bad", f"def reward(completions, **kwargs):\n    return {returned}\n")
    before = TEXTS.equals(pl.read_parquet(base))
    with pytest.raises(InputError, match=message):
        scored("bad:reward", batch_size=5)
    assert before
    assert pl.read_parquet(base).equals(TEXTS)
    assert run(["score", "--reward", "bad:reward", "-i", base, "-o", "out.parquet", "--batch-size", "5"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("klimit: error: base.parquet, ")
    assert said.count("\n") == 1
    assert not os.path.exists("out.parquet")


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("no.such.module:f", "no.such.module:f: no module 'no', neither installed nor in the current folder"),
        ("json:f", "json:f: json has no 'f'"),
        ("json:tool.f", r"json has no 'tool\.f'"),
        ("sys:path", "sys:path: is list .*, not a function"),
        ("broken:f", r"broken:f: the module cannot be imported \(ZeroDivisionError: "),
        (
            "needy:f",
            r"the module cannot be imported \(ModuleNotFoundError: No module named 'no_such_thing'\)",
        ),
        ("quits:f", r"the module cannot be imported \(SystemExit: 3\)"),
        (
            lambda trainer_state, **kwargs: [],
            "asks for 'trainer_state', and base.parquet has no such column; it can",
        ),
        (len, "builtins:len: takes 'obj' by position only"),
        ([length, length], "two rewards are named reward_length; name them apart"),
        ([], "no reward was given"),
        ("", "a reward is empty"),
        (3, "a reward is int 3; give a path"),
        ({"a b": length}, "a reward is named 'a b'; a name is of letters, digits and underscores"),
    ],
)
def test_what_is_no_reward_is_told(reward, message, base):
    module("broken", "1 / 0")
    module("needy", "import no_such_thing")
    module("quits", "raise SystemExit(3)")
    with pytest.raises(InputError, match=message):
        scored([reward] if reward == 3 else reward)
    assert pl.read_parquet(base).equals(TEXTS)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (TEXTS.drop("completion"), "no column 'completion'; a reward is given prompt and completion"),
        (TEXTS.drop("prompt"), "no column 'prompt'; "),
        (TEXTS.head(0), "holds no completions"),
        (
            TEXTS.with_columns(completion=pl.Series(["a", None, "b", "c", None])),
            r"row 2: completion is missing \(2 rows\)",
        ),
        (TEXTS.with_columns(completion=pl.col("prompt_id")), "completion is int64; a text, or chat messages"),
        (
            TEXTS.with_columns(completion=pl.Series([assistant("a")] * 5)),
            "completions are chat messages and prompts are texts",
        ),
        (
            TEXTS.with_columns(prompt=pl.Series([[{"role": "robot", "content": "a"}]] * 5)),
            "row 1: a message's role is 'robot'",
        ),
        (
            TEXTS.with_columns(reward_length=pl.lit(1.0)),
            "has reward_length already; give --overwrite to replace",
        ),
    ],
)
def test_a_file_that_cannot_be_scored_is_told(frame, message):
    frame.write_parquet("base.parquet")
    with pytest.raises(InputError, match=message):
        scored(length) if "role" not in message else scored(lambda prompts: [0.0] * len(prompts))
    assert pl.read_parquet("base.parquet").equals(frame)


def test_a_file_that_is_not_there_or_no_parquet_is_told():
    with pytest.raises(InputError, match=r"none.parquet: no such file"):
        scored(length, "none.parquet")
    with open("text.parquet", "w") as opened:
        opened.write("x")
    with pytest.raises(InputError, match="is no Parquet file that can be read"):
        scored(length, "text.parquet")


# Stopped, gone on, mixed


def test_interrupted_it_goes_on_where_it_stopped(base):
    seen = []

    def stops(completions):
        seen.append(completions)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return length(completions)

    with pytest.raises(KeyboardInterrupt):
        scored(stops, batch_size=1)
    assert pl.read_parquet(base).equals(TEXTS)
    said = []
    assert scored(stops, batch_size=1, say=said.append)["reward_stops"].to_list() == LENGTHS
    assert said == ["2 of 5 completions are there already", "wrote base.parquet"]
    assert len(seen) == 3 + 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_random_points_it_ends_with_the_same_rows():
    n = 400
    frame = pl.DataFrame({"prompt": ["p"] * n, "completion": [str(i) for i in range(n)]})
    frame.write_parquet("base.parquet")
    random = np.random.default_rng(0)

    def slow(completions):
        time.sleep(0.002)
        return [float(each) for each in completions]

    kills, longest = 0, 0.4
    while kills < 10:
        child = os.fork()
        if child == 0:
            klimit.score(reward=slow, input="base.parquet", output="out.parquet", batch_size=4)
            os._exit(0)
        time.sleep(random.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.path.exists("out.parquet"):
            os.unlink("out.parquet")
            longest *= 0.8
        kills += os.WIFSIGNALED(status)
    found = scored(slow, output="out.parquet", batch_size=4)
    assert found.equals(frame.with_columns(reward_slow=pl.Series(range(n), dtype=pl.Float64)))
    assert sorted(os.listdir()) == ["base.parquet", "out.parquet"]


def test_rewards_of_a_function_that_was_changed_are_not_mixed(base):
    text = (
        "def size(completions):\n    if 'ddd' in completions:\n        raise KeyboardInterrupt\n"
        "    return [{}] * len(completions)\n"
    )
    module("edited_rewards", text.format(1))
    with pytest.raises(KeyboardInterrupt):
        scored("edited_rewards:size", batch_size=1)
    module("edited_rewards", text.format(22).replace("'ddd'", "None"))
    with pytest.raises(InputError, match=r"was begun with other settings \(source .* before, .* now\)"):
        scored("edited_rewards:size", batch_size=1)
    found = scored("edited_rewards:size", batch_size=1, overwrite=True)
    assert found["reward_size"].to_list() == [22.0] * 5


def test_a_second_run_is_complete_and_another_function_replaces_only_when_asked(base):
    said = []
    scored({"r": length})
    scored({"r": length}, say=said.append)
    assert said == ["base.parquet is complete already"]

    def other(completions):
        return [7.0] * len(completions)

    with pytest.raises(InputError, match="has reward_r already; give --overwrite"):
        scored({"r": other})
    found = scored({"r": other}, overwrite=True)
    assert found["reward_r"].to_list() == [7.0] * 5
    assert read_metadata(base)["score reward_r"]["reward"].endswith("other")


def test_an_output_made_otherwise_is_not_mixed_in(base):
    scored({"r": length}, output="out.parquet")
    with pytest.raises(
        InputError, match=r"out.parquet: is there already, made with other settings \(reward "
    ):
        scored({"r": lambda completions: [0.0] * len(completions)}, output="out.parquet")
    with pytest.raises(InputError, match=r"out.parquet: is there already, not made by this step"):
        scored({"s": length}, output="out.parquet")
    assert pl.read_parquet("out.parquet")["reward_r"].to_list() == LENGTHS


@pytest.mark.parametrize("error", [MemoryError(), type("OutOfMemoryError", (RuntimeError,), {})()])
def test_out_of_memory_halves_the_batch_and_says_so(error, base):
    def large(completions):
        if len(completions) > 2:
            raise error
        return length(completions)

    said = []
    assert scored(large, say=said.append)["reward_large"].to_list() == LENGTHS
    assert said[:2] == [
        "out of memory at 5 completions at once; going on with 2",
        "wrote base.parquet",
    ]


def test_rows_are_named_as_in_the_file_whatever_the_batch(base):
    with pytest.raises(InputError, match=r"row 4: .* gave None"):
        scored(lambda completions: [None if each == "cccc" else 0.0 for each in completions], batch_size=2)


# Without the extra of models, and as a command


def test_it_needs_no_torch(base, without_lm):
    module(
        "light_rewards", "def size(completions, **kwargs):\n    return [len(each) for each in completions]\n"
    )
    assert scored("light_rewards:size")["reward_size"].to_list() == LENGTHS
    assert "torch" not in sys.modules
    with pytest.raises(InputError, match=r"torch is not installed; .*pip install 'klimit\[lm\]'"):
        scored("./model")


def test_the_command_adds_several_and_frontier_reads_them(base, capsys):
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"prompt_id": np.repeat(np.arange(20), 32), "prompt": ["p"] * 640})
    words = ["x" * each for each in random.integers(0, 9, 640)]
    frame.with_columns(completion=pl.Series(words)).write_parquet(base)
    module("cli_rewards", "def size(completions, **_):\n    return [len(each) for each in completions]\n")
    rewards = ["--reward", "long=cli_rewards:size", "--reward", "cli_rewards:size"]
    assert run(["score", *rewards, "-i", base, "-o", "scored.parquet"]) == 0
    assert capsys.readouterr().err == "klimit: wrote scored.parquet\n"
    found = pl.read_parquet("scored.parquet")
    assert found["reward_long"].equals(found["reward_size"].alias("reward_long"))
    assert run(["frontier", "scored.parquet", "--reward", "reward_long"]) == 0


def test_the_identity_follows_the_function_not_the_batch(base):
    from klimit.models.answers import read_answers
    from klimit.models.appending import Given

    answers = read_answers(Given(klimit.score(reward=length, input=base)))
    one, two = (FunctionReward(each, "name", answers).identity for each in (length, np.mean))
    assert one["source"] != two["source"]
