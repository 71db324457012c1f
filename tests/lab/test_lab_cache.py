"""What was built is kept: whole or not at all, by what it was made from, and built once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from lab_worlds import small

from klimit.errors import InputError
from klimit.lab import open_world
from klimit.lab.cache import cache_folder, kept


def test_a_world_is_built_once(safety, cache):
    def refuse(line):
        raise AssertionError("built again")

    again = open_world(small("safety"), cache=cache, say=refuse)
    assert again.folder == safety.folder


def test_one_seed_makes_one_world_and_another_seed_another(safety, tmp_path):
    again = open_world(small("safety"), cache=tmp_path)
    np.testing.assert_array_equal(again.base.logprob, safety.base.logprob)
    for name in ("gold", *safety.proxies):
        np.testing.assert_array_equal(again.rewards(name), safety.rewards(name))
    other = open_world(small("safety", seed=1), cache=tmp_path)
    assert other.folder != again.folder
    assert other.prompts.all != again.prompts.all
    assert np.abs(other.base.logprob - again.base.logprob).max() > 0.1


def test_the_folder_is_the_one_given_else_the_variables_else_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("KLIMIT_CACHE", str(tmp_path / "variable"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache_folder(tmp_path / "given") == tmp_path / "given"
    assert cache_folder() == tmp_path / "variable"
    monkeypatch.delenv("KLIMIT_CACHE")
    assert cache_folder() == tmp_path / "user" / "klimit"


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "half").write_text("half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        kept(tmp_path / "world", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["world.lock"]


def test_what_a_killed_build_left_is_cleared_away_and_never_taken_for_a_world(tmp_path):
    (tmp_path / ".world-dead.building").mkdir()
    folder = kept(tmp_path / "world", lambda target: (target / "file").touch())
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert not list(tmp_path.glob("*.building"))


def build_and_count(folder):
    def build(target):
        (folder / f"built-{multiprocessing.current_process().pid}").touch()
        (target / "file").touch()

    kept(folder / "world", build)


def test_two_at_once_build_one(tmp_path):
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=build_and_count, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
        assert process.exitcode == 0
    assert len(list(tmp_path.glob("built-*"))) == 1


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written .* set KLIMIT_CACHE to a folder"):
        kept(tmp_path / "file" / "lab" / "world", Path.touch)


def test_every_part_of_a_recipe_is_part_of_its_key():
    recipe = small("safety")
    others = [
        small("safety", **change)
        for change in ({"seed": 1}, {"steps": 61}, {"held_out": 3}, {"proxies": ()}, {"width": 24})
    ]
    assert len({each.key for each in [recipe, small("summarization"), *others]}) == 7
    assert recipe.key == small("safety").key


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("poetry", {}, "no world 'poetry'; there are safety, summarization"),
        ("safety", {"length": 6}, "1,111,111 completions a prompt; enumeration takes at most 200,000"),
        ("safety", {"train": 0}, "train is 0; it must be a whole number, 1 or more"),
        ("safety", {"seed": -1}, "seed is -1"),
        ("safety", {"width": 20}, "width is 20; it must be a multiple of 8"),
        ("safety", {"proxies": small("safety").proxies[:1] * 2}, "each needs a name of its own"),
    ],
)
def test_recipes_that_no_world_can_be_made_from_are_refused(task, change, message):
    with pytest.raises(InputError, match=message):
        small(task, **change)


def test_more_prompts_than_there_are_kinds_are_refused_and_nothing_is_kept(tmp_path):
    with pytest.raises(InputError, match="safety has 48 kinds of prompts"):
        open_world(small("safety", train=47), cache=tmp_path)
    assert not [path for path in (tmp_path / "lab").iterdir() if path.is_dir()]
