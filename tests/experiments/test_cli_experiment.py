"""``klimit experiment`` on the command line."""

from __future__ import annotations

import json

import pytest

from klimit.cli.entry import run
from klimit.experiments.shipped import text_of


@pytest.fixture
def file(here, recipe):
    """The recipe as a file, with one beta."""
    lines = [
        *(f"{key} = {json.dumps(recipe[key])}" for key in recipe if key not in ("rewards", "training", "beta")),
        "beta = 0.5",
        *(f"[{table}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in recipe[table].items())
          for table in ("rewards", "training")),
    ]  # fmt: skip
    (here / "mine.toml").write_text("\n".join(lines))
    return here / "mine.toml"


def test_it_runs_and_tells_the_answer_and_what_it_wrote(file, here, capsys):
    assert run(["experiment", "mine.toml"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("Share of the limit of meant at the same KL: best-of-2 to 4: ")
    assert "\nOn 4 held-out prompts; in brackets" in said.out
    assert "rloo beta 0.5 " in said.out
    assert all(len(line) <= 80 for line in said.out.splitlines())
    assert "klimit: step 1 of 8: prepare prompts: prompts.jsonl; held out: 0.333 of them\n" in said.err
    assert said.err.endswith("klimit: wrote mine/report.html\nklimit: wrote mine/results.json\n")
    assert json.loads((here / "mine" / "results.json").read_text())["summary"] == said.out
    assert "klimit experiment mine.toml" in (here / "mine" / "report.html").read_text()

    assert run(["experiment", "mine.toml", "--dry-run"]) == 0
    plan = capsys.readouterr().out.splitlines()
    assert plan[0] == "mine: 8 steps, 8 done, in mine"
    assert plan[4] == "    4-7  done   rloo beta 0.5: train, sample, log-probabilities, score"
    assert run(["experiment", "mine.toml"]) == 0
    assert "step" not in capsys.readouterr().err


def test_a_dry_run_does_nothing(file, here, capsys):
    before = sorted(here.iterdir())
    assert run(["experiment", "mine.toml", "--dry-run", "-o", "elsewhere"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mine: 8 steps, 0 done, in elsewhere",
        "      1  to do  prepare prompts: prompts.jsonl; held out: 0.333 of them",
        "      2  to do  sample the base model on the held-out prompts, 64 completions each",
        "      3  to do  score the base model by proxy, meant",
        "    4-7  to do  rloo beta 0.5: train, sample, log-probabilities, score",
        "      8  to do  audit all policies; write report.html and results.json",
    ]
    assert [path for path in sorted(here.iterdir()) if path.name != "__pycache__"] == before


def test_a_recipe_is_shown_as_it_is_written_and_can_be_begun_from(here, capsys):
    assert run(["experiment", "lab-safety", "--show"]) == 0
    shown = capsys.readouterr().out
    assert shown == text_of("lab-safety")
    (here / "own.toml").write_text(shown)
    assert run(["experiment", "own.toml", "--show"]) == 0
    assert capsys.readouterr().out == shown


def test_recipes_are_listed(capsys):
    assert run(["experiment", "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [
        "lab-safety",
        "lab-summarization",
        "safety",
        "summarization",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "klimit: error: which experiment? give a TOML file, or a recipe's name (--list shows them)\n"),
        (
            ["nowhere.toml"],
            "klimit: error: nowhere.toml: no such file, and no recipe of that name; known are",
        ),
        (["bad.toml"], "klimit: error: bad.toml: no key 'modle'; did you mean 'model'?\n"),
        (["bad.toml", "--show"], "klimit: error: bad.toml: no key 'modle'"),
        (["bad.toml", "--dry-run"], "klimit: error: bad.toml: no key 'modle'"),
        (["mine.toml", "-o", "mine.toml"], "klimit: error: mine.toml: is a file; name a folder with -o\n"),
        (["mine.toml", "-o", "."], "klimit: error: .: holds other content (no steps.json)"),
    ],
)
def test_mistakes_are_one_line(file, here, capsys, arguments, said):
    (here / "bad.toml").write_text('modle = "x"')
    assert run(["experiment", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(said)
    assert shown.err.count("\n") == 1
    assert shown.out == ""
