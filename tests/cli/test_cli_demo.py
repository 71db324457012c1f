"""``klimit demo``: the whole job without input, beside the truth."""

import re


def test_the_demo_shows_the_job_the_truth_and_where_the_figure_went(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("demo")
    assert (done.status, done.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["klimit-demo.png"]
    assert done.out.endswith("Figure: klimit-demo.png\n")
    assert "Next: " in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_the_demo_covers_the_truth_where_the_naive_estimate_misses_it(run, tmp_path):
    done = run("demo", "--plot", tmp_path / "demo.svg")
    rows = re.findall(r"(covers|misses) +\+.*(covers|misses)$", done.out, re.M)
    assert len(rows) >= 3
    assert {ours for ours, _ in rows} == {"covers"}
    assert rows[-1][1] == "misses"


def test_the_demo_refuses_a_figure_that_it_cannot_draw(run, tmp_path):
    done = run("demo", "--plot", tmp_path / "demo.gif")
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
