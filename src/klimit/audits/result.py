"""What :func:`klimit.audit` returns: one policy's account, or several policies on one plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.limit.result import Frontier
from klimit.policies.curve import PolicyCurve
from klimit.samples.container import Samples
from klimit.values import Value

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Parts:
    """Where the KL went; the four sum to it, and each is at least 0 (theirs estimates only up to their intervals).

    Attributes:
        necessary: the least KL that the policy's gain needs, under an average budget.
        allocation: spent on the wrong prompts: the least KL that every prompt's own gain needs, less ``necessary``.
        shape: the law of the reward differs from a tilted one: KL between the laws of the reward, less the two above.
        off_reward: on changes that the reward does not see.
        resolved: whether the samples tell shape from off-reward: rewards repeat often enough for their law to be
            estimated. If not, the two are parted at the resolution of the samples (``bins``), and the interval of
            each spans what a finer look could find.
        bins: levels of the reward, or bins of it, that its law was estimated on; mean over prompts.
    """

    necessary: Value
    allocation: Value
    shape: Value
    off_reward: Value
    resolved: bool
    bins: float


@dataclass(frozen=True)
class Regression:
    """The log ratio ``log pi/pi0`` regressed on the reward within prompts, over the policy's completions.

    At the optimum it is a straight line of slope ``1/beta`` (Donsker-Varadhan's maximiser).

    Attributes:
        slope: nats per reward.
        implied_beta: ``1/slope``: reward per nat; None where the slope is not above 0.
        r_squared: share of the log ratio's variance within prompts that the reward explains.
    """

    slope: Value
    implied_beta: Value | None
    r_squared: Value


@dataclass(frozen=True, eq=False)
class PromptTable:
    """The audit prompt by prompt; arrays of shape ``(P,)``, in the order of the base samples.

    Attributes:
        prompt_id: keys.
        gain: mean reward of the policy less the base policy's.
        gain_error: its standard error, given the prompt; nan with a single completion.
        kl: KL by the audit's estimator; None without log-probabilities.
        kl_error: its standard error, given the prompt.
        least_kl: the least KL that the prompt's own gain needs; infinite where the base samples show no such gain.
            A single prompt's is biased upwards by its noise.
        idle: whether KL was spent there for nothing: KL above 0 by two standard errors, gain not by one.
        truncated: share of the policy's completions cut at the token limit; None where that is unknown.
    """

    prompt_id: NDArray[Any]
    gain: NDArray[np.float64]
    gain_error: NDArray[np.float64]
    kl: NDArray[np.float64] | None
    kl_error: NDArray[np.float64] | None
    least_kl: NDArray[np.float64]
    idle: NDArray[np.bool_]
    truncated: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """What one policy got for its KL. KLs are ``KL(policy || base)`` in nats per completion, averaged over prompts.

    Every quantity is a :class:`~klimit.values.Value`. Without log-probabilities only ``gain``, ``reward``, ``win_rate``
    and ``least_kl`` are known; the rest is None.

    Attributes:
        name: of the policy.
        policy: its samples, prompts in the order of the base samples.
        base: the base samples.
        reward_name: the reward audited.
        transform: of the reward.
        level: nominal cover of the intervals, which are about the population of prompts.
        base_reward: mean reward of the base policy.
        reward: mean reward of the policy.
        gain: ``reward`` less ``base_reward``.
        win_rate: probability that the policy's completion has more reward than the base policy's, ties half.
        least_kl: the least KL with which any method gets that gain (for a loss: exactly that loss).
        kl: by ``kl_estimator``.
        kl_estimator: ``"k1"``, ``"k3"`` or ``"rao-blackwellised"``: the unbiased one of least estimated variance, or
            the one asked for.
        kl_estimates: by every estimator that the columns allow, by name.
        efficiency: gain over the limit at an average budget of ``kl``. Beyond the horizon a range. None at KL 0.
        missing_reward: that limit less the gain.
        wasted_kl: ``kl`` less ``least_kl``.
        parts: where the KL went.
        regression: of the log ratio on the reward.
        distance: ``KL(policy || tilted policy)`` at the implied beta.
        noise_floor: KL that two engines' log-probabilities of one policy show; None where one engine alone is known.
        base_mass: mean of ``pi0/pi`` over the policy's completions: 1 for log-probabilities that are consistent and
            samples that cover the base policy.
        truncated: share of the policy's completions cut at the token limit.
        base_truncated: the same of the base policy's.
        status: ``"estimate"`` where ``kl`` lies within the base samples' horizon, ``"bracket"`` beyond it,
            ``"no log-probabilities"`` without them.
        prompts: prompt by prompt.
        limit: the base policy's limit (of the transformed reward).
        best_of_n: best-of-N of the base policy.
        notes: what was read, held back or left out, one line each.
        warnings: limitations of the answer, one line each.
    """

    name: str
    policy: Samples
    base: Samples
    reward_name: str
    transform: str
    level: float
    base_reward: Value
    reward: Value
    gain: Value
    win_rate: Value
    least_kl: Value
    kl: Value | None
    kl_estimator: str | None
    kl_estimates: Mapping[str, Value]
    efficiency: Value | None
    missing_reward: Value | None
    wasted_kl: Value | None
    parts: Parts | None
    regression: Regression | None
    distance: Value | None
    noise_floor: Value | None
    base_mass: Value | None
    truncated: Value | None
    base_truncated: Value | None
    status: str
    prompts: PromptTable
    limit: Frontier
    best_of_n: PolicyCurve
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return self.base.n_prompts

    @property
    def values(self) -> dict[str, Value]:
        """Every quantity that is known, by name; parts and regression under the names of their fields."""
        found: dict[str, Value | None] = {name: getattr(self, name) for name in _QUANTITIES}
        if self.parts is not None:
            found |= {name: getattr(self.parts, name) for name in PART_NAMES}
        if self.regression is not None:
            found |= {name: getattr(self.regression, name) for name in ("slope", "implied_beta", "r_squared")}
        return {name: value for name, value in found.items() if value is not None}

    def to_frame(self) -> pd.DataFrame:
        """One row a quantity: ``quantity, estimate, low, high``."""
        import pandas as pd

        rows = [(name, v.estimate, v.low, v.high) for name, v in self.values.items()]
        return pd.DataFrame(rows, columns=["quantity", "estimate", "low", "high"])

    def prompts_frame(self) -> pd.DataFrame:
        """The audit prompt by prompt, one row a prompt: the arrays of :attr:`prompts` that are known."""
        import pandas as pd

        table = {name: getattr(self.prompts, name) for name in PromptTable.__dataclass_fields__}
        table["prompt_id"] = list(self.prompts.prompt_id)
        return pd.DataFrame({name: column for name, column in table.items() if column is not None})

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the policy on the plane of KL and reward; see :func:`klimit.reports.audit.figure.plot_audits`."""
        return Audits((self,)).plot(ax, **options)

    def __repr__(self) -> str:
        kl = "no log-probabilities" if self.kl is None else f"KL {self.kl} nats"
        return f"Audit({self.name}: {kl}, gain {self.gain}, {self.n_prompts} prompts)"


_QUANTITIES = (
    "base_reward",
    "reward",
    "gain",
    "win_rate",
    "least_kl",
    "kl",
    "efficiency",
    "missing_reward",
    "wasted_kl",
    "distance",
    "noise_floor",
    "base_mass",
    "truncated",
    "base_truncated",
)
PART_NAMES = ("necessary", "allocation", "shape", "off_reward")


@dataclass(frozen=True, eq=False, repr=False)
class Audits(Sequence[Audit]):
    """Several policies, or the checkpoints of one run in order, on one plane: they share base samples and limit.

    Attributes:
        audits: one a policy, in the order given.
    """

    audits: tuple[Audit, ...]

    @property
    def limit(self) -> Frontier:
        """The base policy's limit."""
        return self.audits[0].limit

    @property
    def best_of_n(self) -> PolicyCurve:
        """Best-of-N of the base policy."""
        return self.audits[0].best_of_n

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the policies."""
        return tuple(audit.name for audit in self.audits)

    def __len__(self) -> int:
        return len(self.audits)

    def __iter__(self) -> Iterator[Audit]:
        return iter(self.audits)

    @overload
    def __getitem__(self, index: int | str) -> Audit: ...
    @overload
    def __getitem__(self, index: slice) -> Audits: ...
    def __getitem__(self, index: int | str | slice) -> Audit | Audits:
        if isinstance(index, slice):
            return Audits(self.audits[index])
        if isinstance(index, str):
            if index not in self.names:
                raise InputError(f"no policy {index!r}; audited: {', '.join(self.names)}")
            return self.audits[self.names.index(index)]
        return self.audits[index]

    def to_frame(self) -> pd.DataFrame:
        """One row a policy: for every quantity ``x`` the columns ``x, x_low, x_high``; nan where it is not known."""
        import pandas as pd

        names = dict.fromkeys(name for audit in self.audits for name in audit.values)
        rows = []
        for audit in self.audits:
            row: dict[str, Any] = {
                "policy": audit.name,
                "status": audit.status,
                "kl_estimator": audit.kl_estimator,
            }
            for name in names:
                value = audit.values.get(name)
                ends = (np.nan,) * 3 if value is None else (value.estimate, value.low, value.high)
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the policies beside the limit; see :func:`klimit.reports.audit.figure.plot_audits`."""
        from klimit.reports.audit.figure import plot_audits

        drawn: Axes = plot_audits(self, ax=ax, **options)
        return drawn

    def plot_parts(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw where each policy's KL went; see :func:`klimit.reports.audit.bars.plot_parts`."""
        from klimit.reports.audit.bars import plot_parts

        drawn: Axes = plot_parts(self, ax=ax, **options)
        return drawn

    def __repr__(self) -> str:
        return f"Audits({', '.join(self.names)})"
