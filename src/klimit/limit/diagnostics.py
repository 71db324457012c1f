"""How well each prompt's samples carry a tilt: effective sample size, Pareto k-hat, and what the correction did."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from klimit.errors import InputError
from klimit.limit.dual import Array
from klimit.limit.options import check_budgets
from klimit.limit.preparation import Rewards

if TYPE_CHECKING:
    import pandas as pd

    from klimit.limit.result import Frontier

_FEWEST_FOR_TAIL = 25  # completions below which the tail has too few values for a fit
_FEWEST_DISTINCT = 5


def effective_sample_size(rewards: Rewards, t: float) -> Array:
    """``(sum w)^2 / sum w^2`` of the weights ``w = exp(t r)`` of each prompt, ``(P,)``."""
    out = np.empty(rewards.n_prompts)
    for prompt, values in _prompts(rewards):
        w = np.exp(t * (values - values[-1]))
        out[prompt] = w.sum() ** 2 / (w @ w)
    return out


def pareto_k(rewards: Rewards, t: float) -> Array:
    """Pareto k-hat of the weights ``exp(t r)`` of each prompt, ``(P,)``; Vehtari et al., arXiv:1507.02646.

    It is nan where a tail shape has no meaning: fewer than 25 completions, or fewer than five different rewards
    in the tail (0/1 rewards among them), whose weights are bounded by their few values.
    """
    out = np.full(rewards.n_prompts, np.nan)
    for prompt, values in _prompts(rewards):
        n = len(values)
        tail = int(np.ceil(min(0.2 * n, 3 * np.sqrt(n))))
        if n < _FEWEST_FOR_TAIL or len(np.unique(values[-tail:])) < _FEWEST_DISTINCT:
            continue
        import arviz_stats.base

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about large k, which is what is returned
            _, k = arviz_stats.base.array_stats.psislw(
                -t * (values - values[-1])
            )  # its convention: minus the log weights
        out[prompt] = float(k)
    return out


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
    rewards = limit.rewards
    parts = []
    for price in _prices(limit, beta, kl):
        t = 1 / price
        correction = np.full(rewards.n_prompts, np.nan)
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
                    "ess": effective_sample_size(rewards, t),
                    "pareto_k": pareto_k(rewards, t),
                    "correction": correction,
                    "correction_share": np.abs(correction) / total if total > 0 else np.nan,
                    "at_top": rewards.at_top,
                    "constant": rewards.constant,
                }
            ).sort_values("correction_share", ascending=False, kind="stable")
        )
    return pd.concat(parts, ignore_index=True)


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


def _prompts(rewards: Rewards) -> list[tuple[int, Array]]:
    offsets = rewards.offsets
    values = rewards.values
    return [(i, values[offsets[i] : offsets[i + 1]].astype(np.float64)) for i in range(rewards.n_prompts)]
