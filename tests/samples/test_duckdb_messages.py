"""DuckDB's many lines become one about the user's file; its interruption stays Ctrl-C."""

import duckdb
import pytest

from klimit.errors import InputError
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


def test_ctrl_c_is_no_bad_input():
    with pytest.raises(KeyboardInterrupt), one_line_errors("a.csv"):
        raise RuntimeError("Query interrupted")


def test_a_lack_of_memory_is_no_bad_input():
    with pytest.raises(MemoryError, match=r"a.csv: failed to allocate"), one_line_errors("a.csv"):
        raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate 1 GB")
