"""How well the base samples carry the limit: along its budgets, prompt by prompt, and which prompts end it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from klimit.audits.measured import Array
from klimit.limit.notes import completions_needed
from klimit.limit.result import Frontier

HEAVY = 0.7  # Pareto k-hat from which a tail is too heavy for its samples
MOST_LISTED = 20
_STANDS_OUT = 5.0  # times an even share of the correction
_MOST_BUDGETS, _MOST_FITS = 6, 3000  # a tail is fitted for every prompt at every budget

_ALONG = (
    "kl", "beta", "varying", "ess", "ess_least", "tails", "pareto_k", "pareto_k_most", "heavy"
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """What the samples can carry.

    Attributes:
        along: one row a budget up to the horizon, see :class:`klimit.reports.page.content.Content`.
        ess: effective sample size of each prompt at the horizon, as a share of its completions, ``(P,)``; nan where
            there is no horizon, or the prompt's rewards do not vary.
        pareto_k: of each prompt at the horizon; nan where a tail has no meaning.
        correction_share: of each prompt in the correction for few completions at the horizon; nan likewise.
        limiting: places of the prompts that keep the horizon where it is, the worst first.
    """

    along: pd.DataFrame
    ess: Array
    pareto_k: Array
    correction_share: Array
    limiting: list[int]


def diagnose(limit: Frontier) -> Diagnostics:
    """Look at the budgets up to the horizon."""
    nothing = np.full(limit.n_prompts, np.nan)
    if limit.horizon <= 0:
        along = pd.DataFrame({name: np.empty(0) for name in _ALONG})
        return Diagnostics(along, nothing, nothing, nothing, limiting_prompts(limit, nothing))
    budgets = _budgets(limit)
    table = limit.diagnostics(kl=budgets)
    by_budget = [
        _in_order(table.iloc[k * limit.n_prompts : (k + 1) * limit.n_prompts], limit)
        for k in range(len(budgets))
    ]
    edge = by_budget[-1]
    share = edge["correction_share"].to_numpy()
    return Diagnostics(
        along=pd.DataFrame([_summary(kl, each) for kl, each in zip(budgets, by_budget, strict=True)]),
        ess=np.where(edge["constant"], np.nan, edge["ess"] / edge["completions"]),
        pareto_k=edge["pareto_k"].to_numpy(),
        correction_share=share,
        limiting=limiting_prompts(limit, share),
    )


def limiting_prompts(limit: Frontier, correction_share: Array) -> list[int]:
    """Places of the prompts that keep the horizon where it is, the worst first, 20 at most.

    By the reason that ends it: prompts with too few completions for an estimate; prompts with fewer completions than
    others, where one prompt's completions cannot show a larger KL; else prompts whose part in the correction for few
    completions is at least five times an even share. None where no prompt stands out.

    Args:
        limit: the limit.
        correction_share: of each prompt in the correction at the horizon, ``(P,)``.
    """
    counts = limit.rewards.counts
    if limit.horizon_reason == "completions":
        short = counts < completions_needed(limit)
        return [int(i) for i in np.argsort(counts, kind="stable") if short[i]][:MOST_LISTED]
    if limit.horizon_reason == "samples":
        short = np.log(counts) < np.log(counts).mean() - 1e-9
        return [int(i) for i in np.argsort(counts, kind="stable") if short[i]][:MOST_LISTED]
    share = np.nan_to_num(correction_share)
    order = np.argsort(-share, kind="stable")
    return [int(i) for i in order if share[i] * limit.n_prompts >= _STANDS_OUT][:MOST_LISTED]


def _budgets(limit: Frontier) -> Array:
    """Even in the root of the KL, the horizon the last; fewer of them for many prompts."""
    count = int(np.clip(_MOST_FITS // limit.n_prompts, 1, _MOST_BUDGETS))
    budgets = np.linspace(0, np.sqrt(limit.horizon), count + 1)[1:] ** 2
    budgets[-1] = limit.horizon
    return np.asarray(budgets)


def _in_order(table: pd.DataFrame, limit: Frontier) -> pd.DataFrame:
    """Rows in the order of the base samples."""
    place = {key: i for i, key in enumerate(limit.samples.prompt_ids.tolist())}
    order = np.argsort([place[key] for key in table["prompt_id"].tolist()], kind="stable")
    return table.iloc[order].reset_index(drop=True)


def _summary(kl: float, table: pd.DataFrame) -> dict[str, float]:
    varying = ~table["constant"].to_numpy()
    share = (table["ess"] / table["completions"]).to_numpy()[varying]
    tails = table["pareto_k"].to_numpy()
    tails = tails[np.isfinite(tails)]
    nan = float("nan")
    found = (
        float(kl),
        float(table["beta"].iloc[0]),
        int(varying.sum()),
        float(share.mean()) if len(share) else nan,
        float(share.min()) if len(share) else nan,
        len(tails),
        float(np.median(tails)) if len(tails) else nan,
        float(tails.max()) if len(tails) else nan,
        int((tails > HEAVY).sum()),
    )
    return dict(zip(_ALONG, found, strict=True))
