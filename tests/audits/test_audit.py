"""An audit from samples agrees with the exact numbers of enumerable policies."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from klimit.audits.audit import audit
from klimit.errors import InputError, KlimitWarning
from klimit.policies import best_of_n
from klimit.samples import Samples
from klimit.testsystems import PolicyTables, random_tables

pytestmark = pytest.mark.filterwarnings("ignore::klimit.errors.KlimitWarning")

BASE, REWARDS = random_tables(40, 24, n_levels=5, seed=11)


def spread(base, rewards):
    mean = (base * rewards).sum(axis=1, keepdims=True)
    return float(np.sqrt((base * (rewards - mean) ** 2).sum(axis=1).mean()))


BETA = spread(BASE, REWARDS)
POLICIES = {
    "tilted": PolicyTables.tilted(BASE, REWARDS, BETA),
    "best-of-4": PolicyTables.best_of(BASE, REWARDS, 4),
    "noisy": PolicyTables.noisy(BASE, REWARDS, BETA, 0.7, seed=1),
    "permuted": PolicyTables.permuted(BASE, REWARDS, 0.8, seed=1),
    "misallocated": PolicyTables.misallocated(
        BASE, REWARDS, BETA / np.random.default_rng(1).uniform(0.3, 2, 40)
    ),
    "losing": PolicyTables.noisy(BASE, REWARDS, -2 * BETA, 0.3, seed=1),
}


def covers(hit):
    """No more misses than an honest 95% interval has once in a million studies of that size.

    So few redraws tell a broken interval, not 93 from 95: benchmarks/audit_cover.py does that with 1,000.
    """
    return len(hit) - np.sum(hit) <= binom.ppf(1 - 1e-6, len(hit), 0.05)


def redraws(system, repetitions, *, sizes=(200, 32, 64), **options):
    for seed in range(repetitions):
        yield audit(*system.sample(*sizes, seed=seed), seed=seed, **options)


@pytest.mark.parametrize("name", POLICIES)
def test_every_quantity_covers_its_exact_value(name):
    system, repetitions = POLICIES[name], 20
    hits = {}
    for found in redraws(system, repetitions):
        for quantity, value in found.values.items():
            truth = system.values.get(quantity, np.nan)
            if np.isfinite(truth) and not (quantity == "implied_beta" and truth < 0):
                slack = 1e-9 * (1 + abs(truth))
                hits.setdefault(quantity, []).append(value.low - slack <= truth <= value.high + slack)
    assert {"kl", "gain", "efficiency", "wasted_kl", "allocation", "shape", "off_reward"} <= set(hits)
    for quantity, hit in hits.items():
        assert covers(hit), quantity


def test_the_parts_sum_to_the_kl():
    for system in POLICIES.values():
        found = next(redraws(system, 1))
        parts = found.parts
        total = sum(
            part.estimate for part in (parts.necessary, parts.allocation, parts.shape, parts.off_reward)
        )
        assert total == pytest.approx(found.kl.estimate, abs=1e-9)
        assert all(value.high >= 0 for value in (parts.allocation, parts.shape, parts.off_reward))


def test_the_tilted_policy_is_efficient_and_wastes_nothing():
    found = audit(*POLICIES["tilted"].sample(1000, 64, 128, seed=0))
    assert 1.0 in found.efficiency
    assert found.efficiency.high - found.efficiency.low < 0.05
    assert 0.0 in found.wasted_kl
    assert 0.0 in found.missing_reward
    assert found.regression.slope.estimate == pytest.approx(1 / BETA, rel=1e-9)
    assert found.regression.implied_beta.estimate == pytest.approx(BETA, rel=1e-9)
    assert found.regression.r_squared.estimate == pytest.approx(1.0, abs=1e-9)
    assert 0.0 in found.distance


def test_best_of_n_audited_by_its_log_probabilities_agrees_with_best_of_n_of_the_base_samples():
    policy, base = POLICIES["best-of-4"].sample(2000, 64, 128, seed=1)
    found, direct = audit(policy, base), best_of_n(base, n=[4])
    assert direct.kl[0] in found.kl
    assert direct.gain[0] in found.gain
    assert direct.efficiency[0] in found.efficiency
    # Negative control: best-of-8 is another policy.
    other = best_of_n(base, n=[8])
    assert other.kl[0] not in found.kl
    assert other.gain[0] not in found.gain


def test_permuting_outputs_of_equal_reward_spends_kl_off_the_reward_alone():
    found = audit(*POLICIES["permuted"].sample(1000, 64, 64, seed=2))
    assert found.parts.resolved
    assert found.parts.off_reward.estimate == pytest.approx(found.kl.estimate, rel=0.03)
    assert 0.0 in found.gain
    assert found.parts.necessary.high < 0.01
    assert 0.0 in found.parts.shape
    assert found.regression.r_squared.high < 0.01


def test_with_two_levels_the_law_of_the_reward_has_no_shape_to_waste_on():
    base, rewards = random_tables(40, 12, n_levels=2, seed=3)
    system = PolicyTables.noisy(base, rewards, spread(base, rewards), 0.7, seed=1)
    found = audit(*system.sample(500, 32, 64, seed=0))
    shape = found.parts.shape
    assert (shape.estimate, shape.low, shape.high) == (0.0, 0.0, 0.0)
    assert system.shape == pytest.approx(0.0, abs=1e-12)
    assert float(system.off_reward) in found.parts.off_reward


def test_rewards_that_hardly_repeat_leave_shape_and_off_reward_to_their_sum():
    base, rewards = random_tables(40, 1500, n_levels=None, seed=4)
    system = PolicyTables.noisy(base, rewards, spread(base, rewards), 0.7, seed=1)
    found = audit(*system.sample(300, 32, 64, seed=0))
    assert not found.parts.resolved
    assert float(system.shape) in found.parts.shape
    assert float(system.off_reward) in found.parts.off_reward
    assert any("hardly repeat" in line for line in found.warnings)


def test_beyond_the_horizon_efficiency_is_a_range_that_holds_the_truth():
    base, rewards = random_tables(40, 400, n_levels=None, seed=5)
    strong = PolicyTables.tilted(base, rewards, 0.25 * spread(base, rewards))
    found = audit(*strong.sample(300, 32, 32, seed=0))
    assert found.kl.estimate > found.limit.horizon
    assert found.status == "bracket"
    assert np.isnan(found.efficiency.estimate)
    assert 0 < found.efficiency.low < 1.0 == found.efficiency.high
    assert float(strong.least_kl) in found.least_kl
    assert any("horizon" in line for line in found.warnings)


def test_a_policy_that_spends_far_beyond_the_horizon_for_little_still_shows_what_its_gain_needs():
    base, rewards = random_tables(40, 600, n_levels=5, seed=6)
    drifted = PolicyTables.noisy(base, rewards, 2 * spread(base, rewards), 3.0, seed=1)
    found = audit(*drifted.sample(500, 32, 64, seed=0))
    assert found.status == "bracket"
    assert found.least_kl.known
    assert float(drifted.least_kl) in found.least_kl
    assert float(drifted.wasted_kl) in found.wasted_kl
    assert float(drifted.efficiency) in found.efficiency


def test_a_policy_without_log_probabilities_has_a_gain_and_a_least_kl_and_no_more():
    policy, base = POLICIES["noisy"].sample(200, 32, 64, seed=0)
    plain = Samples(dict(policy.rewards), policy.offsets, policy.prompt_ids)
    found = audit(plain, base)
    assert set(found.values) == {"base_reward", "reward", "gain", "win_rate", "least_kl"}
    assert found.status == "no log-probabilities"
    assert float(POLICIES["noisy"].least_kl) in found.least_kl
    assert found.kl is None
    assert found.parts is None
    with pytest.raises(InputError, match="needs log-probabilities"):
        audit(plain, base, kl_estimator="k1")


def test_a_policy_equal_to_its_reference_has_no_efficiency():
    system = PolicyTables(BASE, BASE, REWARDS)
    policy, base = system.sample(200, 32, 64, seed=0)
    with pytest.warns(KlimitWarning, match="equals its reference: KL 0"):
        found = audit(policy, base)
    assert found.efficiency is None
    assert (found.kl.estimate, found.kl.low, found.kl.high) == (0.0, 0.0, 0.0)


def test_a_loss_needs_kl_too_and_its_efficiency_is_negative():
    system = PolicyTables.tilted(BASE, REWARDS, -BETA)
    found = audit(*system.sample(500, 64, 64, seed=0))
    assert found.gain.high < 0
    assert found.efficiency.high < 0
    assert found.least_kl.low > 0
    assert 0.0 in found.wasted_kl


def test_prompts_where_kl_was_spent_for_nothing_are_named():
    # Half of the prompts are tilted, half only drift among outputs of equal reward.
    tilted, drifted = POLICIES["tilted"], PolicyTables.permuted(BASE, REWARDS, 2.0, seed=1)
    half = np.arange(40) % 2 == 0
    system = PolicyTables(BASE, np.where(half[:, None], tilted.policy, drifted.policy), REWARDS)
    policy, base = system.sample(None, 256, 256, seed=0, redraw_prompts=False)
    idle = audit(policy, base).prompts.idle
    assert idle[~half].mean() > 0.7
    assert not idle[half].any()


# Rewards seen otherwise.


def test_a_monotone_change_of_the_reward_leaves_the_audit_by_rank_as_it_was():
    policy, base = POLICIES["noisy"].sample(200, 32, 64, seed=3)
    bent = [x.with_reward("reward", np.exp(x.reward("reward"))) for x in (policy, base)]
    plain, changed = audit(policy, base, transform="rank"), audit(*bent, transform="rank")
    for name, value in plain.values.items():
        if name not in ("base_reward", "reward"):
            assert changed.values[name] == value
    assert plain.gain.estimate == pytest.approx(plain.win_rate.estimate - 0.5, abs=1e-12)


def by_win_rate(system):
    """The same policies, rewarded by the win rate against the base policy: its exact audit by rank."""
    equal = system.rewards[:, :, None] == system.rewards[:, None, :]
    above = system.rewards[:, :, None] > system.rewards[:, None, :]
    rates = ((above + 0.5 * equal) * system.base[:, None, :]).sum(axis=2)
    return PolicyTables(system.base, system.policy, rates.round(12))


@pytest.mark.parametrize("name", ["tilted", "noisy", "misallocated"])
def test_an_audit_by_rank_covers_that_of_the_exact_win_rates(name):
    exact, repetitions = by_win_rate(POLICIES[name]).values, 15
    hits = {}
    for found in redraws(POLICIES[name], repetitions, sizes=(200, 64, 64), transform="rank"):
        for quantity in ("gain", "least_kl", "efficiency", "wasted_kl", "allocation", "shape", "off_reward"):
            value = found.values[quantity]
            hits.setdefault(quantity, []).append(value.low - 1e-9 <= exact[quantity] <= value.high + 1e-9)
    for quantity, hit in hits.items():
        assert covers(hit), quantity


def test_clipping_is_a_reward_of_its_own():
    clipped = PolicyTables(BASE, POLICIES["noisy"].policy, np.clip(REWARDS, -0.5, 0.5))
    found = audit(*POLICIES["noisy"].sample(500, 64, 64, seed=0), transform="clipped:-0.5,0.5")
    for name in ("gain", "efficiency", "wasted_kl", "off_reward"):
        assert clipped.values[name] in found.values[name]


# The KL's estimators.


def token_world(seed):
    """Two tokens of four each: policy and reference as trees, rewards by completion."""
    rng = np.random.default_rng(seed)
    first = rng.dirichlet(np.ones(4), size=(2, 1))
    second = rng.dirichlet(np.ones(4), size=(2, 4))
    policy, base = ((first[i, 0][:, None] * second[i]).reshape(1, 16) for i in (0, 1))

    def kl(p, q):
        return (p * np.log(p / q)).sum(axis=-1)

    token_kl = kl(first[0, 0], first[1, 0]) + np.repeat(kl(second[0], second[1]), 4)
    rewards = rng.integers(3, size=(1, 16)).astype(float)
    return PolicyTables(base, policy, rewards), token_kl


def with_token_kl(policy, token_kl):
    values = token_kl[np.asarray(policy.metadata["output"])]
    return Samples(
        dict(policy.rewards),
        policy.offsets,
        policy.prompt_ids,
        logprob=policy.logprob,
        ref_logprob=policy.ref_logprob,
        token_kl=values,
    )


def test_exact_token_kls_are_used_where_they_are_given_and_vary_less():
    system, token_kl = token_world(0)
    policy, base = system.sample(200, 16, 64, seed=0)
    found = audit(with_token_kl(policy, token_kl), base)
    assert found.kl_estimator == "rao-blackwellised"
    assert float(system.kl) in found.kl
    by_k1 = found.kl_estimates["k1"]
    assert found.kl.high - found.kl.low < by_k1.high - by_k1.low
    assert audit(policy, base).kl_estimator != "rao-blackwellised"
    with pytest.raises(InputError, match="token_kl"):
        audit(policy, base, kl_estimator="rao-blackwellised")


def test_k3_is_given_but_never_the_default():
    near = PolicyTables.tilted(BASE, REWARDS, 8 * BETA)
    found = audit(*near.sample(300, 32, 64, seed=0))
    assert found.kl_estimator == "k1"
    assert float(near.kl) in found.kl_estimates["k3"]
    far = PolicyTables.tilted(BASE, REWARDS, 0.15 * BETA)
    found = audit(*far.sample(300, 32, 64, seed=0))
    assert found.kl_estimates["k3"].high == np.inf
    # What k3 would have said: it misses the base policy's mass that no completion covers.
    assert found.kl_estimates["k3"].estimate < float(far.kl) - 0.1


def test_a_policy_that_lost_support_is_covered_where_k3_falls_short():
    lost = np.where(np.argsort(np.argsort(BASE, axis=1), axis=1) < 4, 0.0, BASE)
    system = PolicyTables(BASE, lost / lost.sum(axis=1, keepdims=True), REWARDS)
    hits, short = [], []
    for found in redraws(system, 15, sizes=(200, 8, 32)):
        hits.append(float(system.kl) in found.kl)
        short.append(found.kl_estimates["k3"].estimate - float(system.kl))
    assert covers(hits)
    assert np.mean(short) < -0.5 * (1 - float(system.base_mass))


def test_k2_is_another_number_and_only_given_when_asked_for():
    policy, base = POLICIES["noisy"].sample(1000, 32, 64, seed=0)
    found = audit(policy, base, kl_estimator="k2")
    assert found.kl_estimator == "k2"
    assert found.kl == found.kl_estimates["k2"]
    assert any("k2 is biased" in line for line in found.warnings)
    assert audit(policy, base).kl_estimator == "k1"
    assert float(POLICIES["noisy"].kl) not in audit(policy, base).kl_estimates["k2"]


def test_two_engines_show_a_noise_floor():
    policy, base = POLICIES["noisy"].sample(300, 32, 64, seed=0)
    noise = np.random.default_rng(0).normal(0, 0.3, policy.n_completions)
    # Consistent engines: E exp(-difference) = 1.
    second = policy.logprob - 5 + noise + 0.3**2 / 2
    found = audit(
        Samples(
            dict(policy.rewards),
            policy.offsets,
            policy.prompt_ids,
            logprob=policy.logprob - 5,
            ref_logprob=policy.ref_logprob - 5,
            sampling_logprob=second,
        ),
        base,
    )
    assert found.noise_floor.estimate == pytest.approx(0.3**2 / 2, rel=0.1)
    assert audit(policy, base).noise_floor is None


# What the numbers contradict.


def test_a_reference_that_is_not_the_base_policy_is_found_out():
    system = POLICIES["noisy"]
    policy, base = system.sample(300, 32, 64, seed=0)
    halfway = np.sqrt(system.policy * system.base)
    halfway /= halfway.sum(axis=1, keepdims=True)
    rows = np.repeat(np.random.default_rng(0).integers(40, size=300), 32)
    wrong = np.log(halfway)[rows, np.asarray(policy.metadata["output"])]
    found = audit(replace(policy, ref_logprob=wrong), base)
    assert any(line.startswith("impossible: the gain needs a KL of") for line in found.warnings)
    assert not any("impossible" in line for line in audit(policy, base).warnings)


def test_a_loss_that_the_base_policy_could_not_have_for_so_little_kl_is_found_out():
    policy, base = POLICIES["noisy"].sample(100, 32, 64, seed=0)
    lost = {name: values - 10 * np.ptp(values) for name, values in policy.rewards.items()}
    found = audit(replace(policy, rewards=lost), base)
    assert found.gain.high < 0
    assert found.kl.high < found.least_kl.low
    assert any(line.startswith("impossible: the gain needs a KL of") for line in found.warnings)


def test_where_the_base_policy_has_nothing_to_gain_its_kl_is_not_blamed():
    policy, base = POLICIES["noisy"].sample(100, 32, 64, seed=0)
    policy, base = (
        replace(each, rewards={name: np.full(len(v), 2.5) for name, v in each.rewards.items()})
        for each in (policy, base)
    )
    found = audit(policy, base)
    assert found.kl.low > 0
    assert "the base samples show no reward to gain at any KL, so efficiency is undefined" in found.warnings
    assert not any("KL cannot be told from 0" in line for line in found.warnings)


def test_rounding_is_no_kl():
    system = PolicyTables(BASE, BASE, REWARDS)
    policy, base = system.sample(100, 16, 32, seed=0)
    found = audit(replace(policy, logprob=policy.logprob.astype(np.float32)), base)
    assert found.efficiency is None
    assert found.parts is None


def test_rewards_of_two_precisions_are_compared_in_the_narrower():
    grid = np.round(REWARDS, 1)
    system = PolicyTables(BASE, POLICIES["noisy"].policy, grid)
    policy, base = system.sample(200, 32, 64, seed=0)
    rounded = replace(policy, rewards={"reward": policy.reward().astype(np.float32)})
    one, other = audit(policy, base), audit(rounded, base)
    assert other.win_rate.estimate == pytest.approx(one.win_rate.estimate, abs=1e-12)
    assert other.parts.bins == one.parts.bins
    assert any("rounded from float64 to float32" in line for line in other.notes)


@pytest.mark.parametrize("levels", [2, 5])
def test_with_few_completions_shape_and_off_reward_are_left_open_but_covered(levels):
    base, rewards = random_tables(40, 24, n_levels=levels, seed=12)
    system = PolicyTables.noisy(base, rewards, spread(base, rewards), 0.5, seed=1)
    hits = {"allocation": [], "shape": [], "off_reward": []}
    for found in redraws(system, 12, sizes=(200, 2, 32)):
        for name, hit in hits.items():
            value = getattr(found.parts, name)
            hit.append(value.low - 1e-9 <= getattr(system, name) <= value.high + 1e-9)
    for name, hit in hits.items():
        assert covers(hit), name


def test_prompts_with_a_single_completion_can_be_audited_by_rank():
    policy, base = POLICIES["noisy"].sample(50, 8, 16, seed=0)
    first = np.ones(base.n_completions, dtype=bool)
    first[1:16] = False
    found = audit(policy, base.rows(first), transform="rank")
    assert np.isfinite(found.gain.estimate)


def test_a_base_policy_at_the_largest_reward_has_nothing_to_gain():
    policy, base = POLICIES["noisy"].sample(50, 16, 16, seed=0)
    best = [replace(x, rewards={"reward": np.ones(x.n_completions)}) for x in (policy, base)]
    found = audit(*best, reward_max=1.0)
    assert found.efficiency is None
    assert (found.gain.estimate, found.gain.low, found.gain.high) == (0.0, 0.0, 0.0)


def test_one_wild_log_ratio_is_told_as_it_is():
    policy, base = POLICIES["noisy"].sample(50, 16, 16, seed=0)
    for size in (-400.0, -900.0):
        logprob = policy.logprob.copy()
        logprob[3] = policy.ref_logprob[3] + size
        found = audit(replace(policy, logprob=logprob), base)
        assert found.kl_estimator == "k1"
        assert found.kl_estimates["k3"].high == np.inf


# Several policies.


def test_policies_on_different_prompts_are_audited_on_those_that_all_share():
    policy, base = POLICIES["noisy"].sample(60, 16, 32, seed=0)
    both = {"first": policy.select(np.arange(40)), "second": policy.select(np.arange(20, 60))}
    found = audit(both, base, shared_prompts=True)
    assert found["first"].n_prompts == found["second"].n_prompts == 20
    assert found["first"].limit is found["second"].limit


def test_checkpoints_share_one_limit_and_come_in_order():
    drawn = {name: POLICIES[name].sample(100, 32, 64, seed=0) for name in ("tilted", "noisy", "losing")}
    base = drawn["tilted"][1]
    found = audit({name: policy for name, (policy, _) in drawn.items()}, base)
    assert found.names == ("tilted", "noisy", "losing")
    assert found["noisy"] is found[1]
    assert found[0].limit is found[2].limit
    assert len(found[1:]) == 2
    frame = found.to_frame()
    assert list(frame["policy"]) == list(found.names)
    assert frame.loc[1, "kl"] == found["noisy"].kl.estimate
    assert frame.loc[1, "wasted_kl_high"] == found["noisy"].wasted_kl.high
    with pytest.raises(InputError, match="no policy 'other'"):
        found["other"]
    alone = audit(drawn["noisy"][0], base)
    assert alone.values == found["noisy"].values


def test_one_file_of_checkpoints_is_told_apart_by_a_column():
    drawn = [POLICIES[name].sample(50, 16, 32, seed=0) for name in ("tilted", "noisy")]
    frames = []
    for step, (policy, _) in zip((200, 100), drawn, strict=True):
        table = {
            "prompt_id": np.repeat(policy.prompt_ids, policy.counts),
            "reward": policy.reward("reward"),
            "logprob": policy.logprob,
            "ref_logprob": policy.ref_logprob,
            "step": step,
        }
        frames.append(pd.DataFrame(table))
    found = audit(pd.concat(frames), drawn[0][1], by="step")
    assert found.names == ("step=100", "step=200")
    assert found["step=200"].kl == audit(frames[0], drawn[0][1]).kl


def test_an_audit_becomes_a_frame_and_a_table_of_prompts():
    found = next(redraws(POLICIES["noisy"], 1))
    frame = found.to_frame().set_index("quantity")
    assert frame.loc["kl", "estimate"] == found.kl.estimate
    prompts = found.prompts_frame()
    assert len(prompts) == found.n_prompts
    assert prompts["kl"].mean() == pytest.approx(found.kl.estimate)
    assert prompts["gain"].mean() == pytest.approx(found.gain.estimate)


def test_options_that_cannot_be_are_refused():
    policy, base = POLICIES["noisy"].sample(20, 16, 16, seed=0)
    for options, said in (
        ({"kl_estimator": "k4"}, "kl_estimator='k4': choose one of"),
        ({"level": 1.5}, "level=1.5"),
        ({"transform": "ranks"}, "did you mean 'rank'"),
    ):
        with pytest.raises(InputError, match=said):
            audit(policy, base, **options)


def test_no_warning_is_raised_where_nothing_limits_the_answer():
    base, rewards = random_tables(200, 24, n_levels=5, seed=11)
    system = PolicyTables.noisy(base, rewards, BETA, 0.5, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", KlimitWarning)
        audit(*system.sample(300, 64, 128, seed=0))
