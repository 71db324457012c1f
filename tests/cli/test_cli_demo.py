"""``klimit demo``: the whole job without input, beside the truth."""

import re
import sys
from types import SimpleNamespace

import pytest


def test_the_demo_shows_the_job_the_truth_and_where_the_figure_went(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("demo", "--no-lab")
    assert (done.status, done.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["klimit-demo.png"]
    assert done.out.endswith("Figure: klimit-demo.png\n")
    assert "Next: " in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_the_demo_covers_the_truth_where_the_naive_estimate_misses_it(run, tmp_path):
    done = run("demo", "--no-lab", "--plot", tmp_path / "demo.svg")
    rows = re.findall(r"(covers|misses) +\+.*(covers|misses)$", done.out, re.M)
    assert len(rows) >= 3
    assert {ours for ours, _ in rows} == {"covers"}
    assert rows[-1][1] == "misses"


def test_the_demo_refuses_a_figure_that_it_cannot_draw(run, tmp_path):
    done = run("demo", "--no-lab", "--plot", tmp_path / "demo.gif")
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def chosen(monkeypatch):
    """Which demo a command line chooses."""
    found = []
    for kind in ("lab", "samples"):
        module = SimpleNamespace(**{f"demo_{kind}": lambda plot, kind=kind: found.append(kind)})
        monkeypatch.setitem(sys.modules, f"klimit.cli.demo_{kind}", module)
    return found


@pytest.mark.parametrize(
    ("installed", "options", "expected"),
    [(True, [], "lab"), (True, ["--no-lab"], "samples"), (False, [], "samples"), (False, ["--lab"], "lab")],
)
def test_the_demo_is_of_the_lab_where_its_extra_is_installed(
    installed, options, expected, chosen, run, monkeypatch
):
    monkeypatch.setattr("klimit.cli.demo._trains", lambda: installed)
    assert run("demo", *options).status == 0
    assert chosen == [expected]


def test_without_trl_nothing_is_trained(monkeypatch):
    from klimit.cli import demo

    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "trl" else object())
    assert not demo._trains()


def test_with_another_trl_than_ppo_needs_nothing_is_trained(monkeypatch):
    trl = pytest.importorskip("trl")
    from klimit.cli import demo

    assert demo._trains()
    monkeypatch.setattr(trl, "__version__", "1.16.0")
    assert not demo._trains()
