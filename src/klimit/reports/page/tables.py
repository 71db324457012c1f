"""Every number behind the figures of a page, as tables to copy and to download."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from klimit.audits.result import Audits
from klimit.ensembles.result import Ensemble
from klimit.limit.result import Frontier
from klimit.policies.curve import PolicyCurve
from klimit.proxies.by_members import HackingByMembers
from klimit.proxies.result import Hacking
from klimit.values import Value


def tables_of(
    limit: Frontier,
    best: PolicyCurve,
    audits: Audits | None,
    hackings: Iterable[Hacking],
    ensemble: Ensemble | None,
    members: HackingByMembers | None,
) -> dict[str, pd.DataFrame]:
    """The tables by file name without ending; those of parts that are not there are left out.

    ``limit`` (along the budgets, with the square-root law), ``summary`` (single numbers of the limit), ``best_of_n``,
    ``policies``, ``proxies`` (single numbers of each proxy), ``proxies_along`` (along their tilts),
    ``proxies_best_of_n``, ``ensemble`` (single numbers), ``ensemble_law`` (against the number of members),
    ``ensemble_subsets`` (what optimising each subset does to gold).
    """
    found: dict[str, pd.DataFrame | None] = {
        "limit": limit.to_frame().assign(square_root_law=limit.square_root_law(limit.kl)),
        "summary": _summary(limit),
        "best_of_n": best.to_frame(),
        "policies": None if audits is None else audits.to_frame(),
        **_of_proxies(list(hackings)),
        **({} if ensemble is None else _of_ensemble(ensemble)),
        "ensemble_subsets": None if members is None else members.to_frame(),
    }
    return {name: table for name, table in found.items() if table is not None}


def _summary(limit: Frontier) -> pd.DataFrame:
    nan, top = float("nan"), limit.saturation
    rows = [
        ("prompts", Value(limit.n_prompts, nan, nan), ""),
        ("completions", Value(limit.samples.n_completions, nan, nan), ""),
        ("base_reward", _around(limit.base_reward, limit, limit.base_reward_error), "reward"),
        ("reward_max", Value(nan if limit.reward_max is None else limit.reward_max, nan, nan), "reward"),
        ("horizon", Value(limit.horizon, nan, nan), "nats"),
        ("gain_to_best_seen", Value(top.gain, nan, nan), "reward"),
        ("kl_to_best_seen", _around(top.kl, limit, top.standard_error), "nats"),
    ]
    return _frame([{"quantity": name, **_ends(value), "unit": unit} for name, value, unit in rows])


def _around(value: float, limit: Frontier, error: float) -> Value:
    half = limit.inference.quantile(limit.n_prompts) * error
    return Value(value, value - half, value + half)


def _of_proxies(hackings: list[Hacking]) -> dict[str, pd.DataFrame]:
    if not hackings:
        return {}
    chosen = [each.best_of_n.to_frame().rename(columns={"setting": "n"}) for each in hackings]
    return {
        "proxies": _frame([row for each in hackings for row in _values_of_proxy(each)]),
        "proxies_along": _stacked(hackings, [each.to_frame() for each in hackings]),
        "proxies_best_of_n": _stacked(hackings, chosen),
    }


def _values_of_proxy(found: Hacking) -> list[dict[str, Any]]:
    nan = float("nan")
    single = {
        "horizon": Value(found.horizon, nan, nan),
        "gold_labels": Value(found.n_labels, nan, nan),
        "threshold": found.threshold,
        "threshold_beta": found.threshold_beta,
        "worse_than_base": found.worse_than_base,
        "best_beta": found.best.setting,
        "best_kl": found.best.kl,
        "best_gold_gain": found.best.gold_gain,
        "best_n": found.best_of_n.best.setting,
        "best_n_kl": found.best_of_n.best.kl,
        "best_n_gold_gain": found.best_of_n.best.gold_gain,
    }
    return [{"proxy": found.proxy_name, "quantity": name, **_ends(value)} for name, value in single.items()]


def _stacked(hackings: list[Hacking], frames: list[pd.DataFrame]) -> pd.DataFrame:
    for each, frame in zip(hackings, frames, strict=True):
        frame.insert(0, "proxy", each.proxy_name)
    return pd.concat(frames, ignore_index=True)


def _of_ensemble(found: Ensemble) -> dict[str, pd.DataFrame]:
    rows = []
    if found.correlation is not None:
        rows.append(("correlation", found.name, found.correlation))
    if found.errors is not None:
        for name in ("correlation", "slope", "adds"):
            values = getattr(found.errors, name)
            rows += [(name, proxy, value) for proxy, value in zip(found.proxies, values, strict=True)]
        for name in (
            "mean_correlation",
            "mean_error_correlation",
            "floor",
            "rest",
            "shared",
            "ceiling",
            "standardising",
        ):
            rows.append((name, "", getattr(found.errors, name)))
    if found.collocation is not None:
        for name in ("reliability", "correlation"):
            values = getattr(found.collocation, name)
            rows += [
                (f"agreed_{name}", proxy, value) for proxy, value in zip(found.proxies, values, strict=True)
            ]
    tables = {"ensemble": _frame([{"quantity": name, "of": of, **_ends(value)} for name, of, value in rows])}
    if found.errors is not None:
        law = found.errors.law
        tables["ensemble_law"] = pd.DataFrame({each.name: getattr(law, each.name) for each in fields(law)})
    return {name: table for name, table in tables.items() if len(table)}


def _ends(value: Value) -> Mapping[str, float]:
    return {"estimate": value.estimate, "low": value.low, "high": value.high}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype(dict.fromkeys(("estimate", "low", "high"), np.float64) if rows else {})
