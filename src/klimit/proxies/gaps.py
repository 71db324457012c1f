"""Gap and regret estimated from samples: the tilts by proxy and by gold at one beta, with their biases removed."""

from __future__ import annotations

import numpy as np

from klimit.audits.measured import Measured
from klimit.errors import InputError
from klimit.proxies.along import Scored, Tilt
from klimit.proxies.gap import Gap, along_path
from klimit.values import Value


def gap_at(
    beta: float,
    scored: Scored,
    *,
    by_proxy: tuple[Tilt, float],
    by_gold: tuple[Tilt, float],
    level: float,
) -> Gap:
    """The gap at one beta.

    Args:
        beta: reward per nat.
        scored: proxy and gold of every completion.
        by_proxy: the tilt by the proxy, and the KL up to which it can be trusted.
        by_gold: the same by gold.
        level: nominal cover.

    Raises:
        InputError: the beta lies where the samples show nothing.
    """
    path = along_path(scored.proxy, scored.gold, scored.offsets, beta)
    _check(beta, by_proxy[0], by_gold[0])
    places = [np.array([np.log(tilt.scale / beta)]) for tilt, _ in (by_proxy, by_gold)]
    spent, best_kl = (
        tilt.estimate("kl", u)[0] for (tilt, _), u in zip((by_proxy, by_gold), places, strict=True)
    )
    trusted = spent.value <= by_proxy[1] and best_kl.value <= by_gold[1]
    if trusted:
        gold = by_proxy[0].estimate("gold", places[0])[0]
        best = by_gold[0].estimate("proxy", places[1])[0].times(by_gold[0].scale)
        gap, regret = _estimates(gold, best, spent, best_kl, beta, level)
    else:
        nan = float("nan")
        gap = Value(nan, -path.gap_bound, path.gap_bound)
        regret = Value(nan, 0.0, path.regret_bound)
    return Gap(
        beta=beta,
        gap=gap,
        gap_bound=path.gap_bound,
        regret=regret,
        regret_bound=path.regret_bound,
        status="estimate" if trusted else "bracket",
        plug_in_gap=path.plug_in_gap,
        path_gap=path.path_gap,
        plug_in_regret=path.plug_in_regret,
        path_regret=path.path_regret,
    )


def _estimates(
    gold: Measured, best: Measured, spent: Measured, best_kl: Measured, beta: float, level: float
) -> tuple[Value, Value]:
    gap = best - gold
    # beta KL(pi_s || pi_r) is what the penalised objective loses: the gap in gold less beta times that in KL.
    shown = (gap - (best_kl - spent).times(beta)).interval(level)
    return gap.interval(level), Value(
        shown.estimate, max(shown.low, min(shown.estimate, 0.0)), max(shown.high, 0.0)
    )


def _check(beta: float, *tilts: Tilt) -> None:
    """The beta lies where all tilts are known."""
    low = max(tilt.scale / float(np.exp(tilt.u[-1])) for tilt in tilts)
    high = min(tilt.scale / float(np.exp(tilt.u[0])) for tilt in tilts)
    if low >= high:
        raise InputError(
            "gap: at no beta do the samples show both tilts, by proxy and by gold; bring the two to one unit"
        )
    if not low <= beta <= high:
        raise InputError(
            f"gap: beta={beta:g} lies where the samples show nothing; give {low:.3g} to {high:.3g}"
        )
