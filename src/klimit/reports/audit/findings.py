"""What an audit's report says, apart from how: the rival, the parts as they can be told, prompts without a gain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from klimit.audits.result import Audit
from klimit.reports.values import Unit
from klimit.values import Value

ESTIMATORS = {"rao-blackwellised": "Rao-Blackwellised"}
_MANY_CUT = 0.05  # share of completions cut at the token limit worth a caution
_MUCH_IDLE = 0.1  # share of the KL spent on idle prompts worth one
_SHOWS = 0.5  # of the average gain: a prompt's error from which that gain would not be missed


@dataclass(frozen=True)
class Rival:
    """Best-of-N that beats or equals the policy.

    Attributes:
        n: its N.
        kl: nats per completion.
        gain: in the reward.
        better: whether both are better beyond their intervals; else the KL alone is.
    """

    n: int
    kl: float
    gain: float
    better: bool


@dataclass(frozen=True, eq=False)
class AuditFindings:
    """One policy's account, made ready to be told.

    Attributes:
        audit: the account.
    """

    audit: Audit

    @cached_property
    def nats(self) -> Unit:
        """How KLs are written."""
        return Unit.fitting(self.audit.least_kl if self.audit.kl is None else self.audit.kl)

    @cached_property
    def gains(self) -> Unit:
        """How gains are written: by their own size or that of what they lack."""
        return Unit.fitting(self.audit.gain, self.audit.missing_reward, signed=True)

    @cached_property
    def rewards(self) -> Unit:
        """How rewards and differences of them are written: with the gains' digits."""
        return Unit(self.gains.form)

    @property
    def estimator(self) -> str:
        """The KL's estimator, by the name that papers give it."""
        name = self.audit.kl_estimator or ""
        return ESTIMATORS.get(name, name)

    @property
    def same_policy(self) -> bool:
        """Whether both log-probabilities are the same for every completion."""
        policy = self.audit.policy
        if policy.logprob is None or policy.ref_logprob is None:
            return False
        return np.array_equal(policy.logprob, policy.ref_logprob)

    @property
    def has_kl(self) -> bool:
        """Whether a KL was seen, be it an estimate or a range."""
        return self.audit.kl is not None and self.audit.kl.low > 0

    @property
    def beyond(self) -> bool:
        """Whether the KL lies beyond the horizon, so that what is compared with the limit is a range."""
        return self.audit.status == "bracket"

    @cached_property
    def rival(self) -> Rival | None:
        """The smallest N whose best-of-N does better, else the smallest that does as well for less KL."""
        audit, best = self.audit, self.audit.best_of_n
        less = best.n > 1
        if audit.kl is not None:
            less = less & (best.kl_high < audit.kl.low)
        better = less & (best.gain_low > audit.gain.high)
        equal = less & (best.gain_low > 0) & (best.gain >= audit.gain.estimate) & (audit.kl is not None)
        for which in (better, equal):
            if which.any():
                i = int(np.flatnonzero(which)[np.argmin(best.n[which])])
                return Rival(int(best.n[i]), float(best.kl[i]), float(best.gain[i]), bool(better[i]))
        return None

    @cached_property
    def beside_the_point(self) -> Value | None:
        """Shape and off-reward together: known better than their split."""
        audit = self.audit
        if audit.parts is None or audit.wasted_kl is None:
            return None
        parts, wasted = audit.parts, audit.wasted_kl
        low = max(wasted.low - parts.allocation.high, parts.shape.low + parts.off_reward.low, 0.0)
        high = min(wasted.high - parts.allocation.low, parts.shape.high + parts.off_reward.high)
        estimate = parts.shape.estimate + parts.off_reward.estimate
        if not np.isfinite(estimate):
            return Value(float("nan"), low, max(high, low))
        return Value(estimate, min(low, estimate), max(high, estimate))

    @property
    def told_apart(self) -> dict[str, Value]:
        """The parts of the KL that the samples tell apart, by the names used in words."""
        parts = self.audit.parts
        if parts is None:
            return {}
        found = {"necessary": parts.necessary, "allocation": parts.allocation}
        if parts.resolved:
            return {**found, "shape": parts.shape, "off-reward": parts.off_reward}
        assert self.beside_the_point is not None
        return {**found, "shape + off-reward": self.beside_the_point}

    @cached_property
    def idle_share(self) -> float:
        """Share of the KL spent on prompts that show no gain."""
        prompts = self.audit.prompts
        if prompts.kl is None or not prompts.kl.sum() > 0:
            return 0.0
        return float(prompts.kl[prompts.idle].sum() / prompts.kl.sum())

    @property
    def much_idle(self) -> bool:
        """Whether those prompts are worth a word: they took more than a little, and an average gain would show."""
        prompts, gain = self.audit.prompts, self.audit.gain
        if gain.low <= 0 or self.idle_share < _MUCH_IDLE:
            return False
        return bool(np.median(prompts.gain_error[prompts.idle]) <= _SHOWS * gain.estimate)

    @property
    def many_cut(self) -> bool:
        """Whether more completions are cut at the token limit than can be passed over, and than the base policy's."""
        audit = self.audit
        if audit.truncated is None or audit.truncated.estimate < _MANY_CUT:
            return False
        return audit.base_truncated is None or audit.truncated.low > audit.base_truncated.estimate
