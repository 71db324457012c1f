"""A fast subset of benchmarks/transform_cover.py: intervals cover under transforms, and the naive ones do not."""

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import klimit
from klimit.testsystems import Gaussian, systems

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "transform_cover.py"
REPETITIONS = 30


@pytest.fixture(scope="module")
def study():
    spec = importlib.util.spec_from_file_location("transform_cover_study", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("transform", "law", "budget", "target", "completions", "prompts"),
    [
        ("standardised", "gaussian", "average", "population", 32, 100),
        ("standardised", "two-normals", "average", "population", 32, 300),
        ("rank", "bernoulli", "average", "population", 32, 100),
        ("rank", "five-levels", "per-prompt", "population", 32, 50),
        ("log-sigmoid-centred", "gaussian", "average", "population", 32, 100),
        ("log-sigmoid-centred", "five-levels", "average", "these-prompts", 64, 100),
        ("log-sigmoid-centred:0.85", "gaussian", "average", "population", 64, 100),
    ],
)
def test_intervals_cover_within_the_horizon(study, transform, law, budget, target, completions, prompts):
    cell = study.cell((transform, law, budget, target, completions, prompts, REPETITIONS))
    error = max(cell.standard_error, 20 / np.sqrt(REPETITIONS))
    assert cell.cover > 93 - 2 * error
    assert cell.no_horizon < 20
    assert cell.horizon_median > 0.5
    assert min(cell.best_of_4, cell.best_of_n) > 93 - 2 * 100 * np.sqrt(0.05 * 0.95 / REPETITIONS)


@pytest.mark.parametrize("transform", ["standardised", "log-sigmoid-centred", "rank"])
def test_the_plug_in_of_rewards_transformed_by_themselves_does_not(study, transform):
    """Negative control: many prompts make its interval narrow around a wrong centre."""
    law = "gaussian" if transform != "rank" else "bernoulli"
    # Prompts of equal scales, between which nothing but noise differs.
    truth = study.truth_of(law, transform, "average", "these-prompts")[study.BUDGETS <= 0.5]
    kl, held = study.BUDGETS[study.BUDGETS <= 0.5], []
    for seed in range(10):
        rewards = study.system_of(law, "these-prompts").draw(np.random.default_rng(seed), 2000, 32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            limit = klimit.frontier(rewards, transform=transform, estimator="plug-in")
        estimate = limit.inference.estimate(limit.engine.levels(kl))
        unit = limit.rewards.scale
        held.append((estimate.low * unit <= truth) & (truth <= estimate.high * unit))
    assert np.mean(held) < 0.2


class TestTheTruths:
    """The study's truths, by a second way."""

    @pytest.mark.parametrize("law", ["gaussian", "uniform", "bernoulli", "two-normals", "five-levels"])
    def test_standardised_rewards_have_the_limit_of_the_unit_law(self, study, law):
        unit = systems(scale=None)[law]
        scale = np.sqrt(unit.variance)
        truth = study.truth_of(law, "standardised", "average", "population")
        np.testing.assert_allclose(truth, unit.frontier(study.BUDGETS) / scale, rtol=1e-6)
        best = study.best_truth(law, "standardised", "population", (4, 32))
        np.testing.assert_allclose(best, unit.best_of_n([4, 32]).gain / scale, rtol=1e-9)

    def test_ranks_of_pass_and_fail_differ_by_a_half(self, study):
        truth = study.truth_of("bernoulli", "rank", "average", "population")
        expected = systems(scale=None)["bernoulli"].frontier(study.BUDGETS) / 2
        np.testing.assert_allclose(truth, expected, rtol=1e-12)

    def test_the_log_sigmoid_of_gaussians_by_sampling(self, study):
        system = Gaussian(scale=study.SCALES, location_sd=1.0)
        rewards = system.draw(np.random.default_rng(0), 500, 20_000)
        values = -np.logaddexp(0, np.median(rewards, axis=1, keepdims=True) - rewards)
        kl = study.BUDGETS[[2, 5, 7]]
        plug_in = klimit.frontier(values, estimator="plug-in")
        found = plug_in.inference.estimate(plug_in.engine.levels(kl)).value * plug_in.rewards.scale
        truth = study.truth_of("gaussian", "log-sigmoid-centred", "average", "population")[[2, 5, 7]]
        np.testing.assert_allclose(found, truth, rtol=0.03)


@pytest.fixture(scope="module")
def rows(study):
    return list(study.read(study.TABLE).values())


class TestTheCommittedTable:
    """benchmarks/transform_cover.csv, the whole study: 300 repetitions a cell, 100 for other budgets and targets."""

    def test_every_cell_covers(self, rows):
        for row in rows:
            least = 300 if (row["budget"], row["target"]) == ("average", "population") else 100
            assert int(row["repetitions"]) >= least
            if row["cover"] != "nan":
                assert float(row["cover"]) >= 93 - 2 * float(row["standard_error"]), row
            for name in ("best_of_4", "best_of_n"):
                error = 100 * np.sqrt(0.05 * 0.95 / int(row["repetitions"]))
                assert float(row[name]) >= 93 - 2 * error, row

    def test_no_cell_is_left_out(self, study, rows):
        done = {study.key(row) for row in rows}
        arguments = study.parser().parse_args([])
        assert done == {(*job[:4], str(job[4]), str(job[5])) for job in study.jobs(arguments)}

    @pytest.mark.parametrize(
        ("transform", "completions", "least"),
        [("standardised", "32", 0.75), ("standardised", "128", 1.5), ("log-sigmoid-centred", "32", 2.0)],
    )
    def test_the_horizon_is_not_bought_with_silence(self, study, rows, transform, completions, least):
        key = (transform, "gaussian", "average", "population", completions, "300")
        assert float(next(row for row in rows if study.key(row) == key)["horizon_median"]) >= least
