"""DuckDB's errors, many lines each and about its own options, as one line about the user's file."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from klimit.errors import InputError


@contextmanager
def one_line_errors(label: str) -> Iterator[None]:
    """Turn DuckDB's errors into :class:`InputError`, save for a lack of memory."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise MemoryError(f"{label}: {one_line(error)}") from None
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except (duckdb.Error, RuntimeError) as error:
        raise InputError(f"{label}: {one_line(error)}") from None


def one_line(error: BaseException) -> str:
    """What DuckDB says, without its many lines of advice and its internal names."""
    text = re.sub(r"^(?:[A-Z]\w*(?: \w+){0,3} Error: )+", "", str(error).strip())
    for read in (_csv_problem, _parquet_problem, _json_problem):
        problem = read(text)
        if problem is not None:
            return problem
    return text.splitlines()[0].rstrip(" !.") if text else type(error).__name__


def _csv_problem(text: str) -> str | None:
    line = re.search(r"CSV Error on Line: (\d+)", text)
    if line is None:
        if "state machine reached an invalid state" in text:
            return "broken CSV: its line endings are mixed or a quote is not closed"
        return None
    where = f"line {int(line[1]):,}"
    width = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if width:
        return (
            f"broken CSV: {where} has {width[2]} field{'s' * (width[2] != '1')} where the header has "
            f"{width[1]} (a field that holds the delimiter needs quotes)"
        )
    if "unterminated quote" in text:
        return f"broken CSV: the quote opened in {where} is never closed"
    if "unicode" in text:
        return f"not UTF-8 text ({where}); save the file as UTF-8"
    if "Maximum line size" in text:
        return f"{where} is longer than 2 million bytes (a quote never closed?); use Parquet for such texts"
    return f"broken CSV: {where} cannot be read"


def _parquet_problem(text: str) -> str | None:
    signs = (
        "No magic bytes",
        "TProtocol",
        "Thrift",
        "Snappy",
        "decompress",
        "too small to be a Parquet",
        "footer length",
    )
    if any(sign.lower() in text.lower() for sign in signs):
        return "not a readable Parquet file: truncated, corrupt or of another type; write or copy it again"
    return None


def _json_problem(text: str) -> str | None:
    if "Malformed JSON" not in text:
        return None
    # DuckDB's own line number is that of the line after, where a value was cut short.
    said = text.splitlines()[0].rpartition(": ")[2].strip(" .")
    return f"broken JSON: {said}"


def broken_json_line(file: Path) -> str | None:
    """Which line of a file of JSON lines is no JSON, and why; None if every one is."""
    unpack = gzip.open if file.suffix.lower() == ".gz" else open
    with unpack(file, "rb") as lines:
        for i, line in enumerate(lines):
            try:
                if line.strip():
                    json.loads(line)
            except json.JSONDecodeError as error:
                return f"broken JSON: line {i + 1:,}: {error.msg} at character {error.colno}"
            except UnicodeDecodeError:
                return f"not UTF-8 text (line {i + 1:,}); save the file as UTF-8"
    return None
