"""The limit's summary of prompts: it merges, and it gives what the prompts themselves give."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import skew

import klimit
from klimit.limit.dual import Grid
from klimit.limit.grid_moments import SLOPE, SUM, VALUE, GridMoments
from klimit.limit.kernels import PromptStatistics, grid, prompt_statistics
from klimit.limit.levels import PromptLevels

OCTAVES, T_LOW = 8, 0.03
POINTS = Grid(grid(T_LOW, OCTAVES))
FIELDS = ("mean", "scatter", "third", "plug_in", "share", "by_count", "inverse_count", "variance_by_count")


def statistics_of(rewards):
    """Of a table of rewards, which are sorted here."""
    n_prompts, n = rewards.shape
    return prompt_statistics(
        np.sort(rewards, axis=1).reshape(-1),
        np.arange(n_prompts + 1) * n,
        t_low=T_LOW,
        octaves=OCTAVES,
        seed=0,
        deals=1,
    )


def summary(statistics, prompts, n, variances):
    """Of some of the prompts."""
    part = PromptStatistics(
        statistics.t,
        *(getattr(statistics, name)[..., prompts, :] for name in ("plug_in", "jackknife", "share")),
    )
    counts = np.full(part.share.shape[0], float(n))
    return GridMoments.of(part, counts, variances[prompts], POINTS)


@pytest.fixture(scope="module")
def rewards():
    rng = np.random.default_rng(0)
    return rng.normal(size=(90, 24)) * rng.gamma(2, 0.5, (90, 1))


@pytest.fixture(scope="module")
def statistics(rewards):
    return statistics_of(rewards)


@pytest.mark.parametrize("cuts", [(0, 90), (0, 1, 90), (0, 40, 41, 90), (0, *range(3, 90, 3), 90)])
def test_summaries_of_parts_merge_into_that_of_the_whole_in_any_order(rewards, statistics, cuts):
    variances = rewards.var(axis=1, ddof=1)
    whole = summary(statistics, slice(None), 24, variances)
    parts = [summary(statistics, slice(a, b), 24, variances) for a, b in pairwise(cuts)]
    for order in (range(len(parts)), reversed(range(len(parts)))):
        merged = None
        for i in order:
            merged = parts[i] if merged is None else merged.merged(parts[i], POINTS)
        assert merged.n_prompts == 90
        for name in FIELDS:
            found, expected = getattr(merged, name), getattr(whole, name)
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


def test_skewness_is_that_of_the_prompts_curves(rewards, statistics):
    found = summary(statistics, slice(None), 24, rewards.var(axis=1, ddof=1)).skew(POINTS)
    finest, half, _ = statistics.jackknife / POINTS.t
    value = finest + (finest - half) / 3
    slope = value @ POINTS.slope.T
    for which, curves in ((VALUE, value), (SLOPE, slope), (SUM, value + slope)):
        np.testing.assert_allclose(found[which], skew(curves, axis=0), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("given", [False, True])
def test_moments_at_a_budget_are_those_of_the_prompts_parts_in_the_limit(given):
    rng = np.random.default_rng(1)
    limit = klimit.frontier(rng.normal(size=(120, 64)) * rng.uniform(0.5, 1.5, (120, 1)))
    levels = limit.engine.levels(np.array([0.05, 0.3, 0.9]))
    found = levels.moments(given=given)
    one_by_one = PromptLevels(levels.corrected, levels.plug_in, levels.shift, lambda chosen: np.zeros((1, 3)))
    expected = one_by_one.moments(given=given)
    for name in ("mean", "plug_in", "covariance"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-8, atol=1e-13, err_msg=name
        )
    np.testing.assert_allclose(found.skew, expected.skew, atol=2e-3)  # that one is interpolated
    weights = np.array([[1.0, 1.0, 1.0], [0.3, 0.2, 0.1], [0.0, -0.4, 0.5]])
    np.testing.assert_allclose(
        levels.influence(weights), one_by_one.influence(weights), rtol=1e-9, atol=1e-12
    )


def test_another_set_of_prompts_has_another_summary(rewards, statistics):
    variances = rewards.var(axis=1, ddof=1)
    one, other = (summary(statistics, part, 24, variances) for part in (slice(0, 45), slice(45, 90)))
    assert np.abs(one.mean - other.mean).max() > 1e-3
