"""Within-prompt covariances: by hand, without the bias of few completions, and their derivatives."""

from itertools import pairwise

import numpy as np
import pytest
from factor_models import INDEPENDENT, FactorModel

from klimit.audits.measured import Measured
from klimit.ensembles.moments import PromptMoments, correlation_interval, prompt_moments, root


def prompts_of(values, offsets):
    return [values[:, a:b] for a, b in pairwise(offsets)]


def test_plain_moments_are_each_prompt_s_unbiased_covariance():
    values, offsets = INDEPENDENT.draw(np.random.default_rng(0), 40, 3, 9)
    found = prompt_moments(values, offsets).each
    for one, rows in zip(found, prompts_of(values, offsets), strict=True):
        np.testing.assert_allclose(one, np.cov(rows), rtol=1e-9, atol=1e-9)


def test_a_large_level_costs_no_digits():
    values, offsets = INDEPENDENT.draw(np.random.default_rng(0), 10, 6)
    values = np.round(values * 256) / 256
    np.testing.assert_allclose(
        prompt_moments(values + 2.0**30, offsets).each, prompt_moments(values, offsets).each, rtol=1e-10
    )


def by_hand(rows, standardised):
    """The jackknife over completions, one at a time."""

    def whole(x):
        covariance = np.cov(x)
        deviation = np.sqrt(np.diag(covariance))
        scale = np.where(deviation > 1e-9, 1 / np.where(deviation > 1e-9, deviation, 1), 0)
        scale[standardised:] = 1
        return covariance * np.outer(scale, scale)

    n = rows.shape[1]
    without = [whole(np.delete(rows, i, axis=1)) for i in range(n)]
    return n * whole(rows) - (n - 1) * np.mean(without, axis=0)


def test_standardised_moments_are_the_jackknife_of_the_standardised_covariance():
    values, offsets = INDEPENDENT.draw(np.random.default_rng(1), 12, 3, 8)
    values[0, offsets[2] : offsets[3]] = 1.0  # constant within a prompt
    values[1, offsets[4] : offsets[5]] = 0.0
    values[1, offsets[4]] = 5.0  # constant but for one completion
    found = prompt_moments(values, offsets, standardised=5).each
    for one, rows in zip(found, prompts_of(values, offsets), strict=True):
        np.testing.assert_allclose(one, by_hand(rows, 5), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found[2, 0], 0)


def test_blocks_give_the_same():
    values, offsets = INDEPENDENT.draw(np.random.default_rng(2), 3000, 30)
    found = prompt_moments(values, offsets, standardised=5).each
    for i in (0, 1500, 2999):
        np.testing.assert_allclose(found[i], by_hand(prompts_of(values, offsets)[i], 5), rtol=1e-9, atol=1e-9)


def test_standardising_by_few_completions_leaves_little_bias_where_without_the_jackknife_it_leaves_much():
    model = FactorModel.independent([1.0, 1.0], [1.0, 1.0])
    n_prompts, n = 40_000, 10
    values, offsets = model.draw(np.random.default_rng(3), n_prompts, n)
    corrected = prompt_moments(values, offsets, standardised=2)
    truth = model.standardised()[0, -1]
    rows = values.reshape(3, n_prompts, n)
    z = (rows - rows.mean(axis=2, keepdims=True)) / rows.std(axis=2, ddof=1, keepdims=True)
    naive = prompt_moments(np.vstack([z[:2].reshape(2, -1), values[2:]]), offsets)
    error = corrected.each[:, 0, -1].std() / np.sqrt(n_prompts)
    assert abs(corrected.mean[0, -1] - truth) < 4 * error
    # Negative control: of order 1/(4n), far beyond the noise.
    assert naive.mean[0, -1] - truth < -6 * error


class TestDerived:
    def moments(self):
        values, offsets = INDEPENDENT.draw(np.random.default_rng(4), 60, 10, 20)
        return prompt_moments(values, offsets)

    def test_influences_are_those_of_leaving_a_prompt_out_to_first_order(self):
        moments = self.moments()

        def function(stack):
            inverse = np.linalg.inv(stack[:, :-1, :-1])
            return np.stack([root(stack[:, 0, 1] * stack[:, 2, 2]), inverse[:, 0, 3], stack[:, 5, 5]], axis=1)

        found = moments.derive(function)
        np.testing.assert_allclose(found.values, function(moments.mean[None].astype(complex))[0].real)
        tiny = 1e-6
        for p in (0, 17):
            moved = moments.mean + tiny * (moments.each[p] - moments.mean)
            slope = (function(moved[None].astype(complex))[0].real - found.values) / tiny
            np.testing.assert_allclose(found.influence[p], slope, rtol=2e-4, atol=1e-7 * np.abs(slope).max())

    def test_influences_of_the_matrix_itself_are_the_departures(self):
        moments = self.moments()
        found = moments.derive(lambda stack: stack[:, 1, :])
        np.testing.assert_allclose(
            found.influence, (moments.each - moments.mean)[:, 1], rtol=1e-12, atol=1e-12
        )

    def test_what_is_not_defined_is_nan(self):
        found = PromptMoments(-np.ones((3, 1, 1))).derive(lambda stack: root(stack[:, 0]))
        assert np.isnan(found.values).all()


class TestCorrelationInterval:
    def test_stays_within_minus_1_and_1_and_is_skewed_towards_0(self):
        influence = np.random.default_rng(5).standard_normal(30)
        found = correlation_interval(Measured(0.95, influence - influence.mean()), 0.95)
        assert -1 < found.low < 0.95 < found.high < 1
        assert 0.95 - found.low > found.high - 0.95

    def test_of_1_or_more_it_is_plain(self):
        influence = np.array([-0.1, 0.1, 0.0, 0.0])
        found = correlation_interval(Measured(1.02, influence), 0.95)
        plain = Measured(1.02, influence).interval(0.95)
        assert found == plain

    def test_of_one_prompt_it_is_everything(self):
        found = correlation_interval(Measured(0.3, np.zeros(1)), 0.95)
        assert (found.estimate, found.low, found.high) == (pytest.approx(0.3), -1, 1)
