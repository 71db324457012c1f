"""When a proxy is hacked: gold along the proxy's tilt and along best-of-N by it, from base samples scored by both."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from klimit.audits.measured import Array
from klimit.errors import InputError, KlimitWarning
from klimit.limit.frontier import frontier
from klimit.limit.options import check_budgets, check_number, check_options
from klimit.limit.preparation import octaves_needed
from klimit.limit.result import Frontier
from klimit.proxies.along import MIN_COMPLETIONS, Scored, Tilt, tilt_by
from klimit.proxies.curves import at_budgets, trusted_curves
from klimit.proxies.falls import best_along, beta_of, first_fall, kl_of, times_as_many, turn
from klimit.proxies.gap import Gap
from klimit.proxies.gaps import gap_at
from klimit.proxies.inputs import read_scored
from klimit.proxies.notes import warnings_of
from klimit.proxies.result import Hacking
from klimit.proxies.selection import select_by_mu, select_by_n
from klimit.samples.container import Samples
from klimit.values import Value

_BUDGETS = 48


def hacking(
    samples: Any,
    *,
    proxy: str,
    gold: str,
    kl: ArrayLike | None = None,
    n: list[int] | None = None,
    level: float = 0.95,
    seed: int = 0,
    prompt: str | list[str] | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
) -> Hacking:
    """Say up to which KL optimising a proxy helps gold, and what the proxy costs against gold itself.

    Along the tilt ``pi0 exp(s / beta) / Z`` by the proxy ``s`` the gold reward is ``E_pi0[r e^{s/beta}] /
    E_pi0[e^{s/beta}]`` at the KL of that tilt, and its slope in ``1/beta`` is ``E_x Cov(r, s)`` under the tilt: gold
    turns down where that falls through 0 (arXiv:2605.07105). Bias of few completions a prompt is removed and carried
    as in :func:`klimit.frontier`. A shift of proxy or gold per prompt changes nothing.

    Args:
        samples: completions of the base policy scored by both; as for :func:`klimit.frontier`. Gold may be missing
            (null) for a part of the completions, if which ones is up to chance: the estimate then uses all proxies and
            the labelled part.
        proxy: the reward that is optimised.
        gold: the reward that is meant.
        kl: budgets of the arrays, nats; up to the horizon by default.
        n: N of best-of-N by the proxy; about two an octave by default.
        level: nominal cover of the intervals.
        seed: of the random blocks of samples.
        prompt: columns that identify a prompt, when reading.
        where: SQL condition that chooses rows, when reading.
        lower_is_better: both are costs, when reading.

    Raises:
        InputError: no such columns, no completions scored by both, a constant proxy or gold, too few completions or
            prompts.

    Warns:
        KlimitWarning: the samples cannot support part of the answer; the rest is given.
    """
    check_options(budget="average", level=level, target="population", estimator="extrapolated", seed=seed)
    budgets = None if kl is None else check_budgets(kl)
    data, scored = read_scored(
        samples, proxy=proxy, gold=gold, prompt=prompt, where=where, lower_is_better=lower_is_better
    )
    with warnings.catch_warnings():
        # Those of the parts: the whole says what matters once.
        warnings.simplefilter("ignore", KlimitWarning)
        found = _Question(data, scored, proxy, gold, level, seed).answer(budgets, n)
    for line in found.warnings:
        warnings.warn(line, KlimitWarning, stacklevel=2)
    return found


@dataclass(frozen=True, eq=False)
class _Question:
    """One question, with what all its answers share."""

    data: Samples
    scored: Scored
    proxy: str
    gold: str
    level: float
    seed: int

    def answer(self, kl: Array | None, n: list[int] | None) -> Hacking:
        """Everything asked for."""
        limit = self._limit(self.data, self.proxy)
        tilt = self._tilt(self.scored, limit)
        curves = trusted_curves(tilt, self.scored, limit.horizon)
        budgets = _budgets_up_to(curves.horizon) if kl is None else kl
        labelled = self._labelled()
        ideal = None if labelled is None else self._limit(labelled, self.gold)
        fall = turn(curves, self.level)
        threshold = kl_of(fall, curves, self.level)
        options: dict[str, Any] = {"slope": tilt.slope / tilt.scale, "level": self.level, "seed": self.seed}
        found = Hacking(
            samples=self.data,
            proxy_name=self.proxy,
            gold_name=self.gold,
            level=self.level,
            n_labels=int(self.scored.labelled.sum()),
            horizon=curves.horizon,
            kl=budgets,
            **at_budgets(tilt, curves, budgets, self.level),
            # A proxy gains its limit along its own tilt; that, unlike the mean at a tilt, does not move with the tilt.
            **_limit_at("proxy_gain", limit, budgets, curves.horizon),
            **_limit_at("gold_limit", ideal, budgets),
            threshold=threshold,
            threshold_beta=beta_of(fall, tilt.scale),
            worse_than_base=kl_of(first_fall(curves.u, curves.gold, self.level), curves, self.level),
            best=best_along(curves, tilt.scale, self.level),
            best_of_n=select_by_n(self.data, self.scored, self.proxy, sizes=n, **options),
            best_of_poisson=select_by_mu(self.data, self.scored, self.proxy, **options),
            labels_needed=self._labels_needed(threshold),
            proxy_limit=limit,
            gold_frontier=ideal,
            warnings=(),
            _gap=lambda beta: self._gap(beta, tilt, curves.horizon, ideal),
        )
        return replace(found, warnings=tuple(warnings_of(found, self.scored)))

    def _limit(self, samples: Samples, reward: str) -> Frontier:
        return frontier(samples, reward=reward, level=self.level, seed=self.seed)

    def _tilt(self, scored: Scored, limit: Frontier) -> Tilt:
        octaves = octaves_needed(limit.rewards)
        return tilt_by(scored, limit.rewards, octaves, limit.inference, seed=self.seed)

    def _labelled(self) -> Samples | None:
        """The samples with a gold label; None where a prompt has too few for a limit of its own."""
        if self.scored.complete:
            return self.data
        if self.scored.labels.min() < MIN_COMPLETIONS:
            return None
        return self.data.with_reward(self.gold, self.data.labels[self.gold]).rows(self.scored.labelled)

    def _labels_needed(self, threshold: Value) -> int | None:
        """Labels that would settle the threshold, by the root-n law."""
        times = times_as_many(threshold)
        return None if times is None else int(np.ceil(int(self.scored.labelled.sum()) * times))

    def _gap(self, beta: float, tilt: Tilt, horizon: float, ideal: Frontier | None) -> Gap:
        beta = check_number("beta", beta, positive=True)
        if not self.scored.complete or ideal is None:
            raise InputError(
                f"gap: gold {self.gold!r} is known for {int(self.scored.labelled.sum()):,} of "
                f"{len(self.scored.gold):,} completions; tilting by it needs all of them"
            )
        by_gold = replace(self.scored, proxy=self.scored.gold)
        return gap_at(
            beta,
            self.scored,
            by_proxy=(tilt, horizon),
            by_gold=(self._tilt(by_gold, ideal), ideal.horizon),
            level=self.level,
        )


def _budgets_up_to(horizon: float) -> Array:
    """Dense in the root of the KL."""
    if horizon <= 0:
        return np.zeros(0)
    budgets = np.linspace(0, np.sqrt(horizon), _BUDGETS + 1)[1:] ** 2
    budgets[-1] = horizon
    return np.asarray(budgets)


def _limit_at(name: str, limit: Frontier | None, budgets: Array, end: float = np.inf) -> dict[str, Array]:
    """The limit's gain and its ends at the budgets; nan where there is none, or beyond an end of one's own."""
    names = (name, f"{name}_low", f"{name}_high")
    if limit is None:
        return {each: np.full(len(budgets), np.nan) for each in names}
    at, inside = replace(limit, kl=budgets), budgets <= end * (1 + 1e-9)
    gains = (at.gain, at.gain_low, at.gain_high)
    return {each: np.where(inside, gain, np.nan) for each, gain in zip(names, gains, strict=True)}
