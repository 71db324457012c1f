"""A fast part of ``benchmarks/best_of_n_cover.py``, and a look at its committed table."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "best_of_n_cover.py"


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("best_of_n_cover", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("law", ["bernoulli(0.02)", "beta(0.3,2)", "clipped"])
def test_kl_intervals_cover_where_the_plug_in_is_far_off(study, law: str) -> None:
    repetitions = 200
    for row in study.study_cell(law, 16, 300, repetitions, seed=7):
        assert row.kl_cover >= 0.93 - 2 * np.sqrt(0.93 * 0.07 / repetitions)
        assert row.gain_cover >= 0.93 - 2 * np.sqrt(0.93 * 0.07 / repetitions)
        assert abs(row.kl_bias) < 0.1 * row.kl_width
        # Negative control: a bias beyond the whole interval's half.
        if row.N == 16:
            assert abs(row.plug_in_bias) > row.kl_width / 2


def test_the_committed_table_is_whole_and_covers() -> None:
    with SCRIPT.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    cells = {(row["law"], row["n"], row["prompts"]) for row in rows}
    assert len(cells) == 5 * 3 * 3
    assert min(float(row["kl_cover"]) for row in rows) >= 0.93
    assert np.mean([float(row["gain_cover"]) for row in rows]) >= 0.94
