"""Hacking curves from samples agree with the exact numbers of enumerable worlds."""

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binom

import klimit
from klimit import InputError, KlimitWarning
from klimit.order_statistics import best_weights
from klimit.proxies.along import Scored
from klimit.proxies.falls import times_as_many
from klimit.proxies.gap import along_path
from klimit.proxies.selection import best_of_gains
from klimit.testsystems import ProxyTables
from klimit.values import Value

pytestmark = pytest.mark.filterwarnings("ignore::klimit.errors.KlimitWarning")

WORLDS = {
    "heavy error": ProxyTables.heavy_error(seed=1),
    "never": ProxyTables.never(seed=1),
    "at zero": ProxyTables.at_zero(seed=1),
    "two peaks": ProxyTables.two_peaks(seed=1),
    "binary": ProxyTables.binary(seed=1),
}


def ask(samples, **options):
    return klimit.hacking(samples, proxy="proxy", gold="gold", **options)


def covers(hit):
    """No more misses than an honest 95% interval has once in a million studies of that size.

    benchmarks/hacking_cover.py does the same with 1,000 redraws.
    """
    return len(hit) - np.sum(hit) <= binom.ppf(1 - 1e-6, len(hit), 0.05)


@pytest.mark.parametrize("labelled", [1.0, 0.3])
@pytest.mark.parametrize("name", WORLDS)
def test_thresholds_and_curves_cover(name, labelled):
    world, hits = WORLDS[name], {}
    for seed in range(5):
        found = ask(world.sample(200, 64, seed=seed, labelled=labelled), seed=seed)
        for quantity in ("threshold", "worse_than_base"):
            hits.setdefault(quantity, []).append(getattr(world, quantity) in getattr(found, quantity))
        at = [5, 24, 43]
        exact = world.at_kl(found.kl[at])
        for quantity in ("gold_gain", "proxy_gain", "covariance"):
            low, high = getattr(found, f"{quantity}_low")[at], getattr(found, f"{quantity}_high")[at]
            truth = getattr(exact, quantity)
            hits.setdefault(quantity, []).extend((low <= truth) & (truth <= high))
        sizes = found.best_of_n.setting
        truth = world.best_of_n(sizes).gold_gain
        inside = (found.best_of_n.gold_gain_low <= truth) & (truth <= found.best_of_n.gold_gain_high)
        hits.setdefault("best-of-N", []).extend(inside[1:-1:3])
    for quantity, hit in hits.items():
        assert covers(hit), quantity


def test_a_hacked_proxy_turns_gold_down_at_a_threshold_that_is_found():
    world = WORLDS["heavy error"]
    found = ask(world.sample(1000, 128, seed=0))
    assert found.threshold.known
    assert found.threshold.estimate == pytest.approx(world.threshold, rel=0.25)
    assert np.isfinite(found.threshold.high)
    assert world.best_kl in found.best.kl
    assert found.best.setting.low <= world.best_beta <= found.best.setting.high
    sizes = found.best_of_n.setting
    best = sizes[np.argmax(world.best_of_n(sizes).gold_gain)]
    assert found.best_of_n.best.setting.low <= best <= found.best_of_n.best.setting.high
    assert found.best_of_n.falls_by > best
    # Negative control: another world's threshold.
    assert 2 * world.threshold not in found.threshold


def test_a_proxy_that_harms_from_the_start_has_its_threshold_at_zero():
    found = ask(WORLDS["at zero"].sample(300, 64, seed=0))
    assert (found.threshold.estimate, found.threshold.low, found.threshold.high) == (0.0, 0.0, 0.0)
    assert found.worse_than_base.estimate == 0.0
    assert found.best.kl.estimate == 0.0
    assert found.best.setting.estimate == np.inf


def test_an_honest_proxy_has_no_threshold_within_the_horizon():
    with pytest.warns(KlimitWarning, match="does not turn down"):
        found = ask(WORLDS["never"].sample(300, 64, seed=0))
    assert not found.threshold.known
    assert found.threshold.high == np.inf
    assert found.best.at_end


def test_the_first_of_two_peaks_is_the_threshold_and_the_higher_is_the_best():
    world = WORLDS["two peaks"]
    found = ask(world.sample(2000, 128, seed=0))
    assert world.threshold in found.threshold
    assert world.best_kl > 2 * world.threshold
    assert found.threshold.estimate < 0.6 * world.best_kl


