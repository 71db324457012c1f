"""Frames, tables and datasets that are in memory already."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from klimit.errors import InputError
from klimit.samples import read_samples

ROWS = {"prompt_id": ["x", "y", "x"], "reward": [1.0, 2.0, 3.0]}


class Dataset:
    """What klimit uses of a Hugging Face dataset: rows may be chosen without touching the table."""

    def __init__(self, table, rows=None):
        self.data = type("Memory", (), {"table": table})
        self.rows = range(len(table)) if rows is None else rows

    def with_format(self, kind):
        assert kind == "arrow"
        return self

    def __getitem__(self, index):
        return self.data.table.take(list(self.rows)[index])


@pytest.mark.parametrize(
    ("make", "label"),
    [
        (pd.DataFrame, "pandas frame"),
        (lambda rows: pd.DataFrame(rows).set_index("prompt_id"), "pandas frame"),
        (lambda rows: pd.DataFrame(rows).astype({"prompt_id": "category"}), "pandas frame"),
        (lambda rows: pd.DataFrame(rows).astype(object), "pandas frame"),
        (pl.DataFrame, "polars frame"),
        (pl.LazyFrame, "polars frame"),
        (lambda rows: pl.DataFrame(rows).cast({"prompt_id": pl.Categorical}), "polars frame"),
        (pa.table, "Arrow table"),
        (lambda rows: Dataset(pa.table(rows)), "dataset"),
    ],
)
def test_every_frame_gives_the_same_samples(make, label):
    samples = read_samples(make(ROWS))
    assert samples.prompt_ids.tolist() == ["x", "y"]
    assert samples.reward().tolist() == [1, 3, 2]
    assert samples.source == label


def test_rows_chosen_of_a_dataset_are_respected():
    samples = read_samples(Dataset(pa.table(ROWS), rows=[2, 1]))
    assert samples.prompt_ids.tolist() == ["x", "y"]
    assert samples.reward().tolist() == [3, 2]


def test_half_precision_in_arrow_becomes_single():
    table = pa.table({"prompt_id": [1, 1], "reward": pa.array(np.array([1, 2], dtype=np.float16))})
    reward = read_samples(table).reward()
    assert reward.dtype == np.float32
    assert reward.tolist() == [1, 2]


def test_lists_in_a_frame():
    frame = pl.DataFrame(ROWS).group_by("prompt_id", maintain_order=True).agg("reward")
    assert read_samples(frame).reward().tolist() == [1, 3, 2]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            {"train": Dataset(pa.table(ROWS)), "test": None},
            r"a DatasetDict with the splits 'train', 'test'; .*\['train'\]",
        ),
        (pd.Series([1.0]), "a pandas Series is one column; give the frame"),
        (pl.Series([1.0]), "a polars Series is one column; give the frame"),
        (pd.DataFrame(), "pandas frame: it has no columns"),
        (pd.DataFrame(ROWS).iloc[:0], "pandas frame: there are columns but no rows"),
        (
            pd.DataFrame([[1, 2, 3]], columns=["prompt", "reward", "reward"]),
            "two columns are named 'reward'; rename one",
        ),
        (
            pd.DataFrame(ROWS).set_index("prompt_id", drop=False),
            "'prompt_id' names both a column and the index",
        ),
    ],
)
def test_frames_that_cannot_be_read(source, said):
    with pytest.raises(InputError, match=said):
        read_samples(source)


def test_a_streamed_dataset_is_refused():
    streamed = type("IterableDataset", (), {"with_format": lambda self, kind: self})()
    with pytest.raises(
        InputError, match="a streamed dataset cannot be read twice; load it without streaming=True"
    ):
        read_samples(streamed)


def test_without_pyarrow_polars_needs_it_and_the_rest_does_not(tmp_path):
    pd.DataFrame(ROWS).to_parquet(tmp_path / "a.parquet")
    code = f"""
import sys
sys.modules["pyarrow"] = None
import polars as pl
from klimit.errors import InputError
from klimit.samples import read_samples
assert read_samples({str(tmp_path / "a.parquet")!r}).reward().tolist() == [1, 3, 2]
try:
    read_samples(pl.DataFrame({ROWS!r}))
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("polars frame: reading one needs pyarrow (pip install pyarrow); or save it")
    assert done.stderr == ""
