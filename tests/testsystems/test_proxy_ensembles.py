"""Several proxies as tables: errors of known covariance, the 1/K law with its floor, and samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klimit.errors import InputError
from klimit.testsystems import EnsembleTables, random_ensemble


def within(p: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Covariance of every prompt, by its definition."""
    return (p * a * b).sum(axis=1) - (p * a).sum(axis=1) * (p * b).sum(axis=1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.floats(0.0, 1.0), st.floats(0.1, 3.0), st.integers(0, 10**6))
def test_exact_moments_hold_in_every_prompt(members: int, shared: float, sd: float, seed: int) -> None:
    w = random_ensemble(5, members + 4, members, sd, shared, seed=seed)
    errors = w.proxies - w.gold
    for i in range(members):
        np.testing.assert_allclose(within(w.base, errors[i], w.gold), 0.0, atol=1e-8)
        for j in range(members):
            expected = sd**2 * (1.0 if i == j else shared)
            np.testing.assert_allclose(within(w.base, errors[i], errors[j]), expected, atol=1e-8)
    np.testing.assert_allclose(
        w.error_covariance, sd**2 * (shared + (1 - shared) * np.eye(members)), atol=1e-8
    )


@pytest.mark.parametrize("shared", [0.0, 0.3, 1.0])
def test_the_error_of_a_mean_falls_as_one_over_k_to_the_shared_floor(shared: float) -> None:
    w = random_ensemble(20, 30, 8, 1.5, shared, seed=3)
    for k in range(1, 9):
        weights = np.arange(8) < k
        law = 1.5**2 * (shared + (1 - shared) / k)
        assert w.error_variance(weights) == pytest.approx(law, rel=1e-9)
        mixed = w.combined(weights / k)
        assert within(w.base, mixed.proxy - w.gold, mixed.proxy - w.gold).mean() == pytest.approx(
            law, rel=1e-9
        )
    assert w.error_variance() == pytest.approx(1.5**2 * (shared + (1 - shared) / 8), rel=1e-9)


def test_a_larger_ensemble_regrets_less_as_long_as_errors_are_not_shared() -> None:
    regrets = {}
    for shared in (0.0, 0.9):
        w = random_ensemble(40, 30, 8, 1.5, shared, seed=4)
        regrets[shared] = [float(w.combined((np.arange(8) < k) / k).regret(1.0)) for k in (1, 2, 4, 8)]
    assert (np.diff(regrets[0.0]) < 0).all()
    assert regrets[0.0][-1] < 0.25 * regrets[0.0][0]
    assert regrets[0.9][-1] > 0.75 * regrets[0.9][0]


def test_members_may_differ_in_their_errors() -> None:
    sd = np.array([0.5, 1.0, 2.0])
    w = random_ensemble(10, 20, 3, sd, 0.25, seed=5)
    expected = np.outer(sd, sd) * (0.25 + 0.75 * np.eye(3))
    np.testing.assert_allclose(w.error_covariance, expected, atol=1e-9)
    best = np.linalg.solve(expected, np.ones(3))
    least = 1 / best.sum()
    assert w.error_variance(best) == pytest.approx(least, rel=1e-9)  # weights need not sum to 1
    assert w.error_variance() > 1.5 * least
    # collocation's ratio is the reliability where errors are not shared, and too high where they are
    for shared in (0.0, 0.25):
        c = random_ensemble(10, 20, 3, sd, shared, seed=5).covariance
        blind = c[1, 2] * c[1, 3] / (c[2, 3] * c[1, 1])
        true = c[0, 1] ** 2 / (c[0, 0] * c[1, 1])
        assert (blind == pytest.approx(true, rel=1e-8)) == (shared == 0.0)


def test_without_exact_moments_they_hold_on_average() -> None:
    w = random_ensemble(3000, 30, 3, 1.5, 0.4, seed=6, exact_moments=False)
    errors = w.proxies - w.gold
    spread = within(w.base, errors[0], errors[0])
    assert spread.std() > 0.1
    ratio = w.error_covariance / w.error_covariance[0, 0]
    np.testing.assert_allclose(ratio, 0.4 + 0.6 * np.eye(3), atol=0.05)
    assert abs(within(w.base, errors[0], w.gold).mean()) < 0.05


def test_members_and_means_are_proxy_worlds() -> None:
    w = random_ensemble(12, 10, 3, 1.0, seed=7)
    assert np.array_equal(w.member(1).proxy, w.proxies[1])
    np.testing.assert_allclose(w.combined().proxy, w.proxies.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(w.combined([2, -1, 0]).proxy, 2 * w.proxies[0] - w.proxies[1], rtol=1e-12)
    assert random_ensemble(12, 10, 3, 0.0, seed=7).combined().gap(0.5) == pytest.approx(0.0, abs=1e-12)


def test_samples_carry_gold_and_every_proxy() -> None:
    w = random_ensemble(6, 12, 3, 1.0, seed=8)
    samples = w.sample(None, 5000, seed=1, redraw_prompts=False, labelled=0.5)
    assert tuple(samples.rewards) == ("gold", *w.names)
    assert w.names == ("proxy_1", "proxy_2", "proxy_3")
    outputs = samples.metadata["output"].reshape(6, 5000)
    rows = np.arange(6)[:, None]
    for name, proxy in zip(w.names, w.proxies, strict=True):
        assert np.array_equal(samples.rewards[name], proxy[rows, outputs].reshape(-1))
    assert np.isnan(samples.rewards["gold"]).mean() == 0.5
    for x in range(6):
        np.testing.assert_allclose(np.bincount(outputs[x], minlength=12) / 5000, w.base[x], atol=0.03)
    assert w.sample(40, 8, seed=2).n_prompts == 40


def test_what_cannot_be_is_refused() -> None:
    w = random_ensemble(4, 8, 2, seed=1)
    cases = [
        (lambda: EnsembleTables(w.base, w.gold, w.gold), "members, prompts, outputs"),
        (lambda: EnsembleTables(w.base, w.gold, w.proxies[:, :, :3]), "shape"),
        (lambda: w.combined([1.0]), "one finite number for each of 2"),
        (lambda: w.error_variance([1.0, -1.0]), "sum to 0"),
        (lambda: random_ensemble(4, 8, 0, seed=1), "at least one proxy"),
        (lambda: random_ensemble(4, 8, 6, seed=1), "at least 9 outputs"),
        (lambda: random_ensemble(4, 8, 2, [1.0, -1.0], seed=1), ">= 0"),
        (lambda: random_ensemble(4, 8, 2, [1.0] * 3, seed=1), "one for each of 2"),
        (lambda: random_ensemble(4, 8, 2, 1.0, 1.1, seed=1), "from 0 to 1"),
    ]
    for refused, words in cases:
        with pytest.raises(InputError, match=words):
            refused()
