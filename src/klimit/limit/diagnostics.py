"""How well each prompt's samples carry a tilt: effective sample size, Pareto k-hat, and what the correction did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from klimit.errors import InputError
from klimit.limit.options import check_budgets
from klimit.limit.projected import not_kept
from klimit.limit.tails import weight_tails

if TYPE_CHECKING:
    import pandas as pd

    from klimit.limit.result import Frontier


def table(limit: Frontier, *, beta: ArrayLike | None = None, kl: ArrayLike | None = None) -> pd.DataFrame:
    """One row a prompt and beta: how the prompt's samples carry that tilt.

    Columns: ``prompt_id``; ``beta``; ``completions``; ``ess``, the effective sample size of the weights; ``pareto_k``,
    above 0.7 the weights' tail is too heavy for ``completions`` samples (nan where a tail has no meaning);
    ``correction``, what the jackknife adds to the prompt's part in the limit, in reward (nan where it cannot be
    computed); ``correction_share``, its share of the sum over prompts: the prompts that limit the horizon come
    first; ``at_top``, completions with the prompt's best reward; ``constant``, whether all its rewards are equal.

    Args:
        limit: an average-budget limit.
        beta: one or several, in reward per nat.
        kl: budgets instead, within the horizon; by default, the horizon.

    Raises:
        InputError: a per-prompt budget (each prompt has its own beta), or a budget beyond the horizon.
    """
    import pandas as pd

    from klimit.limit.average import AverageBudget

    if limit.budget != "average":
        raise InputError(
            "diagnostics belong to the average budget: ask frontier(..., budget='average') for them"
        )
    if not limit.samples.in_memory:
        raise not_kept("diagnostics() of single prompts")
    rewards = limit.rewards
    parts = []
    for price in _prices(limit, beta, kl):
        t = 1 / price
        correction = np.full(rewards.n_prompts, np.nan)
        ess, shape = weight_tails(rewards.values, rewards.offsets, t)
        scaled = t * rewards.scale
        if isinstance(limit.engine, AverageBudget):
            u = limit.engine.grid.u
            if u[0] <= np.log(scaled) <= u[-1]:
                correction = limit.engine.correction(np.array([scaled]))[:, 0] * rewards.scale
        total = np.abs(correction).sum()
        parts.append(
            pd.DataFrame(
                {
                    "prompt_id": limit.samples.prompt_ids,
                    "beta": price,
                    "completions": rewards.counts.astype(int),
                    "ess": ess,
                    "pareto_k": shape,
                    "correction": correction,
                    "correction_share": np.abs(correction) / total if total > 0 else np.nan,
                    "at_top": rewards.at_top,
                    "constant": rewards.constant,
                }
            ).sort_values("correction_share", ascending=False, kind="stable")
        )
    return parts[0].reset_index(drop=True) if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def _prices(limit: Frontier, beta: ArrayLike | None, kl: ArrayLike | None) -> list[float]:
    if beta is not None and kl is not None:
        raise InputError("give beta= or kl=, not both")
    if beta is not None:
        prices = np.atleast_1d(np.asarray(beta, dtype=np.float64))
        if not (np.isfinite(prices).all() and (prices > 0).all()):
            raise InputError(f"beta={beta!r}: give finite numbers above 0, in reward per nat")
        return [float(x) for x in prices]
    if kl is None and limit.horizon <= 0:
        raise InputError("the horizon is 0 nats, so no beta follows from it; give beta=")
    budgets = check_budgets(limit.horizon if kl is None else kl)
    if (budgets > limit.horizon).any():
        raise InputError(
            f"kl={budgets.max():g} lies beyond the horizon of {limit.horizon:.3g} nats; give beta= to look there"
        )
    return [float(x) for x in limit.linearise(budgets).slope]
