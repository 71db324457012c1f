"""Files that cannot be read: each is one line that says what, where, and what to do."""

import gzip
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from klimit.errors import InputError
from klimit.samples import read_samples

GOOD = "prompt_id,reward\nx,1\ny,2\n"


def refused(source, said, **options):
    with pytest.raises(InputError, match=said) as caught:
        read_samples(source, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_missing_file_names_the_nearest(write):
    path = write("rewards.csv", GOOD)
    refused(path.with_name("reward.csv"), r"reward\.csv: no such file; did you mean .*rewards\.csv\?")
    refused(path.with_name("zzz.parquet"), r"zzz\.parquet: no such file$")
    refused(path.parent / "nowhere" / "a.csv", r"no such file \(there is no folder .*nowhere\)")
    refused(str(path.parent / "*.parquet"), r"\*\.parquet: no file matches")


def test_what_is_no_file(write, tmp_path):
    refused(tmp_path, r"is a folder; name its files, such as '.*/\*\.parquet'")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    refused(tmp_path / "loop.csv", "loop.csv: a link to nothing")
    os.mkfifo(tmp_path / "pipe.csv")
    refused(tmp_path / "pipe.csv", "pipe.csv: not a regular file")
    refused(tmp_path / ("x" * 300 + ".csv"), "cannot be read .File name too long.")
    refused("", "the path is empty")
    refused("a\0.csv", "not a path .it holds a null character.")
    refused("s3://bucket/a.parquet", "only local files are read; download it first")


def test_types_that_are_not_known(write):
    refused(write("a.xlsx", "x"), r"a\.xlsx: unknown type \.xlsx; klimit reads \.parquet, \.csv,")
    refused(write("a", "x"), r"unknown type \(no extension\)")
    refused(write("a.parquet.gz", "x"), "unknown type .gz")


def test_a_file_that_may_not_be_read():
    # Permissions bind an ordinary user only, so a test run by root becomes one for the moment.
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "a.csv"
        path.write_text(GOOD)
        path.chmod(0)
        if root:
            os.seteuid(65534)
        try:
            refused(path, "a.csv: cannot be read .Permission denied.")
        finally:
            if root:
                os.seteuid(0)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl"])
def test_an_empty_file(write, name):
    refused(write(name, ""), f"{name}: the file is empty")


def test_columns_without_rows(write, tmp_path):
    refused(write("a.csv", "prompt_id,reward\n"), "a.csv: there are columns but no rows")
    pd.DataFrame({"prompt_id": [1], "reward": [1.0]}).iloc[:0].to_parquet(tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "a.parquet: there are columns but no rows")


def test_parquet_that_is_cut_or_corrupt(write, tmp_path):
    whole = tmp_path / "whole.parquet"
    rng = np.random.default_rng(0)
    pd.DataFrame({"prompt_id": range(20_000), "reward": rng.normal(size=20_000)}).to_parquet(whole)
    data = whole.read_bytes()
    said = "not a readable Parquet file: truncated, corrupt or of another type"
    refused(write("cut.parquet", data[: len(data) // 2]), f"cut.parquet: {said}")
    refused(write("page.parquet", data[:200] + bytes(3000) + data[3200:]), f"page.parquet: {said}")
    refused(write("footer.parquet", data[:-2000] + bytes(1950) + data[-50:]), f"footer.parquet: {said}")
    refused(write("other.parquet", "prompt_id,reward\n1,2\n"), f"other.parquet: {said}")
    refused(write("length.parquet", b"PAR1 not one PAR1"), f"length.parquet: {said}")
    assert read_samples(write("again.parquet", data)).n_completions == 20_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD * 1 + "z,1,2\n", "broken CSV: line 4 has 3 fields where the header has 2"),
        (GOOD + "z,1\n" * 30_000 + "z,1,2\n", "broken CSV: line 30,004 has 3 fields"),
        (GOOD + "z\n", "broken CSV: line 4 has 1 field where the header has 2"),
        (GOOD + '"z,1\n', "broken CSV: the quote opened in line 4 is never closed"),
        ("prompt_id,reward\r\nx,1\ny,2\r\n", "its line endings are mixed or a quote is not closed"),
        ("\nprompt_id,reward\n", "the first line is empty; it must name the columns"),
        ("prompt_id,reward,reward\nx,1,2\n", "two columns are named 'reward'"),
        (
            "prompt_id,reward,Reward\nx,1,2\n",
            "two columns are named 'Reward' .upper and lower case count as one.",
        ),
        ("prompt_id,reward\né,1\n".encode("latin1"), "not UTF-8 text"),
        ("prompt_id,réward\nx,1\n".encode("latin1"), "not UTF-8 text .line 1.; save the file as UTF-8"),
        (GOOD.encode("utf-16"), "not UTF-8 text"),
        (GOOD + "z," + "1" * 2_100_000 + "\n", "line 4 is longer than 2 million bytes"),
    ],
)
def test_broken_csv_names_the_line(write, text, said):
    refused(write("a.csv", text), said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"prompt": 1, "reward": 1}\n{"prompt": 1, "reward":\n',
            "broken JSON: line 2: Expecting value at character",
        ),
        (
            '{"prompt": 1, "reward": 1}\n' * 9 + "nonsense\n",
            "broken JSON: line 10: Expecting value at character 1",
        ),
        ('{"prompt": 1, "reward": 1, "reward": 2}\n', "duplicate key"),
        (
            '{"prompt": 1, "reward": 1}\n{"prompt": 1, "Reward": 1}\n',
            "columns named '[Rr]eward' in different cases",
        ),
    ],
)
def test_broken_json_lines_name_the_line(write, text, said):
    refused(write("a.jsonl", text), said)


def test_broken_json(write):
    refused(write("a.json", '[{"prompt": 1, "reward"'), "a.json: broken JSON: ")


def test_gzip_that_is_cut_or_none(write):
    packed = gzip.compress(GOOD.encode() * 50)
    refused(write("a.csv.gz", packed[:-12]), "(?i)a.csv.gz: .*gzip|cannot be unpacked")
    refused(write("a.csv.gz", GOOD), "a.csv.gz: cannot be unpacked .Not a gzipped file")
    refused(write("a.jsonl.gz", "{}"), "(?i)not a gzip stream")


def test_files_that_do_not_go_together(write):
    one, other = write("a.csv", GOOD), write("b.csv", "prompt_id,reward,extra\nx,1,2\n")
    refused([one, other], r"b\.csv has a column 'extra' that .*a\.csv lacks")
    refused([other, one], r"b\.csv has a column 'extra' that .*a\.csv lacks")
    refused([one, one], r"a\.csv: given twice; each file is read once")
    refused([one, write("c.jsonl", "{}")], r"a\.csv and .*c\.jsonl are of different types")


def test_parquet_files_whose_columns_have_different_types(tmp_path):
    pd.DataFrame({"prompt_id": [1], "reward": [1.0]}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"prompt_id": ["1"], "reward": [1.0]}).to_parquet(tmp_path / "b.parquet")
    refused(
        str(tmp_path / "*.parquet"),
        r"column 'prompt_id' is VARCHAR in .*b\.parquet and BIGINT in .*a\.parquet",
    )


def test_the_row_of_one_file_among_several(write):
    write("a.csv", GOOD)
    write("b.csv", GOOD)
    path = write("c.csv", "prompt_id,reward\nx,1\ny,oops\n")
    refused(str(path.parent / "*.csv"), r"is not numeric in 1 of 6 values \('oops' in row 2 of .*c\.csv\)")
