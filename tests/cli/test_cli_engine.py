"""``klimit frontier --engine``: files larger than memory."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest


@pytest.fixture
def shuffled(tmp_path):
    """A file in which the rows of prompts interleave."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"prompt_id": np.repeat(np.arange(40), 64), "sample_id": np.tile(np.arange(64), 40)})
    frame = frame.with_columns(reward=rng.normal(size=len(frame))).sample(fraction=1.0, shuffle=True, seed=1)
    frame.write_parquet(tmp_path / "samples.parquet")
    return tmp_path / "samples.parquet"


def test_both_engines_say_the_same(run, shuffled):
    whole, parts = (run("frontier", shuffled, "--engine", engine) for engine in ("memory", "stream"))
    assert (whole.status, parts.status) == (0, 0)
    assert parts.out == whole.out


def test_what_a_summary_cannot_give_is_refused_in_one_line(run, shuffled):
    refused = run("frontier", shuffled, "--engine", "stream", "--target", "these-prompts")
    assert refused.status == 2
    assert "--engine memory" in refused.err
    assert refused.err.count("\n") == 1
