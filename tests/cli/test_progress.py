"""What is being done is said on a terminal, compilation included, and nowhere else."""

import io
import sys

import numba

from klimit.cli.progress import doing, estimating


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fresh_function():
    """One that has not been compiled."""
    return numba.njit(lambda x: x + 1)


def test_compilation_is_said_when_it_happens(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with estimating("estimating from 10 rewards"):
        assert fresh_function()(1) == 2
    said = terminal.getvalue()
    assert "estimating from 10 rewards ..." in said
    assert "estimating from 10 rewards, compiling for this machine, once ..." in said
    assert said.endswith("\r\x1b[K")


def test_nothing_is_said_of_compilation_where_there_is_none(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    add = fresh_function()
    add(1)
    with estimating("estimating"):
        add(2)
    said = terminal.getvalue()
    assert "estimating" in said
    assert "compiling" not in said
    fresh_function()(1)
    assert terminal.getvalue() == said


def test_where_no_one_watches_nothing_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with estimating("estimating"), doing("drawing"):
        fresh_function()(1)
    assert sys.stderr.getvalue() == ""
