"""What a visitor meets first: the README's commands run and print what it shows; the files beside it hold up."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import chdir, redirect_stderr, redirect_stdout
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib import pyplot as plt
from test_docs_pages import BLOCK, DOCS, alike

import klimit
from klimit.cli.entry import run

ROOT = DOCS.parent
README = (ROOT / "README.md").read_text()
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the README's examples read, made as the pages that explain them make them."""
    folder = tmp_path_factory.mktemp("readme")
    with chdir(folder), redirect_stdout(io.StringIO()):
        for page in ("quickstart.md", "audit.md", "hacking.md"):
            namespace: dict[str, object] = {}
            blocks = BLOCK.finditer((DOCS / page).read_text())
            for block in takewhile(lambda found: found.group(1) == "python", blocks):
                exec(compile(block.group(2), page, "exec"), namespace)
    return folder


def begins_with(shown: str, printed: str) -> bool:
    """Whether what is shown is how the printed text begins."""
    lines = len(shown.strip().splitlines())
    return alike(shown, "\n".join(printed.splitlines()[:lines]))


EXAMPLES = [block.group(2) for block in BLOCK.finditer(README) if block.group(1) == "console"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split("\n", 1)[0])
def test_an_example_prints_what_the_readme_shows(example, data, monkeypatch):
    monkeypatch.chdir(data)
    monkeypatch.setenv("COLUMNS", "80")
    command, shown = example.split("\n", 1)
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        assert run(shlex.split(command.removeprefix("$ klimit "))) == 0
    assert shown.strip()
    assert begins_with(shown, out.getvalue()), f"outdated; the command prints\n{out.getvalue()}"


def test_an_example_that_says_otherwise_is_found_out():
    assert begins_with("gain 0.31\n", "gain 0.31\nKL 2\n")
    assert not begins_with("gain 0.41\n", "gain 0.31\nKL 2\n")
    assert not begins_with("KL 2\n", "gain 0.31\nKL 2\n")


def test_the_python_of_the_readme_runs(data, monkeypatch):
    monkeypatch.chdir(data)
    namespace: dict[str, object] = {}
    blocks = [block.group(2) for block in BLOCK.finditer(README) if block.group(1) == "python"]
    assert blocks
    for code in blocks:
        exec(compile(code, "README.md", "exec"), namespace)


def plain_commands() -> list[str]:
    """The commands of the README's blocks without a language, without their comments."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
    return [
        line.partition("#")[0].strip() for kind, block in blocks if not kind for line in block.splitlines()
    ]


def test_every_other_command_is_run_by_a_test_here():
    assert plain_commands() == ["make demo", "make test", "pip install ."]


@pytest.mark.parametrize("target", ["demo", "test", "docs", "format", "linkcheck"])
def test_make_knows_the_targets_that_are_named(target):
    named = README + (ROOT / "CONTRIBUTING.md").read_text()
    assert f"make {target}" in named
    steps = subprocess.run(
        ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    wanted = {"demo": "klimit demo", "test": "pytest", "docs": "sphinx-build -W", "format": "ruff format ."}
    assert wanted.get(target, target) in steps


def test_make_demo_and_make_test_are_what_every_change_must_pass():
    checks = (ROOT / ".ci" / "run").read_text().splitlines()
    assert {"make test", "make demo"} <= set(checks)


def test_pip_installs_all_that_klimit_needs_of_itself(tmp_path):
    """Built and installed elsewhere, the package holds every file of the source: templates as well as modules."""
    place = tmp_path / "installed"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(place), "."]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    source = ROOT / "src" / "klimit"
    kept = [p.relative_to(source) for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert [str(path) for path in kept if not (place / "klimit" / path).is_file()] == []
    assert (place / "bin" / "klimit").is_file()


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_links_lead_to_files_that_there_are(page):
    targets = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text())
    inner = [target for target in targets if "://" not in target]
    assert [target for target in inner if not (ROOT / target).is_file()] == []


def test_the_readme_opens_with_three_sentences_and_one_picture():
    opening = README.split("\n\n")
    assert opening[0] == "# klimit"
    assert len(re.findall(r"[.!?](?:\s|$)", re.sub(r'"[^"]*"', "", opening[1]))) == 3
    assert README.count("![") == 1
    assert opening[2].startswith("![")


# Citation, changes, templates.


def test_the_citation_names_this_version_and_the_paper():
    """By the schema of CFF 1.2.0: what it requires, and no key that it does not know."""
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert found["cff-version"] == "1.2.0"
    assert {"cff-version", "message", "title", "authors"} <= found.keys()
    known = {"abstract", "authors", "cff-version", "keywords", "license", "message", "references", "title"}
    assert found.keys() <= known | {"type", "version", "url", "repository-code", "date-released", "doi"}
    assert found["type"] == "software"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (found["version"], found["license"]) == (klimit.__version__, project["license"])
    assert all(each.keys() & {"name", "family-names"} for each in found["authors"])
    (paper,) = found["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert "2605.07105" in paper["url"]


def test_changes_are_kept_in_the_usual_form():
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    assert lines[0] == "# Changelog"
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0] == "## [Unreleased]"
    assert all(re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line) for line in versions[1:])
    kinds = {line for line in lines if line.startswith("### ")}
    assert kinds
    allowed = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
    assert kinds <= {f"### {kind}" for kind in allowed}


@pytest.mark.parametrize("path", [p for p in TEMPLATES if p.name != "config.yml"], ids=lambda p: p.stem)
def test_a_template_is_a_form(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys()
    ids = [each["id"] for each in form["body"]]
    assert len(ids) == len(set(ids))
    for each in form["body"]:
        assert each["type"] in ("textarea", "input", "dropdown", "checkboxes")
        assert each["attributes"]["label"]
    assert any(each.get("validations", {}).get("required") for each in form["body"])


def test_the_template_for_a_wrong_number_asks_for_data_seed_and_version():
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "wrong-number.yml").read_text())
    required = {each["id"] for each in form["body"] if each.get("validations", {}).get("required")}
    assert {"number", "data", "command", "seed", "version"} <= required


# The picture.


def test_the_picture_shows_the_numbers_of_its_world(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import pictures

    figure, ax = plt.subplots()
    try:
        pictures.draw_idea(ax)
        points = [line.get_xydata()[0] for line in ax.lines if len(line.get_xydata()) == 1]
        curve = max((line.get_xydata() for line in ax.lines), key=len)
        policy = pictures.trained_policy()
        assert any(np.allclose(point, (policy.kl, policy.gain)) for point in points)
        marks = np.concatenate([line.get_xydata() for line in ax.lines if len(line.get_xydata()) < 10])
        assert (marks[:, 1] <= np.interp(marks[:, 0], curve[:, 0], curve[:, 1]) + 1e-3).all()
    finally:
        plt.close(figure)


def test_the_picture_on_file_is_what_the_code_draws(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import pictures

    pictures.main(tmp_path / "idea.png")
    made, kept = (plt.imread(path) for path in (tmp_path / "idea.png", pictures.IDEA))
    assert made.shape == kept.shape
    assert np.abs(made - kept).mean() < 0.02, "run python docs/pictures.py"
