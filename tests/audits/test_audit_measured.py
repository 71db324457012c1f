"""Means over prompts that carry their influences: what is derived from them has its error."""

import numpy as np
import pytest

from klimit.audits.measured import Measured, ratio
from klimit.policies.intervals import mean_interval


def two(seed, n_prompts=200, shared=1.0):
    """Estimates of means 3 and 2 with a common error."""
    rng = np.random.default_rng(seed)
    common = shared * rng.standard_normal(n_prompts)
    top = 3 + common + 0.3 * rng.standard_normal(n_prompts)
    bottom = 2 + common + 0.3 * rng.standard_normal(n_prompts)
    return top, bottom


def test_sums_and_differences_are_those_of_the_prompts():
    top, bottom = two(0)
    difference = (Measured.mean(top) - Measured.mean(bottom)).interval(0.95)
    direct = mean_interval((top - bottom)[:, None], level=0.95)
    assert difference.estimate == pytest.approx(float(direct.mean[0]), abs=1e-12)
    assert difference.low == pytest.approx(float(direct.low[0]), abs=1e-12)
    assert difference.high == pytest.approx(float(direct.high[0]), abs=1e-12)


def test_a_negative_factor_swaps_what_may_remain_below_and_above():
    whole = Measured.mean(np.arange(10.0), below=1.0, above=3.0).times(-2.0)
    assert (whole.below, whole.above) == (6.0, 2.0)
    difference = Measured.mean(np.arange(10.0)) - whole
    assert (difference.below, difference.above) == (2.0, 6.0)


def test_one_prompt_says_nothing_about_others():
    alone = Measured.mean(np.array([1.0])).interval(0.95)
    assert (alone.estimate, alone.low, alone.high) == (1.0, -np.inf, np.inf)


def test_fiellers_interval_covers_and_uses_the_common_error():
    covered, widths = [], []
    for seed in range(400):
        top, bottom = two(seed)
        found = ratio(Measured.mean(top), Measured.mean(bottom), 0.95)
        covered.append(1.5 in found)
        widths.append(found.high - found.low)
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 400)
    # Negative control: as if the errors were independent, it would be far wider.
    top, bottom = two(0)
    shuffled = np.random.default_rng(0).permutation(bottom)
    independent = ratio(Measured.mean(top), Measured.mean(shuffled), 0.95)
    assert independent.high - independent.low > 1.5 * np.mean(widths)


def test_a_denominator_near_zero_leaves_the_ratio_unbounded():
    rng = np.random.default_rng(1)
    top, bottom = 1 + 0.1 * rng.standard_normal(50), 0.1 + rng.standard_normal(50)
    bottom += 0.1 - bottom.mean()
    found = ratio(Measured.mean(top), Measured.mean(bottom), 0.95)
    assert found.high == np.inf
    assert not ratio(Measured.mean(top), Measured.mean(-np.abs(bottom)), 0.95).known


def test_what_may_remain_of_a_bias_widens_its_side_only():
    values = np.random.default_rng(2).standard_normal(100)
    plain, wide = (Measured.mean(values, above=above).interval(0.95) for above in (0.0, 0.5))
    assert wide.low == plain.low
    assert wide.high == pytest.approx(plain.high + 0.5, abs=1e-12)
