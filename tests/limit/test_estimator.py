"""Bias correction and intervals, on levels whose bias is known."""

import numpy as np
import pytest

from klimit.limit.estimator import Inference, extrapolate, noise_of_difference, remaining_bias
from klimit.limit.levels import PromptLevels

NOTHING = np.zeros(1)


def levels_with(truth, biases, *, prompts=200, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    centre = truth + spread * rng.normal(size=(prompts, 1))
    centre += truth - centre.mean()
    corrected = np.stack([centre - b for b in biases])
    within = np.full((prompts, 1), (spread / 2) ** 2)
    return PromptLevels(corrected, centre - 0.3, np.zeros(1), lambda prompts: within[prompts])


@pytest.mark.parametrize("ratio", [0.25, 0.4, 0.6, 0.75])
def test_a_geometric_bias_is_removed_exactly(ratio):
    bias = 0.05
    d1, d2 = np.array([bias / ratio - bias]), np.array([bias / ratio**2 - bias / ratio])
    assert extrapolate(d1, d2, NOTHING)[0] == pytest.approx(bias)


def test_richardson_removes_a_bias_that_falls_with_the_square():
    bias = 0.05
    estimate = Inference(name="richardson").estimate(levels_with(1.0, [bias, 4 * bias, 16 * bias]))
    assert estimate.value[0] == pytest.approx(1.0)


def test_the_jackknife_alone_keeps_the_bias():
    """Negative control: the estimator without extrapolation misses the same truth."""
    estimate = Inference(name="jackknife").estimate(levels_with(1.0, [0.05, 0.2, 0.8]))
    assert estimate.high[0] < 1.0


@pytest.mark.parametrize(("d1", "d2"), [(-0.1, -0.2), (0.1, -0.2), (-0.1, 0.2), (0.1, 0.0)])
def test_an_overshoot_of_the_jackknife_is_not_blown_up(d1, d2):
    assert abs(extrapolate(np.array([d1]), np.array([d2]), NOTHING)[0]) <= abs(d1) / 3 + 1e-12


def test_noise_pulls_the_ratio_to_the_conservative_one():
    d1, d2 = np.array([0.06]), np.array([0.1])
    quiet, loud = (extrapolate(d1, d2, np.array([v]))[0] for v in (1e-8, 1.0))
    assert quiet == pytest.approx(0.06 * 0.6 / 0.4, rel=1e-3)
    assert loud == pytest.approx(0.06 / 3, rel=0.05)


def test_the_interval_spans_both_extrapolations_and_the_bias_that_may_remain():
    levels = levels_with(1.0, [0.05, 0.1, 0.18], spread=0.01)
    d1, d2 = np.array([0.05]), np.array([0.08])
    out = Inference().estimate(levels)
    noise = noise_of_difference(*(levels.corrected[i] - levels.corrected[i + 1] for i in (0, 1)))
    ends = sorted([0.95 + 0.05 / 3, 0.95 + extrapolate(d1, d2, noise)[0]])
    allowed = remaining_bias(d1, d2)[0]
    assert out.low[0] < ends[0] - allowed
    assert out.high[0] > ends[1] + allowed


def test_given_prompts_have_narrower_intervals_than_their_population():
    levels = levels_with(1.0, [0.0, 0.0, 0.0])
    population, given = (Inference(target=t).estimate(levels) for t in ("population", "these-prompts"))
    assert given.standard_error[0] == pytest.approx(population.standard_error[0] / 2, rel=0.1)


def test_one_prompt_leaves_the_population_unbounded():
    levels = levels_with(1.0, [0.0, 0.0, 0.0], prompts=1)
    assert np.isinf(Inference().estimate(levels).high[0])
    assert np.isfinite(Inference(target="these-prompts").estimate(levels).high[0])


def of_ratio(ratio, *, smooth):
    """The standard error where the ratio of the differences is noisy; most of it stems from the ratio."""
    rng = np.random.default_rng(3)
    base, d1, d2 = (
        rng.normal(m, s, size=(400, 1)) for m, s in ((1.0, 0.02), (0.05 * ratio, 0.03), (0.05, 0.05))
    )
    corrected = np.stack([base, base - d1, base - d1 - d2])
    levels = PromptLevels(corrected, base, np.zeros(1), lambda prompts: np.zeros_like(base[prompts]))
    return float(Inference(smooth=smooth).estimate(levels).standard_error[0])


def test_a_smooth_error_does_not_leap_where_the_ratio_is_clipped():
    ratios = np.linspace(0.3, 1.5, 60)
    plain, smooth = (np.array([of_ratio(r, smooth=s) for r in ratios]) for s in (False, True))
    assert np.abs(np.diff(np.log(plain))).max() > 1.5
    assert np.abs(np.diff(np.log(smooth))).max() < 0.3
    # Where the ratio is known to lie below or far above, both are the same.
    assert smooth[[5, -1]] == pytest.approx(plain[[5, -1]], rel=0.1)


def test_a_smooth_error_is_that_of_estimates_whose_ratio_is_often_clipped():
    rng = np.random.default_rng(0)
    values, errors = [], {True: [], False: []}
    for _ in range(400):
        base, d1, d2 = (rng.normal(m, s, size=(100, 1)) for m, s in ((1.0, 0.02), (0.04, 0.04), (0.05, 0.05)))
        levels = PromptLevels(
            np.stack([base, base - d1, base - d1 - d2]),
            base,
            np.zeros(1),
            lambda prompts: np.zeros((100, 1))[prompts],
        )
        for smooth in errors:
            found = Inference(smooth=smooth).estimate(levels)
            errors[smooth].append(found.standard_error[0])
        values.append(found.value[0])
    truth = np.std(values)
    assert np.sqrt(np.mean(np.square(errors[True]))) == pytest.approx(truth, rel=0.15)
    assert np.sqrt(np.mean(np.square(errors[False]))) > 1.1 * truth


def test_influences_predict_what_leaving_a_prompt_out_does():
    rng = np.random.default_rng(3)
    base = rng.normal(1.0, 0.2, size=(400, 1))
    d1 = rng.normal(0.06, 0.02, size=(400, 1))
    d2 = rng.normal(0.1, 0.02, size=(400, 1))
    corrected = np.stack([base, base - d1, base - d1 - d2])

    def value(rows):
        part = PromptLevels(corrected[:, rows], base[rows], np.zeros(1), lambda prompts: base[prompts])
        return Inference().estimate(part)

    whole = value(slice(None))
    for prompt in (0, 17, 399):
        rest = value(np.delete(np.arange(400), prompt))
        assert 399 * (whole.value - rest.value)[0] == pytest.approx(
            whole.influence[prompt, 0], rel=0.05, abs=5e-3
        )
