"""Policies as tables: the theory's identities, policies whose account is known, a case by hand, and the samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import chisquare

from klimit.errors import InputError
from klimit.limit import exact
from klimit.limit.exact_inverse import least_kl_average, least_kl_per_prompt
from klimit.testsystems import PolicyTables, Tables, random_tables

PARTS = ("necessary", "allocation", "shape", "off_reward")


def parts(system: PolicyTables) -> np.ndarray:
    return np.array([getattr(system, name) for name in PARTS])


def divergence(q: np.ndarray, p: np.ndarray) -> float:
    """E_x KL(q || p), as anyone would write it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(q > 0, q * (np.log(q) - np.log(p)), 0.0).sum(axis=1).mean())


def tilt_of(system: PolicyTables) -> float:
    return float(least_kl_average(system.base, system.rewards, system.gain)[1])


def tilted_to_own_gain(system: PolicyTables) -> np.ndarray:
    """Every prompt tilted to the policy's own gain there."""
    _, t = least_kl_per_prompt(system.base, system.rewards, system.gain_by_prompt)
    return exact.tilted(system.base, system.rewards, t)


def merged(p: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Mass of the level of every output, at the level's first output; by a loop."""
    out = np.zeros_like(p)
    for x in range(len(p)):
        for level in np.unique(r[x]):
            same = r[x] == level
            out[x, np.flatnonzero(same)[0]] = p[x, same].sum()
    return out


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n_prompts, n_outputs = draw(st.integers(1, 6)), draw(st.integers(2, 9))
    n_levels = draw(st.none() | st.integers(1, n_outputs))
    return random_tables(n_prompts, n_outputs, n_levels=n_levels, seed=draw(st.integers(0, 10**6)))


BETAS = st.floats(0.05, 20.0) | st.floats(-20.0, -0.05)


@st.composite
def policies(draw: st.DrawFn) -> PolicyTables:
    base, rewards = draw(worlds())
    seed = draw(st.integers(0, 10**6))
    made = PolicyTables.noisy(base, rewards, draw(BETAS), draw(st.floats(0.0, 3.0)), seed=seed)
    for other in draw(st.lists(st.sampled_from(("best", "permuted", "misallocated", "sparse")), max_size=2)):
        if other == "best":
            second = PolicyTables.best_of(base, rewards, draw(st.integers(1, 300)))
        elif other == "permuted":
            second = PolicyTables.permuted(base, rewards, draw(st.floats(0.0, 3.0)), seed=seed)
        elif other == "misallocated":
            betas = draw(st.lists(BETAS, min_size=len(base), max_size=len(base)))
            second = PolicyTables.misallocated(base, rewards, betas)
        else:  # outputs that the policy never gives
            wild = np.random.default_rng(seed).dirichlet(np.full(base.shape[1], 0.1), size=len(base))
            wild = np.where(wild < 1e-3, 0.0, wild)
            second = PolicyTables(base, wild / wild.sum(axis=1, keepdims=True), rewards)
        share = draw(st.floats(0.0, 1.0))
        made = PolicyTables.mixture([made, second], [1 - share, share])
    return made


# Identities.


@settings(max_examples=300, deadline=None, derandomize=True)
@given(policies())
def test_the_parts_sum_to_the_kl_and_none_is_negative(system: PolicyTables) -> None:
    assert parts(system).sum() == pytest.approx(system.kl, abs=1e-10)
    assert parts(system).min() >= -1e-12
    assert parts(system)[1:].sum() == pytest.approx(system.wasted_kl, abs=1e-10)
    assert system.reward_law_kl + system.off_reward == pytest.approx(system.kl, abs=1e-10)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(policies())
def test_no_policy_is_above_the_average_budget_limit(system: PolicyTables) -> None:
    assert not system.efficiency > 1 + 1e-9
    assert system.gain <= system.limit_gain + 1e-10
    assert system.least_kl <= system.kl + 1e-12


@settings(max_examples=150, deadline=None, derandomize=True)
@given(policies())
def test_numbers_agree_with_their_definitions(system: PolicyTables) -> None:
    p, q, r = system.base, system.policy, system.rewards
    assert system.kl == pytest.approx(divergence(q, p), abs=1e-12)
    assert system.gain == pytest.approx(
        float((q * r).sum(axis=1).mean() - (p * r).sum(axis=1).mean()), abs=1e-12
    )
    assert system.reward - system.base_reward == pytest.approx(system.gain, abs=1e-12)
    assert system.reward_law_kl == pytest.approx(divergence(merged(q, r), merged(p, r)), abs=1e-12)
    wins = (r[:, :, None] > r[:, None, :]) + 0.5 * (r[:, :, None] == r[:, None, :])
    assert system.win_rate == pytest.approx(np.einsum("xi,xij,xj->x", q, wins, p).mean(), abs=1e-12)
    assert system.base_mass == pytest.approx(np.where(q > 0, p, 0).sum(axis=1).mean(), abs=1e-12)
    assert system.kl_reverse == pytest.approx(divergence(p, q), abs=1e-11)
    for beta in (0.7, -2.0):
        pi = exact.tilted(p, r, np.full(len(p), 1 / beta))
        assert system.distance(beta) == pytest.approx(divergence(q, pi), abs=1e-10)
    assert system.distance(np.inf) == pytest.approx(system.kl, abs=1e-12)


def random_policies(*, n_levels: int | None) -> list[PolicyTables]:
    base, rewards = random_tables(30, 12, n_levels=n_levels, seed=5)
    spoiled = PolicyTables.noisy(base, rewards, 0.6, 0.8, seed=1)
    betas = np.concatenate([np.geomspace(0.2, 5, 20), -np.geomspace(0.5, 5, 10)])  # some prompts lose reward
    wrong = PolicyTables.misallocated(base, rewards, betas)
    worse = PolicyTables.noisy(base, rewards, -0.8, 0.5, seed=2)
    return [spoiled, wrong, worse, PolicyTables.mixture([spoiled, wrong, worse], [3, 2, 1])]


LEVELS = pytest.mark.parametrize("n_levels", [None, 2, 4])


@LEVELS
def test_wasted_kl_is_the_distance_to_the_tilted_policy_of_that_gain(n_levels: int | None) -> None:
    for system in random_policies(n_levels=n_levels):
        t = tilt_of(system)
        q = exact.tilted(system.base, system.rewards, np.full(len(system.base), t))
        assert system.wasted_kl == pytest.approx(divergence(system.policy, q), abs=1e-8)
        assert system.wasted_kl == pytest.approx(system.distance(1 / t), abs=1e-8)
        assert system.wasted_kl > 0.01
        # any other shared beta that is not the one is further from a policy of this gain, less the gain's KL
        assert system.distance(1.5 / t) > system.wasted_kl + 1e-4


@LEVELS
def test_allocation_and_shape_are_divergences(n_levels: int | None) -> None:
    for system in random_policies(n_levels=n_levels):
        shared = exact.tilted(system.base, system.rewards, np.full(len(system.base), tilt_of(system)))
        own = tilted_to_own_gain(system)
        assert system.allocation == pytest.approx(divergence(own, shared), abs=1e-8)
        r = system.rewards
        assert system.shape == pytest.approx(divergence(merged(system.policy, r), merged(own, r)), abs=1e-8)
        assert system.allocation > 1e-3


@LEVELS
def test_a_one_sided_inverse_breaks_both(n_levels: int | None) -> None:
    # a prompt that loses reward needs a KL too; taking its least KL for 0 moves its KL into shape
    system = random_policies(n_levels=n_levels)[1]
    least = system.least_kl_by_prompt
    lost = np.where(system.gain_by_prompt < 0, least, 0.0).mean()
    assert lost > 0.01
    assert system.shape < 1e-10  # misallocated only: all of the law's KL is that of tilted policies
    assert system.reward_law_kl - np.where(system.gain_by_prompt < 0, 0.0, least).mean() > 0.01


@LEVELS
def test_regret_is_beta_times_the_divergence_from_the_tilted_policy(n_levels: int | None) -> None:
    for system in random_policies(n_levels=n_levels):
        for beta in (0.2, 1.0, 5.0):
            best = PolicyTables.tilted(system.base, system.rewards, beta)
            regret = (best.gain - beta * best.kl) - (system.gain - beta * system.kl)
            assert regret == pytest.approx(beta * system.distance(beta), abs=1e-10)


# Policies whose account is known.


@LEVELS
@pytest.mark.parametrize("beta", [0.1, 0.5, 3.0])
def test_a_tilted_policy_is_at_the_limit(n_levels: int | None, beta: float) -> None:
    system = PolicyTables.tilted(*random_tables(30, 12, n_levels=n_levels, seed=5), beta)
    assert system.efficiency == pytest.approx(1, abs=1e-10)
    assert system.missing_reward == pytest.approx(0, abs=1e-10)
    np.testing.assert_allclose(parts(system), [system.kl, 0, 0, 0], atol=1e-11)
    assert system.wasted_kl == pytest.approx(0, abs=1e-11)
    assert system.distance(beta) == pytest.approx(0, abs=1e-12)
    assert system.slope == pytest.approx(1 / beta, rel=1e-10)
    assert system.implied_beta == pytest.approx(beta, rel=1e-10)
    assert system.r_squared == pytest.approx(1, abs=1e-10)


def test_other_policies_are_not() -> None:
    base, rewards = random_tables(30, 12, n_levels=4, seed=5)
    for system in (
        PolicyTables.noisy(base, rewards, 0.5, 0.3, seed=1),
        PolicyTables.best_of(base, rewards, 8),
        PolicyTables.misallocated(base, rewards, np.geomspace(0.2, 2, 30)),
    ):
        assert system.efficiency < 0.995
        assert system.r_squared < 0.99
        assert system.wasted_kl > 0.005


def test_a_policy_tilted_downwards_has_no_implied_beta_and_all_its_kl_is_necessary() -> None:
    system = PolicyTables.tilted(*random_tables(30, 12, seed=5), -0.5)
    assert system.gain < -0.5
    assert system.efficiency < 0
    np.testing.assert_allclose(parts(system), [system.kl, 0, 0, 0], atol=1e-11)
    assert system.slope == pytest.approx(-2, rel=1e-10)
    assert np.isnan(system.implied_beta)
    assert np.isnan(system.values["distance"])


@LEVELS
@pytest.mark.parametrize("n", [1, 2, 7, 64, 1000])
def test_best_of_n_agrees_with_the_selection_of_draws(n_levels: int | None, n: int) -> None:
    base, rewards = random_tables(30, 12, n_levels=n_levels, seed=5)
    system, draws = PolicyTables.best_of(base, rewards, n), Tables(base, rewards).best_of_n(n)
    assert system.kl == pytest.approx(float(draws.kl), abs=1e-11)
    assert system.gain == pytest.approx(float(draws.gain), abs=1e-11)
    assert system.off_reward == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(system.policy.sum(axis=1), 1, atol=1e-12)


def test_best_of_two_by_enumeration() -> None:
    base, rewards = random_tables(3, 6, n_levels=3, seed=8)
    r = rewards
    first = r[:, :, None] > r[:, None, :]
    tied = r[:, :, None] == r[:, None, :]
    # of two draws i, j the better is kept, either with probability 1/2 if they tie
    kept = 2 * base * np.einsum("xij,xj->xi", first + 0.5 * tied, base)
    np.testing.assert_allclose(PolicyTables.best_of(base, rewards, 2).policy, kept, atol=1e-14)


def test_a_tied_best_of_n_has_less_kl_than_the_formula_without_ties() -> None:
    base, rewards = random_tables(30, 12, n_levels=2, seed=5)
    assert PolicyTables.best_of(base, rewards, 16).kl < np.log(16) - 15 / 16 - 0.5


@pytest.mark.parametrize("n_levels", [1, 2, 4])
def test_a_permuted_policy_spends_all_its_kl_off_the_reward(n_levels: int) -> None:
    system = PolicyTables.permuted(*random_tables(30, 12, n_levels=n_levels, seed=5), 1.0, seed=3)
    assert system.kl > 0.1
    assert system.off_reward == pytest.approx(system.kl, abs=1e-12)
    np.testing.assert_allclose(parts(system)[:3], 0, atol=1e-12)
    assert system.win_rate == pytest.approx(0.5, abs=1e-12)
    assert system.gain == pytest.approx(0, abs=1e-14)


def test_where_every_output_has_its_own_reward_nothing_is_off_the_reward() -> None:
    base, rewards = random_tables(30, 12, seed=5)
    for system in random_policies(n_levels=None):
        assert system.off_reward == pytest.approx(0, abs=1e-12)
        assert system.reward_law_kl == pytest.approx(system.kl, abs=1e-12)
    alone = PolicyTables.permuted(base, rewards, 1.0, seed=3)  # no output has one to trade with
    np.testing.assert_array_equal(alone.policy, base)
    # a reward that differs in the last digit is another reward
    tied, levels = random_tables(30, 12, n_levels=4, seed=5)
    noisy = PolicyTables.noisy(tied, levels, 1.0, 1.0, seed=1)
    parted = PolicyTables(tied, noisy.policy, levels * (1 + 1e-13 * np.arange(12)))
    assert noisy.off_reward > 0.1
    assert parted.off_reward == pytest.approx(0, abs=1e-12)
    assert parted.shape == pytest.approx(noisy.shape + noisy.off_reward, abs=1e-8)


def test_a_misallocated_policy_wastes_in_allocation_alone() -> None:
    base, rewards = random_tables(30, 12, n_levels=4, seed=5)
    betas = np.geomspace(0.2, 5, 30)
    system = PolicyTables.misallocated(base, rewards, betas)
    np.testing.assert_allclose(parts(system)[2:], 0, atol=1e-11)
    assert system.allocation > 0.02
    np.testing.assert_allclose(
        system.policy, exact.tilted(base, rewards, 1 / betas), rtol=1e-13
    )  # each prompt its own


def test_a_policy_can_beat_the_per_prompt_limit_but_not_the_average_one() -> None:
    base, rewards = random_tables(30, 12, seed=5)
    system = PolicyTables.tilted(base, rewards * np.geomspace(0.1, 10, 30)[:, None], 2.0)
    per_prompt = exact.frontier_per_prompt(base, system.rewards, system.kl)[0].mean()
    assert system.gain > 1.05 * per_prompt
    assert system.efficiency == pytest.approx(1, abs=1e-10)


def test_the_base_policy_itself_has_no_efficiency() -> None:
    base, rewards = random_tables(5, 4, seed=0)
    system = PolicyTables(base, base, rewards)
    np.testing.assert_array_equal([system.kl, system.gain, *parts(system), system.k2], 0)
    assert np.isnan(system.efficiency)
    assert np.isnan(system.r_squared)
    assert system.slope == 0
    assert system.base_mass == pytest.approx(1, abs=1e-14)


def test_rewards_that_never_vary_buy_nothing() -> None:
    base, _ = random_tables(6, 3, seed=4)
    system = PolicyTables.noisy(base, np.full((6, 3), 0.1) * np.arange(1, 7)[:, None], 1.0, 1.0, seed=1)
    np.testing.assert_array_equal([system.gain, system.limit_gain, system.necessary, system.allocation], 0)
    assert system.shape == pytest.approx(0, abs=1e-15)
    assert system.off_reward == pytest.approx(system.kl, abs=1e-14)
    assert system.kl > 0.05
    for name in ("efficiency", "slope", "implied_beta", "r_squared"):
        assert np.isnan(getattr(system, name)), name


def test_a_policy_that_always_gives_the_best_output_needs_what_it_spends() -> None:
    base, rewards = random_tables(8, 5, seed=2)
    best = np.eye(5)[rewards.argmax(axis=1)]
    system = PolicyTables(base, best, rewards)
    cost = -np.log(base[np.arange(8), rewards.argmax(axis=1)])
    np.testing.assert_allclose(system.kl_by_prompt, cost, rtol=1e-14)
    np.testing.assert_allclose(system.least_kl_by_prompt, cost, rtol=1e-10)
    assert system.least_kl == pytest.approx(cost.mean(), rel=1e-10)
    assert system.efficiency == pytest.approx(1, abs=1e-12)
    assert system.kl_reverse == np.inf
    assert system.base_mass == pytest.approx(np.exp(-cost).mean(), rel=1e-12)


# By hand.


def test_two_prompts_by_hand() -> None:
    base = np.array([[1 / 2, 1 / 4, 1 / 4], [1 / 2, 1 / 4, 1 / 4]])
    policy = np.array([[1 / 4, 1 / 4, 1 / 2], [1 / 2, 1 / 4, 1 / 4]])
    rewards = np.array([[0.0, 0.0, 1.0], [5.0, 5.0, 6.0]])
    system = PolicyTables(base, policy, rewards)
    log = np.log
    # prompt 1: log ratios -log 2, 0, log 2; prompt 2 is left alone
    assert system.kl == pytest.approx(log(2) / 8, rel=1e-13)
    assert system.kl_reverse == pytest.approx(log(2) / 8, rel=1e-13)
    assert system.k2 == pytest.approx(3 / 16 * log(2) ** 2, rel=1e-13)
    assert system.gain == pytest.approx(1 / 8, rel=1e-13)
    assert (system.base_reward, system.reward) == pytest.approx((2.75, 2.875), rel=1e-13)
    assert system.win_rate == pytest.approx(9 / 16, rel=1e-13)
    # in both prompts the reward is a coin of 1/4: the cheapest way to +1/8 is 3/8 in both
    necessary = 3 / 8 * log(3 / 2) + 5 / 8 * log(5 / 6)
    law = log(4 / 3) / 4  # 1/4 -> 1/2 in one prompt of two
    assert system.least_kl == pytest.approx(necessary, rel=1e-13)
    assert system.reward_law_kl == pytest.approx(law, rel=1e-13)
    np.testing.assert_allclose(
        parts(system), [necessary, law - necessary, 0, log(2) / 8 - law], rtol=1e-12, atol=1e-15
    )
    q = brentq(lambda q: q * log(4 * q) + (1 - q) * log(4 * (1 - q) / 3) - log(2) / 8, 0.25, 0.75, xtol=1e-15)
    assert system.limit_gain == pytest.approx(q - 1 / 4, rel=1e-12)
    assert system.efficiency == pytest.approx(1 / 8 / (q - 1 / 4), rel=1e-12)
    assert system.missing_reward == pytest.approx(q - 3 / 8, rel=1e-12)
    # Cov(l, r) = 3/8 log 2 and 0; Var r = 1/4 and 3/16; Var l = 11/16 log^2 2 and 0
    assert system.slope == pytest.approx(6 / 7 * log(2), rel=1e-13)
    assert system.implied_beta == pytest.approx(7 / 6 / log(2), rel=1e-13)
    assert system.r_squared == pytest.approx(36 / 77, rel=1e-13)
    # tilted by log 2: 2/5, 1/5, 2/5 in both
    away = log(5 / 8) / 4 + 3 / 4 * log(5 / 4)
    assert system.distance(1 / log(2)) == pytest.approx(away, rel=1e-12)
    assert system.values["kl"] == system.kl
    assert system.values["distance"] == system.distance(system.implied_beta)


# Worlds.


def test_random_worlds_have_the_levels_asked_for_and_scales_that_differ() -> None:
    base, rewards = random_tables(200, 20, n_levels=5, seed=1)
    assert {len(np.unique(row)) for row in rewards} == {5}
    spread = np.ptp(rewards, axis=1)
    assert 0.5 <= spread.min() < 0.7 < 1.8 < spread.max() <= 2.0
    np.testing.assert_allclose(base.sum(axis=1), 1, atol=1e-14)
    top = base.max(axis=1)
    assert 0.1 < np.median(top) < 0.3  # not flat, 1/20, nor all on one output
    assert {len(np.unique(row)) for row in random_tables(50, 20, seed=1)[1]} == {20}
    again = random_tables(200, 20, n_levels=5, seed=1)
    np.testing.assert_array_equal(again[0], base)
    assert not np.array_equal(random_tables(200, 20, n_levels=5, seed=2)[0], base)


# Samples.


@pytest.fixture(scope="module")
def sampled() -> PolicyTables:
    """Some outputs of no probability under the policy, one under both; rewards tell rows and outputs apart."""
    base, rewards = random_tables(40, 10, seed=7)
    base[:, 9], base[3, 0] = 0.0, 0.0
    base /= base.sum(axis=1, keepdims=True)
    policy = PolicyTables.noisy(base, rewards, 0.7, 0.5, seed=1).policy.copy()
    policy[:, 4] = 0.0
    return PolicyTables(base, policy / policy.sum(axis=1, keepdims=True), rewards)


def test_samples_carry_what_an_audit_reads(sampled: PolicyTables) -> None:
    policy, base = sampled.sample(300, 16, 24, seed=3)
    assert (policy.n_prompts, policy.n_completions) == (300, 300 * 16)
    assert (base.n_prompts, base.n_completions) == (300, 300 * 24)
    np.testing.assert_array_equal(policy.prompt_ids, base.prompt_ids)
    assert len(set(policy.prompt_ids.tolist())) == 300
    assert base.ref_logprob is None
    # the reward names its row and output; both samples draw the same row for a prompt
    place = {float(v): divmod(i, 10) for i, v in enumerate(sampled.rewards.reshape(-1))}
    found = np.array([place[float(v)] for v in policy.reward()])
    base_found = np.array([place[float(v)] for v in base.reward()])
    np.testing.assert_array_equal(policy.metadata["output"], found[:, 1])
    np.testing.assert_array_equal(base.metadata["output"], base_found[:, 1])
    rows = found[:, 0].reshape(300, 16)
    assert (rows == rows[:, :1]).all()
    np.testing.assert_array_equal(rows[:, 0], base_found[:, 0].reshape(300, 24)[:, 0])
    np.testing.assert_array_equal(policy.logprob, np.log(sampled.policy[found[:, 0], found[:, 1]]))
    np.testing.assert_array_equal(policy.ref_logprob, np.log(sampled.base[found[:, 0], found[:, 1]]))
    np.testing.assert_array_equal(base.logprob, np.log(sampled.base[base_found[:, 0], base_found[:, 1]]))


@pytest.mark.parametrize("n_outputs", [10, 150])  # either way of drawing
def test_outputs_come_with_their_probabilities(n_outputs: int) -> None:
    base, rewards = random_tables(3, n_outputs, n_levels=4, seed=7)
    base[:, n_outputs - 2 :] = 0.0
    base[:, 0] = 0.0
    base /= base.sum(axis=1, keepdims=True)
    system = PolicyTables.noisy(base, rewards, 0.7, 1.0, seed=1)
    drawn = system.sample(None, 60_000, seed=4, redraw_prompts=False)
    for samples, table in zip(drawn, (system.policy, system.base), strict=True):
        outputs = np.asarray(samples.metadata["output"]).reshape(3, -1)
        for row, p in zip(outputs, table, strict=True):
            counts = np.bincount(row, minlength=n_outputs)
            assert counts[p == 0].sum() == 0
            assert chisquare(counts[p > 0], p[p > 0] * len(row)).pvalue > 1e-3
            wrong = np.roll(p[p > 0], 1)
            assert chisquare(counts[p > 0], wrong * len(row)).pvalue < 1e-6


def test_prompts_are_drawn_evenly_with_replacement_or_taken_once_in_order(sampled: PolicyTables) -> None:
    row_of = {float(v): i // 10 for i, v in enumerate(sampled.rewards.reshape(-1))}
    policy, _ = sampled.sample(8000, 1, seed=5)
    rows = np.array([row_of[float(v)] for v in policy.reward()])
    assert chisquare(np.bincount(rows, minlength=40)).pvalue > 1e-3
    policy, base = sampled.sample(40, 2, seed=5, redraw_prompts=False)
    for samples in (policy, base):
        assert [row_of[float(v)] for v in samples.reward()] == np.repeat(np.arange(40), 2).tolist()


def test_sample_means_find_the_truth(sampled: PolicyTables) -> None:
    policy, base = sampled.sample(4000, 32, seed=6)
    assert policy.logprob is not None
    assert policy.ref_logprob is not None
    ratio = policy.logprob - policy.ref_logprob
    wins = (policy.reward() > base.reward()) + 0.5 * (policy.reward() == base.reward())
    estimates = {
        "kl": ratio,
        "k2": ratio**2 / 2,
        "base_mass": np.exp(-ratio),
        "gain": policy.reward() - base.reward(),
        "win_rate": wins,
    }
    for name, values in estimates.items():
        means = values.reshape(4000, 32).mean(axis=1)
        error = means.std() / np.sqrt(4000)
        assert abs(means.mean() - getattr(sampled, name)) < 4 * error, name
    assert sampled.base_mass < 0.99  # the mean of pi0 / pi sees what the policy never gives


def test_a_seed_repeats_its_samples(sampled: PolicyTables) -> None:
    one, two, three = (sampled.sample(50, 8, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.reward(), two.reward())
    assert not np.array_equal(one.reward(), three.reward())


# Bad input.


def test_bad_tables_are_refused() -> None:
    base, rewards = random_tables(4, 3, seed=0)
    alien = base.copy()
    base[2, 1], base[2, 2] = 0.0, base[2, 1] + base[2, 2]
    with pytest.raises(
        InputError, match=r"prompt 2, output 1: the policy has mass where the base policy has none"
    ):
        PolicyTables(base, alien, rewards)
    PolicyTables(alien, base, rewards)  # the other way round is a policy like any
    with pytest.raises(InputError, match="must be \\(prompts, outputs\\)"):
        PolicyTables(alien[0], alien[0], rewards[0])
    with pytest.raises(InputError, match="miss 1 by"):
        PolicyTables(alien, 2 * alien, rewards)
    with pytest.raises(InputError, match="shape"):
        PolicyTables(alien, alien[:, :2], rewards)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p, r: PolicyTables.tilted(p, r, 0.0), "beta=0.0: betas must be numbers other than 0"),
        (lambda p, r: PolicyTables.tilted(p, r, 1.0).distance(np.nan), "beta=nan"),
        (lambda p, r: PolicyTables.misallocated(p, r, [1.0, 2.0]), "one for each of 4 prompts"),
        (lambda p, r: PolicyTables.best_of(p, r, 0), "n=0: best-of-N needs a whole number >= 1"),
        (lambda p, r: PolicyTables.noisy(p, r, 1.0, -1.0, seed=0), "strength=-1.0: must be >= 0"),
        (lambda p, r: PolicyTables.mixture([], []), "mixture: 0 policies"),
        (
            lambda p, r: PolicyTables.mixture([PolicyTables(p, p, r)], [-1.0]),
            "must be >= 0 with a finite sum",
        ),
        (
            lambda p, r: PolicyTables.mixture([PolicyTables(p, p, r), PolicyTables(p, p, r + 1)], [1, 1]),
            "policy 1 has another base policy or other rewards",
        ),
        (lambda p, r: PolicyTables(p, p, r).sample(0, 5), "n_prompts=0"),
        (lambda p, r: PolicyTables(p, p, r).sample(5, 5, 0), "base_completions=0"),
        (
            lambda p, r: PolicyTables(p, p, r).sample(5, 5, redraw_prompts=False),
            "every row is taken once; give 4",
        ),
        (lambda p, r: random_tables(3, 2, n_levels=3, seed=0), "give 1 to 2 levels"),
        (lambda p, r: random_tables(0, 2, seed=0), "both must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(*random_tables(4, 3, seed=0))


def test_tables_are_copies_and_cannot_change() -> None:
    base, rewards = random_tables(4, 3, seed=0)
    system = PolicyTables(base, base, rewards)
    before = system.kl
    base[:] = 0.0
    assert system.base.min() > 0
    assert system.kl == before
    with pytest.raises(ValueError, match="read-only"):
        system.rewards[0, 0] = 1.0
