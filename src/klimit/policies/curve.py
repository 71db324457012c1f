"""What a policy gets for its KL: the result that every policy of this package returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from klimit.policies.levels import Floats

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Target = Literal["population", "these-prompts"]

_COLUMNS = (
    "kl",
    "kl_low",
    "kl_high",
    "kl_bound",
    "gain",
    "gain_low",
    "gain_high",
    "reward",
    "win_rate",
    "efficiency",
    "efficiency_low",
    "efficiency_high",
    "draws",
)


@dataclass(frozen=True, eq=False)
class PolicyCurve:
    """A policy's gain and KL at each of its settings, averaged over prompts; all arrays of shape ``(k,)``.

    Attributes:
        policy: which policy, for example ``"best-of-n"``.
        parameters: its settings by name, for example ``{"n": [1, 2, 4]}``; also ``.n``, ``.mu``, ``.beta``.
        kl: KL from the base policy, nats per completion, with its interval ``kl_low``, ``kl_high``.
        kl_bound: an analytic upper bound on the KL that holds whatever the rewards (for best-of-N
            log N - (N - 1)/N, its KL if no two completions tied).
        gain: expected reward less the base policy's, with its interval ``gain_low``, ``gain_high``.
        reward: expected reward.
        win_rate: probability that the policy's completion has more reward than one from the base policy,
            ties counting half (nan where it is not computed).
        efficiency: gain over the limit at an average budget of the same KL, with its interval
            ``efficiency_low``, ``efficiency_high``. Nan at KL 0 and beyond the limit's horizon; beyond the
            horizon the interval is the range that the limit's bracket leaves.
        draws: expected number of base completions drawn for one answer.
        base_reward: expected reward of the base policy.
        reward_name: the reward column.
        n_prompts: number of prompts averaged over.
        level: nominal cover of the intervals.
        target: what they are about: the population of prompts, or these prompts.
        transform: of the reward, by name.
    """

    policy: str
    parameters: Mapping[str, NDArray[Any]]
    kl: Floats
    kl_low: Floats
    kl_high: Floats
    kl_bound: Floats
    gain: Floats
    gain_low: Floats
    gain_high: Floats
    reward: Floats
    win_rate: Floats
    efficiency: Floats
    efficiency_low: Floats
    efficiency_high: Floats
    draws: Floats
    base_reward: float
    reward_name: str
    n_prompts: int
    level: float
    target: Target
    transform: str = "identity"

    @property
    def n(self) -> NDArray[Any]:
        """N, where the policy has one."""
        return self._parameter("n")

    @property
    def mu(self) -> NDArray[Any]:
        """The mean of N - 1 of best-of-Poisson."""
        return self._parameter("mu")

    @property
    def beta(self) -> NDArray[Any]:
        """The temperature of soft best-of-N and rejection sampling, in units of reward."""
        return self._parameter("beta")

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw gain against KL with intervals; see :func:`klimit.reports.policy_figure.plot_policy`."""
        from klimit.reports.policy_figure import plot_policy

        drawn: Axes = plot_policy(self, ax=ax, **options)
        return drawn

    def to_frame(self) -> pd.DataFrame:
        """A pandas table, one row a setting; its columns are the parameters and the arrays."""
        import pandas as pd

        arrays = {name: getattr(self, name) for name in _COLUMNS}
        return pd.DataFrame({"policy": self.policy, **self.parameters, **arrays})

    def __len__(self) -> int:
        return len(self.kl)

    def _parameter(self, name: str) -> NDArray[Any]:
        if name not in self.parameters:
            raise AttributeError(f"{self.policy} has no {name!r}; it has {', '.join(self.parameters)}")
        return np.asarray(self.parameters[name])
