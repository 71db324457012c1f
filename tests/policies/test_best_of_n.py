"""Best-of-N: unbiased rewards and win rates, whatever the order of the rows, the scale or the raggedness."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from klimit.errors import InputError, KlimitWarning
from klimit.policies import best_of_n
from klimit.policies.values import best_of_n_values
from klimit.samples.container import Samples
from klimit.testsystems import Bernoulli, Discrete, Gaussian


def ragged(rows: list[list[float]]) -> Samples:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    flat = np.array([x for row in rows for x in row])
    return Samples(rewards={"reward": flat}, offsets=offsets, prompt_ids=np.arange(len(rows)))


def curve(samples: object, **options: object):
    return best_of_n(samples, efficiency=False, **options)


def resampled_best(rewards: np.ndarray, n: int, rng: np.random.Generator, draws: int = 200) -> float:
    """The mean best of n draws with replacement: what a bootstrap would report."""
    picks = rng.integers(rewards.shape[1], size=(len(rewards), draws, n))
    return float(np.take_along_axis(rewards[:, None, :], picks, axis=2).max(axis=2).mean())


def test_reward_is_the_mean_best_over_all_subsets() -> None:
    rows = [[0.3, -1.0, 2.0, 2.0, 0.1], [5.0, 4.0, 4.0, 4.0, -2.0, 0.0, 1.0], [1.0, 2.0, 3.0]]
    sizes = [1, 2, 3]
    expected = [
        np.mean([np.mean([max(subset) for subset in combinations(row, size)]) for row in rows])
        for size in sizes
    ]
    np.testing.assert_allclose(curve(ragged(rows), n=sizes).reward, expected, rtol=1e-13)


def test_win_rate_is_the_mean_over_all_choices_of_base_draw_and_candidates() -> None:
    row = [0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 0.0, 1.0]
    sizes = [1, 2, 4, 7]

    def wins(size: int) -> float:
        scores = []
        for subset in combinations(row, size + 1):
            for i in range(size + 1):
                best = max(subset[:i] + subset[i + 1 :])
                scores.append((best > subset[i]) + 0.5 * (best == subset[i]))
        return float(np.mean(scores))

    np.testing.assert_allclose(
        curve(ragged([row, row]), n=sizes).win_rate, [wins(size) for size in sizes], rtol=1e-13
    )


def test_untied_rewards_have_the_closed_forms_exactly() -> None:
    result = curve(Gaussian().draw(np.random.default_rng(1), 20, 64))
    n = result.n
    np.testing.assert_array_equal(n, [1, 2, 4, 8, 16, 32, 64])
    np.testing.assert_allclose(result.kl, np.log(n) - (n - 1) / n, rtol=1e-14)
    np.testing.assert_array_equal(result.kl_low, result.kl)
    np.testing.assert_array_equal(result.kl_high, result.kl)
    np.testing.assert_allclose(result.win_rate, n / (n + 1), rtol=1e-14)


def test_a_rare_pair_of_equal_floats_is_no_atom() -> None:
    rewards = Gaussian().draw(np.random.default_rng(2), 20, 64)
    rewards[3, 5] = rewards[3, 40]
    result = curve(rewards)
    np.testing.assert_array_equal(result.kl_low, result.kl_bound)


def test_n_of_1_is_the_base_policy() -> None:
    rewards = Discrete().draw(np.random.default_rng(3), 10, 7)
    result = curve(rewards, n=1)
    assert (result.gain[0], result.kl[0], result.kl_high[0], result.win_rate[0]) == (0, 0, 0, 0.5)
    assert result.reward[0] == pytest.approx(rewards.mean(), rel=1e-14)


@pytest.mark.parametrize(("system", "n"), [(Bernoulli(0.1), 16), (Gaussian(), 16), (Discrete(), 12)])
def test_rewards_are_unbiased_up_to_all_completions(system, n: int) -> None:
    rng = np.random.default_rng(20260501)
    sizes = [2, n // 2, n]
    # 1,000 data sets of 20 prompts; prompts do not interact, so all are estimated in one call.
    rewards = system.draw(rng, 20_000, n)
    values = best_of_n_values(rewards.ravel(), np.arange(20_001) * n, sizes)
    estimates = (values.base[:, None] + values.gain).reshape(1000, 20, 3).mean(axis=1)
    np.testing.assert_allclose(estimates[7], curve(rewards[140:160], n=sizes).reward, rtol=1e-13)
    truth = system.mean_reward + system.best_of_n(sizes).gain
    error = estimates.std(axis=0) / np.sqrt(len(estimates))
    assert (np.abs(estimates.mean(axis=0) - truth) < 4 * error).all()


def test_resampling_with_replacement_is_biased_where_the_u_statistic_is_not() -> None:
    rng = np.random.default_rng(20260502)
    rewards = (rng.random((20_000, 16)) < 0.1).astype(float)
    truth = 1 - 0.9**16
    assert truth == pytest.approx(0.815, abs=5e-4)
    ours = curve(rewards, n=16).reward[0]
    assert abs(ours - truth) < 4 * np.sqrt(truth * (1 - truth) / len(rewards))
    assert resampled_best(rewards[:4000], 16, rng) == pytest.approx(0.650, abs=0.02)


@pytest.mark.parametrize("p", [0.05, 0.3])
def test_win_rate_at_all_completions_is_extrapolated_closely(p: float) -> None:
    rewards = (np.random.default_rng(5).random((40_000, 16)) < p).astype(float)
    fail = (1 - p) ** 16
    truth = (1 - fail) * (1 - p / 2) + fail * (1 - p) / 2
    assert curve(rewards, n=16).win_rate[0] == pytest.approx(truth, abs=0.003)
    assert 16 / 17 - truth > 0.02  # the untied rate would not do


@pytest.mark.parametrize("system", [Bernoulli(0.3), Discrete(), Gaussian()])
def test_order_of_rows_and_prompts_does_not_matter(system) -> None:
    rng = np.random.default_rng(7)
    rewards = system.draw(rng, 30, 24)
    shuffled = rng.permuted(rewards, axis=1)[rng.permutation(30)]
    a, b = curve(rewards), curve(shuffled)
    for name in ("kl", "kl_low", "kl_high", "gain", "gain_low", "gain_high", "win_rate"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_scale_and_shift_carry_through(scale: float) -> None:
    rewards = Discrete().draw(np.random.default_rng(8), 30, 24)
    plain, scaled = curve(rewards), curve(rewards * scale)
    np.testing.assert_allclose(scaled.gain_high, plain.gain_high * scale, rtol=1e-12)
    np.testing.assert_array_equal(scaled.kl, plain.kl)
    shifted = curve(rewards + 1024.0)
    np.testing.assert_allclose(shifted.gain, plain.gain, atol=1e-12)


def test_a_ragged_prompt_is_treated_as_alone() -> None:
    rng = np.random.default_rng(9)
    rows = [list(rng.integers(0, 3, size=k).astype(float)) for k in (5, 9, 5, 12, 9, 7)]
    together = curve(ragged(rows), n=[2, 5], target="these-prompts")
    alone = [curve(np.array([row]), n=[2, 5], target="these-prompts") for row in rows]
    np.testing.assert_allclose(together.gain, np.mean([c.gain for c in alone], axis=0), rtol=1e-13)
    np.testing.assert_allclose(together.win_rate, np.mean([c.win_rate for c in alone], axis=0), rtol=1e-13)


def test_float32_is_read_as_it_is() -> None:
    rewards = Gaussian().draw(np.random.default_rng(10), 30, 24).astype(np.float32)
    np.testing.assert_allclose(curve(rewards).gain, curve(rewards.astype(float)).gain, rtol=1e-13)


def test_constant_rewards_gain_exactly_nothing_and_say_so() -> None:
    with pytest.warns(KlimitWarning, match="the same within every prompt"):
        result = curve(np.full((40, 8), 0.1))
    np.testing.assert_array_equal(result.gain, 0.0)
    np.testing.assert_array_equal(result.kl, 0.0)
    # 40 prompts without a success do not exclude a rare one: the rule of three.
    assert 2 / 40 < result.kl_high[-1] / result.kl_bound[-1] < 4.5 / 40


def test_one_completion_a_prompt_is_the_base_policy_with_a_warning() -> None:
    with pytest.warns(KlimitWarning, match="have one completion"):
        result = curve(np.arange(5.0)[:, None])
    np.testing.assert_array_equal(result.n, [1])
    assert result.reward[0] == 2.0


def test_one_prompt_has_values_but_no_interval() -> None:
    with pytest.warns(KlimitWarning, match="one prompt says nothing about others"):
        result = curve(np.array([[0.0, 1.0, 2.0, 3.0]]))
    assert result.reward[-1] == 3.0
    assert np.isnan(result.gain_low).all()
    inside = curve(np.array([[0.0, 1.0, 2.0, 3.0]]), target="these-prompts")
    assert np.isfinite(inside.gain_low).all()


def test_rows_can_be_chosen_and_costs_turned(tmp_path) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "prompt_id": [0, 0, 0, 0, 1, 1, 1, 1],
            "kept": [1, 1, 1, 0, 1, 1, 1, 0],
            "reward": [3, 2, 1, -9, 6, 5, 4, -9],
        }
    )
    result = curve(frame, n=3, where="kept = 1", lower_is_better=True)
    assert result.reward[0] == pytest.approx(-2.5)


def test_too_large_n_names_the_largest_and_the_prompts_that_are_short() -> None:
    samples = ragged([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0]])
    with pytest.raises(
        InputError, match=r"N = 4 is above 2, the largest possible: 2 of 3 prompts .*\(0, 2\)"
    ):
        curve(samples, n=[1, 4])


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (0, "n is 0; it must be at least 1"),
        (-3, "at least 1"),
        (1.5, "N counts completions: whole numbers"),
        (float("nan"), "at least 1"),
        ("many", "give one number or a list"),
        ([], "give one number or a list"),
        ([[1, 2]], "give one number or a list"),
    ],
)
def test_bad_n_is_refused(n, message: str) -> None:
    with pytest.raises(InputError, match=message):
        curve(np.zeros((2, 3)), n=n)


@pytest.mark.parametrize(
    ("option", "message"),
    [({"level": 1.0}, "level is 1.0"), ({"target": "everyone"}, "choose 'population' or 'these-prompts'")],
)
def test_bad_options_are_refused(option, message: str) -> None:
    with pytest.raises(InputError, match=message):
        curve(np.zeros((2, 3)), **option)


def test_frame_has_one_row_an_n() -> None:
    result = curve(Gaussian().draw(np.random.default_rng(11), 10, 8))
    frame = result.to_frame()
    assert len(frame) == len(result) == 4
    assert list(frame.columns[:4]) == ["policy", "n", "kl", "kl_low"]
    np.testing.assert_array_equal(frame["draws"], result.n)


def test_a_parameter_the_policy_lacks_is_named() -> None:
    with pytest.raises(AttributeError, match="best-of-n has no 'mu'; it has n"):
        _ = curve(np.eye(3)).mu
