"""The exact numbers of an audit, of a policy given as a table.

A table has one row a prompt and one column an output. Every number is an average over the rows, in nats per completion
or in the reward's unit. Where the KL went follows the chain rule,

    KL = necessary + allocation + shape + off_reward,

each part >= 0, because the limit is inverted on both sides: a loss needs a KL as well
(:mod:`klimit.limit.exact_inverse`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.limit import exact
from klimit.limit.exact_inverse import least_kl_average, least_kl_per_prompt
from klimit.limit.roots import Array
from klimit.testsystems.policy_levels import kl_rows, reward_law, spread_law, win_rates
from klimit.testsystems.policy_making import tilted

_NAN = float("nan")


@dataclass(frozen=True, eq=False, repr=False)
class PolicyNumbers:
    """A policy, its base policy and their rewards as tables ``(P, K)``, and the exact numbers of their audit.

    Attributes:
        base: probabilities of the base policy, ``(P, K)``.
        policy: probabilities of the policy; 0 wherever the base policy's are.
        rewards: of the outputs.

    Raises:
        InputError: a table is not ``(P, K)``, shapes differ, rows do not sum to 1, or the policy has mass where the
            base policy has none.
    """

    base: NDArray[Any]
    policy: NDArray[Any]
    rewards: NDArray[Any]

    def __post_init__(self) -> None:
        base, rewards = exact.check_tables(self.base, self.rewards)
        policy, _ = exact.check_tables(self.policy, self.rewards)
        if base.ndim != 2:
            raise InputError(f"policy tables: shape {base.shape}; they must be (prompts, outputs)")
        alien = np.argwhere((policy > 0) & (base == 0))
        if len(alien):
            row, output = alien[0]
            raise InputError(
                f"policy tables: prompt {row}, output {output}: the policy has mass where the base policy has none, so "
                "that the KL is infinite; give the output some base probability or take it from the policy"
            )
        for name, table in (("base", base), ("policy", policy), ("rewards", rewards)):
            kept = table.copy()
            kept.setflags(write=False)  # what is computed from it is kept
            object.__setattr__(self, name, kept)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base.shape[0]} prompts, {self.base.shape[1]} outputs)"

    # Rewards and the limit.

    @cached_property
    def _centred(self) -> Array:
        """Rewards less the base policy's mean; exactly 0 in prompts whose reward never varies."""
        shared = np.take_along_axis(self.rewards, self.base.argmax(axis=1)[:, None], axis=1)
        d = np.where(self.base > 0, self.rewards - shared, 0.0)
        return np.asarray(d - exact.mean_reward(self.base, d)[:, None])

    @cached_property
    def kl_by_prompt(self) -> Array:
        """KL(pi || pi0) of each prompt, ``(P,)``."""
        return kl_rows(self.policy, self.base)

    @cached_property
    def gain_by_prompt(self) -> Array:
        """Mean reward of the policy less the base policy's, ``(P,)``."""
        return np.asarray(((self.policy - self.base) * self._centred).sum(axis=1))

    @cached_property
    def least_kl_by_prompt(self) -> Array:
        """The least KL that each prompt's own gain needs, ``(P,)``."""
        return least_kl_per_prompt(self.base, self._centred, self.gain_by_prompt)[0]

    @property
    def base_reward(self) -> float:
        """Mean reward of the base policy."""
        return float(exact.mean_reward(self.base, self.rewards).mean())

    @property
    def reward(self) -> float:
        """Mean reward of the policy."""
        return float(exact.mean_reward(self.policy, self.rewards).mean())

    @property
    def gain(self) -> float:
        """``reward`` less ``base_reward``."""
        return float(self.gain_by_prompt.mean())

    @property
    def kl(self) -> float:
        """KL(pi || pi0)."""
        return float(self.kl_by_prompt.mean())

    @property
    def kl_reverse(self) -> float:
        """KL(pi0 || pi); infinite where the policy never gives an output of the base policy's."""
        return float(kl_rows(self.base, self.policy).mean())

    @cached_property
    def limit_gain(self) -> float:
        """The average-budget limit at ``kl``: the largest gain of any policy with that KL."""
        return float(exact.frontier_average(self.base, self._centred, self.kl)[0])

    @property
    def efficiency(self) -> float:
        """``gain`` over ``limit_gain``; nan where the limit is no gain (KL 0, or rewards that never vary)."""
        return self.gain / self.limit_gain if self.limit_gain > 0 else _NAN

    @property
    def missing_reward(self) -> float:
        """``limit_gain`` less ``gain``."""
        return self.limit_gain - self.gain

    @cached_property
    def least_kl(self) -> float:
        """The least average KL with which any policy gets that gain (for a loss: exactly that loss)."""
        return float(least_kl_average(self.base, self._centred, self.gain)[0])

    @property
    def wasted_kl(self) -> float:
        """``kl`` less ``least_kl``: KL(pi || pi_beta) of the shared beta that gets the gain."""
        return self.kl - self.least_kl

    # Where the KL went.

    @cached_property
    def _laws(self) -> tuple[Array, Array]:
        return reward_law(self.policy, self.rewards), reward_law(self.base, self.rewards)

    @property
    def reward_law_kl(self) -> float:
        """KL between the laws of the reward, outputs of exactly equal reward within a prompt merged."""
        return float(kl_rows(*self._laws).mean())

    @property
    def necessary(self) -> float:
        """``least_kl``."""
        return self.least_kl

    @property
    def allocation(self) -> float:
        """Spent on the wrong prompts: the least KL of every prompt's own gain, less ``necessary``."""
        return float(self.least_kl_by_prompt.mean()) - self.least_kl

    @property
    def shape(self) -> float:
        """The reward's law is not a tilted one: ``reward_law_kl`` less the least KL of every prompt's own gain."""
        return self.reward_law_kl - float(self.least_kl_by_prompt.mean())

    @property
    def off_reward(self) -> float:
        """E KL(pi(.|r) || pi0(.|r)): spent among outputs of equal reward."""
        blind = spread_law(self._laws[0], self.base, self.rewards)
        return float(kl_rows(self.policy, blind).mean())

    # What single completions show.

    @cached_property
    def win_rate(self) -> float:
        """Probability that the policy's completion has more reward than the base policy's, ties half."""
        return float(win_rates(*self._laws).mean())

    @cached_property
    def _log_ratio(self) -> Array:
        """log(pi / pi0), 0 where the policy never goes."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.policy > 0, np.log(self.policy) - np.log(self.base), 0.0)

    @property
    def k2(self) -> float:
        """Mean of half the squared log ratio under the policy: a biased stand-in for the KL."""
        return float(0.5 * (self.policy * self._log_ratio**2).sum(axis=1).mean())

    @property
    def base_mass(self) -> float:
        """Mean of pi0 / pi under the policy: the base policy's mass on outputs that the policy gives at all."""
        return float(np.where(self.policy > 0, self.base, 0.0).sum(axis=1).mean())

    @cached_property
    def _moments(self) -> tuple[float, float, float]:
        """Cov(l, r), Var(r) and Var(l) within prompts under the policy, l the log ratio; averages over prompts."""

        def less_mean(x: Array) -> Array:
            return np.asarray(x - (self.policy * x).sum(axis=1, keepdims=True))

        ratio, reward = less_mean(self._log_ratio), less_mean(self._centred)
        pairs = ((ratio, reward), (reward, reward), (ratio, ratio))
        shared, of_reward, of_ratio = (float((self.policy * a * b).sum(axis=1).mean()) for a, b in pairs)
        return shared, of_reward, of_ratio

    @property
    def slope(self) -> float:
        """Of the log ratio on the reward, pooled over prompts: nats per reward; nan where the reward never varies."""
        shared, of_reward, _ = self._moments
        return shared / of_reward if of_reward > 0 else _NAN

    @property
    def implied_beta(self) -> float:
        """``1 / slope``; nan where the slope is not above 0."""
        return 1.0 / self.slope if self.slope > 0 else _NAN

    @property
    def r_squared(self) -> float:
        """Share of the log ratio's variance within prompts that the reward explains; nan where either never varies."""
        shared, of_reward, of_ratio = self._moments
        return shared**2 / (of_reward * of_ratio) if of_reward > 0 and of_ratio > 0 else _NAN

    def distance(self, beta: float) -> float:
        """KL(policy || base exp(r / beta) / Z); a beta < 0 is allowed, an infinite one is the base policy.

        Raises:
            InputError: ``beta`` is 0 or NaN.
        """
        return float(kl_rows(self.policy, tilted(self.base, self.rewards, float(beta))).mean())
