"""The audit: a trained policy on the plane of KL and reward, from samples, rewards and log-probabilities alone."""

from __future__ import annotations

import warnings as python_warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from klimit.audits import account, divergence
from klimit.audits.checkpoints import named_policies, split
from klimit.audits.checks import check_policy, from_token_means
from klimit.audits.measured import Array, Measured
from klimit.audits.notes import warnings_of
from klimit.audits.pair import Pair, prompt_means
from klimit.audits.pairing import pair as pair_prompts
from klimit.audits.parts import parts_of
from klimit.audits.prompts import prompt_table
from klimit.audits.regression import regress
from klimit.audits.result import Audit, Audits, Parts, Regression
from klimit.errors import InputError, KlimitWarning
from klimit.limit.frontier import frontier
from klimit.limit.options import check_options
from klimit.limit.result import Frontier
from klimit.policies import best_of_n
from klimit.policies.curve import PolicyCurve
from klimit.rewards.transforms import Transform, parse_transform, transform_values
from klimit.samples import as_samples
from klimit.samples.container import Samples
from klimit.values import Value


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
            ``"log-sigmoid-centred"``, ``"clipped:LOW,HIGH"``; see :mod:`klimit.rewards.transforms`.
        level: nominal cover of the intervals.
        seed: of the random blocks of samples.
        kl_estimator: ``"k1"``, ``"k2"`` (biased), ``"k3"`` or ``"rao-blackwellised"`` (needs ``token_kl``); by default
            the unbiased one of least estimated variance that can be trusted.
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
        InputError: prompts differ, log-probabilities cannot be what they should be, rewards are not the same; one line
            says what is wrong, where, and how to mend it.

    Warns:
        KlimitWarning: the samples cannot support part of the answer; the rest is given.
    """
    check_options(budget="average", level=level, target="population", estimator="extrapolated", seed=seed)
    if kl_estimator is not None and kl_estimator not in divergence.ESTIMATORS:
        raise InputError(
            f"kl_estimator={kl_estimator!r}: choose one of {', '.join(map(repr, divergence.ESTIMATORS))}"
        )
    chosen = parse_transform(transform)
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
    policies = _read(policy, name, by, _given({**common, **own}))
    several = by is not None or len(policies) > 1 or isinstance(policy, dict | list | tuple)
    shared = _Shared(chosen, level, seed, kl_estimator, reward_max)
    done: list[Audit] = []
    for label, samples in policies.items():
        if token_means:
            samples = from_token_means(samples)
        mine, theirs = pair_prompts(samples, start, name=label, shared=shared_prompts)
        done.append(_one(label, mine, theirs, name, shared, asserted_sums=token_means is not None))
    for each in done:
        for line in each.warnings:
            python_warnings.warn(f"{each.name}: {line}", KlimitWarning, stacklevel=2)
    return Audits(tuple(done)) if several else done[0]


@dataclass
class _Shared:
    """What all policies of one audit have in common; limits are kept for those with the same base prompts."""

    transform: Transform
    level: float
    seed: int
    kl_estimator: str | None
    reward_max: float | None
    base: Samples | None = None
    found: tuple[Frontier, PolicyCurve] | None = None
    loss: Frontier | None = None

    def limit_of(self, base: Samples, reward: str) -> tuple[Frontier, PolicyCurve]:
        """The limit and best-of-N of the base samples."""
        if self.found is None or self.base is None or not _same_prompts(self.base, base):
            with python_warnings.catch_warnings():
                # Said once, by the audit itself.
                python_warnings.simplefilter("ignore", KlimitWarning)
                options: dict[str, Any] = {
                    "reward": reward,
                    "transform": self.transform.name,
                    "level": self.level,
                    "seed": self.seed,
                }
                limit = frontier(base, reward_max=self.reward_max, **options)
                self.found = limit, best_of_n(base, limit=limit, **options)
            self.base, self.loss = base, None
        return self.found

    def loss_of(self, limit: Frontier, base_rewards: Array) -> Frontier:
        """The limit of the negated (transformed) reward: the most that any method can lose at each KL."""
        if self.loss is None:
            negated = replace(limit.samples, rewards={limit.reward_name: -base_rewards})
            with python_warnings.catch_warnings():
                python_warnings.simplefilter("ignore", KlimitWarning)
                self.loss = frontier(negated, reward=limit.reward_name, level=self.level, seed=self.seed)
        return self.loss


def _same_prompts(first: Samples, second: Samples) -> bool:
    return first is second or (
        first.n_completions == second.n_completions
        and np.array_equal(first.offsets, second.offsets)
        and list(first.prompt_ids) == list(second.prompt_ids)
    )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, False)}


def _read(policy: Any, reward: str, by: str | None, options: dict[str, Any]) -> dict[str, Samples]:
    read = {
        label: as_samples(source, reward=reward, audit=True, **({} if by is None else {"by": by}), **options)
        for label, source in named_policies(policy).items()
    }
    if by is None:
        return read
    found: dict[str, Samples] = {}
    for label, samples in read.items():
        for value, part in split(samples, by).items():
            found[value if len(read) == 1 else f"{label}, {value}"] = part
    return found


def _one(
    label: str, policy: Samples, base: Samples, reward: str, shared: _Shared, *, asserted_sums: bool
) -> Audit:
    """One policy's account."""
    checked = check_policy(policy, base, reward=reward, name=label, sums=asserted_sums)
    level, seed = shared.level, shared.seed
    limit, best = shared.limit_of(base, reward)
    raw = _pair(policy, base, reward, known=checked.has_logprobs)
    pair = _transformed(raw, shared.transform)
    gain = Measured.mean(pair.gain)
    kl, estimator, estimates = _kl(pair, shared.kl_estimator, label)
    loss = shared.loss_of(limit, pair.base_rewards) if gain.interval(level).low < 0 else None
    need = account.least_kl_of_gain(limit, loss, gain, kl, level)
    spent = kl is not None and kl.value > 0 and bool(np.any(pair.log_ratio != 0.0))
    parts: Parts | None = None
    fit: Regression | None = None
    distance: Value | None = None
    if kl is not None and spent:
        of_law = raw if shared.transform.estimated else pair
        parts = parts_of(
            of_law,
            raw,
            shared.transform,
            kl=kl,
            necessary=need.measured,
            necessary_value=need.value,
            seed=seed,
            level=level,
        )
        fit, slope = regress(pair, level)
        distance = None if slope is None else account.distance_to_tilted(limit, gain, kl, slope, level)
    inside = kl is not None and kl.value <= limit.horizon
    completion_kl = None if estimator is None else _completion_kl(pair, estimator)
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
        efficiency=account.efficiency(limit, gain, kl, level) if kl is not None and spent else None,
        missing_reward=account.missing_reward(limit, gain, kl, level) if kl is not None and spent else None,
        wasted_kl=account.wasted_kl(need, kl, level) if kl is not None else None,
        parts=parts,
        regression=fit,
        distance=distance,
        noise_floor=_noise_floor(policy, base, level),
        base_mass=_base_mass(pair, level),
        truncated=_share(policy.truncated, policy.offsets, level),
        base_truncated=_share(base.truncated, base.offsets, level),
        status="no log-probabilities" if kl is None else "estimate" if inside else "bracket",
        prompts=prompt_table(pair, policy, completion_kl),
        limit=limit,
        best_of_n=best,
        notes=tuple(dict.fromkeys([*policy.notes, *base.notes])),
    )
    return replace(found, warnings=(*checked.warnings, *warnings_of(found)))


