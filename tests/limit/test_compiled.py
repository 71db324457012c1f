"""Compiled passes agree with their definitions, whatever the chunk, the threads, the unit or the number of rewards."""

import mpmath
import numba
import numpy as np
import pytest

import klimit
from klimit.limit import elementary, kernels
from klimit.limit.corrected import statistics_pass
from klimit.limit.dealing import deal, prompt_key
from klimit.limit.kernels import deal_seed, grid, prompt_statistics
from klimit.limit.moments import sort_rows
from klimit.limit.preparation import sort_rewards
from klimit.order_statistics import best_weights


@numba.njit
def exponentials(x):
    return np.array([elementary.exp(value) for value in x])


@numba.njit
def logarithms(x):
    return np.array([elementary.log(value) for value in x])


def ragged(counts, draw):
    rng = np.random.default_rng(11)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return draw(rng, int(offsets[-1])), offsets


def test_exponential_and_logarithm_are_exact_to_a_few_units_in_the_last_place():
    rng = np.random.default_rng(0)
    x = -np.exp(rng.uniform(-25, np.log(700), size=20_000))
    assert np.max(np.abs(exponentials(x) / np.exp(x.astype(np.longdouble)) - 1)) < 5e-16
    y = np.concatenate([np.exp(rng.uniform(-690, 690, size=10_000)), 1 + np.logspace(-15, -1, 500), [1.0]])
    exact = np.log(y.astype(np.longdouble))
    assert np.max(np.abs(logarithms(y) - exact) / np.maximum(np.abs(exact), 1e-300)) < 1e-15
    assert exponentials(np.array([0.0, -1e6])).tolist() == [1.0, pytest.approx(0, abs=1e-300)]


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("n", [4, 17, 1000, 20_001])
def test_log_partitions_are_exact_to_a_billionth_in_any_unit(unit, n):
    rewards = np.sort(unit * (np.random.default_rng(n).gumbel(size=n) + 3.0))
    spread = rewards.std(ddof=1)
    out = prompt_statistics(rewards, np.array([0, n]), t_low=0.03 / spread, octaves=9, seed=0)
    mean = mpmath.fsum(rewards.tolist()) / n
    for k in (0, 20, 45, 71):
        t = mpmath.mpf(float(out.t[k]))
        total = mpmath.fsum(mpmath.exp(t * (mpmath.mpf(float(r)) - mean)) for r in rewards)
        assert out.plug_in[0, 0, k] == pytest.approx(float(mpmath.log(total / n)), rel=1e-9)


def test_a_million_completions_beside_a_handful_are_exact_to_a_billionth():
    rewards, offsets = ragged([5, 1_000_000, 40], lambda rng, n: rng.normal(size=n))
    prepared = sort_rewards(rewards, offsets)
    out = prompt_statistics(prepared.values, offsets, t_low=0.03, octaves=8, seed=0)
    for p in range(3):
        row = prepared.values[offsets[p] : offsets[p + 1]].astype(np.longdouble)
        for k in (0, 30, 60):
            exact = np.log(np.exp(out.t[k] * (row - row.mean())).mean())
            assert out.plug_in[0, p, k] == pytest.approx(float(exact), rel=1e-9)
    jackknifed = out.jackknife[0, 1, 0] - out.plug_in[0, 1, 0]
    # The variance of a mean of exp(t r), to first order in t and 1/n: the cancellation must not drown it.
    assert jackknifed == pytest.approx(np.expm1(0.03**2) / 2e6, rel=0.02)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 512), (3, 513), (1, 1024), (5, 1026), (2, 4096), (3, 5000)])
def test_rows_are_sorted_as_by_numpy(dtype, shape):
    rng = np.random.default_rng(1)
    for rows in (rng.normal(size=shape), rng.integers(-3, 4, size=shape), np.zeros(shape)):
        rows = rows.astype(dtype)
        assert np.array_equal(sort_rows(rows), np.sort(rows, axis=1))
        assert sort_rows(rows).dtype == dtype


