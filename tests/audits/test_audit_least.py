"""The least KL that each prompt's own gain needs: solved exactly on the samples, then freed of its bias."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from klimit.audits.least import _extrapolated, least_kl, per_prompt_least_kl, suprema
from klimit.audits.pair import Pair
from klimit.rewards.transforms import parse_transform

IDENTITY = parse_transform("identity")


def gaussian_pair(rng, n_prompts, n, m, size):
    """Policies that shift a standard Gaussian reward by ``size * U(0.5, 1.5)``."""
    shift = size * rng.uniform(0.5, 1.5, n_prompts)
    own = rng.standard_normal((n_prompts, n)) + shift[:, None]
    base = rng.standard_normal((n_prompts, m))
    return pair_of(own, base), float((shift**2 / 2).mean())


def pair_of(own, base):
    offsets = [np.arange(len(x) + 1) * x.shape[1] for x in (own, base)]
    return Pair(own.reshape(-1), offsets[0], base.reshape(-1), offsets[1], None, None)


@pytest.mark.parametrize("gain", [-1.7, -0.4, -1e-3, 1e-6, 0.3, 1.2, 1.6])
def test_the_supremum_is_that_of_a_general_optimiser(gain):
    base = np.random.default_rng(0).standard_normal(50)
    base -= base.mean()

    def negative(t):
        return -(t * gain - logsumexp(t * base) + np.log(50))

    found = minimize_scalar(negative, bounds=(-60, 60), method="bounded", options={"xatol": 1e-10})
    value, tilt = suprema(base, np.array([0, 50]), np.array([gain]))
    assert value[0] == pytest.approx(-found.fun, rel=1e-9, abs=1e-13)
    assert tilt[0] == pytest.approx(found.x, rel=1e-4, abs=1e-6)


def test_at_the_best_reward_seen_it_is_the_log_of_its_share_and_beyond_infinite():
    base = np.array([-1.0, -1.0, 0.0, 2.0])
    gains = np.array([2.0, 2.1, -1.0, -1.1, 0.0])
    value, _ = suprema(np.tile(base, 5), np.arange(6) * 4, gains)
    assert value == pytest.approx([np.log(4), np.inf, np.log(2), np.inf, 0.0])


def test_prompts_whose_rewards_never_vary_need_nothing_for_nothing_and_have_no_price_for_more():
    value, _ = suprema(np.zeros(8), np.array([0, 4, 8]), np.array([0.0, 0.1]))
    assert value[0] == 0.0
    assert value[1] == np.inf


@pytest.mark.parametrize(("n", "m", "size"), [(64, 64, 0.3), (64, 64, 1.0), (16, 128, 1.0), (256, 256, 1.5)])
def test_the_mean_covers_where_the_plug_in_is_far_off(n, m, size):
    repetitions, covered, plug_in = 40, [], []
    for seed in range(repetitions):
        pair, truth = gaussian_pair(np.random.default_rng([seed, n]), 300, n, m, size)
        found = least_kl(pair, IDENTITY, seed=seed, level=0.95)
        covered.append(truth in found.mean.interval(0.95))
        raw = per_prompt_least_kl(pair)
        plug_in.append(raw[np.isfinite(raw)].mean() - truth)
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / repetitions)
    # Negative control: the plug-in is biased upwards by about (1/n + 1/m)/2 at least.
    assert np.mean(plug_in) > 0.3 * (1 / n + 1 / m) or size == 1.5


def test_prompts_beyond_what_their_base_samples_show_are_bound():
    rng = np.random.default_rng(3)
    own = rng.standard_normal((50, 32)) + 4.0
    found = least_kl(pair_of(own, rng.standard_normal((50, 32))), IDENTITY, seed=0, level=0.95)
    assert found.bound.all()
    assert found.mean.value < 8.0


def test_a_shift_or_a_scale_of_the_reward_changes_nothing():
    rng = np.random.default_rng(4)
    pair, _ = gaussian_pair(rng, 40, 32, 32, 0.8)
    scaled = Pair(
        7 * pair.rewards + 3, pair.offsets, 7 * pair.base_rewards + 3, pair.base_offsets, None, None
    )
    one, other = (least_kl(x, IDENTITY, seed=1, level=0.95).mean.value for x in (pair, scaled))
    assert other == pytest.approx(one, rel=1e-9)


def test_too_few_completions_for_blocks_give_no_estimate():
    pair, _ = gaussian_pair(np.random.default_rng(5), 10, 15, 64, 0.5)
    assert least_kl(pair, IDENTITY, seed=0, level=0.95) is None


@pytest.mark.parametrize("bias", [-0.02, 0.02])
@pytest.mark.parametrize("ratio", [0.25, 0.35, 0.5, 0.7])
def test_what_is_left_of_a_bias_that_falls_as_fast_as_one_over_m_is_allowed_for(bias, ratio):
    """Without noise the allowance must hold the truth alone; a bias that falls more slowly is the negative control."""
    corrected = 0.3 + bias / ratio ** np.arange(3)
    blocks = np.full((4, 50), 0.5)
    for depth in (2, 1, 0):
        blocks[depth] = (corrected[depth] + blocks[depth + 1]) / 2
    found = _extrapolated(blocks, 0.95)
    assert found.error == pytest.approx(0.0, abs=1e-12)
    held = found.value - found.below <= 0.3 + 1e-12 and found.value + found.above + 1e-12 >= 0.3
    assert held == (ratio <= 0.5 or bias < 0)  # from below, the rate is seen in the differences themselves