def _pair(policy: Samples, base: Samples, reward: str, *, known: bool) -> Pair:
    log_ratio: Array | None = None
    if known:
        assert policy.logprob is not None
        assert policy.ref_logprob is not None
        log_ratio = policy.logprob.astype(np.float64) - policy.ref_logprob.astype(np.float64)
    own, theirs = (samples.reward(reward).astype(np.float64) for samples in (policy, base))
    token_kl = policy.token_kl.astype(np.float64) if known and policy.token_kl is not None else None
    return Pair(own, policy.offsets, theirs, base.offsets, log_ratio, token_kl)


def _transformed(raw: Pair, transform: Transform) -> Pair:
    own, theirs = (
        transform_values(transform, values, offsets, raw.base_rewards, raw.base_offsets)
        for values, offsets in ((raw.rewards, raw.offsets), (raw.base_rewards, raw.base_offsets))
    )
    return replace(raw, rewards=own, base_rewards=theirs)


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
    name = divergence.choose_estimator(pair, estimates) if asked is None else asked
    return Measured.mean(estimates[name]), name, estimates


def _completion_kl(pair: Pair, estimator: str) -> Array:
    assert pair.log_ratio is not None
    if estimator == "rao-blackwellised":
        assert pair.token_kl is not None
        return pair.token_kl
    return divergence.log_ratio_moments(pair.log_ratio)[estimator]


def _with_intervals(pair: Pair, estimates: dict[str, Array], level: float) -> dict[str, Value]:
    found = {name: Measured.mean(values).interval(level) for name, values in estimates.items()}
    if "k3" in found and not divergence.light_weights(pair):
        # Its spread over such weights says nothing of its error.
        found["k3"] = Value(found["k3"].estimate, -np.inf, np.inf)
    return found


def _base_mass(pair: Pair, level: float) -> Value | None:
    if pair.log_ratio is None:
        return None
    found = divergence.base_mass(pair).interval(level)
    if divergence.light_weights(pair):
        return found
    return Value(found.estimate, min(found.estimate, 0.0), max(found.high, 1.0))


def _win_rate(raw: Pair) -> Array:
    ranks = transform_values(
        parse_transform("rank"), raw.rewards, raw.offsets, raw.base_rewards, raw.base_offsets
    )
    return prompt_means(ranks, raw.offsets)


def _noise_floor(policy: Samples, base: Samples, level: float) -> Value | None:
    for samples in (policy, base):
        if samples.sampling_logprob is not None and samples.logprob is not None:
            found = divergence.engine_noise(samples.sampling_logprob, samples.logprob, samples.offsets)
            return found.interval(level)
    if base.logprob is not None and base.ref_logprob is not None:
        return divergence.engine_noise(base.logprob, base.ref_logprob, base.offsets).interval(level)
    return None


def _share(marks: Any, offsets: Any, level: float) -> Value | None:
    if marks is None:
        return None
    found = Measured.mean(prompt_means(np.asarray(marks, dtype=np.float64), offsets)).interval(level)
    return Value(found.estimate, max(found.low, 0.0), min(max(found.high, found.estimate), 1.0))
