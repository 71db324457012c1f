"""DuckDB's many lines become one about the user's file; Ctrl-C stops it."""

import os
import signal
import threading
import time

import duckdb
import pytest

from klimit.errors import InputError
from klimit.samples import read_samples
from klimit.samples.messages import one_line, one_line_errors


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


@pytest.fixture
def heeds_ctrl_c():
    """A run started in the background inherits a SIGINT that is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_a_long_read_at_once(tmp_path, heeds_ctrl_c):
    path = tmp_path / "a.parquet"
    duckdb.execute(f"COPY (SELECT n AS prompt_id, 1.0 AS reward FROM range(2_000_000) t(n)) TO '{path}'")
    slow = "md5(" * 30 + "CAST(prompt_id AS VARCHAR)" + ")" * 30  # half a minute, left alone
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        read_samples(path, where=f"{slow} <> 'x'")
    assert time.monotonic() - begun < 5


def test_a_lack_of_memory_is_no_bad_input():
    with pytest.raises(MemoryError, match=r"a.csv: failed to allocate"), one_line_errors("a.csv"):
        raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate 1 GB")
