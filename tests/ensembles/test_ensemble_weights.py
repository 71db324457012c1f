"""Best weights: optimal on the truth, honest on held-out prompts."""

import numpy as np
import pytest
from factor_models import INDEPENDENT, FactorModel
from scipy.optimize import minimize

from klimit.ensembles.inputs import standardise
from klimit.ensembles.moments import PromptMoments, prompt_moments
from klimit.ensembles.weights import best_weights, linear, nonnegative_weights

CLASH = FactorModel(
    np.array([1.0, 0.9, 0.4]), np.array([[0.4, 0.3, 0.5], [0.3, 0.6, 0.4], [0.5, 0.4, 1.0]]), np.ones(3)
)
ALIKE = FactorModel.independent([1.0] * 4, [2.0] * 4)


def correlation(matrix, w):
    return w @ matrix[:-1, -1] / np.sqrt(w @ matrix[:-1, :-1] @ w * matrix[-1, -1])


def found_for(model, draw, n_prompts=60, n=20, **more):
    samples = model.samples(draw, n_prompts, n)
    names = model.names
    raw = np.stack([samples.rewards[name] for name in (*names, "gold")])
    plain = prompt_moments(np.vstack([standardise(samples, names), raw[-1:]]), samples.offsets)
    judged = prompt_moments(raw, samples.offsets, standardised=len(names))
    return best_weights(plain, judged, **{"level": 0.95, "folds": 5, "seed": 0, **more})


class TestOptimal:
    @pytest.mark.parametrize("model", [INDEPENDENT, CLASH])
    def test_no_other_weights_correlate_more(self, model):
        truth = model.standardised()
        best = linear(truth)
        rng = np.random.default_rng(0)
        others = [best + 0.1 * np.abs(best).max() * rng.normal(size=len(best)) for _ in range(300)]
        assert all(correlation(truth, w) < correlation(truth, best) for w in others)

    def test_independent_errors_are_weighted_by_signal_over_noise(self):
        model = FactorModel.independent([1.0, 0.8, 0.5], [0.6, 1.0, 0.4])
        truth = model.standardised()
        deviation = np.sqrt(np.diag(model.raw())[:-1])
        expected = np.array([1.0, 0.8, 0.5]) / np.square([0.6, 1.0, 0.4]) * deviation
        found = linear(truth)
        np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), rtol=1e-10)

    def test_weights_that_cannot_be_negative_are_the_best_of_those(self):
        truth = CLASH.standardised()
        assert linear(truth).min() < 0
        found = nonnegative_weights(truth)
        assert found.min() == 0
        start = np.ones(3)
        other = minimize(lambda w: -correlation(truth, w), start, bounds=[(0, None)] * 3, tol=1e-12).x
        assert correlation(truth, found) == pytest.approx(correlation(truth, other), abs=1e-8)
        assert correlation(truth, found) >= correlation(truth, start)

    def test_where_none_is_negative_both_are_the_same(self):
        truth = INDEPENDENT.standardised()
        np.testing.assert_allclose(nonnegative_weights(truth), linear(truth), rtol=1e-8)

    def test_where_no_member_rises_with_gold_all_are_0(self):
        truth = FactorModel.independent([-1.0, -1.0], [1.0, 1.0]).standardised()
        np.testing.assert_array_equal(nonnegative_weights(truth), 0)


class TestHeldOut:
    def test_weights_are_normalised_and_cover_the_truth(self):
        truth = linear(INDEPENDENT.standardised())
        truth /= np.abs(truth).sum()
        covered = np.zeros(5)
        redraws = 100
        for seed in range(redraws):
            found = found_for(INDEPENDENT, seed, 50, 60)
            assert sum(abs(one.estimate) for one in found.weights) == pytest.approx(1)
            assert found.nonnegative.sum() == pytest.approx(1)
            covered += [value in one for value, one in zip(truth, found.weights, strict=True)]
        assert (covered / redraws > 0.93 - 3 * np.sqrt(0.93 * 0.07 / redraws)).all()

    @pytest.mark.parametrize("model", [CLASH, ALIKE], ids=["clash", "alike"])
    def test_worth_covers_that_of_weights_chosen_on_other_prompts(self, model):
        truth = model.standardised()
        redraws, chosen, found = 100, [], []
        for seed in range(redraws):
            samples = model.samples(10_000 + seed, 40, 20)  # as many prompts as four folds of five have
            raw = np.vstack([standardise(samples, model.names), samples.rewards["gold"][None]])
            mean = prompt_moments(raw, samples.offsets).mean
            alone = mean[:-1, -1] / np.sqrt(np.diag(mean)[:-1])
            one = np.eye(len(alone))[np.argmax(alone)]
            chosen.append([correlation(truth, w) for w in (linear(mean), np.ones(len(alone)), one)])
            found.append(found_for(model, seed, 50))
        best, equal, single = np.mean(chosen, axis=0)
        for name, value in {
            "best": best,
            "equal": equal,
            "single": single,
            "best_less_equal": best - equal,
            "best_less_single": best - single,
            "equal_less_single": equal - single,
        }.items():
            values = [getattr(one, name) for one in found]
            estimates = np.array([one.estimate for one in values])
            assert abs(estimates.mean() - value) < 4 * estimates.std() / np.sqrt(redraws) + 0.003, name
            covered = np.mean([value in one for one in values])
            assert covered >= 0.93 - 2 * np.sqrt(0.93 * 0.07 / redraws), (name, covered)

    def test_best_weights_are_worth_something_only_where_members_differ(self):
        clash, alike = found_for(CLASH, 0, 200), found_for(ALIKE, 0, 200)
        assert clash.best_less_equal.low > 0
        assert clash.nonnegative_less_equal.low > 0
        assert alike.best_less_equal.low < 0
        assert alike.equal_less_single.low > 0

    def test_what_fits_best_here_is_worth_less_elsewhere(self):
        # Ten useless members among few prompts: the fit is good where it was made, and only there.
        model = FactorModel.independent([0.3] + [0.0] * 9, [1.0] * 10)
        rng = np.random.default_rng(3)
        values, offsets = model.draw(rng, 12, 6)
        moments = prompt_moments(values, offsets, standardised=10)
        samples = model.samples(3, 12, 6)
        plain = prompt_moments(
            np.vstack([standardise(samples, model.names), samples.rewards["gold"][None]]), samples.offsets
        )
        found = best_weights(plain, moments, level=0.95, folds=5, seed=0)
        assert correlation(plain.mean, linear(plain.mean)) > found.best.estimate + 0.1

    def test_the_same_seed_gives_the_same(self):
        first, again, other = (found_for(CLASH, 0, seed=seed) for seed in (1, 1, 2))
        assert first.best == again.best
        assert first.best != other.best


class TestWhatCannotBe:
    def test_members_that_depend_on_each_other_have_no_best_weights(self):
        model = FactorModel(
            np.array([1.0, 1.0, 0.5]), np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]]), np.ones(3)
        )
        assert found_for(model, 0) is None

    def test_nor_have_few_prompts(self):
        assert found_for(CLASH, 0, 9) is None
        assert found_for(CLASH, 0, 10) is not None

    def test_a_lone_prompt_is_no_trouble(self):
        moments = PromptMoments(CLASH.standardised()[None])
        assert best_weights(moments, moments, level=0.95, folds=5, seed=0) is None
