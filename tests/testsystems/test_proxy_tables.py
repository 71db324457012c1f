"""Gold and proxy rewards as tables: identities, bounds that hold, gaps that fall, worlds of known shape, samples."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import chisquare

from klimit.errors import InputError
from klimit.limit import exact
from klimit.testsystems import PolicyTables, ProxyTables, Tables, random_proxies
from klimit.testsystems.policy_levels import best_of_law, reward_law

WORLDS = ("heavy_error", "never", "at_zero", "two_peaks", "binary")


def world(name: str, seed: int = 1) -> ProxyTables:
    return getattr(ProxyTables, name)(seed=seed)


def tilt(p: np.ndarray, s: np.ndarray, t: float) -> np.ndarray:
    """base exp(t s) / Z, as anyone would write it."""
    q = p * np.exp(t * (s - s.max(axis=1, keepdims=True)))
    return q / q.sum(axis=1, keepdims=True)


def mean(q: np.ndarray, values: np.ndarray) -> float:
    return float((q * values).sum(axis=1).mean())


def cov(q: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    return float(((q * a * b).sum(axis=1) - (q * a).sum(axis=1) * (q * b).sum(axis=1)).mean())


def divergence(q: np.ndarray, p: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(q > 0, q * (np.log(q) - np.log(p)), 0.0).sum(axis=1).mean())


@st.composite
def random_worlds(draw: st.DrawFn) -> ProxyTables:
    made = random_proxies(
        draw(st.integers(1, 5)),
        draw(st.integers(2, 8)),
        draw(st.floats(-1.0, 1.0)),
        draw(st.sampled_from((np.inf, 3.0, 1.5))),
        seed=draw(st.integers(0, 10**6)),
    )
    gold, proxy = made.gold, made.proxy
    if draw(st.booleans()):  # ties
        gold, proxy = np.round(gold), np.round(proxy * 2) / 2
    base = made.base
    if draw(st.booleans()):  # outputs that the base policy never gives, with the largest rewards
        base = np.concatenate([base, np.zeros((len(base), 1))], axis=1)
        gold, proxy = (np.concatenate([v, np.full((len(base), 1), 50.0)], axis=1) for v in (gold, proxy))
    return ProxyTables(base, gold, proxy)


TILTS = st.floats(1e-3, 20.0)
BETAS = st.floats(0.1, 20.0)


# Along the tilt.


@settings(max_examples=200, deadline=None)
@given(random_worlds(), TILTS)
def test_the_path_agrees_with_its_definitions(w: ProxyTables, t: float) -> None:
    inside = np.where(w.base > 0, w.proxy, w.proxy.min() - 1)
    q = tilt(w.base, inside, t)
    path = w.path(t)
    assert path.kl == pytest.approx(divergence(q, w.base), abs=1e-10)
    assert path.kl == pytest.approx(exact.forward_kl(w.base, w.proxy, np.full(len(q), t)).mean(), abs=1e-10)
    assert path.proxy_gain == pytest.approx(mean(q - w.base, w.proxy), abs=1e-10)
    assert path.gold_gain == pytest.approx(mean(q - w.base, w.gold), abs=1e-10)
    assert path.covariance == pytest.approx(cov(q, w.gold, w.proxy), abs=1e-9)
    assert abs(path.covariance) <= path.spread * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(random_worlds(), TILTS)
def test_the_covariance_is_the_slope_of_the_gold_gain(w: ProxyTables, t: float) -> None:
    area, _ = quad(lambda x: float(w.covariance(x)), 0, t, epsabs=1e-11, epsrel=1e-11, limit=500)
    assert w.gold_gain(t) == pytest.approx(area, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(random_worlds(), TILTS)
def test_kl_and_tilt_invert_each_other(w: ProxyTables, t: float) -> None:
    kl = float(w.kl(t))
    if not 1e-6 < kl < float(w.kl(np.inf)) - 1e-6:
        return
    assert w.kl(w.tilt_at(kl)) == pytest.approx(kl, rel=1e-9)
    assert w.at_kl(kl).gold_gain == pytest.approx(w.gold_gain(t), abs=1e-8)
    assert w.gold_gain(t) <= w.gold_limit(kl) + 1e-9
    assert exact.frontier_average(w.base, w.proxy, kl)[0] == pytest.approx(w.proxy_gain(t), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(random_worlds(), BETAS, st.integers(0, 10**6))
def test_a_constant_per_prompt_changes_nothing(w: ProxyTables, beta: float, seed: int) -> None:
    shift = np.round(np.random.default_rng(seed).normal(scale=4, size=(len(w.base), 1)) * 16) / 16
    moved = replace(w, proxy=w.proxy + shift)
    for name in ("path", "gap", "gap_by_path", "gap_bound", "regret", "regret_bound", "error_shift"):
        np.testing.assert_allclose(getattr(moved, name)(beta), getattr(w, name)(beta), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(moved.best_of_n([2, 9]), w.best_of_n([2, 9]), atol=1e-9)


def test_a_factor_of_the_proxy_does_change_it() -> None:
    w = world("heavy_error")
    doubled = replace(w, proxy=2 * w.proxy)
    assert doubled.kl(0.5) == pytest.approx(float(w.kl(1.0)), rel=1e-12)
    assert doubled.regret(1.0) > 1.3 * w.regret(1.0)
    assert doubled.threshold == pytest.approx(w.threshold, rel=1e-9)  # in KL it is the same path


def test_small_tilts_keep_their_relative_accuracy() -> None:
    w = world("heavy_error")
    for t in (1e-9, 1e-6):
        assert w.gold_gain(t) == pytest.approx(t * w.covariance(0.0), rel=1e-4)
        assert w.proxy_gain(t) == pytest.approx(2 * w.kl(t) / t, rel=1e-4)
    assert w.path(0.0)[:3] == (0.0, 0.0, 0.0)


def test_saturation_puts_all_mass_on_the_best_proxies_as_the_base_shares_it() -> None:
    w = ProxyTables([[0.5, 0.25, 0.125, 0.125]], [[1.0, 0.0, 6.0, 3.0]], [[0.0, 1.0, 2.0, 2.0]])
    end = w.path(np.inf)
    assert end.kl == pytest.approx(np.log(4))
    assert end.gold_gain == pytest.approx(4.5 - 1.625)
    assert w.tilt_at(2.0) == np.inf
    assert w.path(400.0).gold_gain == pytest.approx(float(end.gold_gain), abs=1e-12)


def test_a_fine_bivariate_gaussian_is_wasteful_but_never_hacked() -> None:
    x = np.arange(-9.0, 9.01, 0.25)
    weight = np.exp(-0.5 * x**2)
    p = np.outer(weight, weight).reshape(1, -1) / weight.sum() ** 2
    s, z = (v.reshape(1, -1) for v in np.meshgrid(x, x, indexing="ij"))
    for rho, sd in ((0.9, 1.0), (0.4, 2.5)):
        w = ProxyTables(p, sd * (rho * s + np.sqrt(1 - rho**2) * z), s)
        kl = np.array([0.01, 0.1, 0.5, 1.0, 2.0])
        np.testing.assert_allclose(w.at_kl(kl).gold_gain, rho * np.sqrt(2 * kl) * sd, rtol=1e-9)
        np.testing.assert_allclose(w.gold_limit(kl), np.sqrt(2 * kl) * sd, rtol=1e-9)
        assert w.threshold == np.inf


# Where gold turns.


def by_scan(w: ProxyTables, least: float, most: float) -> list[float]:
    """Downward crossings from a dense scan of the plain covariance."""
    t = np.geomspace(least, most, 4000)
    c = np.array([cov(tilt(w.base, w.proxy, x), w.gold, w.proxy) for x in t])
    down = np.flatnonzero((c[:-1] > 0) & (c[1:] < 0))
    return [brentq(lambda x: cov(tilt(w.base, w.proxy, x), w.gold, w.proxy), t[i], t[i + 1]) for i in down]


@pytest.mark.parametrize("seed", range(6))
def test_crossings_are_those_of_a_dense_scan(seed: int) -> None:
    w = random_proxies(3, 6, 0.2, 2.0, seed=seed)
    ours = w.crossings[w.crossings < 20]
    np.testing.assert_allclose(ours, by_scan(w, 1e-3, 20.0), rtol=1e-8)
    np.testing.assert_allclose(w.covariance(w.turns.tilts) / w.path(w.turns.tilts).spread, 0, atol=1e-9)


def test_a_dip_between_two_nodes_is_found() -> None:
    # outputs take over from each other at tilts 2, 4 and 6; the third is worse by just enough for gold to stop rising
    p = np.exp([[0.0, -2.0, -6.0, -12.0]])
    p, s = p / p.sum(), np.array([[0.0, 1.0, 2.0, 3.0]])
    rough, extra = np.array([[0.0, 1.0, 1.5, 2.0]]), np.array([[0.0, 0.0, -1.0, 0.0]])
    t = np.linspace(1.0, 8.0, 100_001)

    def lowest(x: float) -> float:
        return float((lambda c: c.covariance / c.spread)(ProxyTables(p, rough + x * extra, s).path(t)).min())

    touch = brentq(lowest, 0.0, 2.0, xtol=1e-12)
    passed = ProxyTables(p, rough + (touch + 1e-7) * extra, s)
    above = ProxyTables(p, rough + (touch - 1e-7) * extra, s)
    assert len(passed.crossings) == 1
    assert passed.turns.downward.tolist() == [True, False]
    assert np.diff(passed.turns.tilts) < 0.005 * passed.crossings  # closer than the scan's nodes
    assert len(above.crossings) == 0
    assert above.threshold == np.inf
    assert 2.5 < passed.threshold < 3.0


@settings(max_examples=40, deadline=None)
@given(random_worlds())
def test_the_best_beats_a_scan_and_losses_start_where_told(w: ProxyTables) -> None:
    t = np.concatenate([[0.0], np.geomspace(1e-3, 300.0, 3000), [np.inf]])
    path = w.path(t)
    assert w.best_gain >= path.gold_gain.max() - 1e-10
    if 0 < w.best_beta < np.inf:
        assert w.best_gain == pytest.approx(float(w.gold_gain(1 / w.best_beta)), abs=1e-12)
        assert w.best_kl == pytest.approx(float(w.kl(1 / w.best_beta)), rel=1e-9)
    below = path.kl[path.gold_gain < -1e-10]
    if w.worse_than_base == np.inf:
        assert len(below) == 0
    else:
        assert (path.gold_gain[path.kl < w.worse_than_base - 1e-9] >= -1e-10).all()
        if len(below):
            assert w.worse_than_base <= below.min() + 1e-9
    assert w.threshold <= w.best_kl + 1e-9 or w.best_beta in (0.0, np.inf)


def test_a_case_by_hand() -> None:
    # outputs 0, 1, 2 at odds 4 : 2 : 1, proxy 0, 1, 2: tilted by log 2 all are alike, by log 4 the odds turn round
    w = ProxyTables([[4 / 7, 2 / 7, 1 / 7]], [[0.0, 1.0, 0.5]], [[0.0, 1.0, 2.0]])
    assert w.gold_gain(np.log(2)) == pytest.approx(0.5 - 2.5 / 7)
    assert w.gold_gain(np.log(4)) == pytest.approx(4 / 7 - 2.5 / 7)
    assert w.covariance(np.log(2)) == pytest.approx((1 + 1) / 3 - 0.5)
    assert w.kl(np.log(2)) == pytest.approx(np.log(7 / 3) - np.log(8) / 3)
    # at x = e^t the mean is (2 x + x^2 / 2) / (4 + 2 x + x^2), whose slope has the sign of 8 + 4 x - x^2
    assert w.crossings == pytest.approx([np.log(2 + 2 * np.sqrt(3))], rel=1e-12)
    assert w.threshold == pytest.approx(float(w.kl(np.log(2 + 2 * np.sqrt(3)))))
    assert w.worse_than_base == np.inf


def test_proxies_that_never_vary_or_say_nothing() -> None:
    constant = ProxyTables([[0.5, 0.5]], [[0.0, 1.0]], [[3.0, 3.0]])
    assert (constant.threshold, constant.best_kl, constant.best_gain) == (0.0, 0.0, 0.0)
    assert constant.best_beta == np.inf
    assert constant.worse_than_base == np.inf
    assert constant.gap(0.5) == pytest.approx(1 / (1 + np.exp(-2)) - 0.5)
    blind = ProxyTables([[0.25] * 4], [[0.1, 0.7, 0.1, 0.7]], [[0.3, 0.3, 0.9, 0.9]])
    assert blind.threshold == 0.0
    assert len(blind.crossings) == 0
    assert blind.worse_than_base == np.inf


# Selection.


@settings(max_examples=60, deadline=None)
@given(random_worlds(), st.integers(1, 60), st.floats(0.0, 20.0))
def test_selection_agrees_with_the_policies_as_tables(w: ProxyTables, n: int, mu: float) -> None:
    found = w.best_of_n(n)
    policy = PolicyTables.best_of(w.base, w.proxy, n)
    assert found.kl == pytest.approx(policy.kl, abs=1e-10)
    assert found.proxy_gain == pytest.approx(policy.gain, abs=1e-9)
    assert found.gold_gain == pytest.approx(mean(policy.policy - w.base, w.gold), abs=1e-10)
    # Best-of-Poisson mixes best-of-N over N = 1 + Poisson(mu), its law as well as its gains
    counts = np.arange(1, 120)
    log_weights = (counts - 1) * np.log(mu) - mu if mu > 0 else np.where(counts == 1, 0.0, -np.inf)
    if mu > 0:
        log_weights = log_weights - np.cumsum(np.log(np.maximum(counts - 1, 1)))
    weights = np.exp(log_weights)
    poisson = w.best_of_poisson(mu)
    each = w.best_of_n(counts)
    assert poisson.gold_gain == pytest.approx(weights @ each.gold_gain, abs=1e-9)
    assert poisson.proxy_gain == pytest.approx(weights @ each.proxy_gain, abs=1e-8)
    base_law = reward_law(w.base, w.proxy)
    law = sum(weight * best_of_law(base_law, float(k)) for weight, k in zip(weights, counts, strict=True))
    assert poisson.kl == pytest.approx(divergence(law, np.where(base_law > 0, base_law, 1.0)), abs=1e-9)


def test_best_of_three_by_drawing_every_triple() -> None:
    p = np.array([0.4, 0.3, 0.2, 0.1])
    gold, proxy = np.array([0.0, 5.0, 1.0, -2.0]), np.array([0.0, 1.0, 1.0, 2.0])
    policy = np.zeros(4)
    for drawn in itertools.product(range(4), repeat=3):
        best = [i for i in drawn if proxy[i] == max(proxy[j] for j in drawn)]
        for i in best:
            policy[i] += np.prod(p[list(drawn)]) / len(best)
    w = ProxyTables(p[None], gold[None], proxy[None])
    found = w.best_of_n(3)
    assert found.gold_gain == pytest.approx((policy - p) @ gold, abs=1e-14)
    assert found.proxy_gain == pytest.approx((policy - p) @ proxy, abs=1e-14)
    assert found.kl == pytest.approx((policy * np.log(policy / p)).sum(), abs=1e-14)


def test_best_n_and_best_mu_are_the_largest() -> None:
    w = ProxyTables.heavy_error(40, seed=1)
    gains = w.best_of_n(np.arange(1, 65)).gold_gain
    assert w.best_n(64) == 1 + int(gains.argmax())
    assert 1 < w.best_n(64) < 64
    assert w.best_n(3) == 3
    mu = w.best_mu(100.0)
    scan = w.best_of_poisson(np.linspace(0, 100, 1_001)).gold_gain
    assert w.best_of_poisson(mu).gold_gain >= scan.max() - 1e-12
    assert 0 < mu < 100
    assert world("at_zero").best_n(16) == 1
    assert world("at_zero").best_mu(16.0) == 0.0
    assert world("never").best_mu(16.0) == 16.0


def test_a_gold_proxy_is_on_the_limit_and_selects_as_the_test_system_does() -> None:
    base, gold = world("binary").base, world("heavy_error", 2).gold[:, :24]
    w = ProxyTables(base, gold, gold)
    kl = np.array([0.1, 1.0, 2.0])
    np.testing.assert_allclose(w.at_kl(kl).gold_gain, w.gold_limit(kl), rtol=1e-10)
    reference = Tables(probabilities=base, rewards=gold)
    np.testing.assert_allclose(w.best_of_n([2, 8])[::2], reference.best_of_n([2, 8]), rtol=1e-10)
    np.testing.assert_allclose(
        w.best_of_poisson([0.5, 8])[::2], reference.best_of_poisson([0.5, 8]), rtol=1e-10
    )
    assert w.gap(0.3) == pytest.approx(0.0, abs=1e-14)
    assert w.regret_bound(0.3) == 0.0


# The gap and the regret.


@settings(max_examples=200, deadline=None)
@given(random_worlds(), BETAS)
def test_gap_and_regret_are_their_path_integrals_and_within_their_bounds(w: ProxyTables, beta: float) -> None:
    gap, regret = float(w.gap(beta)), float(w.regret(beta))
    assert w.gap_by_path(beta) == pytest.approx(gap, abs=1e-9)
    assert w.regret_by_path(beta) == pytest.approx(regret, abs=1e-9)
    there, back = w.divergences(beta)
    assert w.error_shift(beta) == pytest.approx(float(there + back), abs=1e-9)
    assert abs(gap) <= w.gap_bound(beta) + 1e-12
    assert 0 <= regret <= w.regret_bound(beta) + 1e-12
    # spans over all prompts bound too, and more loosely
    inside = np.where(w.base > 0, w.gold, np.nan), np.where(w.base > 0, w.proxy - w.gold, np.nan)
    widest = [float((np.nanmax(v, axis=1) - np.nanmin(v, axis=1)).max()) for v in inside]
    assert w.gap_bound(beta) <= widest[0] * widest[1] / (4 * beta) + 1e-12


@settings(max_examples=100, deadline=None)
@given(random_worlds(), BETAS)
def test_gap_and_regret_agree_with_their_definitions(w: ProxyTables, beta: float) -> None:
    low = np.where(w.base > 0, 0.0, -1000.0)
    by_gold, by_proxy = tilt(w.base, w.gold + low, 1 / beta), tilt(w.base, w.proxy + low, 1 / beta)
    assert w.gap(beta) == pytest.approx(mean(by_gold - by_proxy, w.gold), abs=1e-10)

    def objective(q: np.ndarray) -> float:
        return mean(q, w.gold) - beta * divergence(q, w.base)

    assert w.regret(beta) == pytest.approx(objective(by_gold) - objective(by_proxy), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(random_worlds(), BETAS)
def test_the_regret_grows_with_the_errors_scale(w: ProxyTables, beta: float) -> None:
    regrets = [float(w.with_error(scale).regret(beta)) for scale in (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)]
    assert regrets[0] == pytest.approx(0.0, abs=1e-13)
    assert (np.diff(regrets) >= -1e-11).all()


def test_the_gap_may_fall_as_the_error_grows() -> None:
    w = ProxyTables([[0.5, 0.3, 0.2]], [[0.0, 1.0, 2.0]], [[2.0, 4.0, 2.0]])  # error 2, 3, 0
    gaps = [float(w.with_error(scale).gap(1.0)) for scale in (0.25, 0.5, 1, 2, 4, 8)]
    assert gaps == pytest.approx([0.1879, 0.3318, 0.4529, 0.4222, 0.3612, 0.3503], abs=5e-5)
    regrets = [float(w.with_error(scale).regret(1.0)) for scale in (0.25, 0.5, 1, 2, 4, 8)]
    assert (np.diff(regrets) > 0.003).all()


def test_the_gap_may_fall_as_beta_falls() -> None:
    # the proxy overrates the worst output, but not so far that it is its best
    w = ProxyTables([[0.5, 0.3, 0.2]], [[0.0, 1.0, 2.0]], [[1.0, 1.0, 2.0]])
    gaps = w.gap([4.0, 2.0, 1.0, 0.5, 0.25])
    np.testing.assert_allclose(gaps, [0.0900, 0.1791, 0.3176, 0.3348, 0.0826], atol=5e-5)
    assert (np.abs(gaps) <= w.gap_bound([4.0, 2.0, 1.0, 0.5, 0.25])).all()
    # by hand at beta 0.25: weights 5 e^4, 3 e^4, 2 e^8 against 5, 3 e^4, 2 e^8
    e = np.exp(4.0)
    by_proxy = (3 * e + 4 * e**2) / (8 * e + 2 * e**2)
    assert gaps[-1] == pytest.approx((3 * e + 4 * e**2) / (5 + 3 * e + 2 * e**2) - by_proxy, abs=1e-12)


def test_quadrature_holds_at_small_betas() -> None:
    w = ProxyTables.heavy_error(20, seed=1)
    for beta in (0.003, 0.02):
        assert w.gap_by_path(beta) == pytest.approx(float(w.gap(beta)), abs=1e-9)
        assert w.regret_by_path(beta) == pytest.approx(float(w.regret(beta)), abs=1e-9)


# Worlds of known shape.


@pytest.mark.parametrize("seed", range(1, 9))
def test_heavy_error_turns_at_about_one_nat_and_falls_below_the_base(seed: int) -> None:
    w = world("heavy_error", seed)
    assert len(w.crossings) == 1
    assert 0.75 < w.threshold < 1.1
    assert w.best_kl == w.threshold
    assert w.best_gain > 0.55
    assert w.at_kl(0.3).gold_gain < w.best_gain - 0.08
    assert w.at_kl(2.0).gold_gain < w.best_gain - 0.2
    assert 2.3 < w.worse_than_base < 2.9
    assert w.gold_gain(np.inf) < -1.5
    assert 3 <= w.best_n(64) <= 12


@pytest.mark.parametrize("seed", range(1, 9))
def test_never_has_no_threshold(seed: int) -> None:
    w = world("never", seed)
    assert w.threshold == w.worse_than_base == np.inf
    assert w.best_beta == 0.0
    assert w.best_kl == pytest.approx(float(exact.saturation(w.base, w.proxy)[0].mean()))
    t = np.geomspace(0.01, 50, 300)
    assert (w.covariance(t) > 0).all()
    assert w.at_kl(2.0).covariance > 0.08
    # gold and error stay independent: only the variance of gold is left
    for x in (0.5, 3.0):
        q = tilt(w.base, w.proxy, x)
        assert w.covariance(x) == pytest.approx(cov(q, w.gold, w.gold), abs=1e-10)


@pytest.mark.parametrize("seed", range(1, 9))
def test_at_zero_harms_from_the_start(seed: int) -> None:
    w = world("at_zero", seed)
    assert w.threshold == w.worse_than_base == w.best_kl == w.best_gain == 0.0
    assert w.best_beta == np.inf
    assert w.covariance(0.0) < -0.6
    assert (np.diff(w.at_kl(np.linspace(0, 4, 60)).gold_gain) < 0).all()


@pytest.mark.parametrize("seed", range(1, 9))
def test_two_peaks_has_two_and_the_second_is_higher(seed: int) -> None:
    w = world("two_peaks", seed)
    assert w.turns.downward.tolist() == [True, False, True]
    first, dip, second = w.gold_gain(w.turns.tilts)
    assert min(first - dip, dip) > 0.03
    assert first - dip > 0.15
    assert second - first > 0.1
    assert w.threshold < 0.4
    assert 1.6 < w.best_kl < 2.0
    assert w.best_gain == pytest.approx(second)
    assert 2.3 < w.worse_than_base < 2.9


@pytest.mark.parametrize("seed", range(1, 9))
def test_binary_has_ties_prompts_without_success_and_a_threshold(seed: int) -> None:
    w = world("binary", seed)
    assert set(np.unique(w.gold)) == {0.0, 1.0}
    assert set(np.unique(w.proxy)) <= {x / 10 for x in range(11)}
    assert ((w.gold == 0).all(axis=1)).mean() == 0.25
    assert len(w.crossings) == 1
    assert 0.75 < w.threshold < 1.15
    assert w.best_gain > 0.15
    assert w.at_kl(2.2).gold_gain < w.best_gain - 0.04
    assert 2.5 < w.worse_than_base < 3.1


@pytest.mark.parametrize("name", ["heavy_error", "two_peaks", "binary"])
def test_samples_of_300_prompts_by_64_show_the_shape(name: str) -> None:
    w = world(name)
    for seed in range(5):
        samples = w.sample(300, 64, seed=seed)
        gold, proxy = (samples.rewards[column].reshape(300, 64) for column in ("gold", "proxy"))
        seen = ProxyTables(np.full((300, 64), 1 / 64), gold, proxy)
        visible = seen.kl(seen.crossings) < 2.8
        assert visible.sum() == len(w.crossings)
        assert seen.threshold == pytest.approx(w.threshold, rel=0.4)


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.95, 0.95), st.sampled_from((np.inf, 5.0)), st.integers(0, 10**6))
def test_random_proxies_have_their_correlation(correlation: float, tail: float, seed: int) -> None:
    w = random_proxies(400, 60, correlation, tail, seed=seed)
    found = np.mean([np.corrcoef(r, s)[0, 1] for r, s in zip(w.gold, w.proxy, strict=True)])
    assert found == pytest.approx(correlation, abs=0.06)


def test_worlds_are_made_from_their_seed() -> None:
    for name in WORLDS:
        assert np.array_equal(world(name, 3).proxy, world(name, 3).proxy)
        assert not np.array_equal(world(name, 3).proxy, world(name, 4).proxy)


# Samples.


def test_samples_follow_the_base_policy_and_carry_both_rewards() -> None:
    w = world("binary")
    samples = w.sample(None, 4000, seed=5, redraw_prompts=False)
    outputs = samples.metadata["output"].reshape(len(w.base), 4000)
    rows = np.arange(len(w.base))[:, None]
    assert np.array_equal(samples.rewards["gold"], w.gold[rows, outputs].reshape(-1))
    assert np.array_equal(samples.rewards["proxy"], w.proxy[rows, outputs].reshape(-1))
    p_values = []
    for p, drawn in zip(w.base, outputs, strict=True):
        counts = np.bincount(drawn, minlength=len(p))
        common = p * 4000 > 5
        seen, expected = (np.append(v[common], v[~common].sum()) for v in (counts.astype(float), p * 4000))
        keep = expected > 0
        p_values.append(chisquare(seen[keep], expected[keep]).pvalue)
    assert min(p_values) > 0.01 / len(w.base)
    assert 0.4 < np.mean(p_values) < 0.6


def test_redrawn_prompts_are_rows_drawn_alike() -> None:
    w = ProxyTables(np.full((3, 2), 0.5), [[0, 1], [2, 3], [4, 5]], [[0, 1], [0, 1], [0, 1]])
    samples = w.sample(6000, 3, seed=2)
    assert samples.n_prompts == 6000
    assert len(np.unique(samples.prompt_ids)) == 6000
    row = samples.rewards["gold"].reshape(6000, 3) // 2
    assert (row == row[:, :1]).all()
    assert chisquare(np.bincount(row[:, 0].astype(int))).pvalue > 0.01


def test_a_part_is_labelled_at_random_without_changing_the_draws() -> None:
    w = world("heavy_error")
    full, part, prompts = (
        w.sample(100, 30, seed=4, labelled=share, by_prompt=by_prompt)
        for share, by_prompt in ((1.0, False), (0.2, False), (0.2, True))
    )
    for other in (part, prompts):
        known = ~np.isnan(other.rewards["gold"])
        assert known.sum() == 600
        assert np.array_equal(other.rewards["gold"][known], full.rewards["gold"][known])
        assert np.array_equal(other.rewards["proxy"], full.rewards["proxy"])
        assert np.isfinite(other.rewards["proxy"]).all()
    per_prompt = [np.isfinite(s.rewards["gold"]).reshape(100, 30).sum(axis=1) for s in (part, prompts)]
    assert 0 < per_prompt[0].min() < per_prompt[0].max() < 30
    assert set(per_prompt[1]) == {0, 30}
    assert not np.isnan(full.rewards["gold"]).any()
    assert np.isnan(w.sample(4, 4, seed=1, labelled=0.0).rewards["gold"]).all()


def test_the_samples_mean_is_the_tables() -> None:
    w = world("never")
    samples = w.sample(None, 3000, seed=1, redraw_prompts=False)
    gold, proxy = (samples.rewards[name].reshape(len(w.base), 3000) for name in ("gold", "proxy"))
    assert gold.mean() == pytest.approx(mean(w.base, w.gold), abs=0.006)
    seen = np.mean((gold - gold.mean(1, keepdims=True)) * (proxy - proxy.mean(1, keepdims=True)))
    assert seen == pytest.approx(float(w.covariance(0.0)), rel=0.01)


# Refusals.


def test_what_cannot_be_is_refused() -> None:
    w = world("binary")
    p = np.full((2, 2), 0.5)
    cases = [
        (lambda: ProxyTables(p, p, np.ones((2, 3))), "shape"),
        (lambda: ProxyTables(p[0], p[0], p[0]), "prompts, outputs"),
        (lambda: ProxyTables(p, p, [[0.0, np.nan], [0.0, 1.0]]), "finite"),
        (lambda: ProxyTables(p / 2, p, p), "miss 1"),
        (lambda: w.path(-0.1), "must be >= 0"),
        (lambda: w.path(np.nan), "must be >= 0"),
        (lambda: w.tilt_at(-1.0), ">= 0"),
        (lambda: w.gap(0.0), "must be > 0"),
        (lambda: w.regret_by_path([1.0, -1.0]), "must be > 0"),
        (lambda: w.best_of_n(1.5), "whole numbers"),
        (lambda: w.best_of_n([0, 2]), "whole numbers"),
        (lambda: w.best_of_poisson(-1.0), "finite rates"),
        (lambda: w.best_n(0), "at least 1"),
        (lambda: w.best_mu(0.0), "above 0"),
        (lambda: w.sample(0, 4, seed=1), ">= 1"),
        (lambda: w.sample(7, 4, seed=1, redraw_prompts=False), "every row is taken once"),
        (lambda: w.sample(7, 4, seed=1, labelled=1.2), "from 0 to 1"),
        (lambda: ProxyTables.never(10, 50, seed=1), "square number"),
        (lambda: ProxyTables.heavy_error(10, 2, seed=1), "at least 1 and 3"),
        (lambda: random_proxies(3, 3, 1.5, seed=1), "from -1 to 1"),
        (lambda: random_proxies(3, 3, 0.5, 0.0, seed=1), "degrees of freedom"),
    ]
    for refused, words in cases:
        with pytest.raises(InputError, match=words):
            refused()
