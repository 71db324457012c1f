"""What optimising a world's proxies, and the mean of several, costs in gold: exact, by the proxy's own tilt.

A proxy is put into gold's unit by giving it gold's spread within prompts; what then parts it from gold is its error.
Members of an ensemble are divided by their spread within prompts before they are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from klimit.lab.methods import BETAS
from klimit.lab.world import Which, World
from klimit.testsystems import ProxyTables

Array = NDArray[np.float64]
BUDGETS = (0.5, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class ProxyRow:
    """A proxy, optimised as well as can be.

    Attributes:
        name: of the proxy, or of those whose mean it is.
        members: how many.
        correlation: with gold, within prompts.
        error_sd: of its error within prompts, in gold's unit.
        at_kl: by KL budget, gold's gain of the proxy's tilt, and the most that gold could gain.
        at_beta: by beta in units of gold's spread, gold lost to the gold tilt at the same beta (``gap``), and the loss
            in the KL-penalised objective (``regret``).
        peak_kl: KL from which on more of the proxy's tilt loses gold; None where gold never turns down.
    """

    name: str
    members: int
    correlation: float
    error_sd: float
    at_kl: dict[str, dict[str, float]]
    at_beta: dict[str, dict[str, float]]
    peak_kl: float | None


def proxy_rows(
    world: World, *, prompts: Which = "held_out", betas: Sequence[float] = BETAS
) -> tuple[ProxyRow, ...]:
    """Each proxy, then the means of the first two, three and so on of those that learnt from as many preferences.

    Args:
        world: where.
        prompts: on which of its prompts.
        betas: in units of gold's spread on training prompts.
    """
    names = list(world.proxies)
    most = max(proxy.pairs for proxy in world.recipe.proxies)
    alike = [proxy.name for proxy in world.recipe.proxies if proxy.pairs == most]
    teams = [[name] for name in names] + [alike[:size] for size in range(2, len(alike) + 1)]
    spread = float(world.limit(prompts="train").variance) ** 0.5
    return tuple(_row(world, prompts, team, {beta: beta * spread for beta in betas}) for team in teams)


def _row(world: World, prompts: Which, team: Sequence[str], betas: dict[float, float]) -> ProxyRow:
    p = world.base.views(world.prompts.rows(prompts))
    gold = world.rewards(prompts=prompts)
    mean = np.mean([_scaled(p, world.rewards(name, prompts)) for name in team], axis=0)
    covariance, spread, gold_spread = _covariance(p, gold, mean), _spread(p, mean), _spread(p, gold)
    correlation = covariance / (spread * gold_spread)
    tables = ProxyTables(p, gold, mean * gold_spread / spread)
    path = tables.at_kl(list(BUDGETS))
    best = tables.gold_limit(list(BUDGETS))
    gaps, regrets = (np.asarray(each(list(betas.values()))) for each in (tables.gap, tables.regret))
    return ProxyRow(
        "+".join(team),
        len(team),
        correlation,
        gold_spread * float(np.sqrt(max(0.0, 2 * (1 - correlation)))),
        {
            f"{kl:g}": {"gain": float(path.gold_gain[i]), "limit": float(best[i])}
            for i, kl in enumerate(BUDGETS)
        },
        {
            f"{multiple:g}": {"beta": beta, "gap": float(gaps[i]), "regret": float(regrets[i])}
            for i, (multiple, beta) in enumerate(betas.items())
        },
        tables.threshold if np.isfinite(tables.threshold) else None,
    )


def _scaled(p: Array, rewards: Array) -> Array:
    return np.asarray(rewards / _spread(p, rewards))


def _spread(p: Array, rewards: Array) -> float:
    return float(np.sqrt(_covariance(p, rewards, rewards)))


def _covariance(p: Array, one: Array, other: Array) -> float:
    """Within prompts, averaged over them."""
    centred = [x - (p * x).sum(axis=1, keepdims=True) for x in (one, other)]
    return float((p * centred[0] * centred[1]).sum(axis=1).mean())
