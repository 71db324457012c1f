"""The base samples prompt by prompt, and beside them what each policy made of the same prompts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from klimit.audits.pair import prompt_means
from klimit.audits.result import Audit, Audits
from klimit.limit.result import Frontier
from klimit.limit.saturation import prompt_saturation
from klimit.reports.page.content import Column, Prompts
from klimit.reports.page.diagnostics import Diagnostics
from klimit.samples.container import Samples

_LONGEST = 200

_BASE = (
    Column("prompt", "prompt", "id of the prompt"),
    Column("completions", "completions", "of the base policy, read for this prompt"),
    Column("mean", "mean", "mean reward of the base policy"),
    Column("spread", "spread", "standard deviation of the base policy's reward"),
    Column("best", "best", "best reward that the base policy showed"),
    Column("share_at_best", "at best", "share of the base completions that have the best reward"),
    Column(
        "saturation",
        "saturation",
        "KL of always giving the best reward; missing where it was seen once, which does not show how rare it is",
        "nats",
    ),
    Column(
        "ess",
        "ESS",
        "effective sample size at the horizon's tilt, as a share of the completions; missing where the reward does not "
        "vary",
    ),
    Column(
        "pareto_k",
        "k-hat",
        "Pareto shape of the weights at the horizon's tilt; above 0.7 the tail is too heavy for so few completions; "
        "missing where a tail has no meaning",
    ),
    Column(
        "correction_share",
        "correction",
        "share of this prompt in the correction for few completions at the horizon; the largest end it",
    ),
    Column("truncated", "cut", "share of the base policy's completions cut at the token limit"),
)
_POLICY = (
    Column("gain", "gain", "mean reward of the policy less the base policy's"),
    Column("gain_error", "± gain", "standard error of the gain, given the prompt"),
    Column("kl", "KL", "KL(policy || base) of this prompt", "nats"),
    Column("kl_error", "± KL", "standard error of the KL, given the prompt", "nats"),
    Column(
        "least_kl",
        "least KL",
        "least KL that the gain needs; infinite where the base samples show no such gain; biased upwards by the noise "
        "of one prompt",
        "nats",
    ),
    Column(
        "idle", "idle", "whether KL was spent for nothing: KL above 0 by two standard errors, gain not by one"
    ),
    Column("truncated", "cut", "share of the policy's completions cut at the token limit"),
)


def prompts_of(limit: Frontier, found: Diagnostics, audits: Audits | None) -> Prompts:
    """The table, and the prompts that stand out.

    Args:
        limit: of the base samples.
        found: their diagnostics.
        audits: of policies on the same prompts; None without any.
    """
    names = prompt_names(limit.samples)
    values: dict[str, Any] = {"prompt": names, **_base_values(limit, found)}
    columns = [column for column in _BASE if column.name in values]
    for each in audits or ():
        own = _of_policy(each)
        columns += [column for column, _ in own]
        values |= {column.name: array for column, array in own}
    rewards = limit.rewards
    listed = [names[i] for i in found.limiting]
    return Prompts(
        table=pd.DataFrame({column.name: values[column.name] for column in columns}),
        columns=tuple(columns),
        limiting=tuple(listed),
        never_succeed=tuple(names[i] for i in limit.saturation.below_max),
        constant=tuple(names[i] for i in np.flatnonzero(rewards.constant)),
    )


def prompt_names(samples: Samples) -> list[str]:
    """Ids as text, untouched; keys of several columns as JSON lists, and long ones (whole prompts) cut."""
    return [_name(key, place) for place, key in enumerate(samples.prompt_ids.tolist())]


def _name(key: Any, place: int) -> str:
    text = json.dumps(list(key), ensure_ascii=False, default=str) if isinstance(key, tuple) else str(key)
    # The place keeps cut ids apart.
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... (prompt {place + 1:,})"


def _base_values(limit: Frontier, found: Diagnostics) -> dict[str, NDArray[Any]]:
    rewards, samples = limit.rewards, limit.samples
    values = {
        "completions": samples.counts,
        "mean": rewards.mean,
        "spread": np.where(rewards.counts > 1, np.sqrt(rewards.variance), np.nan),
        "best": rewards.top.astype(np.float64),
        "share_at_best": rewards.at_top / rewards.counts,
        "saturation": np.where(rewards.at_top > 1, prompt_saturation(rewards), np.nan),
        "ess": found.ess,
        "pareto_k": found.pareto_k,
        "correction_share": found.correction_share,
    }
    if samples.truncated is not None:
        values["truncated"] = prompt_means(samples.truncated.astype(np.float64), samples.offsets)
    return values


def _of_policy(audit: Audit) -> list[tuple[Column, NDArray[Any]]]:
    """Its columns under names that no other policy's nor the base policy's have."""
    table = audit.prompts
    known: Sequence[tuple[Column, NDArray[Any] | None]] = [
        (column, getattr(table, column.name)) for column in _POLICY
    ]
    return [
        (Column(f"{audit.name}: {c.name}", c.heading, c.meaning, c.unit, audit.name), array)
        for c, array in known
        if array is not None
    ]