@pytest.mark.parametrize("name", ["heavy error", "two peaks", "binary"])
def test_gaps_and_regrets_cover(name):
    world, hits = WORLDS[name], {}
    for seed in range(6):
        found = ask(world.sample(200, 64, seed=seed))
        for share in (3.0, 1.5):
            beta = share * found.proxy_limit.rewards.scale
            gap = found.gap(beta=beta)
            if gap.status == "estimate":
                hits.setdefault("gap", []).append(float(world.gap(beta)) in gap.gap)
                hits.setdefault("regret", []).append(float(world.regret(beta)) in gap.regret)
            assert abs(gap.plug_in_gap) <= gap.gap_bound
            assert gap.plug_in_regret <= gap.regret_bound
    assert set(hits) == {"gap", "regret"}
    for quantity, hit in hits.items():
        assert covers(hit), quantity


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("beta", [2.0, 0.3, 0.05])
def test_the_path_identities_hold_on_the_samples(name, beta):
    samples = WORLDS[name].sample(50, 32, seed=0)
    gold, proxy = samples.rewards["gold"], samples.rewards["proxy"]
    found = along_path(proxy, gold, samples.offsets, beta)
    assert found.path_gap == pytest.approx(found.plug_in_gap, abs=1e-8)
    assert found.path_regret == pytest.approx(found.plug_in_regret, abs=1e-8)
    # Negative control: at another beta they are other numbers.
    other = along_path(proxy, gold, samples.offsets, 1.2 * beta)
    assert abs(other.path_regret - found.plug_in_regret) > 1e-5


