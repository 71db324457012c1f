"""Best-of-N and Best-of-Poisson by the proxy, seen by gold: unbiased, ties of the proxy broken blindly.

Best-of-N keeps completion ``i`` with a weight that depends on its rank by the proxy, shared evenly among completions of
equal proxy. Its gold gain is ``sum (w_i - 1/n) r_i``, over the labelled completions ``(n - 1)`` times the sample
covariance of weight and gold: unbiased whichever completions are labelled, as long as that is up to chance.
"""

from __future__ import annotations

import numpy as np

from klimit.audits.measured import Array, Measured
from klimit.order_statistics import best_weights
from klimit.policies import best_of_n, best_of_poisson
from klimit.policies.curve import PolicyCurve
from klimit.policies.poisson import largest_rate, poisson_weights
from klimit.proxies.along import Scored
from klimit.proxies.falls import below_its_past, not_worse
from klimit.proxies.result import Best, Selection
from klimit.samples.container import Samples
from klimit.values import Value


def select_by_n(
    data: Samples,
    scored: Scored,
    proxy: str,
    *,
    slope: float,
    sizes: list[int] | None,
    level: float,
    seed: int,
) -> Selection:
    """Best-of-N by the proxy.

    Args:
        data: the samples.
        scored: proxy and gold of the same.
        proxy: its name.
        slope: gold per proxy taken off gold where labels are few.
        sizes: each N; about two an octave where None.
        level: nominal cover.
        seed: for the KL's blocks.
    """
    chosen = sizes_up_to(int(data.counts.min())) if sizes is None else sizes
    curve = best_of_n(data, reward=proxy, n=chosen, level=level, seed=seed, efficiency=False)
    weights = {
        m: np.stack([best_weights(m, size) for size in chosen], axis=1)
        for m in np.unique(data.counts).tolist()
    }
    return _selection(
        np.asarray(chosen, dtype=np.float64), curve, best_of_gains(scored, weights, slope), level
    )


def select_by_mu(
    data: Samples, scored: Scored, proxy: str, *, slope: float, level: float, seed: int
) -> Selection | None:
    """Best-of-Poisson by the proxy; None where the completions are too few for any."""
    most = largest_rate(int(data.counts.min()))
    rates = [rate for rate in rates_up_to(most) if rate <= most]
    if not rates:
        return None
    curve = best_of_poisson(data, reward=proxy, mu=rates, level=level, seed=seed, efficiency=False)
    weights = {
        m: np.stack([poisson_weights(m, rate) for rate in rates], axis=1)
        for m in np.unique(data.counts).tolist()
    }
    return _selection(np.asarray(rates), curve, best_of_gains(scored, weights, slope), level)


def _selection(setting: Array, curve: PolicyCurve, gains: list[Measured], level: float) -> Selection:
    values = [one.interval(level) for one in gains]
    top = int(np.argmax([one.estimate for one in values]))
    tied = not_worse(gains, top, level)
    best = Best(
        Value(float(setting[top]), float(setting[tied[0]]), float(setting[tied[-1]])),
        Value(float(curve.kl[top]), float(curve.kl_low[top]), float(curve.kl_high[top])),
        values[top],
        at_end=top == len(setting) - 1,
    )
    past = below_its_past(gains, level)
    worse = next((k for k in range(top + 1, len(gains)) if values[k].estimate < 0), None)
    return Selection(
        setting=setting,
        kl=curve.kl,
        kl_low=curve.kl_low,
        kl_high=curve.kl_high,
        proxy_gain=curve.gain,
        proxy_gain_low=curve.gain_low,
        proxy_gain_high=curve.gain_high,
        gold_gain=np.array([one.estimate for one in values]),
        gold_gain_low=np.array([one.low for one in values]),
        gold_gain_high=np.array([one.high for one in values]),
        best=best,
        falls_by=None if past is None else float(setting[past]),
        worse_than_base=None if worse is None else float(setting[worse]),
    )


def best_of_gains(scored: Scored, weights: dict[int, Array], slope: float) -> list[Measured]:
    """Gold gain of selections by the proxy, each with its influences.

    Args:
        scored: proxy and gold.
        weights: by a prompt's number of completions: weights of the sorted proxies, ``(n, K)``, columns sum to 1.
        slope: gold per proxy taken off gold where labels are few: all completions have a proxy.
    """
    settings = next(iter(weights.values())).shape[1]
    values = np.full((scored.n_prompts, settings), np.nan)
    by_proxy = np.empty((scored.n_prompts, settings))
    for p in range(scored.n_prompts):
        span = slice(scored.offsets[p], scored.offsets[p + 1])
        s, r, k = scored.proxy[span], scored.gold[span], scored.labelled[span]
        w = tied_weights(s, weights[len(s)])
        by_proxy[p] = (w - 1 / len(s)).T @ (s - s.mean())
        if scored.usable[p]:
            rest = r[k] - slope * s[k]
            centred = w[k] - w[k].mean(axis=0)
            values[p] = (len(s) - 1) / (k.sum() - 1) * (centred.T @ (rest - rest.mean()))
    return [_combined(values[:, j], by_proxy[:, j], slope, scored) for j in range(settings)]


def tied_weights(proxy: Array, weights: Array) -> Array:
    """Weights of one prompt's completions: by rank, shared evenly among equal proxies; ``(n, K)``."""
    _, level, count = np.unique(proxy, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    cumulated = np.vstack([np.zeros(weights.shape[1]), np.cumsum(weights, axis=0)])
    mass = cumulated[ends] - cumulated[ends - count]
    return np.asarray((mass / count[:, None])[level])


def _combined(values: Array, by_proxy: Array, slope: float, scored: Scored) -> Measured:
    usable = scored.usable
    centre = float(values[usable].mean())
    influence = np.zeros(len(values))
    influence[usable] = (values[usable] - centre) * len(values) / usable.sum()
    found = Measured(centre, influence)
    return found if slope == 0 else found + Measured.mean(by_proxy).times(slope)


def sizes_up_to(n: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, ...: about two N an octave."""
    steps = {m * 2**k for k in range(n.bit_length()) for m in (2, 3)}
    return sorted({1, *(size for size in steps if size <= n)})


def rates_up_to(largest: float) -> list[float]:
    """mu of 0.5, 1, 2, 3, 5, 7, 11, 15, ...: one less than the sizes, as far as the completions reach."""
    return [0.5, *(size - 1.0 for size in sizes_up_to(1 << 20) if 1 < size <= largest + 1)]
