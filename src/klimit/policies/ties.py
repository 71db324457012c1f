"""The KL of best-of-N when rewards tie, corrected for the bias of the levels' estimated probabilities.

Best-of-N puts mass F^N - F-^N on a level between the values F- < F of the base cdf, and breaking ties blindly
spreads it evenly over the level, so that

    KL_N = log N - (N - 1)/N - sum over levels of F^N g(F-/F),
    g(v) = (1 - v^N) [log N - (N - 1)/N - log((1 - v^N)/(1 - v))] - (N - 1) v^N log v  >= 0,

the entropy that blindness to the ties gives up (Jensen). Both factors are estimated from m, the completions
at or below the level, and c, those at it. F^N has the unbiased C(m, N) / C(n, N); given m, g is a function of
one binomial share c/m, corrected by a jackknife of order up to 4. Since g vanishes as (1 - v)^3, the plug-in
carries the factor c (c-1) (c-2) that is unbiased for it: levels seen once or twice count as untied, and the
KL of untied rewards is exact. In the worst case over the share, at N = n, the bias is 0.04% of the untied KL;
the plug-in's is 18%.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from klimit.order_statistics import subset_ratio
from klimit.policies.levels import Floats, Ints, Levels

BIAS_LEFT = 1e-4  # of the untied KL: what the order of correction lets stand


def untied_kl(n: int) -> float:
    """KL of best-of-``n`` without ties, log n - (n - 1)/n: an upper bound in any case (arXiv:2401.01879)."""
    return math.log(n) - (n - 1) / n


def tie_loss(share: Floats, n: int) -> Floats:
    """g(v) of the module's formula at v = 1 - ``share``, for shares in (0, 1]."""
    log_v = np.log1p(-share, out=np.full(share.shape, -np.inf), where=share < 1)
    power = np.exp(n * log_v)
    mass = -np.expm1(n * log_v)
    loss = mass * (untied_kl(n) - np.log(mass / share))
    return np.asarray(loss - (n - 1) * power * np.where(share < 1, log_v, 0.0))


def jackknife(
    plug_in: Callable[[Floats, Floats], Floats], at: Floats, total: Floats, order: int
) -> tuple[Floats, Floats]:
    """Jackknives of orders ``order`` and ``order - 1`` of a function of a binomial share, one per entry.

    The estimate of order k combines the plug-in's averages over all subsamples of total - d, d = 0..k, with
    weights (-1)^d C(k, d) (total - d)^k / k!, which cancel its bias in 1/total, ..., 1/total^k.

    Args:
        plug_in: plug_in(at, total), the function at the share at/total (zero at at = 0).
        at: successes, shape ``(m,)``.
        total: draws, more than ``order``.
        order: at least 1.
    """
    means = []
    for d in range(order + 1):
        mean = np.zeros(at.shape)
        for j in range(d + 1):
            chance = choose(at, j) * choose(total - at, d - j) / choose(total, d)
            mean += chance * plug_in(np.maximum(at - j, 0.0), total - d)
        means.append(mean)

    def combine(k: int) -> Floats:
        terms = [
            (-1) ** d * math.comb(k, d) / math.factorial(k) * (total - d) ** k * means[d]
            for d in range(k + 1)
        ]
        return np.asarray(sum(terms))

    return combine(order), combine(order - 1)


def level_loss(at: Ints, upto: Ints, n: int) -> tuple[Floats, Floats]:
    """Estimates of g for levels with ``at`` of ``upto`` completions, of full order and of one order less."""
    fine, rough = np.zeros(at.shape), np.zeros(at.shape)
    whole = at == upto  # F- = 0: g(0) is known
    fine[whole] = rough[whole] = untied_kl(n)
    order = jackknife_order(upto, n)
    for k in range(1, 5):
        chosen = np.flatnonzero(~whole & (order == k) & (at > 2))
        if len(chosen):
            fine[chosen], rough[chosen] = jackknife(
                lambda a, m: cubic_ratio(a, m) * tie_loss(np.maximum(a, 1.0) / m, n),
                at[chosen].astype(np.float64),
                upto[chosen].astype(np.float64),
                k,
            )
    return fine, rough


def jackknife_order(total: Ints, n: float) -> Ints:
    """The order of correction for best-of-``n`` from ``total`` draws, 1 to 4 (0 below four draws).

    The least that keeps the worst bias, roughly 0.1 (n / total)^(k + 1) of the KL, near :data:`BIAS_LEFT` of it; no
    more than leaves three draws in the smallest subsample, or lets rounding (total^k / k! units of it) reach that.
    """
    ratio = n / total
    needed = np.select([ratio > 1 / 3, ratio > 1 / 10, ratio > 1 / 40], [4, 3, 2], 1)
    stable = np.select([total <= 1800, total <= 14_000, total <= 1_000_000], [4, 3, 2], 1)
    return np.asarray(np.minimum(np.minimum(needed, stable), np.maximum(total - 3, 0)))


def kl_with_ties(levels: Levels, n: int, size: int, n_prompts: int) -> tuple[Floats, Floats]:
    """What ties take from the KL of best-of-``size``, in nats, one estimate a prompt.

    Args:
        levels: tied levels of prompts with ``n`` completions each.
        n: completions of each of these prompts.
        size: N, at most n.
        n_prompts: length of the results; zero for the other prompts.

    Returns:
        The estimates, and the same from one order of correction less; the difference shows the bias that is
        left. They are all but unbiased averaged over samples; a single prompt's may be off either way.
    """
    ratio = subset_ratio(n, size)[levels.upto]
    seen = np.flatnonzero(ratio > 1e-12)
    key, place = np.unique(levels.upto[seen] * (n + 1) + levels.at[seen], return_inverse=True)
    upto, at = np.divmod(key, n + 1)
    fine, rough = level_loss(at, upto, size)
    if n < 4:  # nothing can be left out to correct the bias: it may be all of the estimate
        rough = np.zeros_like(rough)
    prompt, ratio = levels.prompt[seen], ratio[seen]

    def total(loss: Floats) -> Floats:
        sums = np.bincount(prompt, weights=ratio * loss[place], minlength=n_prompts)
        return np.asarray(sums, dtype=np.float64)

    return total(fine), total(rough)


def cubic_ratio(at: Floats, total: Floats | float) -> Floats:
    """The unbiased estimate of a share's cube over the plug-in's; one where all completions share a level."""
    cube = at * (at - 1) * (at - 2) / np.maximum(at, 1.0) ** 3
    return np.where(at == total, 1.0, cube * total**3 / (total * (total - 1) * (total - 2)))


def choose(x: Floats, k: int) -> Floats:
    """Binomial coefficients C(x, k), zero below k."""
    product = np.ones_like(x)
    for i in range(k):
        product = product * np.maximum(x - i, 0.0) / (i + 1)
    return product
