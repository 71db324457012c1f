"""A fast subset of the cover study (benchmarks/cover.py): the intervals cover, and the naive ones do not."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from klimit.testsystems import systems

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cover.py"
REPETITIONS = 40


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("cover_study", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def covers(study, law, completions, prompts, name):
    truth = systems(scale=study.SCALES)[law].frontier(study.BUDGETS)
    runs = [study.one(law, False, "average", completions, prompts, r, truth) for r in range(REPETITIONS)]
    hits = [run[name][run["inside"]] if name == "shipped" else run[name] for run in runs]
    return np.array([np.mean(hit) for hit in hits if len(hit)])


@pytest.mark.parametrize(
    ("law", "completions", "prompts"),
    [("gaussian", 32, 300), ("exponential", 128, 50), ("bernoulli", 16, 300), ("beta-bernoulli", 128, 50)],
)
def test_intervals_cover_within_the_horizon(study, law, completions, prompts):
    shares = covers(study, law, completions, prompts, "shipped")
    assert len(shares) > 0.9 * REPETITIONS
    error = max(shares.std(ddof=1), 0.2) / np.sqrt(len(shares))
    assert shares.mean() > 0.93 - 2 * error


def test_the_plug_in_with_intervals_over_prompts_does_not(study):
    """Negative control: many prompts make its interval narrow around a wrong centre."""
    assert covers(study, "gaussian", 16, 1500, "plug-in").mean() < 0.2


@pytest.fixture(scope="module")
def rows(study):
    return list(study.read(study.TABLE).values())


class TestTheCommittedTable:
    """benchmarks/cover.csv, the whole study: 1,000 repetitions a cell."""

    def test_every_cell_covers(self, rows):
        for row in rows:
            assert int(row["repetitions"]) >= 1000
            assert float(row["cover"]) >= 93 - 2 * float(row["standard_error"]), row

    def test_no_law_is_left_out(self, study, rows):
        cells = {(row["law"], row["completions"], row["prompts"]) for row in rows}
        for law in systems():
            for completions in study.COMPLETIONS:
                for prompts in study.PROMPTS:
                    assert (law, str(completions), str(prompts)) in cells

    def test_the_plug_in_would_fail(self, rows):
        """Negative control: the same check rejects the naive interval."""
        many = [row for row in rows if row["prompts"] == "3000" and row["completions"] == "16"]
        assert many
        assert all(float(row["plug_in"]) < 93 for row in many)

    @pytest.mark.parametrize(("completions", "least"), [("32", 0.75), ("512", 1.5)])
    def test_the_horizon_is_not_bought_with_silence(self, rows, completions, least):
        row = next(
            r for r in rows if (r["law"], r["completions"], r["prompts"]) == ("gaussian", completions, "300")
        )
        assert float(row["horizon_median"]) >= least

    def test_nor_on_the_finer_grid_of_candidate_horizons(self, study):
        """Run again with the grid that the code has now: longer horizons, the same cover."""
        rows = list(study.read(study.TABLE.with_name("cover_fine_grid.csv")).values())
        gaussian = next(row for row in rows if (row["law"], row["completions"]) == ("gaussian", "128"))
        assert float(gaussian["horizon_median"]) >= 1.25
        assert all(float(row["cover"]) >= 93 for row in rows)