def test_a_shift_of_the_proxy_or_of_gold_per_prompt_changes_nothing():
    samples = WORLDS["heavy error"].sample(100, 64, seed=0)
    shift = np.repeat(np.random.default_rng(0).normal(0, 50, 100), 64)
    plain = ask(samples)
    for reward in ("proxy", "gold"):
        moved = ask(replace(samples, rewards={**samples.rewards, reward: samples.rewards[reward] + shift}))
        for name in ("kl", "proxy_gain", "gold_gain", "gold_gain_low", "covariance_high"):
            np.testing.assert_allclose(getattr(moved, name), getattr(plain, name), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(
            moved.best_of_n.gold_gain, plain.best_of_n.gold_gain, rtol=1e-9, atol=1e-12
        )


def test_the_order_of_rows_breaks_no_ties():
    samples = WORLDS["binary"].sample(60, 64, seed=0)
    rng = np.random.default_rng(0)
    order = np.concatenate([64 * p + rng.permutation(64) for p in range(60)])
    mixed = replace(samples, rewards={name: values[order] for name, values in samples.rewards.items()})
    np.testing.assert_allclose(ask(mixed).best_of_n.gold_gain, ask(samples).best_of_n.gold_gain, atol=1e-12)


def test_best_of_n_by_the_proxy_is_the_average_over_all_subsets():
    rng = np.random.default_rng(0)
    proxy, gold = rng.integers(3, size=16).astype(float), rng.normal(size=16)
    scored = Scored(proxy, gold, np.ones(16, dtype=bool), np.array([0, 8, 16]))
    found = best_of_gains(scored, {8: best_weights(8, 3)[:, None]}, 0.0)[0]
    by_hand = []
    for start in (0, 8):
        kept = []
        for subset in combinations(range(start, start + 8), 3):
            top = [i for i in subset if proxy[i] == max(proxy[j] for j in subset)]
            kept.append(np.mean([gold[i] for i in top]))
        by_hand.append(np.mean(kept) - gold[start : start + 8].mean())
    assert found.value == pytest.approx(np.mean(by_hand), abs=1e-12)


def test_labels_of_whole_prompts_will_do_and_more_of_them_narrow_the_answer():
    world = WORLDS["heavy error"]
    few, many = (ask(world.sample(400, 64, seed=0, labelled=share, by_prompt=True)) for share in (0.2, 0.8))
    assert few.n_labels < many.n_labels
    width = [float((x.gold_gain_high - x.gold_gain_low)[20]) for x in (few, many)]
    assert width[1] < width[0]
    assert few.gold_frontier is None or few.labels_needed is None or few.labels_needed >= few.n_labels


@pytest.mark.parametrize("sign", [1, -1])
def test_labels_of_the_winners_or_the_losers_only_are_found_out(sign):
    samples = WORLDS["binary"].sample(100, 32, seed=0)
    proxy = sign * samples.rewards["proxy"].reshape(100, 32)
    best = proxy >= np.quantile(proxy, 0.7, axis=1, keepdims=True)
    gold = np.where(best.reshape(-1), samples.rewards["gold"], np.nan)
    with pytest.warns(KlimitWarning) as caught:
        ask(replace(samples, rewards={**samples.rewards, "gold": gold}))
    said = str(caught[0].message)
    assert "chance did not choose the labels of 'gold'" in said
    assert f"have {'larger' if sign > 0 else 'smaller'} 'proxy' than the others of their prompts" in said


@pytest.mark.parametrize("by_prompt", [False, True])
def test_labels_that_chance_chose_are_not_suspected(by_prompt):
    for seed in range(10):
        samples = WORLDS["binary"].sample(60, 32, seed=seed, labelled=0.3, by_prompt=by_prompt)
        assert not any("chance did not choose" in line for line in ask(samples).warnings)


def test_as_many_labels_as_said_settle_the_threshold_to_a_quarter():
    world = WORLDS["heavy error"]
    few = ask(world.sample(300, 256, seed=1, labelled=0.1))
    half = (few.threshold.high - few.threshold.low) / 2
    assert half > 0.3 * few.threshold.estimate
    assert few.n_labels < few.labels_needed < 300 * 256
    more = ask(world.sample(300, 256, seed=1, labelled=few.labels_needed / (300 * 256)))
    half = (more.threshold.high - more.threshold.low) / 2
    assert half / more.threshold.estimate == pytest.approx(0.25, abs=0.06)


def test_labels_that_would_settle_a_threshold_follow_the_root_n_law():
    assert times_as_many(Value(1.0, 0.5, 1.5)) == pytest.approx(4.0)
    assert times_as_many(Value(1.0, 0.9, 1.1)) == 1.0
    # Without an upper end as many, at least, as the lower end takes.
    assert times_as_many(Value(1.0, 0.5, np.inf)) == pytest.approx(4.0)
    for nothing in (Value(np.nan, 0.4, np.inf), Value(0.0, 0.0, 0.3)):
        assert times_as_many(nothing) is None


def test_a_threshold_without_an_upper_end_still_says_how_many_labels_at_least():
    found = ask(WORLDS["binary"].sample(60, 64, seed=7, labelled=0.3))
    assert found.threshold.known
    assert found.threshold.high == np.inf
    assert found.labels_needed > found.n_labels


def test_all_the_proxies_help_where_labels_are_few():
    # Gold is the proxy plus light noise: what the labels leave open is the noise alone.
    samples = WORLDS["never"].sample(300, 256, seed=0, labelled=0.1)
    labelled = samples.rows(np.isfinite(samples.rewards["gold"])).at_least(16)
    whole, alone = ask(samples), ask(labelled)
    widths = []
    for found in (whole, alone):
        by_n = found.best_of_n
        i = list(by_n.setting).index(8)
        widths.append(by_n.gold_gain_high[i] - by_n.gold_gain_low[i])
    assert widths[0] < widths[1]


def test_gold_along_the_proxy_lies_below_its_own_limit():
    found = ask(WORLDS["binary"].sample(300, 128, seed=0))
    assert (found.gold_gain_low <= found.gold_limit_high).all()
    frame = found.to_frame()
    assert {"kl", "beta", "proxy_gain", "gold_gain", "gold_limit", "covariance"} <= set(frame.columns)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, {"proxy": "gold"}, "proxy and gold are both 'gold'"),
        ({"proxy": 0.0}, {}, "proxy 'proxy' never varies within a prompt"),
        ({"gold": 1.0}, {}, "gold 'gold' never varies within a prompt where it is known"),
        ({"gold": np.nan}, {}, "'gold' is missing for every completion"),
        ({}, {"proxy": "prox"}, "did you mean 'proxy'"),
        ({}, {"kl": [-1.0]}, "a KL budget is a finite number of nats above 0"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(change, options, said):
    samples = WORLDS["binary"].sample(20, 16, seed=0)
    rewards = dict(samples.rewards)
    for name, value in change.items():
        rewards[name] = np.full(samples.n_completions, value)
    with pytest.raises(InputError, match=said) as caught:
        klimit.hacking(replace(samples, rewards=rewards), **{"proxy": "proxy", "gold": "gold", **options})
    assert "\n" not in str(caught.value)


def test_without_overlap_of_gold_and_proxy_nothing_can_be_said():
    samples = WORLDS["binary"].sample(20, 16, seed=0)
    gold = np.full(samples.n_completions, np.nan)
    gold[::16] = 1.0  # one label a prompt
    with pytest.raises(InputError, match="no overlap: 20 completions have both 'proxy' and 'gold'"):
        ask(replace(samples, rewards={**samples.rewards, "gold": gold}))


def test_labels_that_never_differ_within_a_prompt_judge_nothing():
    samples = WORLDS["binary"].sample(20, 16, seed=0)
    prompt = np.repeat(np.arange(20.0), 16)
    gold = np.where((np.arange(320) % 3 == 0) & (prompt != 4), prompt, np.nan)
    with pytest.raises(InputError, match="gold 'gold' never varies within a prompt where it is known"):
        ask(replace(samples, rewards={**samples.rewards, "gold": gold}))


def test_one_prompt_says_nothing_of_others():
    with pytest.raises(InputError, match="1 prompt: one says nothing about others; 2 are needed"):
        ask(WORLDS["binary"].sample(1, 64, seed=0))


def test_too_few_completions_name_the_prompt():
    said = r"20 of 20 prompts have fewer than 16 completions \(prompt [^(]+ has 12\)"
    with pytest.raises(InputError, match=said):
        ask(WORLDS["binary"].sample(20, 12, seed=0))


def test_a_gap_needs_all_of_gold_and_a_beta_that_the_samples_show():
    world = WORLDS["heavy error"]
    part = ask(world.sample(50, 64, seed=0, labelled=0.5))
    with pytest.raises(InputError, match="tilting by it needs all of them"):
        part.gap(beta=1.0)
    whole = ask(world.sample(50, 64, seed=0))
    with pytest.raises(InputError, match="beta=-1: give a finite number above 0"):
        whole.gap(beta=-1)
    with pytest.raises(InputError, match="where the samples show nothing"):
        whole.gap(beta=1e6)
    far = whole.gap(beta=0.05)
    assert far.status == "bracket"
    assert not far.gap.known
    assert far.gap.high == far.gap_bound


def test_the_betas_said_to_be_shown_are_those_of_both_tilts():
    samples = WORLDS["two peaks"].sample(50, 64, seed=0)
    found = ask(samples)
    with pytest.raises(InputError, match="where the samples show nothing") as caught:
        found.gap(beta=1e-9)
    low, high = map(float, re.findall(r"give (\S+) to (\S+)", str(caught.value))[0])
    for beta in (1.01 * low, 0.99 * high):
        gap = found.gap(beta=beta)
        assert gap.path_gap == pytest.approx(gap.plug_in_gap, abs=1e-8)
        assert gap.path_regret == pytest.approx(gap.plug_in_regret, abs=1e-8)
    apart = replace(samples, rewards={**samples.rewards, "gold": 1e6 * samples.rewards["gold"]})
    with pytest.raises(InputError, match="at no beta do the samples show both tilts"):
        ask(apart).gap(beta=1.0)


def test_along_its_tilt_a_proxy_gains_its_own_limit():
    """At a KL no policy has more of the proxy; the mean at an estimated tilt would err with where the tilt is put."""
    samples = WORLDS["never"].sample(300, 64, seed=5)
    found = ask(samples, kl=[0.2, 0.8, 20.0])
    limit = klimit.frontier(samples, reward="proxy", kl=[0.2, 0.8])
    for end in ("", "_low", "_high"):
        values = getattr(found, f"proxy_gain{end}")
        np.testing.assert_allclose(values[:2], getattr(limit, f"gain{end}"), rtol=1e-9)
        assert np.isnan(values[2])  # beyond the horizon
