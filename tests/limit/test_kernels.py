"""The compiled pass agrees with its definition, written out in NumPy."""

import itertools

import numpy as np
import pytest

from klimit.limit.dealing import deal, prompt_key
from klimit.limit.kernels import deal_seed, grid, prompt_statistics

T_LOW, OCTAVES = 0.05, 7


def log_mean_exp(rewards, t):
    return np.log(np.mean(np.exp(t * rewards)))


def jackknife(rewards, t):
    m = len(rewards)
    if m == 1:
        return log_mean_exp(rewards, t)
    left_out = [log_mean_exp(np.delete(rewards, i), t) for i in range(m)]
    return m * log_mean_exp(rewards, t) - (m - 1) * np.mean(left_out)


def blocks_of(rewards, seed, prompt, parts):
    """The blocks that the pass deals the (sorted) rewards into."""
    n = len(rewards)
    edges = np.array([(b * n) // parts for b in range(parts + 1)])
    out = np.empty(n)
    deal(rewards, 0, n, edges, np.uint64(prompt_key(deal_seed(seed, 0), prompt)), out)
    return [out[edges[b] : edges[b + 1]] for b in range(parts)]


@pytest.mark.parametrize("n", [4, 7, 16, 33, 100, 300])
def test_every_level_is_the_average_over_its_blocks(n):
    rng = np.random.default_rng(n)
    rewards = np.sort(rng.normal(size=(3, n)), axis=1)
    offsets = np.arange(4) * n
    out = prompt_statistics(rewards.reshape(-1), offsets, t_low=T_LOW, octaves=OCTAVES, seed=5)
    for prompt in range(3):
        centred = rewards[prompt] - rewards[prompt].mean()
        quarters = [block - rewards[prompt].mean() for block in blocks_of(rewards[prompt], 5, prompt, 4)]
        halves = [np.concatenate(quarters[:2]), np.concatenate(quarters[2:])]
        for k in (0, 9, 30, 55):
            t = out.t[k]
            for level, blocks in enumerate([[centred], halves, quarters]):
                plug_in = np.mean([log_mean_exp(block, t) for block in blocks])
                corrected = np.mean([jackknife(block, t) for block in blocks])
                assert out.plug_in[level, prompt, k] == pytest.approx(plug_in, abs=1e-10)
                assert out.jackknife[level, prompt, k] == pytest.approx(corrected, abs=2e-6)


def test_the_share_is_one_over_the_effective_sample_size():
    rewards = np.sort(np.random.default_rng(0).normal(size=50))
    out = prompt_statistics(rewards, np.array([0, 50]), t_low=T_LOW, octaves=OCTAVES, seed=0)
    w = np.exp(out.t[:, None] * rewards)
    assert out.share[0] == pytest.approx((w**2).sum(axis=1) / w.sum(axis=1) ** 2, rel=1e-10)


def test_a_deal_is_a_partition_at_random_each_block_descending():
    values = np.arange(40.0)
    edges = np.array([0, 10, 20, 30, 40])
    out = np.empty(40)
    first = []
    for key in range(4000):
        deal(values, 0, 40, edges, np.uint64(key), out)
        assert sorted(out) == list(values)
        first.append(np.flatnonzero(out == 39.0)[0] // 10)
    deal(values, 0, 40, edges, np.uint64(1), out)
    assert all(np.all(np.diff(out[a:b]) < 0) for a, b in itertools.pairwise(edges))
    # The largest value lands in each block equally often: chi-square with 3 degrees of freedom.
    counts = np.bincount(first, minlength=4)
    assert ((counts - 1000) ** 2 / 1000).sum() < 25


def test_threads_and_order_of_deals_change_nothing():
    rewards = np.sort(np.random.default_rng(1).normal(size=(400, 64)), axis=1).reshape(-1)
    offsets = np.arange(401) * 64
    options = {"t_low": T_LOW, "octaves": OCTAVES, "seed": 3, "deals": 2}
    alone = prompt_statistics(rewards, offsets, threads=1, **options)
    shared = prompt_statistics(rewards, offsets, threads=4, **options)
    assert np.array_equal(alone.jackknife, shared.jackknife)
    other = prompt_statistics(rewards, offsets, threads=1, **{**options, "seed": 4})
    assert np.allclose(alone.plug_in[0], other.plug_in[0], rtol=1e-12)
    assert not np.allclose(alone.plug_in[1], other.plug_in[1], rtol=1e-6)


def test_fewer_than_four_completions_have_no_blocks():
    with pytest.raises(ValueError, match="every prompt needs 4 completions; the fewest are 3"):
        prompt_statistics(np.array([0.0, 1.0, 2.0]), np.array([0, 3]), t_low=T_LOW, octaves=2, seed=0)


def test_a_weight_that_is_nearly_everything_costs_no_digits():
    """Naively, one minus its share rounds to zero, and the jackknife jumps."""
    rewards = np.sort(np.append(np.linspace(0, 1, 15), 3.0))
    out = prompt_statistics(rewards, np.array([0, 16]), t_low=1.0, octaves=6, seed=0)
    t = out.t[-1]
    gap = t * (3.0 - rewards)
    assert np.exp(-gap[-2]) < 1e-16
    rest = np.log(np.exp(-(gap[:-1] - gap[-2])).sum()) - gap[-2]  # log of the sum without the largest
    others = np.log1p(-np.exp(-gap[:-1]))
    left_out = (rest + others.sum()) - 16 * np.log(15)
    expected = 16 * -np.log(16) - 15 / 16 * left_out + t * (3.0 - rewards.mean())
    assert out.jackknife[0, 0, -1] == pytest.approx(expected, rel=1e-10)


def test_the_grid_doubles_every_eight_points():
    t = grid(0.5, 3)
    assert len(t) == 24
    assert t[0] == 0.5
    assert np.allclose(t[8:], 2 * t[:-8])
    assert np.all(np.diff(t) > 0)