def test_moments_ties_and_gains_are_those_of_their_definitions():
    counts = np.array([2, 9, 9, 33, 600, 600, 1024])
    rewards, offsets = ragged(counts, lambda rng, n: np.round(rng.normal(size=n), 2))
    found = sort_rewards(rewards, offsets)
    assert found.sizes.tolist() == [2]
    for p, n in enumerate(counts):
        row = np.sort(rewards[offsets[p] : offsets[p + 1]])
        assert found.mean[p] == pytest.approx(row.mean(), abs=1e-14)
        assert found.variance[p] == pytest.approx(row.var(ddof=1), rel=1e-12)
        if n > 2:
            third = ((row - row.mean()) ** 3).sum() * n / ((n - 1) * (n - 2))
            assert found.third[p] == pytest.approx(third, abs=1e-12)
        assert found.at_top[p] == (row == row[-1]).sum()
        assert found.pairs[p] == (np.diff(row) == 0).sum()
        assert found.best[p, 0] == pytest.approx((row - row.mean()) @ best_weights(n, 2), abs=1e-14)


def test_gains_at_every_power_of_two_are_the_weighted_sums():
    rewards = np.random.default_rng(2).normal(size=(4, 1024))
    found = sort_rewards(rewards.reshape(-1), np.arange(5) * 1024)
    for j, size in enumerate(found.sizes):
        expected = np.sort(rewards, axis=1) @ best_weights(1024, int(size)) - rewards.mean(axis=1)
        assert found.best[:, j] == pytest.approx(expected, abs=1e-13)


def test_a_deal_into_quarters_is_the_shuffle_that_it_says():
    """Fisher and Yates in Python, from the same random numbers."""

    def mixed(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    for n in (4, 101, 66_000):  # the last needs more room than sixteen bits
        key = int(prompt_key(np.uint64(5), 3))
        edges = np.array([0, n // 4, n // 2, 3 * n // 4, n])
        labels = np.repeat(np.arange(4), np.diff(edges)).tolist()
        for step, i in enumerate(range(n - 1, 0, -1), start=1):
            j = ((mixed((key + step * 0x9E3779B97F4A7C15) % 2**64) >> 32) * (i + 1)) >> 32
            labels[i], labels[j] = labels[j], labels[i]
        out = np.empty(n)
        deal(np.arange(float(n)), 0, n, edges, np.uint64(key), out)
        for b in range(4):
            expected = np.flatnonzero(np.array(labels) == b)[::-1]
            assert np.array_equal(out[edges[b] : edges[b + 1]], expected)


def test_results_do_not_depend_on_the_chunk_that_a_prompt_comes_in():
    counts = np.random.default_rng(3).integers(4, 900, size=60)
    rewards, offsets = ragged(counts, lambda rng, n: rng.normal(size=n).astype(np.float32))
    values = sort_rewards(rewards, offsets).values
    t = grid(0.03, 11)
    whole = prompt_statistics(values, offsets, t_low=0.03, octaves=11, seed=4)
    again = [np.empty_like(whole.plug_in), np.empty_like(whole.jackknife), np.empty_like(whole.share)]
    for first, last in ((40, 60), (0, 1), (1, 40)):
        statistics_pass(values, offsets, first, last, t, deal_seed(4, 0), *again)
    deals = prompt_statistics(values, offsets, t_low=0.03, octaves=11, seed=4, deals=1)
    assert np.array_equal(again[0], deals.plug_in)
    assert np.array_equal(again[1], deals.jackknife)
    assert np.array_equal(again[2], deals.share)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    rewards = np.random.default_rng(5).normal(size=(700, 100))

    def run(threads):
        monkeypatch.setattr(kernels.numba.config, "NUMBA_NUM_THREADS", threads)
        limit = klimit.frontier(rewards, kl=[0.1, 0.5, 1.0])
        best = klimit.best_of_n(rewards, limit=limit)
        ess = limit.diagnostics()["ess"]
        return np.concatenate([limit.gain, limit.gain_low, limit.gain_high, best.gain, best.kl, ess])

    assert np.array_equal(run(1), run(4), equal_nan=True)
