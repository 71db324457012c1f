"""Sets of prompts: from files and from the hub, each prompt once, in one form, under a key that stays."""

from __future__ import annotations

import csv
import json

import polars as pl
import pytest

import klimit
from klimit.cli.entry import run
from klimit.errors import InputError
from klimit.models.parts import read_metadata
from klimit.models.prompts import read_prompts

TEXTS = ["one?", "two?", "three, and more?", "vier\nfünf?"]


def write(path, prompts, column="prompt"):
    """A file of prompts of the kind that its name says."""
    rows = [{"n": i, column: prompt} for i, prompt in enumerate(prompts)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, ["n", column])
            writer.writeheader()
            writer.writerows(rows)
    else:
        pl.DataFrame(rows).write_parquet(path)
    return path


def made(name, output, **settings):
    return read_prompts(klimit.prompts(name, output=output, **settings))


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("column", ["prompt", "question"])
@pytest.mark.parametrize("written", ["out.parquet", "out.jsonl"])
def test_a_file_of_any_kind_gives_the_same_prompts_without_the_extra_of_models(
    ending, column, written, tmp_path, without_lm
):
    file = write(tmp_path / f"in.{ending}", TEXTS, column)
    found = made(file, tmp_path / written, column=column)
    assert [(each.prompt_id, each.prompt) for each in found] == list(enumerate(TEXTS))


def test_the_metadata_say_where_they_are_from(tmp_path):
    file = write(tmp_path / "in.jsonl", TEXTS)
    klimit.prompts(file, output=tmp_path / "out.parquet", limit=2, seed=3)
    about = read_metadata(tmp_path / "out.parquet")["prompts"]
    assert about["source"] == "in.jsonl"
    assert (about["limit"], about["seed"], about["merged"]) == (2, 3, 0)


def test_rows_with_one_prompt_become_one_and_the_count_is_said(tmp_path):
    file = write(tmp_path / "in.csv", ["a", "b", "a", "c", "b", "a"])
    said = []
    found = made(file, tmp_path / "out.parquet", say=said.append)
    assert [(each.prompt_id, each.prompt) for each in found] == [(0, "a"), (1, "b"), (3, "c")]
    assert said == [
        "3 rows repeat a prompt; each prompt is kept once",
        f"wrote {tmp_path / 'out.parquet'}: 3 prompts of {file}",
    ]


def test_keys_of_the_file_are_kept_and_others_of_the_same_prompt_are_told(tmp_path):
    rows = [("x", "a"), ("y", "b"), ("x", "a"), ("z", "b")]
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps({"prompt_id": key, "prompt": text}) + "\n" for key, text in rows))
    said = []
    found = made(file, tmp_path / "out.parquet", say=said.append)
    assert [(each.prompt_id, each.prompt) for each in found] == [("x", "a"), ("y", "b")]
    assert said[0] == "2 rows repeat a prompt, 1 of them under another prompt_id; each prompt is kept once"


