"""The audit: a trained policy on the plane of KL and reward, from samples, rewards and log-probabilities alone."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from klimit.audits import divergence
from klimit.audits.checkpoints import named_policies, split
from klimit.audits.one import account_of
from klimit.audits.pairing import pair as pair_prompts
from klimit.audits.result import Audit, Audits
from klimit.audits.same import check_sources
from klimit.audits.shared import Shared
from klimit.audits.token_means import from_token_means
from klimit.errors import InputError, KlimitWarning
from klimit.limit.options import check_options
from klimit.rewards.transforms import parse_transform
from klimit.samples import as_samples
from klimit.samples.container import Samples


def audit(
    policy: Any,
    base: Any,
    *,
    reward: str | None = None,
    transform: str = "identity",
    level: float = 0.95,
    seed: int = 0,
    kl_estimator: str | None = None,
    reward_max: float | None = None,
    by: str | None = None,
    shared_prompts: bool = False,
    token_means: bool | None = None,
    prompt: str | list[str] | None = None,
    where: str | None = None,
    base_where: str | None = None,
    logprob: str | None = None,
    ref_logprob: str | None = None,
    token_kl: str | None = None,
    sampling_logprob: str | None = None,
    truncated: str | None = None,
    lower_is_better: bool = False,
) -> Audit | Audits:
    """Account for what a policy got for its KL from the base policy, and where the rest went.

    Nothing that a trainer logged is used: the policy's completions, their rewards, and the log-probability of each
    under the policy and under the reference are enough. Intervals are about the population of prompts: every prompt,
    with all its completions of both policies, is one unit.

    Args:
        policy: completions drawn from the policy, with rewards and, as columns ``logprob`` and ``ref_logprob``, their
            log-probabilities in nats, summed over tokens or as lists of one a token, both from one engine:
            :class:`~klimit.Samples`, a path, a data frame. Several policies, or the checkpoints of one run: a list of
            those, or a mapping from names.
        base: completions drawn from the reference on the same prompts, with the same reward.
        reward: the reward column, where there are several.
        transform: of the reward, by the base samples: ``"identity"``, ``"standardised"``, ``"rank"``,
            ``"log-sigmoid-centred"``, ``"clipped:LOW,HIGH"``; see :mod:`klimit.rewards`.
        level: nominal cover of the intervals.
        seed: of the random blocks of samples.
        kl_estimator: ``"k1"``, ``"k2"`` (biased), ``"k3"`` or ``"rao-blackwellised"`` (needs ``token_kl``); by default
            the Rao-Blackwellised one or k1, whichever has less estimated variance.
        reward_max: the largest reward there is, if known.
        by: a column that tells policies in one file apart, such as ``"step"``.
        shared_prompts: audit only the prompts that policy and base share; by default they must be the same.
        token_means: True: log-probabilities are means over tokens, to be multiplied by their number; False: they are
            sums; None: sums, and what looks like means is refused.
        prompt: columns that identify a prompt, when reading.
        where: SQL condition that chooses rows of the policies' files, when reading.
        base_where: the same for the base policy's.
        logprob: column of log-probabilities under the policy.
        ref_logprob: column of log-probabilities under the reference.
        token_kl: column of exact next-token KLs along each completion.
        sampling_logprob: column of the policy's log-probabilities by a second engine, the one that sampled: their
            distance is the noise floor.
        truncated: column that says which completions were cut at the token limit (else ``finish_reason`` does).
        lower_is_better: rewards are costs, when reading.

    Returns:
        One policy's account; for several, their accounts in order.

    Raises:
        InputError: prompts differ, log-probabilities cannot be what they should be, rewards are not the same, the
            policy's completions are the base policy's; one line says what is wrong, where, and how to mend it.

    Warns:
        KlimitWarning: the samples cannot support part of the answer; the rest is given.
    """
    check_options(budget="average", level=level, target="population", estimator="extrapolated", seed=seed)
    if kl_estimator is not None and kl_estimator not in divergence.ESTIMATORS:
        raise InputError(
            f"kl_estimator={kl_estimator!r}: choose one of {', '.join(map(repr, divergence.ESTIMATORS))}"
        )
    chosen = parse_transform(transform)
    named = named_policies(policy)
    check_sources(named.values(), base, where=where, base_where=base_where, by=by)
    common: dict[str, Any] = {"prompt": prompt, "lower_is_better": lower_is_better}
    start = as_samples(base, reward=reward, audit=True, **_given({**common, "where": base_where}))
    name = start.reward_name(reward)
    own = {
        "where": where,
        "logprob": logprob,
        "ref_logprob": ref_logprob,
        "token_kl": token_kl,
        "sampling_logprob": sampling_logprob,
        "truncated": truncated,
    }
    policies = _read(named, name, by, _given({**common, **own}))
    several = by is not None or len(policies) > 1 or isinstance(policy, dict | list | tuple)
    shared = Shared(chosen, level, seed, kl_estimator, reward_max)
    if shared_prompts and len(policies) > 1:
        start, policies = _in_common(start, policies)
    start, policies = _one_precision(start, policies, name)
    done: list[Audit] = []
    for label, given in policies.items():
        samples = from_token_means(given) if token_means else given
        mine, theirs = pair_prompts(samples, start, name=label, shared=shared_prompts)
        done.append(account_of(label, mine, theirs, name, shared, asserted_sums=token_means is not None))
    for each in done:
        for line in each.warnings:
            warnings.warn(f"{each.name}: {line}", KlimitWarning, stacklevel=2)
    return Audits(tuple(done)) if several else done[0]


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, False)}


def _read(named: dict[str, Any], reward: str, by: str | None, options: dict[str, Any]) -> dict[str, Samples]:
    read = {
        label: as_samples(source, reward=reward, audit=True, **({} if by is None else {"by": by}), **options)
        for label, source in named.items()
    }
    if by is None:
        return read
    found: dict[str, Samples] = {}
    for label, samples in read.items():
        for value, part in split(samples, by).items():
            found[value if len(read) == 1 else f"{label}, {value}"] = part
    return found


def _in_common(base: Samples, policies: dict[str, Samples]) -> tuple[Samples, dict[str, Samples]]:
    """All on the prompts that all have, so that one limit is theirs all."""
    keys = [set(samples.prompt_ids.tolist()) for samples in policies.values()]
    common = set.intersection(*keys)

    def kept(samples: Samples) -> Samples:
        mask = np.array([key in common for key in samples.prompt_ids.tolist()])
        if mask.all() or not mask.any():
            return samples
        note = f"left out {(~mask).sum():,} of {len(mask):,} prompts, which another policy lacks"
        return replace(samples.select(mask), notes=(*samples.notes, note))

    return kept(base), {label: kept(samples) for label, samples in policies.items()}


def _one_precision(
    base: Samples, policies: dict[str, Samples], reward: str
) -> tuple[Samples, dict[str, Samples]]:
    """Rewards of the narrowest type among them: 0.1 in float32 is not 0.1 in float64, and ties matter."""
    every = [base, *policies.values()]
    narrow = min((samples.reward(reward).dtype for samples in every), key=lambda kind: kind.itemsize)

    def cast(samples: Samples) -> Samples:
        values = samples.reward(reward)
        if values.dtype == narrow:
            return samples
        note = f"{reward}: rounded from {values.dtype} to {narrow}, which others have, so that equal rewards are equal"
        rewards = {**samples.rewards, reward: values.astype(narrow)}
        return replace(samples, rewards=rewards, notes=(*samples.notes, note))

    return cast(base), {label: cast(samples) for label, samples in policies.items()}
