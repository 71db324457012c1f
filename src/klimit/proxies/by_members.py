"""Threshold and gap against the number of an ensemble's members: the same question asked of every subset, or of some.

The gap is told at one KL, not at one beta: members are standardised, so a beta of the ensemble is in no unit of gold,
while a KL means the same for every subset. There it is gold's own limit less the gold that tilting by the subset gains.
Best-of-N by the subset needs no unit and no horizon at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from klimit.audits.measured import Array
from klimit.ensembles.result import Ensemble
from klimit.errors import InputError, KlimitWarning
from klimit.limit.options import check_number
from klimit.proxies.hacking import hacking
from klimit.proxies.result import Best, Hacking
from klimit.values import Value

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_SUBSETS = 5
_LADDER = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # nats
_COLUMN = "members' ensemble"


@dataclass(frozen=True)
class SubsetHacking:
    """What optimising the ensemble of some of the members does to gold.

    Attributes:
        members: their names.
        horizon: nats.
        threshold: KL where gold first turns down, as in :class:`klimit.Hacking`.
        best: the beta at which gold is highest.
        best_n: the N of best-of-N by it at which gold is highest.
        gold_gain: at the KL common to all subsets.
    """

    members: tuple[str, ...]
    horizon: float
    threshold: Value
    best: Best
    best_n: Best
    gold_gain: Value


@dataclass(frozen=True, eq=False)
class HackingByMembers:
    """Subsets of every size, and what optimising them does to gold.

    Attributes:
        kl: nats, common to all subsets: a round one within every horizon; nan where there is none.
        gold_limit: the most gold that any policy gains there.
        size: members, ``(K,)``.
        total: subsets of that size that there are, ``(K,)``.
        subsets: those asked, by size: all, or a sample without replacement.
    """

    kl: float
    gold_limit: Value
    size: NDArray[np.int64]
    total: NDArray[np.int64]
    subsets: tuple[tuple[SubsetHacking, ...], ...]

    def over_subsets(self, quantity: Callable[[SubsetHacking], float]) -> tuple[Array, Array, Array]:
        """Mean, least and most over the subsets of each size, ``(K,)`` each; nan where one of them is."""
        values = [np.array([quantity(subset) for subset in same]) for same in self.subsets]
        mean, least, most = (np.array([float(of(x)) for x in values]) for of in (np.mean, np.min, np.max))
        return mean, least, most

    @property
    def gold_gain(self) -> tuple[Array, Array, Array]:
        """Gold gain at :attr:`kl`."""
        return self.over_subsets(lambda subset: subset.gold_gain.estimate)

    @property
    def gap(self) -> tuple[Array, Array, Array]:
        """Gold's own limit at :attr:`kl` less the gold gained there."""
        limit = self.gold_limit.estimate
        return self.over_subsets(lambda subset: limit - subset.gold_gain.estimate)

    @property
    def best_gain(self) -> tuple[Array, Array, Array]:
        """The highest gold gain along the tilt."""
        return self.over_subsets(lambda subset: subset.best.gold_gain.estimate)

    @property
    def best_n_gain(self) -> tuple[Array, Array, Array]:
        """The highest gold gain of best-of-N."""
        return self.over_subsets(lambda subset: subset.best_n.gold_gain.estimate)

    @property
    def threshold(self) -> tuple[Array, Array, Array]:
        """The hacking threshold, nats; nan where some subset of the size has none within its horizon."""
        return self.over_subsets(lambda subset: subset.threshold.estimate)

    @property
    def turned(self) -> NDArray[np.int64]:
        """Subsets of each size whose threshold lies within their horizon, ``(K,)``."""
        return np.array([sum(subset.threshold.known for subset in same) for same in self.subsets])

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw gain and gap against members; see :func:`klimit.reports.ensemble.members.plot_members`."""
        from klimit.reports.ensemble.members import plot_members

        drawn: Axes = plot_members(self, ax=ax, **options)
        return drawn

    def to_frame(self) -> pd.DataFrame:
        """One row a subset."""
        import pandas as pd

        def ends(name: str, value: Value) -> dict[str, float]:
            return {name: value.estimate, f"{name}_low": value.low, f"{name}_high": value.high}

        return pd.DataFrame(
            {
                "size": len(subset.members),
                "members": ", ".join(subset.members),
                "horizon": subset.horizon,
                **ends("threshold", subset.threshold),
                **ends("best_gain", subset.best.gold_gain),
                **ends("gold_gain", subset.gold_gain),
                **ends("best_n", subset.best_n.setting),
                **ends("best_n_gain", subset.best_n.gold_gain),
            }
            for same in self.subsets
            for subset in same
        )


def hacking_by_members(
    found: Ensemble,
    *,
    most: int = MOST_SUBSETS,
    seed: int = 0,
    kl: float | None = None,
    watch: Callable[[str], AbstractContextManager[None]] | None = None,
) -> HackingByMembers:
    """Ask :func:`klimit.hacking` of the ensemble of every subset of the members, or of a seeded sample of subsets.

    Args:
        found: the ensemble, with gold.
        most: subsets of one size; where there are more, so many are sampled.
        seed: of the sample, and of the random blocks of completions.
        kl: where gold is compared, nats; by default the largest round KL within every subset's horizon.
        watch: a context around each subset, given what is being done: for showing progress.

    Raises:
        InputError: there is no gold, weights are given for a fixed number of members, there are too few completions for
            :func:`klimit.hacking`, or ``kl`` lies beyond some subset's horizon.
    """
    gold = found.gold_name
    if gold is None:
        raise InputError("no gold: without it nothing shows where optimising the ensemble turns gold down")
    if found.aggregator.given is not None:
        raise InputError(
            f"aggregate={found.aggregator.name!r} has one weight for each of {len(found.proxies)} members: it "
            "cannot be asked of fewer"
        )
    if check_number("most", most, positive=True) < 1 or int(most) != most:
        raise InputError(f"most={most!r}: give a whole number of at least 1")
    ladder = _LADDER if kl is None else (check_number("kl", kl, positive=True),)
    chosen = [one for one in found.subsets(most=int(most), seed=seed) if one.size >= found.aggregator.fewest]
    count, done = sum(len(one.members) for one in chosen), 0
    results: list[list[tuple[tuple[str, ...], Hacking]]] = []
    for one in chosen:
        results.append([])
        for places in one.members:
            done += 1
            with nullcontext() if watch is None else watch(f"optimising ensemble {done} of {count}"):
                names = tuple(found.proxies[place] for place in places)
                results[-1].append((names, _hacked(found, gold, places, ladder, seed)))
    everything = [each for same in results for _, each in same]
    common = _common(ladder, everything)
    if kl is not None and np.isnan(common):
        least = min(each.horizon for each in everything)
        raise InputError(f"kl={kl:g} lies beyond the horizon of some subset ({least:.3g} nats); give less")
    place = ladder.index(common) if common in ladder else None
    return HackingByMembers(
        kl=common,
        gold_limit=_at(everything[-1], "gold_limit", place),
        size=np.array([one.size for one in chosen]),
        total=np.array([one.total for one in chosen]),
        subsets=tuple(tuple(_told(names, each, place) for names, each in same) for same in results),
    )


def _hacked(
    found: Ensemble, gold: str, places: Sequence[int], ladder: tuple[float, ...], seed: int
) -> Hacking:
    with warnings.catch_warnings():
        # Limitations of single subsets: the whole says what matters once.
        warnings.simplefilter("ignore", KlimitWarning)
        samples = found.with_subset(places, _COLUMN)
        return hacking(samples, proxy=_COLUMN, gold=gold, kl=ladder, level=found.level, seed=seed)


def _common(ladder: tuple[float, ...], results: list[Hacking]) -> float:
    """The largest KL of the ladder at which all results have gold's gain; nan where there is none."""
    known = np.all([np.isfinite(each.gold_gain) for each in results], axis=0)
    return float(np.array(ladder)[known][-1]) if known.any() else float("nan")


def _told(names: tuple[str, ...], each: Hacking, place: int | None) -> SubsetHacking:
    return SubsetHacking(
        members=names,
        horizon=each.horizon,
        threshold=each.threshold,
        best=each.best,
        best_n=each.best_of_n.best,
        gold_gain=_at(each, "gold_gain", place),
    )


def _at(each: Hacking, name: str, place: int | None) -> Value:
    if place is None:
        return Value(float("nan"), float("-inf"), float("inf"))
    return Value(*(float(getattr(each, f"{name}{end}")[place]) for end in ("", "_low", "_high")))
