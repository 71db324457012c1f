"""``klimit demo`` in the lab: trained policies beside an exact limit."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from lab_worlds import small

from klimit.cli import demo_lab

pytest.importorskip("trl")


@pytest.fixture
def shorter(monkeypatch):
    """A smaller world yet, and fewer steps."""
    recipe = small("safety")
    changed = {name: value for name, value in asdict(recipe).items() if name not in ("task", "proxies")}
    monkeypatch.setattr(demo_lab, "SHORTER", {**changed, "proxies": recipe.proxies})
    monkeypatch.setattr(demo_lab, "STEPS", 2)


def test_the_demo_trains_once_and_shows_policies_beside_the_truth(shorter, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KLIMIT_CACHE", str(tmp_path / "cache"))
    plot = tmp_path / "demo.png"
    demo_lab.demo_lab(str(plot))
    first = capsys.readouterr()
    for said in ("grpo, beta", "ppo, beta", "best-of-32", "gold turns at"):
        assert said in first.out
    assert f"Figure: {plot}\nNext: klimit lab safety" in first.out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "run 1 of 4" in first.err
    demo_lab.demo_lab(str(plot))
    second = capsys.readouterr()
    assert (second.out, second.err) == (first.out, "")
