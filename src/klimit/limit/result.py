"""What :func:`klimit.frontier` returns: the limit as arrays, points, inverses and diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from klimit.errors import InputError
from klimit.limit import expansion
from klimit.limit.average import AverageBudget
from klimit.limit.bracket import Bracket
from klimit.limit.closed_form import WORTH_SHOWING, ClosedForm, rank_cumulants
from klimit.limit.dual import Array
from klimit.limit.estimator import Estimates, Inference
from klimit.limit.levels import Budget
from klimit.limit.options import check_budgets, check_number
from klimit.limit.pieces import Pieces, pieces
from klimit.limit.preparation import Rewards
from klimit.limit.saturation import Saturation, saturation
from klimit.samples.container import Samples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_INVERSE_POINTS = 128


def estimates_at(engine: Budget, inference: Inference, kl: Array) -> Estimates:
    """The limit at budgets within reach, in scaled rewards: estimated, or known."""
    return engine.estimate(kl) if isinstance(engine, ClosedForm) else inference.estimate(engine.levels(kl))


@dataclass(frozen=True)
class Point:
    """The limit at one KL budget, or at one beta.

    Attributes:
        kl: nats per completion, ``KL(pi || pi0)``.
        gain: most reward above the base mean; nan in the bracket.
        gain_low: lower end of the interval, or lower bound.
        gain_high: upper end of the interval, or upper bound.
        beta: reward per nat of whole-completion KL, the price of the next nat; nan in the bracket.
        status: ``"estimate"`` up to the horizon, ``"bracket"`` beyond it.
        kl_low: interval of the tilted policy's KL where ``beta`` was asked for; else ``kl``.
        kl_high: see ``kl_low``.
        kl_reverse: ``KL(pi0 || pi)`` of the tilted policy, average budget only; nan in the bracket.
    """

    kl: float
    gain: float
    gain_low: float
    gain_high: float
    beta: float
    status: str
    kl_low: float
    kl_high: float
    kl_reverse: float


@dataclass(frozen=True)
class Inverse:
    """The least KL that a gain needs.

    Attributes:
        gain: the gain asked for.
        kl: nats per completion; nan where the gain lies beyond what the estimate shows.
        kl_low: no method needs less.
        kl_high: this much suffices; infinite where the samples cannot say.
        status: ``"estimate"`` or ``"bracket"``.
    """

    gain: float
    kl: float
    kl_low: float
    kl_high: float
    status: str


@dataclass(frozen=True, eq=False)
class Linearised:
    """The limit near given budgets, for the errors of quantities derived from it.

    Attributes:
        value: the limit's gain, ``(K,)``; nan beyond the horizon.
        slope: ``d limit / d kl``, that is beta, ``(K,)``.
        bias: half-width allowed for the bias that remains, ``(K,)``.
        influences: gives the mean-zero influence of each prompt on ``value``, ``(P, K)``.
    """

    value: Array
    slope: Array
    bias: Array
    influences: Callable[[], Array]

    @cached_property
    def influence(self) -> Array:
        """Mean-zero influence of each prompt on ``value``, ``(P, K)``."""
        return self.influences()


@dataclass(frozen=True, eq=False, repr=False)
class Frontier:
    """The most reward that any method can buy at each KL budget; made by :func:`klimit.frontier`.

    Intervals are kept within what is certain: a gain is never below 0 (the base policy is allowed) nor above what the
    largest reward leaves, where that is known; an interval always holds its own estimate.

    Attributes:
        samples: the base samples.
        reward_name: the reward column.
        rewards: that reward, sorted, with its moments.
        budget: ``"average"`` or ``"per-prompt"``.
        engine: the uncorrected limit; None where the samples support no estimate at all.
        inference: estimator, target and level.
        horizon: largest budget at which the estimate can be trusted, in nats.
        horizon_reason: which condition ends it, see :mod:`klimit.limit.horizon`.
        reward_max: largest reward there is, None if unknown.
        bracket: bounds beyond the horizon.
        outer: the average-budget limit of the same samples, which bounds a per-prompt one from above.
        seed: of the random blocks.
        kl: budgets of the arrays, nats per completion, ``(K,)``.
    """

    samples: Samples
    reward_name: str
    rewards: Rewards
    budget: str
    engine: Budget | None
    inference: Inference
    horizon: float
    horizon_reason: str
    reward_max: float | None
    bracket: Bracket
    outer: Frontier | None
    seed: int
    kl: Array

    @property
    def transform(self) -> str:
        """What was made of the reward, by name; see :func:`klimit.rewards.parse_transform`."""
        return self.rewards.transform.name

    @property
    def reward_label(self) -> str:
        """The reward's name, and that of its transform, if any."""
        return self.reward_name if self.transform == "identity" else f"{self.reward_name}, {self.transform}"

    @property
    def ceiling(self) -> float:
        """What no reward exceeds: the largest there is, or all that the transform allows; infinite if unknown."""
        return self.rewards.transform.top if self.reward_max is None else self.reward_max

    @property
    def worth_showing(self) -> float:
        """The horizon in nats; or, for a limit that is known at every budget, where it is as good as reached."""
        return min(self.horizon, WORTH_SHOWING) if self.rewards.known else self.horizon

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return self.rewards.n_prompts

    @property
    def level(self) -> float:
        """Nominal cover of the intervals."""
        return self.inference.level

    @property
    def base_reward(self) -> float:
        """Mean reward of the base policy, averaged over prompts."""
        return float(self.rewards.mean.mean())

    @property
    def base_reward_error(self) -> float:
        """Standard error of :attr:`base_reward`, for the target."""
        return self.rewards.mean_error(given=self.inference.target == "these-prompts")

    @cached_property
    def _along(self) -> tuple[Array, Array, Array, Array]:
        return self._curve(self.kl)

    @property
    def gain(self) -> Array:
        """Most reward above the base mean at each budget, ``(K,)``; nan beyond the horizon."""
        return self._along[0]

    @property
    def gain_low(self) -> Array:
        """Lower ends of the intervals; beyond the horizon, lower bounds."""
        return self._along[1]

    @property
    def gain_high(self) -> Array:
        """Upper ends of the intervals; beyond the horizon, upper bounds."""
        return self._along[2]

    @property
    def beta(self) -> Array:
        """Reward per nat of whole-completion KL at each budget: the price of the next nat; nan beyond the horizon."""
        return self._along[3]

    @property
    def reward(self) -> Array:
        """Most reward at each budget: the base mean plus :attr:`gain`."""
        return self.base_reward + self.gain

    @property
    def status(self) -> NDArray[np.str_]:
        """``"estimate"`` up to the horizon, ``"bracket"`` beyond it."""
        return np.where(self.kl <= self.horizon, "estimate", "bracket")

    @cached_property
    def saturation(self) -> Saturation:
        """Where the limit stops growing, as far as the samples show it."""
        return saturation(self.rewards, self.reward_max)

    def at(self, *, kl: float | None = None, beta: float | None = None) -> Point:
        """The limit at one KL budget or, for the average budget, at one beta.

        Args:
            kl: nats per completion.
            beta: reward per nat of whole-completion KL. The point is that of the tilted policy
                ``pi0 exp(r / beta) / Z``; its KL and its gain are both estimated, each with an interval.

        Raises:
            InputError: not exactly one of the two, or not a finite number above 0.
        """
        if (kl is None) == (beta is None):
            raise InputError("give exactly one of kl= and beta=")
        if beta is not None:
            return self._at_beta(beta)
        budgets = check_budgets(kl)  # type: ignore[arg-type]
        if len(budgets) != 1:
            raise InputError(
                f"kl has {len(budgets)} budgets; at() takes one (frontier(..., kl=[...]) takes several)"
            )
        gain, low, high, price = (float(x[0]) for x in self._curve(budgets))
        budget = float(budgets[0])
        inside = budget <= self.horizon
        # At the optimum gain = beta * (KL + reverse KL): the Jeffreys form.
        reverse = gain / price - budget if inside and self.budget == "average" and price > 0 else float("nan")
        status = "estimate" if inside else "bracket"
        return Point(budget, gain, low, high, price, status, budget, budget, reverse)

    def kl_for(self, *, gain: float) -> Inverse:
        """The least KL that a gain needs, with an interval: the inverse of the limit.

        Raises:
            InputError: the gain is not a finite number, or above what the largest reward allows.
        """
        gain = check_number("gain", gain, positive=False)
        if gain <= 0:
            return Inverse(gain, 0.0, 0.0, 0.0, "estimate")
        if gain > self.bracket.cap:
            raise InputError(
                f"gain={gain:g}: no policy gains more than about {self.bracket.cap:.4g}, from the base mean "
                f"{self.base_reward:.4g} to the largest reward {self.ceiling:g}"
            )
        if isinstance(self.engine, ClosedForm):
            needed = self.engine.kl_for(gain)
            if needed <= self.horizon:
                return Inverse(gain, needed, needed, needed, "estimate")
            return Inverse(gain, float("nan"), self.horizon, float("inf"), "bracket")
        kl, value, low, high = self._inverse_table
        centre = self._invert(gain, kl, value, float("nan"))
        most = self._invert(gain, kl, low, float("inf"))
        least = self._invert(gain, kl, high, float("nan"))
        if np.isnan(least):
            edge = self.bracket
            least = self.horizon + (
                max(0.0, gain - edge.high) / edge.slope if 0 < edge.slope < np.inf else 0.0
            )
        if np.isinf(most):
            reached = np.flatnonzero(self.bracket.steps_gain >= gain)
            most = float(self.bracket.steps_kl[reached[0]]) if len(reached) else most
        return Inverse(gain, centre, least, most, "estimate" if np.isfinite(centre) else "bracket")

    def linearise(self, kl: ArrayLike) -> Linearised:
        """The limit near budgets ``(K,)``: value, slope, influences of the prompts and remaining bias."""
        budgets = np.atleast_1d(np.asarray(kl, dtype=np.float64))
        inside = (budgets > 0) & (budgets <= self.horizon)
        value, slope = np.full((2, len(budgets)), np.nan)
        bias = np.zeros(len(budgets))
        estimates: Estimates | None = None
        unit = self.rewards.scale
        if inside.any():
            estimates, price = self._estimate(budgets[inside])
            value[inside], slope[inside] = estimates.value * unit, price * unit
            bias[inside] = estimates.bias * unit

        def influences() -> Array:
            influence = np.zeros((self.n_prompts, len(budgets)))
            if estimates is not None:
                influence[:, inside] = estimates.influence * unit
            return influence

        return Linearised(value, slope, bias, influences)

    def square_root_law(self, kl: ArrayLike) -> Array:
        """``sqrt(2 V kl)``, the leading term for small budgets; see :mod:`klimit.limit.expansion`."""
        return expansion.square_root_law(self.rewards, kl, per_prompt=self.budget == "per-prompt")

    def next_term(self, kl: ArrayLike) -> Array:
        """The square-root law and the next term, in ``kl``; see :mod:`klimit.limit.expansion`."""
        return expansion.next_term(self.rewards, kl, per_prompt=self.budget == "per-prompt")

    def diagnostics(self, *, beta: ArrayLike | None = None, kl: ArrayLike | None = None) -> pd.DataFrame:
        """Effective sample size, Pareto k-hat and bias of each prompt; see :func:`klimit.limit.diagnostics.table`."""
        from klimit.limit.diagnostics import table

        return table(self, beta=beta, kl=kl)

    def pieces(self, beta: float) -> Pieces:
        """Both KL directions and the gain by three routes, of the tilted samples; see :mod:`klimit.limit.pieces`."""
        return pieces(self.rewards, beta)

    def to_frame(self) -> pd.DataFrame:
        """The arrays along the limit as a data frame, one row a budget."""
        import pandas as pd

        names = ("kl", "gain", "gain_low", "gain_high", "reward", "beta", "status")
        return pd.DataFrame({name: getattr(self, name) for name in names})

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the limit, its band, horizon and bracket; see :func:`klimit.reports.frontier.figure.plot_frontier`."""
        from klimit.reports.frontier.figure import plot_frontier

        drawn: Axes = plot_frontier(self, ax=ax, **options)
        return drawn

    def __repr__(self) -> str:
        return (
            f"Frontier({self.reward_name}: {self.n_prompts} prompts, {self.budget} budget, "
            f"horizon {self.horizon:.3g} nats, {self.inference.target}, {self.level:.0%} intervals)"
        )

    def _estimate(self, kl: Array) -> tuple[Estimates, Array]:
        """Estimates and prices within the horizon, in scaled rewards."""
        assert self.engine is not None
        smallest = self.engine.reach[0]
        reached = np.maximum(kl, smallest)
        estimates, beta = estimates_at(self.engine, self.inference, reached), self.engine.beta(reached)
        if (kl >= smallest).all():
            return estimates, beta
        # Below the grid the limit follows its expansion, to a relative error of the order of the budget.
        ratio = self.next_term(kl) / self.next_term(reached)
        return estimates.times(ratio), beta * np.sqrt(reached / kl)

    def _curve(self, kl: Array) -> tuple[Array, Array, Array, Array]:
        """Gain, lower and upper end, and beta at each budget."""
        gain, low, high, beta = np.full((4, len(kl)), np.nan)
        inside = kl <= self.horizon
        if inside.any():
            estimates, price = self._estimate(kl[inside])
            unit, cap = self.rewards.scale, self.bracket.cap
            most = self.ceiling - self.base_reward
            gain[inside] = np.minimum(estimates.value * unit, most)
            # A gain is never negative (the base policy is allowed) nor above what the largest reward leaves.
            low[inside] = np.minimum(np.maximum(estimates.low * unit, 0.0), gain[inside])
            high[inside] = np.maximum(np.minimum(estimates.high * unit, cap), gain[inside])
            beta[inside] = price * unit
        if not inside.all():
            low[~inside], high[~inside] = self.bracket.bounds(kl[~inside])
            if self.outer is not None:
                high[~inside] = np.minimum(
                    high[~inside], np.maximum(self.outer._curve(kl[~inside])[2], low[~inside])
                )
        return gain, low, high, beta

    def _at_beta(self, beta: float) -> Point:
        beta = check_number("beta", beta, positive=True)
        if self.budget != "average":
            raise InputError(
                "beta= belongs to the average budget: under a per-prompt budget every prompt has its own beta"
            )
        if isinstance(self.engine, ClosedForm):
            return self._known(beta)
        if not isinstance(self.engine, AverageBudget):
            return self._beyond(beta)
        t = np.array([self.rewards.scale / beta])
        if t[0] < self.engine.grid.t[0]:
            raise InputError(
                f"beta={beta:g} is so large that the tilted policy is the base policy; "
                f"give a beta below {self.rewards.scale / self.engine.grid.t[0]:.3g}"
            )
        budget = float(self.engine.kl_at(t)[0]) if t[0] <= self.engine.grid.t[-1] else float("nan")
        if not budget <= self.horizon:
            return self._beyond(beta)
        gain, forward, reverse = (self.inference.estimate(x) for x in self.engine.tilt_levels(t))
        unit = self.rewards.scale
        kl, back = float(forward.value[0]), float(reverse.value[0])
        return Point(
            kl=kl,
            gain=beta * (kl + back),  # the Jeffreys form
            gain_low=max(0.0, float(gain.low[0]) * unit),
            gain_high=min(self.bracket.cap, float(gain.high[0]) * unit),
            beta=beta,
            status="estimate",
            kl_low=max(0.0, float(forward.low[0])),
            kl_high=float(forward.high[0]),
            kl_reverse=back,
        )

    def _known(self, beta: float) -> Point:
        found = rank_cumulants(np.array([1 / beta]))
        kl, gain, back = float(found.kl[0]), float(found.gain[0]), float(found.log_partition[0])
        if kl > self.horizon:
            return self._beyond(beta)
        return Point(kl, gain, gain, gain, beta, "estimate", kl, kl, back)

    def _beyond(self, beta: float) -> Point:
        """A beta whose KL lies beyond the horizon: the price falls along the limit, so its KL is at least that."""
        low, high = self.bracket.low, self.bracket.cap
        nan = float("nan")
        return Point(nan, nan, low, high, beta, "bracket", self.horizon, float("inf"), nan)

    @cached_property
    def _inverse_table(self) -> tuple[Array, Array, Array, Array]:
        if self.horizon <= 0:
            return (np.zeros(1),) * 4
        kl = np.linspace(0, np.sqrt(self.horizon), _INVERSE_POINTS)[1:] ** 2
        kl[-1] = self.horizon
        gain, low, high, _ = self._curve(kl)
        ends = [np.concatenate([[0.0], np.maximum.accumulate(x)]) for x in (gain, low, high)]
        return np.concatenate([[0.0], kl]), ends[0], ends[1], ends[2]

    @staticmethod
    def _invert(gain: float, kl: Array, values: Array, missing: float) -> float:
        """The budget at which a non-decreasing curve reaches ``gain``; close to linear in the root of the budget."""
        if gain > values[-1]:
            return missing
        return float(np.interp(gain, values, np.sqrt(kl)) ** 2)
