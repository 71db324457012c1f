"""The exact numbers of optimising a proxy instead of the gold reward, on policies given as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from klimit.errors import InputError
from klimit.limit import exact
from klimit.limit.roots import Array
from klimit.testsystems.proxy_path import ProxyPath, Turns, below_top, find_turns, first_loss, follow
from klimit.testsystems.proxy_selection import Levels, ProxyCurve, proxy_levels, selection_curve
from klimit.testsystems.selection import Selection, best_of, poisson


@dataclass(frozen=True, eq=False, repr=False)
class ProxyNumbers:
    """A base policy with a gold and a proxy reward as tables ``(P, K)``: the proxy's tilt, and selection by it.

    All numbers are averages over the rows (prompts), KLs in nats per completion; a tilt ``t = 1 / beta`` is shared by
    all prompts. A constant added to the proxy of a prompt changes nothing.

    Attributes:
        base: probabilities of the base policy, ``(P, K)``.
        gold: the reward that is meant.
        proxy: the reward that is optimised.

    Raises:
        InputError: a table is not ``(P, K)``, shapes differ, a value is not finite, or rows do not sum to 1.
    """

    base: NDArray[Any]
    gold: NDArray[Any]
    proxy: NDArray[Any]

    def __post_init__(self) -> None:
        base, gold = exact.check_tables(self.base, self.gold)
        _, proxy = exact.check_tables(self.base, self.proxy)
        if base.ndim != 2:
            raise InputError(f"proxy tables: shape {base.shape}; they must be (prompts, outputs)")
        for name, table in (("base", base), ("gold", gold), ("proxy", proxy)):
            kept = table.copy()
            kept.setflags(write=False)  # what is computed from it is kept
            object.__setattr__(self, name, kept)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base.shape[0]} prompts, {self.base.shape[1]} outputs)"

    @cached_property
    def _centred_gold(self) -> Array:
        """Gold less the base policy's mean; exactly 0 in prompts where it never varies."""
        shifted = below_top(self.base, self.gold)
        return np.asarray(
            np.where(self.base > 0, shifted - exact.mean_reward(self.base, shifted)[:, None], 0.0)
        )

    @cached_property
    def _shifted_proxy(self) -> Array:
        return below_top(self.base, self.proxy)

    # Along the tilt.

    def path(self, t: ArrayLike) -> ProxyPath:
        """KL, both gains, covariance and its natural size at tilts ``t`` >= 0 of any shape; inf is saturation.

        Raises:
            InputError: a tilt is negative or NaN.
        """
        tilts = np.asarray(t, dtype=float)
        if not (tilts >= 0).all():
            raise InputError(f"t={t!r}: tilts (1 / beta) must be >= 0")
        return follow(self.base, self._centred_gold, self._shifted_proxy, tilts)

    def kl(self, t: ArrayLike) -> Array:
        """KL(pi_t || base) of the proxy-tilted policy."""
        return self.path(t).kl

    def proxy_gain(self, t: ArrayLike) -> Array:
        """Its mean proxy reward less the base policy's."""
        return self.path(t).proxy_gain

    def gold_gain(self, t: ArrayLike) -> Array:
        """Its mean gold reward less the base policy's."""
        return self.path(t).gold_gain

    def covariance(self, t: ArrayLike) -> Array:
        """Mean covariance of gold and proxy within prompts under it: the slope of ``gold_gain`` in t."""
        return self.path(t).covariance

    def tilt_at(self, kl: ArrayLike) -> Array:
        """The tilt that spends an average KL on the proxy; inf at and above saturation.

        Raises:
            InputError: a KL is negative or NaN.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / exact.frontier_average(self.base, self._shifted_proxy, kl)[1])

    def at_kl(self, kl: ArrayLike) -> ProxyPath:
        """The path at average KLs; at and above saturation, its end."""
        return self.path(self.tilt_at(kl))

    def gold_limit(self, kl: ArrayLike) -> Array:
        """The largest gold gain of any policy with that average KL."""
        return exact.frontier_average(self.base, self._centred_gold, kl)[0]

    # Where gold turns.

    @cached_property
    def turns(self) -> Turns:
        """All sign changes of the covariance in t, up to where 1e-12 of the mass is left off the proxy's best."""
        return find_turns(self.base, self._centred_gold, self._shifted_proxy)

    @property
    def crossings(self) -> Array:
        """Tilts t > 0 at which the covariance crosses zero downward: the local maxima of the gold gain."""
        return np.asarray(self.turns.tilts[self.turns.downward])

    @cached_property
    def threshold(self) -> float:
        """The hacking threshold: KL of the first such crossing; 0 where the base's covariance is <= 0, inf if none."""
        if self.turns.start <= 0:
            return 0.0
        return float(self.kl(self.crossings[0])) if len(self.crossings) else float("inf")

    @property
    def _rounding(self) -> float:
        return 1e-12 * float(np.ptp(self._centred_gold, axis=1).mean())

    @cached_property
    def best_tilt(self) -> float:
        """Where the gold gain is largest over all t >= 0: 0 if it is nowhere positive, inf if only at saturation."""
        tilts = np.concatenate([[0.0], self.crossings, [np.inf]])
        gains = self.gold_gain(tilts)
        return float(tilts[np.flatnonzero(gains >= gains.max() - self._rounding)[0]])

    @property
    def best_beta(self) -> float:
        """``1 / best_tilt``; inf where the proxy never helps, 0 where more of it always does."""
        return 1.0 / self.best_tilt if self.best_tilt > 0 else float("inf")

    @property
    def best_kl(self) -> float:
        """KL at the largest gold gain."""
        return float(self.kl(self.best_tilt))

    @property
    def best_gain(self) -> float:
        """The largest gold gain along the tilt."""
        return float(self.gold_gain(self.best_tilt))

    @cached_property
    def worse_than_base(self) -> float:
        """The KL from which the gold gain first is below 0; inf if never, 0 if it starts by falling."""
        t = first_loss(lambda x: float(self.gold_gain(x)), self.turns, self._rounding)
        return float(self.kl(t)) if np.isfinite(t) else float("inf")

    # Selection by the proxy.

    @cached_property
    def _levels(self) -> Levels:
        return proxy_levels(self.base, self._centred_gold, self._shifted_proxy)

    def _selected(self, rule: Callable[[float], Selection], sizes: Array) -> ProxyCurve:
        curves = np.array([selection_curve(self._levels, rule(float(size))) for size in sizes.reshape(-1)])
        return ProxyCurve(*(column.reshape(sizes.shape) for column in curves.reshape(-1, 3).T))

    def best_of_n(self, n: ArrayLike) -> ProxyCurve:
        """The best of ``n`` draws by the proxy, its ties broken blindly.

        Raises:
            InputError: an ``n`` is not a whole number >= 1.
        """
        counts = np.asarray(n, dtype=float)
        if not ((counts >= 1) & (counts == np.floor(counts)) & np.isfinite(counts)).all():
            raise InputError(f"n={n!r}: best-of-N needs whole numbers >= 1")
        return self._selected(best_of, counts)

    def best_of_poisson(self, mu: ArrayLike) -> ProxyCurve:
        """The best of 1 + Poisson(``mu``) draws by the proxy (arXiv:2506.19248).

        Raises:
            InputError: a ``mu`` is negative or not finite.
        """
        rates = np.asarray(mu, dtype=float)
        if not ((rates >= 0) & np.isfinite(rates)).all():
            raise InputError(f"mu={mu!r}: Best-of-Poisson needs finite rates >= 0")
        return self._selected(poisson, rates)

    def best_n(self, up_to: int) -> int:
        """The N from 1 to ``up_to`` of the largest gold gain; the smallest of several.

        Raises:
            InputError: ``up_to`` is below 1.
        """
        if up_to < 1:
            raise InputError(f"up_to={up_to!r}: must be at least 1")
        gains = self.best_of_n(np.arange(1, up_to + 1)).gold_gain
        return int(np.flatnonzero(gains >= gains.max() - self._rounding)[0]) + 1

    def best_mu(self, up_to: float) -> float:
        """The mu from 0 to ``up_to`` of the largest gold gain.

        Raises:
            InputError: ``up_to`` is not above 0, or not finite.
        """
        if not 0 < up_to < np.inf:
            raise InputError(f"up_to={up_to!r}: must be above 0 and finite")
        grid = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 200) * up_to])
        gains = self.best_of_poisson(grid).gold_gain
        i = int(np.flatnonzero(gains >= gains.max() - self._rounding)[0])
        if i in (0, len(grid) - 1):
            return float(grid[i])
        found = minimize_scalar(
            lambda mu: -float(self.best_of_poisson(mu).gold_gain),
            bounds=(grid[i - 1], grid[i + 1]),
            method="bounded",
            options={"xatol": 1e-9 * up_to},
        )
        return float(found.x)
