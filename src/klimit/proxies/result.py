"""What :func:`klimit.hacking` returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from klimit.audits.measured import Array
from klimit.limit.result import Frontier
from klimit.proxies.gap import Gap
from klimit.samples.container import Samples
from klimit.values import Value

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Best:
    """Where gold is highest.

    Attributes:
        setting: beta, N or mu; its interval holds every setting that cannot be told to be worse.
        kl: there, nats per completion.
        gold_gain: there.
        at_end: whether it is the last setting that the samples can show: gold may rise further.
    """

    setting: Value
    kl: Value
    gold_gain: Value
    at_end: bool


@dataclass(frozen=True, eq=False)
class Selection:
    """Best-of-N (or Best-of-Poisson) by the proxy; arrays of shape ``(K,)``.

    Attributes:
        setting: N, or mu.
        kl: nats per completion, with ``kl_low``, ``kl_high``.
        proxy_gain: gain in the proxy, with its ends.
        gold_gain: gain in gold, with its ends.
        best: where gold is highest.
        falls_by: the first setting at which gold has fallen for certain from its highest; None where none has.
        worse_than_base: the first setting beyond the best whose gold gain is estimated below 0; None where none is.
    """

    setting: Array
    kl: Array
    kl_low: Array
    kl_high: Array
    proxy_gain: Array
    proxy_gain_low: Array
    proxy_gain_high: Array
    gold_gain: Array
    gold_gain_low: Array
    gold_gain_high: Array
    best: Best
    falls_by: float | None
    worse_than_base: float | None

    def to_frame(self) -> pd.DataFrame:
        """One row a setting."""
        import pandas as pd

        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return pd.DataFrame({name: each for name, each in arrays.items() if isinstance(each, np.ndarray)})


@dataclass(frozen=True, eq=False, repr=False)
class Hacking:
    """What optimising a proxy does to gold. KLs are in nats per completion, averaged over prompts.

    Along the proxy's tilt ``pi0 exp(proxy / beta) / Z``, at KLs up to the horizon; gains are over the base policy.

    Attributes:
        samples: the base samples.
        proxy_name: the reward that is optimised.
        gold_name: the reward that is meant.
        level: nominal cover of the intervals, which are about the population of prompts.
        n_labels: completions with a gold label.
        horizon: largest KL at which both curves can be trusted.
        kl: ``(K,)``.
        beta: of the tilt, proxy reward per nat, ``(K,)``.
        proxy_gain: with ``_low`` and ``_high``; the same for the others.
        gold_gain: at that KL.
        gold_limit: the most gold that any policy can gain at that KL; nan where labels are too few for it.
        covariance: of gold and proxy under the tilt, averaged over prompts: the slope of gold in ``1/beta``.
        threshold: KL where gold first turns down; 0 where it does so from the start; an estimate of nan, with
            ``high`` infinite, where it does not within the horizon.
        threshold_beta: the beta there.
        worse_than_base: KL from which gold is below the base policy's.
        best: the beta at which gold is highest.
        best_of_n: best-of-N by the proxy; ``best_of_n.best`` is the best N.
        best_of_poisson: Best-of-Poisson by the proxy.
        labels_needed: gold labels in all that would pin the threshold to a quarter either way; at least so many where
            its interval has no upper end; None where there is no threshold above 0 in sight.
        proxy_limit: the limit of the proxy.
        gold_frontier: the limit of gold; None where labels are too few for it.
        warnings: limitations, one line each.
    """

    samples: Samples
    proxy_name: str
    gold_name: str
    level: float
    n_labels: int
    horizon: float
    kl: Array
    beta: Array
    proxy_gain: Array
    proxy_gain_low: Array
    proxy_gain_high: Array
    gold_gain: Array
    gold_gain_low: Array
    gold_gain_high: Array
    gold_limit: Array
    gold_limit_low: Array
    gold_limit_high: Array
    covariance: Array
    covariance_low: Array
    covariance_high: Array
    threshold: Value
    threshold_beta: Value
    worse_than_base: Value
    best: Best
    best_of_n: Selection
    best_of_poisson: Selection | None
    labels_needed: int | None
    proxy_limit: Frontier
    gold_frontier: Frontier | None
    warnings: tuple[str, ...]
    _gap: Callable[[float], Gap]

    def gap(self, *, beta: float) -> Gap:
        """What tilting by the proxy instead of gold costs at one beta; see :class:`klimit.proxies.gap.Gap`.

        Raises:
            InputError: ``beta`` is not a finite number above 0, lies where the samples show nothing, or gold is known
                for a part of the samples only.
        """
        return self._gap(beta)

    def to_frame(self) -> pd.DataFrame:
        """The arrays along the tilt, one row a KL."""
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in _ALONG})

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw gold and proxy along the tilt; see :func:`klimit.reports.hacking.figure.plot_hacking`."""
        from klimit.reports.hacking.figure import plot_hacking

        drawn: Axes = plot_hacking(self, ax=ax, **options)
        return drawn

    def __repr__(self) -> str:
        end = (
            f"turns down at {self.threshold} nats"
            if np.isfinite(self.threshold.estimate)
            else "does not turn down"
        )
        return f"Hacking({self.gold_name} under {self.proxy_name}: {end}, horizon {self.horizon:.3g} nats)"


_ALONG = (
    "kl",
    "beta",
    *(
        f"{name}{end}"
        for name in ("proxy_gain", "gold_gain", "gold_limit", "covariance")
        for end in ("", "_low", "_high")
    ),
)