def test_one_key_for_two_prompts_is_refused(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_text('{"prompt_id": 1, "prompt": "a"}\n{"prompt_id": 1, "prompt": "b"}\n')
    with pytest.raises(InputError, match="line 2: prompt_id 1 stands there twice"):
        made(file, tmp_path / "out.parquet")


def test_a_selection_is_random_seeded_in_order_and_keeps_the_keys_of_the_whole(tmp_path):
    file = write(tmp_path / "in.csv", [f"text {i}" for i in range(200)])
    whole = {each.prompt_id: each.prompt for each in made(file, tmp_path / "whole.parquet")}
    said = []
    found = {
        name: made(file, tmp_path / f"{name}.parquet", limit=50, seed=seed, say=said.append)
        for name, seed in (("one", 1), ("again", 1), ("two", 2))
    }
    assert found["one"] == found["again"] != found["two"]
    keys = [each.prompt_id for each in found["one"]]
    assert keys == sorted(keys) != list(range(50))
    assert all(whole[each.prompt_id] == each.prompt for each in found["one"])
    assert said[0].endswith("50 of 200 prompts (at random, seed 1) of " + str(file))


def test_texts_become_messages_when_asked_and_messages_stay(tmp_path):
    messages = [{"role": "user", "content": "a"}]
    file = write(tmp_path / "in.jsonl", ["a", "b"])
    found = made(file, tmp_path / "chat.parquet", chat=True)
    assert [each.messages() for each in found] == [messages, [{"role": "user", "content": "b"}]]
    assert all(each.is_chat for each in found)
    assert made(tmp_path / "chat.parquet", tmp_path / "again.jsonl", chat=True) == found


def test_samples_give_back_their_prompts(tmp_path):
    samples = pl.DataFrame({"prompt_id": [7, 7, 9], "prompt": ["a", "a", "b"], "completion": ["x", "y", "z"]})
    samples.write_parquet(tmp_path / "base.parquet")
    found = made(tmp_path / "base.parquet", tmp_path / "out.jsonl")
    assert [(each.prompt_id, each.prompt) for each in found] == [(7, "a"), (9, "b")]


def test_a_second_run_is_complete_and_another_is_not_mixed_in(tmp_path):
    file, output, said = write(tmp_path / "in.csv", TEXTS), tmp_path / "out.parquet", []
    klimit.prompts(file, output=output)
    klimit.prompts(file, output=output, say=said.append)
    assert said == [f"{output} is complete already"]
    before = output.read_bytes()
    with pytest.raises(InputError, match=r"is there already, with something else in it; .* --overwrite"):
        klimit.prompts(file, output=output, limit=2)
    assert output.read_bytes() == before
    assert len(made(file, output, limit=2, overwrite=True)) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"name": "none.jsonl"},
            "none.jsonl: no such file, and no known set of prompts; known are beavertails",
        ),
        ({"column": "question"}, r"no field 'question'; its fields: n, prompt"),
        ({"limit": 5}, "has 4 prompts, fewer than 5; leave --limit out"),
        ({"limit": 0}, "limit is 0; it must be a whole number"),
        ({"split": "train"}, "is a file, which has no splits"),
        ({"output": "out.txt"}, r"the name must end in .parquet or .jsonl"),
        ({"output": "no/such/out.jsonl"}, "cannot be written"),
        ({"output": "in.jsonl"}, "is the file that is read; name another"),
        (
            {"name": "beavertails", "split": "train"},
            "has no split 'train'; its splits: 330k_train, 330k_test",
        ),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_written(settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.jsonl", TEXTS)
    before = (tmp_path / "in.jsonl").read_bytes()
    with pytest.raises(InputError, match=message):
        klimit.prompts(**{"name": "in.jsonl", "output": "out.parquet", **settings})
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    assert (tmp_path / "in.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("prompt\na,b\n", "row 1: has more fields than the header has names"),
        ('prompt\n"a\n', "is no CSV"),
        ("n,prompt\n1\n", "row 1: the prompt is missing"),
        ("n,prompt\n1,\n", "row 1: the prompt is empty"),
        ("prompt\n", "holds no prompts"),
        ("", "holds no prompts"),
    ],
)
def test_a_csv_file_that_is_broken_is_told_by_row(content, message, tmp_path):
    (tmp_path / "in.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        made(tmp_path / "in.csv", tmp_path / "out.jsonl")


# The hub: `datasets` stands in for it, with the columns and splits that the sets document.


@pytest.fixture
def hub(monkeypatch):
    """What ``datasets.load_dataset`` would load, and what it was asked for."""
    datasets = pytest.importorskip("datasets", reason="needs the extra lm")
    safe = {"prompt": ["p", "q", "p"], "response": list("abc"), "is_safe": [True] * 3}
    safe["category"] = [{"animal_abuse": False}] * 3
    posts = {"prompt": ["SUBREDDIT: r/a\n\nTL;DR:", "POST: b\n\nTL;DR:"], "completion": [" a", " b"]}
    sets = {"PKU-Alignment/BeaverTails": safe, "trl-lib/tldr": posts}
    asked = []

    def load(name, split):
        asked.append((name, split))
        return datasets.Dataset.from_dict(sets[name])

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


@pytest.mark.parametrize(
    ("name", "split", "asked", "texts"),
    [
        ("beavertails", None, ("PKU-Alignment/BeaverTails", "330k_train"), ["p", "q"]),
        ("PKU-Alignment/BeaverTails", "30k_test", ("PKU-Alignment/BeaverTails", "30k_test"), ["p", "q"]),
        ("tldr", None, ("trl-lib/tldr", "train"), ["SUBREDDIT: r/a\n\nTL;DR:", "POST: b\n\nTL;DR:"]),
        (
            "TLDR",
            "validation",
            ("trl-lib/tldr", "validation"),
            ["SUBREDDIT: r/a\n\nTL;DR:", "POST: b\n\nTL;DR:"],
        ),
    ],
)
def test_the_two_tasks_come_from_the_hub_each_prompt_once(name, split, asked, texts, hub, tmp_path):
    found = made(name, tmp_path / "out.parquet", split=split)
    assert hub == [asked]
    assert [(each.prompt_id, each.prompt) for each in found] == list(enumerate(texts))
    about = read_metadata(tmp_path / "out.parquet")["prompts"]
    assert (about["source"], about["split"]) == asked


def test_a_column_that_the_set_has_not_is_told(hub, tmp_path):
    with pytest.raises(
        InputError, match="no column 'question'; its columns: prompt, response, is_safe, category"
    ):
        made("beavertails", tmp_path / "out.parquet", column="question")


def test_offline_the_hub_is_one_clear_line(tmp_path, monkeypatch, capsys):
    pytest.importorskip("datasets", reason="needs the extra lm")
    config = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    assert run(["prompts", "tldr", "-o", str(tmp_path / "out.parquet")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "klimit: asking the hub for trl-lib/tldr, train",
        "klimit: error: trl-lib/tldr: the hub cannot be reached, and no copy of the set lies here (offline?); "
        "go online, or give a file",
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            FileNotFoundError("Dataset 'x' doesn't exist on the Hub or cannot be accessed."),
            "does not give it",
        ),
        (ValueError("Bad split"), r"cannot be loaded \(Bad split\)"),
        (Exception(""), r"cannot be loaded \(Exception\)"),
        (OSError(28, "No space left on device"), "No space left"),
    ],
)
def test_other_failures_of_the_hub_are_told_by_their_reason(error, message, hub, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("datasets.load_dataset", fail)
    with pytest.raises(InputError, match=message) as told:
        made("tldr", tmp_path / "out.parquet")
    assert "offline" not in str(told.value)


def test_without_the_extra_of_models_the_hub_names_it(tmp_path, without_lm):
    with pytest.raises(InputError, match=r"datasets is not installed; .*pip install 'klimit\[lm\]'"):
        made("tldr", tmp_path / "out.parquet")


def test_the_command_writes_what_the_function_does(tmp_path, capsys):
    file = write(tmp_path / "in.csv", [*TEXTS, "one?"], "question")
    output = tmp_path / "out.parquet"
    options = ["--column", "question", "-n", "3", "--seed", "5", "--chat"]
    assert run(["prompts", str(file), "-o", str(output), *options]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "klimit: 1 rows repeat a prompt; each prompt is kept once",
        f"klimit: wrote {output}: 3 of 4 prompts (at random, seed 5) of {file}",
    ]
    assert read_prompts(output) == made(
        file, tmp_path / "b.parquet", column="question", limit=3, seed=5, chat=True
    )
