"""Gold and proxy along the tilt, up to where both can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.audits.measured import Array, Measured
from klimit.proxies.along import Scored, Tilt

_BIAS_SHARE = 0.05  # of the square-root law of gold: what its bias may still be at the horizon
_DENSE = 2  # points between two of the grid where crossings and peaks are sought
_NAMES = ("gold_gain", "covariance")


@dataclass(frozen=True, eq=False)
class Curves:
    """Everything along the tilt on a fine grid of ``u = log t`` up to the horizon; each a list over points.

    Attributes:
        u: of the scaled tilt, ``(K,)``.
        kl: of the tilted policy.
        gold: gain.
        covariance: of gold and scaled proxy under the tilt.
        horizon: nats; 0 where nothing can be trusted (one point is then kept, the smallest tilt).
    """

    u: Array
    kl: list[Measured]
    gold: list[Measured]
    covariance: list[Measured]
    horizon: float


def trusted_curves(tilt: Tilt, scored: Scored, horizon: float) -> Curves:
    """The curves up to the proxy's own horizon, or to where gold's bias may be more than a share of what it can gain.

    Args:
        tilt: by the proxy.
        scored: the samples, for gold's spread within prompts.
        horizon: of the proxy's limit, nats.
    """
    points = np.arange((len(tilt.u) - 1) * _DENSE + 1) / _DENSE
    fine = np.interp(points, np.arange(len(tilt.u)), tilt.u)
    kl = tilt.estimate("kl", fine)
    reached = [one.value <= horizon for one in kl]
    inside = fine[: max(reached.index(False) if False in reached else len(reached), 1)]
    gold = tilt.estimate("gold", inside)
    spread = gold_spread(scored)
    trusted = [
        reached[0] and one.below <= _BIAS_SHARE * spread * np.sqrt(2 * max(at.value, 0.0))
        for one, at in zip(gold, kl, strict=False)
    ]
    stop = trusted.index(False) if False in trusted else len(trusted)
    last = max(stop, 1)
    ends = horizon if stop == len(trusted) else kl[stop - 1].value if stop else 0.0
    covariance = tilt.estimate("covariance", inside[:last])
    return Curves(inside[:last], kl[:last], gold[:last], covariance, ends)


def gold_spread(scored: Scored) -> float:
    """Root mean square of gold's standard deviation within prompts, over the labelled completions."""
    k = scored.labelled & scored.usable[scored.prompt]
    prompt = scored.prompt[k]
    counts = np.maximum(scored.labels, 1)
    means = np.bincount(prompt, weights=scored.gold[k], minlength=scored.n_prompts) / counts
    freedom = (scored.labels - 1)[scored.usable].sum()
    return float(np.sqrt(((scored.gold[k] - means[prompt]) ** 2).sum() / freedom))


def at_budgets(tilt: Tilt, curves: Curves, budgets: Array, level: float) -> dict[str, Array]:
    """Beta, and gold and covariance with their intervals, at fixed KLs; nan beyond the horizon."""
    out = {f"{name}{end}": np.full(len(budgets), np.nan) for name in _NAMES for end in ("", "_low", "_high")}
    out["beta"] = np.full(len(budgets), np.nan)
    spent = np.maximum(np.maximum.accumulate([one.value for one in curves.kl]), 0.0)
    inside = np.flatnonzero(budgets <= curves.horizon * (1 + 1e-9))
    if not len(inside):
        return out
    u = np.interp(np.sqrt(budgets[inside]), np.sqrt(spent), curves.u)
    at = {name: tilt.estimate(name, u) for name in ("kl", "spread", "gold", "covariance")}
    bend = tilt.estimate("covariance", u, derivative=1)
    for j, i in enumerate(inside):
        t = float(np.exp(u[j]))
        kl, spread = at["kl"][j], at["spread"][j].value
        # At a fixed KL the tilt moves with the samples: log t by 1 / (t**2 Var) a nat.
        off = Measured(budgets[i] - kl.value, -kl.influence, kl.above, kl.below).times(1 / (t**2 * spread))
        slopes = (t * at["covariance"][j].value, bend[j].value)
        moves = dict(zip(_NAMES, slopes, strict=True))
        units = {"gold_gain": 1.0, "covariance": tilt.scale}
        for name, source in zip(_NAMES, ("gold", "covariance"), strict=True):
            value = (at[source][j] + off.times(moves[name])).times(units[name]).interval(level)
            for end, number in (("", value.estimate), ("_low", value.low), ("_high", value.high)):
                out[f"{name}{end}"][i] = number
        out["beta"][i] = tilt.scale / t
    return out
