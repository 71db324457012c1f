"""One policy's account: every quantity of an audit, from a policy and its base on the same prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from klimit.audits import account, divergence
from klimit.audits.checks import check_policy
from klimit.audits.halves import transformed, without_transform_bias
from klimit.audits.measured import Array, Measured
from klimit.audits.notes import warnings_of
from klimit.audits.pair import Pair, prompt_means
from klimit.audits.parts import parts_of
from klimit.audits.prompts import prompt_table
from klimit.audits.regression import moments, regress
from klimit.audits.result import Audit, Parts, Regression
from klimit.audits.same import check_distinct
from klimit.audits.shared import Shared
from klimit.errors import InputError
from klimit.limit.result import Frontier
from klimit.rewards.transforms import parse_transform, transform_values
from klimit.samples.container import Samples
from klimit.values import Value

_BINARY = (0.0, 1.0)
_RULE_OF_THREE = 3.0  # what was seen in none of n prompts may be in 3/n of them


def account_of(
    label: str, policy: Samples, base: Samples, reward: str, shared: Shared, *, asserted_sums: bool
) -> Audit:
    """The account of one policy.

    Args:
        label: its name.
        policy: its samples.
        base: the base policy's, on the same prompts in the same order.
        reward: the reward column of both.
        shared: options and limits.
        asserted_sums: whether the caller says that log-probabilities are sums.

    Raises:
        InputError: see :func:`klimit.audit`.
    """
    checked = check_policy(policy, base, reward=reward, name=label, sums=asserted_sums)
    check_distinct(policy, base, reward)
    raw = _pair(policy, base, reward, known=checked.has_logprobs)
    binary = bool(np.isin(raw.rewards, _BINARY).all() and np.isin(raw.base_rewards, _BINARY).all())
    limit, best = shared.limit_of(base, reward, binary=binary)
    pair, level, seed = transformed(raw, shared.transform), shared.level, shared.seed
    gain = Measured.mean(without_transform_bias(raw, shared.transform, lambda one: one.gain, seed=seed))
    kl, estimator, estimates = _kl(pair, shared.kl_estimator, label)
    loss = shared.loss_of(limit, pair.base_rewards) if gain.interval(level).low < 0 else None
    need = account.least_kl_of_gain(limit, loss, gain, kl, level)
    spent = kl is not None and kl.value > 0 and not _equal(policy)
    signal = limit.rewards.scale > 0
    parts, fit, distance = None, None, None
    if kl is not None and spent:
        parts = _parts(pair, raw, shared, kl, need)
        fit, distance = _fit(raw, shared, limit, gain, kl)
    against = kl if spent and signal else None
    found = Audit(
        name=label,
        policy=policy,
        base=base,
        reward_name=reward,
        transform=shared.transform.name,
        level=level,
        base_reward=Measured.mean(pair.base_mean).interval(level),
        reward=Measured.mean(pair.mean).interval(level),
        gain=gain.interval(level),
        win_rate=Measured.mean(_win_rate(raw)).interval(level),
        least_kl=need.value,
        kl=None if kl is None else kl.interval(level),
        kl_estimator=estimator,
        kl_estimates=_with_intervals(pair, estimates, level),
        efficiency=None if against is None else account.efficiency(limit, gain, against, level),
        missing_reward=None if against is None else account.missing_reward(limit, gain, against, level),
        wasted_kl=None if kl is None else account.wasted_kl(need, kl, level),
        parts=parts,
        regression=fit,
        distance=distance,
        noise_floor=_noise_floor(policy, level),
        base_mass=_base_mass(pair, level),
        truncated=_share(policy.truncated, policy.offsets, level),
        base_truncated=_share(base.truncated, base.offsets, level),
        status=_status(kl, limit),
        prompts=prompt_table(pair, policy, None if estimator is None else _completion_kl(pair, estimator)),
        limit=limit,
        best_of_n=best,
        notes=tuple(dict.fromkeys([*policy.notes, *base.notes])),
    )
    return replace(found, warnings=(*checked.warnings, *warnings_of(found)))


def _status(kl: Measured | None, limit: Frontier) -> str:
    if kl is None:
        return "no log-probabilities"
    return "estimate" if kl.value <= limit.horizon else "bracket"


def _equal(policy: Samples) -> bool:
    """Whether the policy is its reference, but for the rounding of the narrower of the two columns."""
    if policy.logprob is None or policy.ref_logprob is None:
        return False
    narrow = max(np.finfo(x.dtype).eps for x in (policy.logprob, policy.ref_logprob))
    difference = np.abs(policy.logprob.astype(np.float64) - policy.ref_logprob)
    return bool((difference <= 4 * narrow * np.maximum(np.abs(policy.ref_logprob), 1.0)).all())


def _parts(pair: Pair, raw: Pair, shared: Shared, kl: Measured, need: account.Need) -> Parts:
    # An estimated transform keeps the order of rewards: their law's KL is that of the raw ones, without its ties.
    return parts_of(
        raw if shared.transform.estimated else pair,
        raw,
        shared.transform,
        kl=kl,
        necessary=need.measured,
        necessary_value=need.value,
        seed=shared.seed,
        level=shared.level,
    )


def _fit(
    raw: Pair, shared: Shared, limit: Frontier, gain: Measured, kl: Measured
) -> tuple[Regression | None, Value | None]:
    found = without_transform_bias(raw, shared.transform, moments, seed=shared.seed)
    fit, slope = regress(found, shared.level)
    if slope is None:
        return fit, None
    return fit, account.distance_to_tilted(limit, gain, kl, slope, shared.level)


def _pair(policy: Samples, base: Samples, reward: str, *, known: bool) -> Pair:
    log_ratio: Array | None = None
    if known:
        assert policy.logprob is not None
        assert policy.ref_logprob is not None
        log_ratio = policy.logprob.astype(np.float64) - policy.ref_logprob.astype(np.float64)
    own, theirs = (samples.reward(reward).astype(np.float64) for samples in (policy, base))
    token_kl = policy.token_kl.astype(np.float64) if known and policy.token_kl is not None else None
    return Pair(own, policy.offsets, theirs, base.offsets, log_ratio, token_kl)


def _kl(pair: Pair, asked: str | None, label: str) -> tuple[Measured | None, str | None, dict[str, Array]]:
    estimates = divergence.kl_estimates(pair)
    if not estimates:
        if asked is not None:
            raise InputError(
                f"{label}: kl_estimator={asked!r} needs log-probabilities: logprob and ref_logprob"
            )
        return None, None, {}
    if asked is not None and asked not in estimates:
        raise InputError(f"{label}: kl_estimator={asked!r} needs exact next-token KLs, a column token_kl")
    name = divergence.choose_estimator(estimates) if asked is None else asked
    return Measured.mean(estimates[name]), name, estimates


def _completion_kl(pair: Pair, estimator: str) -> Array:
    assert pair.log_ratio is not None
    if estimator == "rao-blackwellised":
        assert pair.token_kl is not None
        return pair.token_kl
    return divergence.log_ratio_moments(pair.log_ratio)[estimator]


def _with_intervals(pair: Pair, estimates: dict[str, Array], level: float) -> dict[str, Value]:
    with np.errstate(over="ignore", invalid="ignore"):  # k3 of wild ratios, which has no interval then
        found = {name: Measured.mean(values).interval(level) for name, values in estimates.items()}
    if "k3" not in found:
        return found
    k3 = found["k3"]
    if not divergence.light_weights(pair):
        # Its spread over such weights says nothing of its error.
        return {**found, "k3": Value(k3.estimate, -np.inf, np.inf)}
    # It falls short by the part of the base policy that no completion covers.
    mass = divergence.base_mass(pair)
    return {**found, "k3": Value(k3.estimate, k3.low, k3.high + max(1 - mass.value, 0.0) + 2 * mass.error)}


def _base_mass(pair: Pair, level: float) -> Value | None:
    if pair.log_ratio is None:
        return None
    mass = divergence.base_mass(pair)
    if divergence.light_weights(pair):
        return mass.interval(level)
    # The share of a policy that is covered, where its estimate has no error to speak of.
    return Value(mass.value, 0.0, max(mass.value, 1.0))


def _win_rate(raw: Pair) -> Array:
    ranks = transform_values(
        parse_transform("rank"), raw.rewards, raw.offsets, raw.base_rewards, raw.base_offsets
    )
    return prompt_means(ranks, raw.offsets)


def _noise_floor(policy: Samples, level: float) -> Value | None:
    """KL between two engines' log-probabilities of the same policy, where the policy's samples carry both."""
    if policy.sampling_logprob is None or policy.logprob is None:
        return None
    return divergence.engine_noise(policy.sampling_logprob, policy.logprob, policy.offsets).interval(level)


def _share(marks: Any, offsets: Any, level: float) -> Value | None:
    if marks is None:
        return None
    found = Measured.mean(prompt_means(np.asarray(marks, dtype=np.float64), offsets)).interval(level)
    unseen = min(_RULE_OF_THREE / (len(offsets) - 1), 1.0)
    low = 1 - unseen if found.estimate == 1 else max(found.low, 0.0)
    high = unseen if found.estimate == 0 else min(found.high, 1.0)
    return Value(found.estimate, low, high)
