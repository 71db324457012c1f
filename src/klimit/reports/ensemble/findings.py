"""What a report on an ensemble says, apart from how: its worth beside the best member, and what its errors share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from klimit.ensembles.law import correlations
from klimit.ensembles.moments import Stack, correlation_interval, prompt_moments, root
from klimit.ensembles.result import Ensemble
from klimit.proxies.by_members import HackingByMembers
from klimit.values import Value


@dataclass(frozen=True, eq=False)
class EnsembleFindings:
    """An ensemble made ready to be told.

    Attributes:
        found: the ensemble.
        hacked: what optimising subsets of its members does to gold; None where that was not asked or cannot be.
        why_not: why it cannot be, one line.
    """

    found: Ensemble
    hacked: HackingByMembers | None = None
    why_not: str = ""

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.found.proxies)

    @property
    def what(self) -> str:
        """``The mean of 5 proxies``."""
        name = self.found.aggregator.name
        of = f"the {name} of" if name in ("mean", "median", "min") else f"{name} of"
        return f"{of[0].upper()}{of[1:]} {self.n_members} proxies"

    @cached_property
    def best_member(self) -> int | None:
        """The member that agrees best with gold, chosen with hindsight; None without gold."""
        errors = self.found.errors
        return None if errors is None else int(np.argmax([one.estimate for one in errors.correlation]))

    @cached_property
    def advantage(self) -> Value | None:
        """Correlation with gold of the ensemble less that of its best member, prompt by prompt; None without gold.

        Both as they are standardised by these samples, so that what few completions cost them cancels.
        """
        found, best = self.found, self.best_member
        if best is None or found.gold_name is None:
            return None
        gold = np.asarray(found.samples.rewards[found.gold_name], dtype=np.float64)
        moments = prompt_moments(
            np.stack([found.reward, found.standardised[best], gold]), found.samples.offsets
        )

        def difference(stack: Stack) -> Stack:
            both = correlations(stack, np.eye(2))
            return np.asarray(both[:, :1] - both[:, 1:])

        return moments.derive(difference)[0].interval(found.level)

    @cached_property
    def shared(self) -> Value | None:
        """The share of the error variance of the members' mean that any number more like them would leave."""
        errors = self.found.errors
        if errors is None or not errors.shared.known:
            return None
        return Value(
            *(self._left(share) for share in (errors.shared.estimate, errors.shared.low, errors.shared.high))
        )

    def _left(self, share: float) -> float:
        """From the share of one member's error variance to that of the mean's."""
        left = share + (1 - share) / self.n_members
        return share / left if left > 0 else -math.inf

    @cached_property
    def opposed(self) -> dict[str, Value]:
        """Members that surely run against the others: correlation with the sum of the others, within prompts."""
        found = self.found
        moments = prompt_moments(found.standardised, found.samples.offsets)
        with_others = moments.derive(_with_others)
        values = [correlation_interval(with_others[i], found.level) for i in range(self.n_members)]
        return {name: value for name, value in zip(found.proxies, values, strict=True) if value.high < 0}

    @cached_property
    def standardising_error(self) -> float:
        """Error variance that standardising within prompts leaves even of gold itself, on gold's scale."""
        errors = self.found.errors
        assert errors is not None
        return errors.gold_variance.estimate * (1 / errors.standardising.estimate**2 - 1)

    @property
    def shares(self) -> bool:
        """Whether the members surely share an error, beyond what standardising costs them all."""
        errors, shared = self.found.errors, self.shared
        if errors is None or shared is None:
            return False
        return shared.low > 0 and errors.floor.low > self.standardising_error

    @cached_property
    def raw_correlation(self) -> Value | None:
        """Correlation with gold within prompts of the mean of the raw members, each over its own deviation.

        It is what collocation estimates without gold. None without gold.
        """
        found = self.found
        if found.gold_name is None:
            return None
        names = (*found.proxies, found.gold_name)
        values = np.stack([np.asarray(found.samples.rewards[name], dtype=np.float64) for name in names])
        moments = prompt_moments(values, found.samples.offsets)
        return correlation_interval(moments.derive(_of_raw_mean)[0], found.level)

    @property
    def blind(self) -> bool:
        """Whether the members' agreement makes them look surely better than gold finds them."""
        agreed, raw = self.found.collocation, self.raw_correlation
        return agreed is not None and raw is not None and agreed.mean_correlation.low > raw.high

    @property
    def weights_pay(self) -> bool:
        """Whether the best weights surely do better than equal ones on held-out prompts."""
        weights = self.found.weights
        return weights is not None and weights.best_less_equal.low > 0


def _with_others(stack: Stack) -> Stack:
    """Correlation of each variable with the sum of the others, ``(b, K)``."""
    own = np.diagonal(stack, axis1=1, axis2=2)
    rows = stack.sum(axis=2)
    rest = stack.sum(axis=(1, 2))[:, None] - 2 * rows + own
    return np.asarray((rows - own) / root(own) / root(rest))


def _of_raw_mean(stack: Stack) -> Stack:
    """Correlation of the last variable with the sum of the others, each over its deviation, ``(b, 1)``."""
    deviation = root(np.diagonal(stack, axis1=1, axis2=2))
    unit = stack / deviation[:, :, None] / deviation[:, None, :]
    return np.asarray(unit[:, :-1, -1].sum(axis=1) / root(unit[:, :-1, :-1].sum(axis=(1, 2))))[:, None]
