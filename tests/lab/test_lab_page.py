"""The page of the lab says what the files beside it say."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
WORLDS = ("safety", "summarization")


@pytest.fixture
def tables(monkeypatch):
    """The script that fills the page, and what it takes rows from."""
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("lab_tables")


@pytest.fixture(
    params=[
        "safety",
        "summarization",
        "safety-variants",
        "summarization-variants",
        "safety-seeds",
    ]
)
def found(request):
    """Results on file."""
    return json.loads((DOCS / "lab" / f"{request.param}.json").read_text())


def test_every_number_of_the_tables_is_as_on_file(tables):
    page = (DOCS / "lab.md").read_text()
    assert tables.filled(page) == page
    assert set(re.findall(r"<!-- (?!end)([a-z ]+) -->", page)) == set(tables.contents())


def test_a_number_that_changes_on_file_changes_the_page(tables, tmp_path, monkeypatch):
    page = (DOCS / "lab.md").read_text()
    for file in (DOCS / "lab").glob("*.json"):
        (tmp_path / file.name).write_text(file.read_text())
    other = json.loads((tmp_path / "safety.json").read_text())
    other["policies"][0]["efficiency"] = 0.123
    (tmp_path / "safety.json").write_text(json.dumps(other))
    monkeypatch.setattr("lab_cells.RESULTS", tmp_path)
    changed = [line for line in tables.filled(page).splitlines() if line not in page.splitlines()]
    assert sum("12.3" in line for line in changed) == 3  # the policy's row, shares and claims
    assert any(line.startswith("Of 66 intervals") for line in changed)  # one more does not hold it


def test_nothing_on_file_lies_above_its_exact_limit_and_parts_sum_to_the_kl(found):
    for row in found["policies"]:
        for numbers in (row, row.get("on_training_prompts", row)):
            assert numbers["efficiency"] <= 1 + 1e-9
            assert sum(numbers["parts"].values()) == pytest.approx(numbers["kl"], rel=1e-6)


def test_runs_on_file_were_followed_from_their_first_steps_to_the_policies_they_ended_in(found):
    ends = {row["name"]: row for row in found["policies"] if row["kind"] != "best-of-n"}
    assert ends.keys() == {curve["name"] for curve in found["curves"]}
    for curve in found["curves"]:
        points = curve["points"]
        assert len(points) >= (5 if curve["seed"] == 0 else 2)
        assert [point["samples"] for point in points] == [256 * point["step"] for point in points]
        end = ends[curve["name"]]
        assert points[-1]["held_out"]["gain"] == end["gain"]
        assert points[-1]["objective"] == end["objective"]["share"]
        assert points[-1]["step"] == end["training"]["steps"]


def test_figures_of_the_page_are_there():
    page = (DOCS / "lab.md").read_text()
    for world in WORLDS:
        for name in (f"lab-{world}.png", f"lab-{world}-curves.png"):
            assert (DOCS / "images" / name).read_bytes()[:4] == b"\x89PNG"
            assert f"](images/{name})" in page
