"""DuckDB's many lines become one about the user's file; Ctrl-C stops it."""

import concurrent.futures
import time

import duckdb
import pytest

from klimit.errors import InputError
from klimit.samples.messages import one_line, one_line_errors
from klimit.samples.table import connect, run


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            'Binder Error: Referenced column "y" not found!\nCandidates: x\n\nLINE 1: y',
            'Referenced column "y" not found',
        ),
        ("Invalid Input Error: Not Implemented Error: no such thing.", "no such thing"),
        ("", "Error"),
    ],
)
def test_the_first_line_without_internal_names(said, line):
    assert one_line(duckdb.Error(said)) == line


def test_an_error_names_the_file():
    with (
        pytest.raises(InputError, match=r"^a\.csv: Table with name z does not exist$"),
        one_line_errors("a.csv"),
    ):
        duckdb.execute("FROM z")


def test_ctrl_c_stops_a_long_query_at_once(monkeypatch):
    """Where Ctrl-C shows is the wait for the query: the query ends, and the interruption goes on its way."""
    waits = []
    real = concurrent.futures.wait

    def wait(*arguments, **options):
        waits.append(arguments)
        if len(waits) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(concurrent.futures, "wait", wait)
    slow = "md5(" * 30 + "CAST(n AS VARCHAR)" + ")" * 30  # minutes, left alone
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(connect(), f"SELECT count(*) FROM range(20_000_000) t(n) WHERE {slow} <> 'x'")
    assert time.monotonic() - begun < 30


def test_a_lack_of_memory_is_no_bad_input():
    with pytest.raises(MemoryError, match=r"a.csv: failed to allocate"), one_line_errors("a.csv"):
        raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate 1 GB")
