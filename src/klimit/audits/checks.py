"""What an audit refuses, and what it doubts: each check is one function, and says in one line what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from klimit.audits.doubts import BEYOND_NOISE, doubt_base, doubt_mass, doubt_token_kl, log_ratio, over_prompts
from klimit.audits.settings import check_settings
from klimit.audits.token_means import check_token_means, from_token_means
from klimit.errors import InputError
from klimit.samples.container import Samples
from klimit.samples.keys import show
from klimit.samples.kinds import SIGN_SLACK

__all__ = ["Checked", "check_policy", "from_token_means"]

_FLAGS = {"logprob": "--logprob", "ref_logprob": "--ref-logprob"}
_SCORES = ("logprob", "ref_logprob", "token_kl", "sampling_logprob")
_SMALLEST_LOSS = 0.01
# exp(-10): the chance of so low a sum of log ratios, whatever the policies.
_LOWEST_SUM = -10.0
_FEWEST_BINARY, _SHARE_OTHER = 20, 0.1


@dataclass(frozen=True)
class Checked:
    """What the checks let pass.

    Attributes:
        has_logprobs: whether the policy's samples carry both log-probabilities.
        warnings: doubts about the samples, one line each.
    """

    has_logprobs: bool
    warnings: tuple[str, ...] = ()


def check_policy(policy: Samples, base: Samples, *, reward: str, name: str, sums: bool = False) -> Checked:
    """Refuse samples that no audit can use.

    Args:
        policy: completions of the policy, paired with those of the base policy.
        base: completions of the base policy.
        reward: the reward audited.
        name: of the policy, for messages.
        sums: whether the user asserts that log-probabilities are sums over tokens, not means.

    Raises:
        InputError: rewards, sampling settings or log-probabilities that cannot be what they should be.
    """
    check_rewards(policy, base, reward)
    check_settings(policy, base)
    known = check_scores(policy)
    if not known:
        return Checked(False, _unnamed(policy, name))
    doubts = () if sums else check_token_means(policy)
    check_order(policy)
    return Checked(True, (*doubts, *doubt_mass(policy), *doubt_token_kl(policy), *doubt_base(base)))


def check_rewards(policy: Samples, base: Samples, reward: str) -> None:
    """Refuse rewards that are not the same quantity in policy and base.

    Raises:
        InputError: one side lacks the reward, or it is 0/1 on one side alone.
    """
    for samples, other in ((policy, base), (base, policy)):
        if reward in samples.rewards:
            continue
        if reward in samples.held:
            raise InputError(samples.held[reward].reason)
        raise InputError(
            f"{samples.source}: no reward {reward!r}; its rewards: {_listed(samples.rewards)}; those of "
            f"{other.source}: {_listed(other.rewards)}; name one that both have with reward= (--reward)"
        )
    for one, other in ((base, policy), (policy, base)):
        values, others = one.reward(reward), other.reward(reward)
        if len(values) < _FEWEST_BINARY or not np.isin(values, (0, 1)).all() or (values == values[0]).all():
            continue
        strange = others[~np.isin(others, (0, 1))]
        if len(strange) >= _SHARE_OTHER * len(others):
            raise InputError(
                f"reward {reward!r} is 0 or 1 in {one.source} and {strange[0]:.4g} (and the like) in "
                f"{len(strange):,} of {len(others):,} completions in {other.source}: two rewards of one name (shaped, "
                "normalised?); score both with the same one"
            )


def check_scores(policy: Samples) -> bool:
    """Whether both log-probabilities are there, and what is there can be used.

    Raises:
        InputError: a score was held back in reading, one log-probability stands alone, or (in samples made by hand)
            one has the wrong shape, gaps or the wrong sign.
    """
    for held in policy.held.values():
        if held.part in (*_SCORES, "tokens"):
            raise InputError(held.reason)
    for part in _SCORES:
        _check_values(policy, part)
    there = [part for part in _FLAGS if getattr(policy, part) is not None]
    if len(there) == 1:
        (lacking,) = set(_FLAGS) - set(there)
        whose = "reference" if lacking == "ref_logprob" else "policy"
        raise InputError(
            f"{policy.source}: there is {there[0]} but no {lacking}: a KL needs both; score the same token ids under "
            f"the {whose}, or name the column with {lacking}= ({_FLAGS[lacking]}){_hint(policy)}"
        )
    return bool(there)


def check_order(policy: Samples) -> None:
    """Refuse a mean log ratio so far below 0 that it is no estimate of a KL.

    Beside the error over prompts it heeds an exact bound: for samples of the policy, ``E[pi0/pi] <= 1``, so that the
    sum of their log ratios lies below ``-a`` with probability ``exp(-a)`` at most (Markov's inequality).

    Raises:
        InputError: the columns are swapped, or the completions are not the policy's.
    """
    ratio = log_ratio(policy)
    mean, error = over_prompts(ratio, policy)
    if mean < -max(_SMALLEST_LOSS, BEYOND_NOISE * error) and ratio.sum() < _LOWEST_SUM:
        raise InputError(
            f"{policy.source}: logprob - ref_logprob is {mean:.3g} +- {error:.2g} nats on average over "
            f"{policy.n_prompts:,} prompt{'s' * (policy.n_prompts != 1)}, but a KL cannot be negative: the two columns "
            "are swapped (logprob is the policy's), or the completions were drawn from the reference, not the policy"
        )


def _check_values(policy: Samples, part: str) -> None:
    values = getattr(policy, part)
    if values is None:
        return
    if np.shape(values) != (policy.n_completions,):
        raise InputError(
            f"{policy.source}: {part} has shape {np.shape(values)}; one value a completion is "
            f"({policy.n_completions},)"
        )
    low, high = (-SIGN_SLACK, np.inf) if part == "token_kl" else (-np.inf, SIGN_SLACK)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= low) & (values <= high)))
    if len(wrong):
        place = wrong[0]
        prompt = int(np.searchsorted(policy.offsets, place, side="right")) - 1
        wanted = "at least 0" if part == "token_kl" else "the log of a probability, at most 0"
        raise InputError(
            f"{policy.source}: {part} is {values[place]:.6g} in completion {place - policy.offsets[prompt]} of prompt "
            f"{show(policy.prompt_ids.tolist()[prompt])} (and {len(wrong) - 1:,} more of {policy.n_completions:,} "
            f"cannot be used); it must be finite and {wanted}"
        )


def _hint(policy: Samples) -> str:
    """Columns that might hold log-probabilities, by their names."""
    near = [name for name in policy.metadata if "logp" in name.lower().replace("_", "")]
    return f"; its columns with such names: {_listed(near)}" if near else ""


def _unnamed(policy: Samples, name: str) -> tuple[str, ...]:
    hint = _hint(policy)
    if not hint:
        return ()
    return (f"{name} has no columns logprob and ref_logprob; name them with logprob= and ref_logprob={hint}",)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
