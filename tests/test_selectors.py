"""Selectors: exact laws by chi-square, ties by chance and not by position, limits of their settings."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare, poisson

from klimit import selectors
from klimit.errors import InputError

BATCH = 60_000
ALARM = 1e-6  # chance that a right selector fails one of these tests
REWARDS = np.array([0.3, -1.0, 1.2, 0.9])

SELECTORS = {
    "best_of_n": lambda r, seed: selectors.best_of_n(r, seed=seed),
    "soft_best_of_n": lambda r, seed: selectors.soft_best_of_n(r, beta=0.5, seed=seed),
    "best_of_poisson": lambda r, seed: selectors.best_of_poisson(r, mu=0.3, seed=seed),
    "rejection_sampling": lambda r, seed: selectors.rejection_sampling(
        r, beta=0.5, reward_max=2.0, seed=seed
    ),
}


def matches(index: np.ndarray, law: np.ndarray) -> bool:
    """Whether the indices (-1 counted last) look drawn from ``law``."""
    counts = np.bincount(np.where(index < 0, len(law) - 1, index), minlength=len(law))
    possible = law > 0
    assert counts[~possible].sum() == 0
    return bool(chisquare(counts[possible], law[possible] / law.sum() * counts.sum()).pvalue > ALARM)


def exchangeable(select, rewards: np.ndarray) -> bool:
    """Whether equal rewards are chosen equally often at every position, over all orders of the candidates."""
    orders = list(permutations(range(len(rewards))))
    for order in orders[:: max(1, len(orders) // 6)]:
        row = rewards[list(order)]
        index = select(np.tile(row, (20_000, 1)))
        top = np.flatnonzero(row == row.max())
        counts = np.array([(index == i).sum() for i in top])
        if chisquare(counts).pvalue < ALARM / 6:
            return False
    return True


def test_best_of_n_takes_the_largest() -> None:
    assert selectors.best_of_n(REWARDS) == 2
    batch = np.random.default_rng(1).standard_normal((50, 9))
    np.testing.assert_array_equal(selectors.best_of_n(batch, seed=1), batch.argmax(axis=1))


@pytest.mark.parametrize("beta", [0.2, 1.0, 10.0])
def test_soft_best_of_n_has_the_softmax_law(beta: float) -> None:
    index = selectors.soft_best_of_n(np.tile(REWARDS, (BATCH, 1)), beta=beta, seed=2)
    law = np.exp(REWARDS / beta)
    assert matches(index, law / law.sum())
    assert not matches(index, np.full(4, 0.25))


def test_soft_best_of_n_goes_from_best_of_n_to_chance() -> None:
    tied = np.array([1.0, 3.0, 3.0, -2.0])
    batch = np.tile(tied, (BATCH, 1))
    assert matches(selectors.soft_best_of_n(batch, beta=1e-300, seed=3), np.array([0, 0.5, 0.5, 0]))
    assert matches(selectors.soft_best_of_n(batch, beta=np.inf, seed=3), np.full(4, 0.25))
    assert matches(selectors.soft_best_of_n(batch, beta=1e12, seed=3), np.full(4, 0.25))


def test_best_of_poisson_takes_the_best_of_the_first_few() -> None:
    row, mu = np.array([0.5, 2.0, 1.0, 3.0, 0.0, -1.0, 5.0, 4.0]), 1.1
    index = selectors.best_of_poisson(np.tile(row, (BATCH, 1)), mu=mu, seed=4)
    law = np.zeros(8)
    for size in range(1, 8):
        law[row[:size].argmax()] += poisson.pmf(size - 1, mu)
    law[row.argmax()] += poisson.sf(6, mu)
    assert matches(index, law)
    assert not matches(index, np.full(8, 1 / 8))
    np.testing.assert_array_equal(selectors.best_of_poisson(np.tile(row, (9, 1)), mu=0, seed=4), 0)


def test_rejection_sampling_accepts_in_turn_or_gives_minus_one() -> None:
    beta, largest = 0.7, 1.5
    accept = np.exp((REWARDS - largest) / beta)
    law = np.append(accept * np.concatenate([[1.0], np.cumprod(1 - accept)[:-1]]), np.prod(1 - accept))
    index = selectors.rejection_sampling(np.tile(REWARDS, (BATCH, 1)), beta=beta, reward_max=largest, seed=5)
    assert index.min() == -1
    assert matches(index, law)


def test_rejection_sampling_draws_exactly_from_the_tilted_policy() -> None:
    levels, p, beta = np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.3, 0.2]), 0.8
    rewards = np.random.default_rng(6).choice(levels, p=p, size=(BATCH, 30))
    index = selectors.rejection_sampling(rewards, beta=beta, reward_max=2.0, seed=7)
    accepted = index >= 0
    assert accepted.mean() > 0.99
    drawn = rewards[accepted, index[accepted]].astype(int)
    tilted = p * np.exp(levels / beta)
    assert matches(drawn, tilted / tilted.sum())
    assert not matches(drawn, p)


def test_rejection_sampling_limits() -> None:
    batch = np.tile(REWARDS, (500, 1))
    assert (selectors.rejection_sampling(batch, beta=np.inf, reward_max=9.0, seed=8) == 0).all()
    assert (selectors.rejection_sampling(batch, beta=1e-9, reward_max=1.2, seed=8) == 2).all()
    assert (selectors.rejection_sampling(batch, beta=1e-9, reward_max=1.3, seed=8) == -1).all()


@pytest.mark.parametrize("name", ["best_of_n", "soft_best_of_n"])
def test_ties_are_broken_by_chance_whatever_their_position(name: str) -> None:
    seeds = np.random.default_rng(9)
    assert exchangeable(lambda batch: SELECTORS[name](batch, seeds), np.array([1.0, 0.0, 1.0, 1.0]))


def test_breaking_ties_by_position_is_found_out() -> None:
    assert not exchangeable(lambda batch: batch.argmax(axis=1), np.array([1.0, 0.0, 1.0, 1.0]))


def test_best_of_poisson_breaks_ties_among_those_looked_at() -> None:
    index = selectors.best_of_poisson(np.zeros((BATCH, 12)), mu=2.0, seed=10)
    chances = poisson.pmf(np.arange(12), 2.0)
    law = np.array([sum(chances[size - 1] / size for size in range(i + 1, 13)) for i in range(12)])
    law[:12] += poisson.sf(11, 2.0) / 12
    assert matches(index, law)


@pytest.mark.parametrize("name", SELECTORS)
def test_seeds_shapes_and_shifts(name: str) -> None:
    select = SELECTORS[name]
    batch = np.random.default_rng(11).integers(0, 3, size=(200, 6)).astype(float)
    first = select(batch, 12)
    assert first.shape == (200,)
    assert first.dtype == np.int64
    np.testing.assert_array_equal(first, select(batch, 12))
    assert (first != select(batch, 13)).any()
    np.testing.assert_array_equal(first, select(batch, np.random.default_rng(12)))
    single = select(batch[0], 12)
    assert isinstance(single, int)
    assert isinstance(select(batch[0].tolist(), None), int)
    if name != "rejection_sampling":  # there the shift is against reward_max
        np.testing.assert_array_equal(first, select(batch + 1024, 12))
        np.testing.assert_array_equal(first, select(batch.astype(np.float32), 12))


def test_a_generator_advances() -> None:
    rng = np.random.default_rng(14)
    batch = np.zeros((100, 4))
    assert (selectors.best_of_n(batch, seed=rng) != selectors.best_of_n(batch, seed=rng)).any()


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        (
            [[0.0, 1.0], [np.nan, 1.0]],
            "1 of 4 rewards are NaN or infinite, the first at candidate 0 of prompt 1",
        ),
        ([0.0, np.inf], "NaN or infinite"),
        ([0.0, -np.inf], "NaN or infinite"),
        (np.zeros((2, 3, 4)), "3-D array"),
        (1.0, "0-D array"),
        (np.zeros((2, 0)), "no candidates"),
        (["a", "b"], "give numbers"),
    ],
)
def test_bad_rewards_are_refused(name: str, rewards, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SELECTORS[name](rewards, 0)


def test_bad_settings_are_refused() -> None:
    for beta in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="above 0"):
            selectors.soft_best_of_n(REWARDS, beta=beta)
        with pytest.raises(InputError, match="above 0"):
            selectors.rejection_sampling(REWARDS, beta=beta, reward_max=2.0)
    for mu in (-0.1, np.nan, np.inf):
        with pytest.raises(InputError, match="mu is"):
            selectors.best_of_poisson(REWARDS, mu=mu)
    with pytest.raises(
        InputError, match=r"4 candidates are too few for mu = 3: a share of 0.35 .* at most 0.231"
    ):
        selectors.best_of_poisson(REWARDS, mu=3.0)
    with pytest.raises(InputError, match=r"reward_max is 1, and 1 rewards exceed it \(largest 1.2\)"):
        selectors.rejection_sampling(REWARDS, beta=1.0, reward_max=1.0)
    with pytest.raises(InputError, match="reward_max is inf"):
        selectors.rejection_sampling(REWARDS, beta=1.0, reward_max=np.inf)
