"""Errors about gold: exact in large samples, the 1/K law by brute force, and intervals that cover."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from factor_models import INDEPENDENT, UNITS, FactorModel

from klimit.ensembles.errors import error_structure
from klimit.ensembles.moments import PromptMoments, prompt_moments
from klimit.errors import InputError
from klimit.values import Value

SHARED = replace(INDEPENDENT, errors=INDEPENDENT.errors + 0.4)
ONE_SPREAD = FactorModel.independent([1.0, 0.8, 0.6], [0.6, 0.9, 1.0])
NOTHING = Value(0.0, 0.0, 0.0)


def exact(model):
    """The structure at the truth itself."""
    return structure(PromptMoments(np.stack([model.standardised()] * 2)))


def structure(moments, **more):
    return error_structure(moments, NOTHING, **{"level": 0.95, "most_subsets": 200, "seed": 0, **more})


class TestExactly:
    def test_independent_errors_have_no_floor_and_no_correlation(self):
        found = exact(ONE_SPREAD)
        assert found.floor.estimate == pytest.approx(0, abs=1e-14)
        assert found.mean_error_correlation.estimate == pytest.approx(0, abs=1e-14)
        assert found.ceiling.estimate == pytest.approx(1, abs=1e-14)

    def test_regressing_gold_on_proxies_instead_would_make_them_seem_to_share_errors(self):
        # Negative control of the convention: e = b z - r with b = Cov(z, r) / Var(z).
        truth = ONE_SPREAD.standardised()
        slope = truth[:-1, -1]
        errors = truth[:-1, :-1] * np.outer(slope, slope) - slope[:, None] ** 2 - slope**2 + truth[-1, -1]
        correlation = errors / np.sqrt(np.outer(np.diag(errors), np.diag(errors)))
        assert correlation[0, 1] > 0.3

    def test_a_shared_error_is_the_floor(self):
        # Alike members: z = (r + g + e) / sd, so on gold's scale errors are g + e: floor Var(g), rest Var(e).
        model = FactorModel(np.ones(4), 0.3 + np.diag(np.full(4, 0.7)), np.ones(4), spreads=(2.0,))
        found = exact(model)
        assert found.floor.estimate == pytest.approx(0.3)
        assert found.rest.estimate == pytest.approx(0.7)
        assert found.shared.estimate == pytest.approx(0.3)
        assert found.mean_error_correlation.estimate == pytest.approx(0.3)
        assert found.ceiling.estimate == pytest.approx(np.sqrt(2 / 2.3))
        np.testing.assert_allclose(found.covariance, 0.3 + np.diag(np.full(4, 0.7)))
        np.testing.assert_allclose(found.law.error_variance, 0.3 + 0.7 / np.arange(1, 5))
        np.testing.assert_allclose(found.law.law, found.law.error_variance)
        np.testing.assert_allclose(found.law.correlation, found.law.law_correlation)

    def test_correlations_are_those_of_the_model(self):
        found = exact(INDEPENDENT)
        truth = INDEPENDENT.standardised()
        expected = truth[:-1, -1] / np.sqrt(truth[-1, -1])
        np.testing.assert_allclose([one.estimate for one in found.correlation], expected, rtol=1e-12)
        np.testing.assert_allclose(
            [one.estimate for one in found.slope], truth[:-1, -1] / truth[-1, -1], rtol=1e-12
        )

    def test_errors_are_uncorrelated_with_gold_by_their_definition(self):
        truth = INDEPENDENT.standardised()
        residual = np.eye(6)[:5] - truth[:5, -1:] / truth[-1, -1] * np.eye(6)[5]
        np.testing.assert_allclose(residual @ truth[:, -1], 0, atol=1e-14)
        slope = truth[:5, -1].mean() / truth[-1, -1]
        np.testing.assert_allclose(
            exact(INDEPENDENT).covariance, residual @ truth @ residual.T / slope**2, rtol=1e-12
        )

    def test_the_unit_of_a_proxy_does_not_matter(self):
        found, other = exact(INDEPENDENT), exact(replace(INDEPENDENT, units=UNITS[::-1]))
        np.testing.assert_allclose(found.covariance, other.covariance, rtol=1e-12)


class TestLaw:
    def measured(self, model=SHARED, **more):
        values, offsets = model.draw(np.random.default_rng(0), 50, 20, 40)
        moments = prompt_moments(values, offsets, standardised=len(model.slopes))
        return structure(moments, **more), moments.mean

    def test_is_the_mean_over_all_subsets_each_on_gold_s_scale_by_its_own_slope(self):
        found, mean = self.measured()
        gold = mean[-1, -1]
        for k in range(1, 6):
            variances, correlations = [], []
            for members in combinations(range(5), k):
                w = np.zeros(5)
                w[list(members)] = 1 / k
                covariance, variance = w @ mean[:-1, -1], w @ mean[:-1, :-1] @ w
                correlations.append(covariance / np.sqrt(variance * gold))
                variances.append(gold * (1 / correlations[-1] ** 2 - 1))
            assert found.law.error_variance[k - 1] == pytest.approx(np.mean(variances), rel=1e-12)
            assert found.law.correlation[k - 1] == pytest.approx(np.mean(correlations), rel=1e-12)
            assert found.law.correlation_least[k - 1] == pytest.approx(min(correlations), rel=1e-12)
            assert found.law.correlation_most[k - 1] == pytest.approx(max(correlations), rel=1e-12)
        assert found.law.subsets.tolist() == [5, 10, 10, 5, 1]
        assert found.law.complete.all()

    def test_with_one_slope_for_all_the_law_holds_for_the_mean_of_all_subsets_by_algebra(self):
        found, _ = self.measured()
        for k in range(1, 6):
            means = [found.covariance[np.ix_(one, one)].mean() for one in combinations(range(5), k)]
            assert found.law.law[k - 1] == pytest.approx(np.mean(means), rel=1e-12)

    def test_the_mean_of_all_members_is_on_the_law(self):
        found, _ = self.measured()
        assert found.law.error_variance[-1] == pytest.approx(found.law.law[-1], rel=1e-12)
        assert found.law.correlation[-1] == pytest.approx(found.law.law_correlation[-1], rel=1e-12)
        assert found.mean_correlation.estimate == pytest.approx(found.law.correlation[-1], rel=1e-12)

    def test_a_sample_of_subsets_says_so_and_is_near(self):
        found, _ = self.measured()
        sampled, _ = self.measured(most_subsets=6)
        assert sampled.law.complete.tolist() == [True, False, False, True, True]
        assert sampled.law.subsets.tolist() == [5, 6, 6, 5, 1]
        np.testing.assert_allclose(sampled.law.correlation, found.law.correlation, rtol=0.1)
        assert sampled.law.correlation[1] != found.law.correlation[1]

    def test_members_that_fall_with_gold_have_no_error_on_its_scale(self):
        model = FactorModel.independent([1.0, 1.0, -0.5], [0.5, 0.5, 1.0])
        found, _ = self.measured(model)
        assert np.isnan(found.law.error_variance[0])
        assert np.isfinite(found.law.error_variance[2])
        assert found.correlation[2].estimate < 0
        assert np.isfinite(found.law.correlation).all()

    def test_proxies_that_fall_with_gold_on_the_whole_are_refused(self):
        with pytest.raises(InputError, match="does not rise with gold"):
            self.measured(FactorModel.independent([-1.0, -0.5], [0.5, 0.5]))


class TestContributions:
    def test_what_a_member_adds_is_what_the_mean_loses_without_it(self):
        values, offsets = INDEPENDENT.draw(np.random.default_rng(1), 50, 20, 40)
        whole = structure(prompt_moments(values, offsets, standardised=5))
        for k in range(5):
            rest = structure(prompt_moments(np.delete(values, k, axis=0), offsets, standardised=4))
            lost = whole.mean_correlation.estimate - rest.mean_correlation.estimate
            assert whole.adds[k].estimate == pytest.approx(lost, rel=1e-9)

    def test_a_good_member_adds_a_useless_one_takes_away(self):
        model = FactorModel.independent([1.0, 1.0, 1.0, 0.05], [0.5, 1.0, 1.0, 1.0])
        values, offsets = model.draw(np.random.default_rng(2), 100, 40)
        found = structure(prompt_moments(values, offsets, standardised=4))
        assert found.adds_most == 0
        assert found.adds[0].low > 0
        assert found.adds[3].high < 0


def watched(found):
    yield from (
        (name, getattr(found, name)) for name in ("gold_variance", "floor", "rest", "shared", "ceiling")
    )
    yield "mean error correlation", found.mean_error_correlation
    yield "mean correlation", found.mean_correlation
    for k in (0, 4):
        yield f"correlation of {k}", found.correlation[k]
        yield f"slope of {k}", found.slope[k]
        yield f"what {k} adds", found.adds[k]
    law = found.law
    for k in (0, 2, 4):
        yield (
            f"error variance of {k + 1}",
            Value(law.error_variance[k], law.error_variance_low[k], law.error_variance_high[k]),
        )
        yield (
            f"correlation of {k + 1}",
            Value(law.correlation[k], law.correlation_low[k], law.correlation_high[k]),
        )


@pytest.mark.parametrize(
    "model", [INDEPENDENT, replace(SHARED, law="exponential")], ids=["independent", "shared"]
)
def test_intervals_cover(model):
    """400 redraws of 100 prompts, 20 to 100 completions: 93% at least, less two standard errors."""
    rng = np.random.default_rng(7)
    truth = {name: value.estimate for name, value in watched(exact(model))}
    covered = dict.fromkeys(truth, 0)
    redraws = 400
    for _ in range(redraws):
        values, offsets = model.draw(rng, 100, 20, 100)
        for name, value in watched(structure(prompt_moments(values, offsets, standardised=5))):
            covered[name] += truth[name] in value
    least = 0.93 - 2 * np.sqrt(0.93 * 0.07 / redraws)
    assert {name: count / redraws for name, count in covered.items() if count / redraws < least} == {}


def test_standard_errors_of_the_covariance_are_those_of_redraws():
    rng = np.random.default_rng(8)
    found = [structure(prompt_moments(*SHARED.draw(rng, 100, 20, 40), standardised=5)) for _ in range(150)]
    spread = np.std([one.covariance for one in found], axis=0)
    np.testing.assert_allclose(np.mean([one.covariance_error for one in found], axis=0), spread, rtol=0.25)
