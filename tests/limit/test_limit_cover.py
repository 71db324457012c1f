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
