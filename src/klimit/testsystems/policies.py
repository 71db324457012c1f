"""Policies given as tables, with the exact numbers of their audit: the truth that estimates from samples must cover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from klimit.errors import InputError
from klimit.limit import exact
from klimit.limit.roots import Array
from klimit.samples.container import Samples
from klimit.testsystems import policy_making as making
from klimit.testsystems.policy_numbers import PolicyNumbers
from klimit.testsystems.policy_samples import as_samples, cumulative, draw_outputs

_AVERAGES = (
    "base_reward",
    "reward",
    "gain",
    "win_rate",
    "least_kl",
    "kl",
    "efficiency",
    "missing_reward",
    "wasted_kl",
    "base_mass",
    "necessary",
    "allocation",
    "shape",
    "off_reward",
    "slope",
    "implied_beta",
    "r_squared",
)


@dataclass(frozen=True, eq=False, repr=False)
class PolicyTables(PolicyNumbers):
    """A policy, its base policy and their rewards as tables ``(P, K)``: exact numbers, and samples of both.

    >>> base, rewards = random_tables(100, 20, seed=1)
    >>> system = PolicyTables.best_of(base, rewards, 4)
    >>> policy, reference = system.sample(300, 64, seed=2)
    >>> system.kl, system.efficiency, system.off_reward  # what klimit.audit(policy, reference) estimates
    """

    # Policies to audit.

    @classmethod
    def tilted(cls, base: ArrayLike, rewards: ArrayLike, beta: float) -> PolicyTables:
        """base exp(r / beta) / Z with one beta for all prompts: on the limit. A beta < 0 seeks small rewards.

        Raises:
            InputError: ``beta`` is 0 or NaN.
        """
        p, r = exact.check_tables(base, rewards)
        return cls(p, making.tilted(p, r, float(beta)), r)

    @classmethod
    def misallocated(cls, base: ArrayLike, rewards: ArrayLike, betas: ArrayLike) -> PolicyTables:
        """Every prompt tilted with its own beta, ``(P,)``: wastes in ``allocation`` alone.

        Raises:
            InputError: a beta is 0 or NaN, or there is not one for every prompt.
        """
        p, r = exact.check_tables(base, rewards)
        return cls(p, making.tilted(p, r, np.atleast_1d(betas)), r)

    @classmethod
    def best_of(cls, base: ArrayLike, rewards: ArrayLike, n: int) -> PolicyTables:
        """Best-of-N, ties broken blindly: wastes nothing off the reward.

        Raises:
            InputError: ``n`` is not a whole number >= 1.
        """
        p, r = exact.check_tables(base, rewards)
        return cls(p, making.best_of(p, r, n), r)

    @classmethod
    def permuted(cls, base: ArrayLike, rewards: ArrayLike, strength: float, *, seed: int) -> PolicyTables:
        """Outputs of equal reward trade mass, by factors exp(strength z), z normal: all of its KL is off the reward.

        Raises:
            InputError: ``strength`` is negative or not finite.
        """
        p, r = exact.check_tables(base, rewards)
        return cls(p, making.permuted(p, r, strength, seed), r)

    @classmethod
    def noisy(
        cls, base: ArrayLike, rewards: ArrayLike, beta: float, strength: float, *, seed: int
    ) -> PolicyTables:
        """A tilted policy times exp(strength z), z normal for each output, renormalised: wastes in every part.

        Raises:
            InputError: ``beta`` is 0 or NaN, or ``strength`` negative or not finite.
        """
        p, r = exact.check_tables(base, rewards)
        return cls(p, making.noisy(making.tilted(p, r, float(beta)), strength, seed), r)

    @classmethod
    def mixture(cls, policies: Sequence[PolicyTables], weights: ArrayLike) -> PolicyTables:
        """The policy that follows one of ``policies``, drawn with ``weights`` for each completion.

        Raises:
            InputError: no policies, other bases or rewards, or weights that are not one share >= 0 a policy.
        """
        shares = np.asarray(weights, dtype=float)
        if not policies or shares.shape != (len(policies),):
            raise InputError(
                f"mixture: {len(policies)} policies and weights of shape {shares.shape}; give one each"
            )
        if not ((shares >= 0).all() and 0 < shares.sum() < np.inf):
            raise InputError(f"mixture: weights {weights!r} must be >= 0 with a finite sum above 0")
        first = policies[0]
        for number, other in enumerate(policies):
            same = np.array_equal(other.base, first.base) and np.array_equal(other.rewards, first.rewards)
            if not same:
                raise InputError(
                    f"mixture: policy {number} has another base policy or other rewards than policy 0"
                )
        mixed = np.tensordot(shares / shares.sum(), np.stack([p.policy for p in policies]), axes=1)
        return cls(first.base, mixed, first.rewards)

    # What an audit should find, and what it is given.

    @property
    def values(self) -> dict[str, float]:
        """The truths of what an audit estimates, by the audit's names; ``distance`` is at the implied beta."""
        found = {name: float(getattr(self, name)) for name in _AVERAGES}
        beta = self.implied_beta
        return {**found, "distance": self.distance(beta) if beta > 0 else float("nan")}

    @cached_property
    def _edges(self) -> tuple[Array, Array]:
        return cumulative(self.policy), cumulative(self.base)

    @cached_property
    def _logs(self) -> tuple[Array, Array]:
        with np.errstate(divide="ignore"):
            return np.log(self.policy), np.log(self.base)

    def sample(
        self,
        n_prompts: int | None,
        n_completions: int,
        base_completions: int | None = None,
        *,
        seed: int = 0,
        redraw_prompts: bool = True,
    ) -> tuple[Samples, Samples]:
        """Samples of the policy and of the base policy on the same prompts.

        The policy's carry ``reward``, ``logprob`` and ``ref_logprob``, the base policy's ``reward`` and ``logprob``;
        both have the ``output`` drawn as metadata.

        Args:
            n_prompts: rows drawn with replacement, each draw a prompt of its own with its own id.
            n_completions: of the policy, for each prompt.
            base_completions: of the base policy; as many if not given.
            seed: of the random numbers.
            redraw_prompts: False takes every row once and in order; ``n_prompts`` is then their number, or None.

        Raises:
            InputError: a size is below 1, or ``n_prompts`` not that of the rows where none are redrawn.
        """
        rows_here = len(self.base)
        if not redraw_prompts and n_prompts not in (None, rows_here):
            raise InputError(
                f"n_prompts={n_prompts}: with redraw_prompts=False every row is taken once; give {rows_here}, or None"
            )
        prompts = rows_here if n_prompts is None else n_prompts
        own_base = n_completions if base_completions is None else base_completions
        if min(prompts, n_completions, own_base) < 1:
            raise InputError(
                f"n_prompts={prompts}, n_completions={n_completions}, base_completions={own_base}: all must be >= 1"
            )
        rng = np.random.default_rng(seed)
        rows = rng.integers(rows_here, size=prompts) if redraw_prompts else np.arange(rows_here)
        drawn, base_drawn = (
            draw_outputs(rng, edges, rows, count)
            for edges, count in zip(self._edges, (n_completions, own_base), strict=True)
        )
        log_policy, log_base = self._logs
        own = {"reward": self.rewards, "logprob": log_policy, "ref_logprob": log_base}
        return (
            as_samples(rows, drawn, "policy tables", own),
            as_samples(rows, base_drawn, "base tables", {"reward": self.rewards, "logprob": log_base}),
        )
