"""Intervals of means over prompts, of KLs in a known range, and about the given prompts alone."""

from __future__ import annotations

import numpy as np
import pytest

from klimit.order_statistics import best_weights
from klimit.policies import best_of_n, best_of_poisson
from klimit.policies.intervals import kl_interval, mean_interval
from klimit.policies.levels import tied_levels
from klimit.policies.ties import kl_with_ties, untied_kl
from klimit.policies.values import best_of_n_values
from klimit.samples.sorting import sorted_groups
from klimit.testsystems import Discrete, Gaussian

BOUND = np.array([2.0])


def tie_loss_of(row: np.ndarray, size: int) -> float:
    """What ties take from the KL of best-of-``size``, for one prompt."""
    (group,) = sorted_groups(row, np.array([0, len(row)]))
    return float(kl_with_ties(tied_levels(group), len(row), size, 1)[0][0])


def test_symmetric_values_have_students_interval() -> None:
    result = mean_interval(np.array([[-1.0], [0.0], [1.0]]), level=0.95)
    assert result.high[0] == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert result.low[0] == -result.high[0]


def test_skew_widens_its_own_side_only() -> None:
    values = np.array([[0.0]] * 18 + [[1.0]] * 2)
    result = mean_interval(values, level=0.95)
    half = 2.093024 * values.std(ddof=1) / np.sqrt(20)
    assert result.mean[0] - result.low[0] == pytest.approx(half, rel=1e-6)
    assert result.high[0] - result.mean[0] > 1.2 * half


@pytest.mark.parametrize("scale", [1e-120, 1e120])
def test_wild_scales_neither_overflow_nor_underflow(scale: float) -> None:
    values = np.array([[0.0], [0.0], [3.0]])
    small, plain = mean_interval(values * scale, level=0.9), mean_interval(values, level=0.9)
    assert small.high[0] == pytest.approx(plain.high[0] * scale, rel=1e-12)


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 3 / 100 * 2), (2.0, 2 - 3 / 100 * 2, 2.0)])
def test_no_event_at_all_follows_the_rule_of_three(value: float, low: float, high: float) -> None:
    result = kl_interval(np.full((100, 1), value), np.zeros(1), BOUND, depth=np.full(1, 0.25), level=0.95)
    assert result.low[0] == pytest.approx(low, abs=2e-3)
    assert result.high[0] == pytest.approx(high, abs=2e-3)


def test_bias_widens_both_ends_within_the_range() -> None:
    values = np.random.default_rng(1).normal(1, 0.1, size=(500, 1))
    options = {"depth": np.array([0.1]), "level": 0.95}
    plain = kl_interval(values, np.zeros(1), BOUND, **options)
    wide = kl_interval(values, np.array([0.3]), BOUND, **options)
    assert wide.low[0] == pytest.approx(plain.low[0] - 0.3)
    assert wide.high[0] == pytest.approx(plain.high[0] + 0.3)
    assert kl_interval(values, np.array([9.0]), BOUND, **options).high[0] == 2.0


def test_one_prompt_leaves_the_whole_range() -> None:
    result = kl_interval(np.ones((1, 1)), np.zeros(1), BOUND, depth=np.ones(1), level=0.95)
    assert (result.low[0], result.high[0]) == (0.0, 2.0)


@pytest.mark.parametrize("size", [2, 5, 9])
def test_within_prompt_variances_are_those_of_leaving_each_completion_out(size: int) -> None:
    n = 9
    rewards = np.round(np.random.default_rng(2).standard_normal((6, n)))
    rewards[0] = np.arange(n)  # no ties
    kept = min(size, n - 1)
    values = best_of_n_values(rewards.ravel(), np.arange(7) * n, [size], within=True)
    for i, row in enumerate(rewards):
        others = [np.sort(np.delete(row, j)) for j in range(n)]
        gains = np.array([x @ best_weights(n - 1, kept) - x.mean() for x in others])
        kls = np.array([untied_kl(kept) - tie_loss_of(x, kept) for x in others])
        if size < n:
            expected = [(n - 1) / n * ((x - x.mean()) ** 2).sum() for x in (gains, kls)]
        else:  # Efron-Stein, about the value with all completions
            loss = untied_kl(kept) - (untied_kl(n) - values.kl[i, 0])
            expected = [((gains - values.gain[i, 0]) ** 2).sum(), ((kls - loss) ** 2).sum()]
        assert values.gain_variance[i, 0] == pytest.approx(expected[0], abs=1e-12)
        assert values.kl_variance[i, 0] == pytest.approx(expected[1], abs=1e-12)


@pytest.mark.parametrize("function", [best_of_n, best_of_poisson])
@pytest.mark.parametrize("system", [Gaussian(scale=(0.2, 3.0)), Discrete(scale=(0.2, 3.0))])
def test_intervals_about_these_prompts_cover_them_and_are_narrower(function, system) -> None:
    """Prompts fixed (their scales differ widely), completions drawn again and again."""
    rng = np.random.default_rng(3)
    scales = np.linspace(0.2, 3.0, 40)[:, None]
    unit = system.equal()
    setting = {"n": [4, 16]} if function is best_of_n else {"mu": [5.0]}
    truth = getattr(unit, function.__name__)(next(iter(setting.values())))
    covered, narrower = [], []
    for _ in range(100):
        rewards = unit.draw(rng, 40, 32) * scales
        about = function(rewards, **setting, efficiency=False, target="these-prompts")
        population = function(rewards, **setting, efficiency=False)
        gain, kl = truth.gain * scales.mean(), truth.kl
        covered.append(
            [
                (about.gain_low <= gain) & (gain <= about.gain_high),
                (about.kl_low <= kl + 1e-9) & (kl <= about.kl_high + 1e-9),
            ]
        )
        narrower.append(about.gain_high - about.gain_low < population.gain_high - population.gain_low)
    # Nominal cover less four standard errors of 100 repetitions.
    assert (np.mean(covered, axis=0) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 100)).all()
    assert np.mean(narrower) > 0.95
