"""The folder of an experiment: what is done stays, what was made otherwise is set aside, changed files are noticed."""

from __future__ import annotations

import json

import pytest

from klimit.errors import InputError
from klimit.experiments.clock import time_left
from klimit.experiments.steps import Step
from klimit.experiments.store import Store


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


def making(folder, key, content=None):
    """A step that makes a file."""

    def do(parts):
        (folder / "made.txt").write_text(content or key)

    return Step("make", "made.txt", "make it", key, {"made.txt": key}, 1.0, do, "make")


def adding(folder, made_by, **keys):
    """A step that adds to it."""

    def do(parts):
        with (folder / "made.txt").open("a") as file:
            file.write("".join(f" {part}={keys[part]}" for part in parts))

    return Step("add", "made.txt", "add to it", made_by, keys, 1.0, do, "add")


def done(folder, *steps, seconds=2.0):
    """Do what is missing of some steps; what was missing."""
    store = Store(folder)
    found = []
    with store.open():
        for step in steps:
            store.take_back(step)
            missing = store.missing(step)
            found.append(missing)
            if missing:
                store.prepare(step)
                step.do(missing)
                store.finished(step, seconds, {})
    return found


def test_what_is_done_is_not_done_again(folder):
    steps = making(folder, "a"), adding(folder, "a", x="1")
    assert done(folder, *steps) == [["made.txt"], ["x"]]
    assert done(folder, *steps) == [[], []]
    assert (folder / "made.txt").read_text() == "a x=1"


def test_of_a_step_only_what_is_missing_is_done(folder):
    done(folder, making(folder, "a"), adding(folder, "a", x="1"))
    assert done(folder, making(folder, "a"), adding(folder, "a", x="1", y="2")) == [[], ["y"]]
    assert done(folder, making(folder, "a"), adding(folder, "a", x="3", y="2")) == [[], ["x"]]
    assert done(folder, making(folder, "a"), adding(folder, "a", y="2")) == [[], []]


def test_what_was_made_otherwise_is_set_aside_and_taken_back(folder):
    first = making(folder, "a"), adding(folder, "a", x="1")
    second = making(folder, "b"), adding(folder, "b", x="2")
    done(folder, *first)
    assert done(folder, *second) == [["made.txt"], ["x"]]
    assert (folder / "made.txt").read_text() == "b x=2"
    assert (folder / "earlier" / "made-a.txt").read_text() == "a x=1"
    assert done(folder, *first) == [[], []], "both lie there from before"
    assert (folder / "made.txt").read_text() == "a x=1"
    assert done(folder, making(folder, "a"), adding(folder, "a", x="5")) == [[], ["x"]]
    assert (folder / "made.txt").read_text() == "a x=1 x=5"
    assert (folder / "earlier" / "made-b.txt").read_text() == "b x=2"


def test_what_nobody_recorded_is_not_lost_where_something_else_is_taken_back(folder):
    done(folder, making(folder, "a"))
    done(folder, making(folder, "b"))
    store = Store(folder)
    with store.open():
        store.prepare(making(folder, "c"))
        (folder / "made.txt").write_text("c")  # and stopped before it was recorded
    done(folder, making(folder, "a"))
    assert (folder / "made.txt").read_text() == "a"
    assert {each.read_text() for each in (folder / "earlier").iterdir()} == {"b", "c"}


def test_what_is_not_to_be_kept_is_replaced(folder):
    from dataclasses import replace

    done(folder, replace(making(folder, "a"), keep=False))
    done(folder, replace(making(folder, "b"), keep=False))
    assert (folder / "made.txt").read_text() == "b"
    assert not (folder / "earlier").exists()


def test_a_file_that_somebody_changed_is_made_again_and_kept(folder):
    done(folder, making(folder, "a"), adding(folder, "a", x="1"))
    (folder / "made.txt").write_text("mine")
    assert done(folder, making(folder, "a"), adding(folder, "a", x="1")) == [["made.txt"], ["x"]]
    assert (folder / "made.txt").read_text() == "a x=1"
    assert [each.read_text() for each in (folder / "earlier").iterdir()] == ["mine"]


def test_a_file_that_is_gone_is_made_again(folder):
    done(folder, making(folder, "a"))
    (folder / "made.txt").unlink()
    assert done(folder, making(folder, "a")) == [["made.txt"]]


def test_a_step_that_was_stopped_before_it_was_recorded_does_not_cost_those_before_it(folder):
    step = adding(folder, "a", x="1")
    done(folder, making(folder, "a"))
    store = Store(folder)
    with store.open():
        store.prepare(step)
        step.do(["x"])
    assert done(folder, making(folder, "a"), step) == [[], ["x"]]


def test_one_process_holds_a_folder(folder):
    with (
        Store(folder).open(),
        pytest.raises(InputError, match="another process runs an experiment there"),
        Store(folder).open(),
    ):
        pass


def test_other_content_is_refused(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(
        InputError, match=r"holds other content \(no steps.json\); name another folder with -o"
    ):
        Store(folder)
    (folder / "steps.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read"):
        Store(folder)
    with pytest.raises(InputError, match="is a file; name a folder"):
        Store(folder / "thesis.tex")


def test_the_records_are_whole_json_with_time_and_versions(folder):
    done(folder, making(folder, "a"), seconds=3.0)
    record = json.loads((folder / "steps.json").read_text())["targets"]["made.txt"]
    assert record["made_by"] == "a"
    assert record["steps"]["make"]["seconds"] == 3.0
    assert record["steps"]["make"]["finished"][:2] == "20"


def test_the_time_left_is_told_from_what_was_timed(folder):
    steps = [making(folder, "a"), *(adding(folder, "a", x=str(i)) for i in range(3))]
    assert time_left(steps, {}) == ""
    assert time_left(steps, {"make": 1.0, "add": 100.0}) == "about 5 minutes left"
    assert time_left(steps, {"add": 100.0}) == "more than 5 minutes left"
    assert time_left(steps, {"make": 10.0}) == "", "a minute of an unknown whole tells nothing"
    assert time_left(steps, {"make": 1.0, "add": 1.0}) == "about a minute left"
    assert time_left(steps, {"make": 1.0, "add": 36000.0}) == "about 30.0 hours left"


def test_paces_are_seconds_for_a_unit_of_work(folder):
    done(folder, making(folder, "a"), adding(folder, "a", x="1"), seconds=4.0)
    assert Store(folder).paces() == {"make": 4.0, "add": 4.0}
    done(folder, making(folder, "b"), seconds=None)
    assert "make" not in Store(folder).paces(), "it was begun before, so nobody timed it"
