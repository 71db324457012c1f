"""Triple collocation: exact for one factor, covering, and blind where it says so."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from factor_models import INDEPENDENT, UNITS, FactorModel

from klimit.ensembles.collocation import Collocation, NoCollocation, collocate
from klimit.ensembles.moments import PromptMoments, prompt_moments
from klimit.ensembles.one_factor import fit, to_correlations, triples

NAMES = ("a", "b", "c", "d", "e", "f")


def at_the_truth(model):
    """Collocation of the exact raw covariances."""
    return from_covariance(model.raw()[:-1, :-1])


def from_covariance(covariance):
    found = collocate(PromptMoments(np.stack([covariance] * 5)), NAMES[: len(covariance)], level=0.95)
    assert isinstance(found, Collocation)
    return found


def drawn(model, rng, n_prompts=100, low=20, high=100):
    values, offsets = model.draw(rng, n_prompts, low, high)
    found = collocate(prompt_moments(values[:-1], offsets), NAMES[: len(values) - 1], level=0.95)
    assert isinstance(found, Collocation)
    return found


def reliabilities(found):
    return np.array([one.estimate for one in found.reliability])


class TestExactly:
    @pytest.mark.parametrize("n_members", [3, 4, 5])
    def test_one_factor_is_found_whatever_the_units_and_spreads(self, n_members):
        model = replace(
            INDEPENDENT,
            slopes=INDEPENDENT.slopes[:n_members],
            errors=INDEPENDENT.errors[:n_members, :n_members],
            units=UNITS[:n_members],
        )
        found = at_the_truth(model)
        np.testing.assert_allclose(reliabilities(found), model.reliability(), rtol=1e-9)
        for one in found.triples:
            places = [NAMES.index(name) for name in one.members]
            np.testing.assert_allclose(one.reliability, model.reliability()[places], rtol=1e-9)
        raw = model.raw()
        weights = np.append(1 / np.sqrt(np.diag(raw)[:-1]), 0.0)
        truth = weights @ raw[:, -1] / np.sqrt(weights @ raw @ weights * raw[-1, -1])
        assert found.mean_correlation.estimate == pytest.approx(truth, rel=1e-9)
        assert found.gap.estimate == pytest.approx(1 - truth, rel=1e-9)
        assert found.blind_to_shared_errors

    def test_three_are_solved_by_the_ratio_of_covariances(self):
        c = np.array([[4.0, 1.2, 0.8], [1.2, 3.0, 0.6], [0.8, 0.6, 2.0]])
        found = from_covariance(c)
        by_hand = [1.2 * 0.8 / 0.6 / 4, 1.2 * 0.6 / 0.8 / 3, 0.8 * 0.6 / 1.2 / 2]
        np.testing.assert_allclose(reliabilities(found), by_hand, rtol=1e-12)
        assert found.triples[0].reliability == pytest.approx(by_hand)
        assert found.test is None

    def test_a_proxy_that_runs_against_the_rest_has_a_negative_correlation(self):
        found = at_the_truth(replace(INDEPENDENT, units=UNITS * [1, 1, 1, -1, 1]))
        assert found.correlation[3].estimate < 0
        assert found.reliability[3].estimate == pytest.approx(INDEPENDENT.reliability()[3], rel=1e-9)

    def test_the_fit_of_more_than_three_is_the_least_squares(self):
        rng = np.random.default_rng(0)
        noisy = to_correlations(
            np.cov(rng.normal(size=(5, 5)) @ rng.normal(size=(5, 400)) * 0.3 + rng.normal(size=400))[None]
            + 0j
        )
        correlation = noisy[0].real
        loadings = fit(correlation)
        rows, columns = np.triu_indices(5, 1)

        def misfit(x):
            return ((correlation[rows, columns] - x[rows] * x[columns]) ** 2).sum()

        assert all(misfit(loadings) < misfit(loadings + 1e-3 * rng.normal(size=5)) for _ in range(200))

    def test_all_triples_are_there(self):
        assert len(at_the_truth(INDEPENDENT).triples) == len(list(combinations(range(5), 3)))


class TestCover:
    @pytest.mark.parametrize(
        "model",
        [
            INDEPENDENT,
            replace(INDEPENDENT, law="exponential"),
            FactorModel.independent([1.0, 0.7, 0.4], [0.5, 1.0, 1.0]),
        ],
        ids=["five", "skewed", "three"],
    )
    def test_intervals_cover(self, model):
        rng = np.random.default_rng(11)
        truth = model.reliability()
        mean = at_the_truth(model).mean_correlation.estimate
        redraws, covered, rejected = 400, np.zeros(len(truth) + 2), 0
        for _ in range(redraws):
            found = drawn(model, rng)
            covered[:-2] += [value in one for value, one in zip(truth, found.reliability, strict=True)]
            covered[-2] += mean in found.mean_correlation
            covered[-1] += 1 - mean in found.gap
            rejected += found.test is not None and found.test.p_value < 0.05
        assert (covered / redraws >= 0.93 - 2 * np.sqrt(0.93 * 0.07 / redraws)).all(), covered / redraws
        assert rejected / redraws < 0.05 + 3 * np.sqrt(0.05 * 0.95 / redraws)

    def test_p_values_are_uniform_when_errors_are_independent(self):
        rng = np.random.default_rng(12)
        p = np.array([drawn(INDEPENDENT, rng, 60, 20, 30).test.p_value for _ in range(400)])
        for level in (0.1, 0.3, 0.5, 0.7, 0.9):
            assert abs((p < level).mean() - level) < 4 * np.sqrt(level * (1 - level) / 400) + 0.02

    def test_the_joint_fit_is_closer_to_the_truth_than_the_mean_over_triples(self):
        rng = np.random.default_rng(13)
        model = FactorModel.independent([1.0, 0.8, 0.6, 0.25, 0.2], [0.6, 0.9, 1.0, 1.0, 1.0])
        joint, mean = [], []
        for _ in range(150):
            found = drawn(model, rng, 60, 20, 30)
            joint.append(reliabilities(found) - model.reliability())
            by_triple = [
                np.nanmean([t.reliability[t.members.index(name)] for t in found.triples if name in t.members])
                for name in found.proxies
            ]
            mean.append(by_triple - model.reliability())
        assert (np.square(joint).mean(axis=0) <= 1.05 * np.square(mean).mean(axis=0)).all()
        assert np.square(joint).mean() < 0.7 * np.square(mean).mean()


class TestBlindness:
    def test_an_error_shared_by_all_counts_as_truth_by_just_its_size_and_the_test_cannot_tell(self):
        # s = r + g + e: proxies agree on r + g.
        own = np.array([0.5, 1.0, 1.5, 0.7])
        model = FactorModel(np.ones(4), 0.6 + np.diag(own), UNITS[:4], spreads=(2.0,))
        found = at_the_truth(model)
        np.testing.assert_allclose(reliabilities(found), 2.6 / (2.6 + own), rtol=1e-9)
        np.testing.assert_allclose(model.reliability(), 2.0 / (2.6 + own))
        rng = np.random.default_rng(14)
        many = [drawn(model, rng, 60, 20, 30) for _ in range(100)]
        np.testing.assert_allclose(
            np.mean([reliabilities(one) for one in many], axis=0), 2.6 / (2.6 + own), rtol=0.01
        )
        assert np.mean([one.test.p_value < 0.05 for one in many]) < 0.15

    def test_an_error_shared_by_some_is_seen_by_the_test(self):
        errors = np.diag([0.5, 1.0, 1.5, 0.7, 0.9])
        errors[:2, :2] += 0.25
        model = FactorModel(np.ones(5), errors, UNITS, spreads=(2.0,))
        rng = np.random.default_rng(15)
        many = [drawn(model, rng, 60, 20, 30) for _ in range(100)]
        assert np.mean([one.test.p_value < 0.05 for one in many]) > 0.9
        # And those who share it look more reliable than they are.
        assert (
            np.mean([reliabilities(one) for one in many], axis=0)[:2] > model.reliability()[:2] + 0.01
        ).all()

    def test_three_cannot_be_tested_and_are_wrong_by_the_predicted_amount(self):
        errors = np.diag([0.5, 1.0, 1.5])
        errors[0, 1] = errors[1, 0] = 0.25
        found = at_the_truth(FactorModel(np.ones(3), errors, np.ones(3)))
        assert found.test is None
        np.testing.assert_allclose(reliabilities(found), [1.25 / 1.5, 1.25 / 2.0, 1 / 1.25 / 2.5])

    def test_standardising_first_biases_the_three_cornered_hat_but_not_collocation(self):
        # Half the variances of differences of standardised proxies, against the error variances in those units.
        model = FactorModel.independent([1.0, 1.0, 1.0], [0.3, 0.7, 1.5])
        truth = 1 - model.reliability()

        def hat(c):
            def v(i, j):
                return c[i, i] + c[j, j] - 2 * c[i, j]

            sides = [(0, 1, 2), (1, 0, 2), (2, 0, 1)]
            return np.array([(v(i, j) + v(i, k) - v(j, k)) / 2 for i, j, k in sides])

        raw = model.raw()[:-1, :-1]
        np.testing.assert_allclose(hat(raw) / np.diag(raw), truth)
        standard = np.asarray(to_correlations(raw[None] + 0j)[0].real)
        assert np.abs(hat(standard) - truth).max() > 0.1
        np.testing.assert_allclose(1 - reliabilities(from_covariance(standard)), truth, rtol=1e-9)


class TestWhatCannotBe:
    def test_two_proxies_give_their_correlation_and_what_it_means(self):
        found = collocate(PromptMoments(np.stack([[[2.0, 1.0], [1.0, 2.0]]] * 4)), ("a", "b"), level=0.95)
        assert isinstance(found, NoCollocation)
        assert "needs three proxies; a and b have correlation 0.5" in found.reason

    def test_a_negative_product_has_no_common_factor(self):
        c = np.array([[1.0, 0.5, 0.4], [0.5, 1.0, -0.3], [0.4, -0.3, 1.0]])
        found = collocate(PromptMoments(np.stack([c] * 4)), NAMES[:3], level=0.95)
        assert isinstance(found, NoCollocation)
        assert "b and c have correlation -0.3" in found.reason
        assert np.isnan(triples(c)[1]).all()

    def test_four_of_which_only_two_agree_determine_nothing(self):
        c = np.eye(4)
        c[0, 1] = c[1, 0] = 0.5
        found = collocate(PromptMoments(np.stack([c] * 4)), NAMES[:4], level=0.95)
        assert isinstance(found, NoCollocation)

    def test_a_reliability_above_1_is_not_hidden(self):
        c = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, 0.5], [0.9, 0.5, 1.0]])
        found = from_covariance(c)
        assert found.reliability[0].estimate == pytest.approx(0.81 / 0.5)
