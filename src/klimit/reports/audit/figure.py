"""Policies on the plane of KL and gain: what each got, and how far left of it the limit gives as much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from klimit.audits.result import Audit, Audits
from klimit.errors import InputError
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.several import SeveralFindings, number_in, runs
from klimit.reports.axes import new_axes
from klimit.reports.captions import Picture, write_labels
from klimit.reports.labels import AROUND, CLOSE, Labels
from klimit.reports.numbers import percent
from klimit.reports.plane import paint, right_end
from klimit.reports.style import GREY, POLICY, SMALL, TEXT
from klimit.reports.values import share, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAR = 2.5  # times the limit's own right end, beyond which the KL's axis is drawn by its root
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_APART = 0.1  # of the axis between ticks


def plot_audits(
    audits: Audits | Audit,
    *,
    ax: Axes | None = None,
    best_of_n: bool = True,
    kl_max: float | None = None,
    title: str | None = None,
) -> Axes:
    """Draw policies beside the limit and best-of-N, each with its intervals; checkpoints of a run joined in order.

    From each policy a dotted line runs left to the limit: the KL that its gain did not need. A policy whose KL is not
    known stands where its gain would need the least, with an arrow to the right. Where policies lie far beyond what
    the samples show of the limit, the KL's axis is drawn by its square root.

    Args:
        audits: the accounts.
        ax: axes to draw on; by default those of a new figure that no window or global state knows of.
        best_of_n: whether to draw it.
        kl_max: right end of the axis, nats per completion; by default everything fits.
        title: above the axes; by default none.

    Returns:
        The axes; ``ax.figure`` is the figure.

    Raises:
        InputError: ``kl_max`` is not a finite number above 0.
    """
    if kl_max is not None and not (np.isfinite(kl_max) and kl_max > 0):
        raise InputError(f"kl_max={kl_max!r}: give a finite number of nats above 0")
    shown = Audits((audits,)) if isinstance(audits, Audit) else audits
    ax = new_axes() if ax is None else ax
    best = shown.best_of_n if best_of_n else None
    near = right_end(shown.limit, best)
    spots = [spot_of(audit) for audit in shown]
    end = max([near, *(1.1 * spot.right for spot in spots)]) if kl_max is None else kl_max
    if end > FAR * near:
        _by_root(ax, end)
    gains = [y for spot in spots if spot.kl <= end for y in (spot.gain, *spot.gain_ends)]
    labels, picture = paint(ax, shown.limit, end=end, best_of_n=best, title=title, gains=gains)
    if end > FAR * near:
        ax.set_xlabel("KL(policy || base), nats (root scale)", fontsize=TEXT)
    joined = runs(shown.names)
    _draw(ax, spots, joined)
    _write(labels, picture, spots, joined)
    return ax


def draw_audits(audits: Audits) -> Figure:
    """The figure of a report, with its verdict above."""
    axes = plot_audits(audits, title=_title(audits))
    figure: Any = axes.figure
    return figure  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Spot:
    """Where a policy stands.

    Attributes:
        name: of the policy.
        kl: where it is drawn: its KL, or the least one where that is all that is known.
        kl_ends: its interval; both ``kl`` where it is not finite.
        gain: of the policy.
        gain_ends: its interval, likewise.
        least: the least KL of that gain; nan where that is not known.
        known: whether its KL is known.
    """

    name: str
    kl: float
    kl_ends: tuple[float, float]
    gain: float
    gain_ends: tuple[float, float]
    least: float
    known: bool

    @property
    def right(self) -> float:
        """How far right it reaches."""
        return max(self.kl, self.kl_ends[1])


def spot_of(audit: Audit) -> Spot:
    """Where a policy is drawn."""
    least = audit.least_kl.estimate
    kl = audit.kl
    at = kl.estimate if kl is not None else audit.least_kl.low if np.isnan(least) else least
    ends = (at, at) if kl is None else (kl.low, kl.high)
    gain = audit.gain
    return Spot(
        short_name(audit.name),
        at,
        _finite(ends, at),
        gain.estimate,
        _finite((gain.low, gain.high), gain.estimate),
        least,
        kl is not None,
    )


def _finite(ends: tuple[float, float], at: float) -> tuple[float, float]:
    low, high = (end if np.isfinite(end) else at for end in ends)
    return low, high


def _by_root(ax: Axes, end: float) -> None:
    """A square-root scale for the KL: the limit, whose start goes with that root, is nearly straight there."""

    def root(kl: Any) -> Any:
        return np.sqrt(np.maximum(kl, 0.0))

    ax.set_xscale("function", functions=(root, np.square))
    ticks = [0.0]
    for tick in reversed([tick for tick in _TICKS if tick <= end]):
        if all(abs(np.sqrt(tick) - np.sqrt(other)) > _APART * np.sqrt(end) for other in ticks):
            ticks.append(tick)
    ax.set_xticks(sorted(ticks), [f"{tick:g}" for tick in sorted(ticks)])
    ax.set_xticks([], minor=True)


def _draw(ax: Axes, spots: Sequence[Spot], joined: list[list[int]]) -> None:
    for spot in with_waste(spots, joined):
        ax.plot(
            [spot.least, spot.kl], [spot.gain, spot.gain], color=POLICY, linestyle=(0, (1, 2)), linewidth=1.2,
            zorder=5, label="wasted KL",
        )  # fmt: skip
    for run in joined:
        kl, gain = ([getattr(spots[i], name) for i in run] for name in ("kl", "gain"))
        ax.plot(kl, gain, color=POLICY, linewidth=1.6, zorder=7, label="run")
        _arrow(ax, (kl[-2], gain[-2]), (kl[-1], gain[-1]))
    for spot in spots:
        errors = [
            [[max(at - low, 0.0)], [max(high - at, 0.0)]]
            for at, (low, high) in ((spot.kl, spot.kl_ends), (spot.gain, spot.gain_ends))
        ]
        ax.errorbar(
            [spot.kl], [spot.gain], xerr=errors[0], yerr=errors[1], fmt="D" if spot.known else ">", markersize=6.5,
            markerfacecolor=POLICY if spot.known else "white", markeredgecolor=POLICY, ecolor=POLICY, elinewidth=1.2,
            zorder=8, label=spot.name,
        )  # fmt: skip


def _arrow(ax: Axes, start: tuple[float, float], stop: tuple[float, float]) -> None:
    """The head of a run's line, half way along its last step."""
    begin, end = (ax.transData.transform(point) for point in (start, stop))
    middle = ax.transData.inverted().transform(begin + 0.6 * (end - begin))
    ax.annotate(
        "",
        xy=(float(middle[0]), float(middle[1])),
        xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": POLICY, "linewidth": 0.0, "mutation_scale": 14},
        zorder=7,
    )


def with_waste(spots: Sequence[Spot], joined: list[list[int]]) -> list[Spot]:
    """The policies whose waste is drawn: of a run the last checkpoint alone."""
    passed = {i for run in joined for i in run[:-1]}
    return [
        spot
        for i, spot in enumerate(spots)
        if i not in passed and spot.known and np.isfinite(spot.least) and spot.kl > spot.least
    ]


def _write(labels: Labels, picture: Picture, spots: Sequence[Spot], joined: list[list[int]]) -> None:
    """Name the policies, then all else; checkpoints within a run only where there is room."""
    for spot in spots:
        at = np.array([spot.kl]), np.array([spot.gain])
        labels.keep_off(*at, width=11.0)
        labels.keep_off(np.array(spot.kl_ends), np.full(2, spot.gain))
        labels.keep_off(np.full(2, spot.kl), np.array(spot.gain_ends))
    for run in joined:
        labels.keep_off(
            np.array([spots[i].kl for i in run]), np.array([spots[i].gain for i in run]), width=3.0
        )
    wasted = with_waste(spots, joined)
    for spot in wasted:
        labels.keep_off(np.array([spot.least, spot.kl]), np.full(2, spot.gain))
    within = {i for run in joined for i in run[1:-1]}
    for i in sorted(range(len(spots)), key=lambda i: i in within):
        spot = spots[i]
        if spot.kl > picture.end:
            continue
        name = spot.name if spot.known else f"{spot.name} (KL unknown)"
        style: dict[str, Any] = {"color": POLICY, "fontsize": SMALL, "fontweight": "bold"}
        if i in within:
            labels.put(number_in(name), [(spot.kl, spot.gain)], places=CLOSE, always=False, **style)
        else:
            labels.put(name, [(spot.kl, spot.gain)], places=AROUND, **style)
    write_labels(labels, picture)
    for spot in sorted(wasted, key=lambda spot: spot.least - spot.kl)[:1]:
        middle = [(spot.least + part * (spot.kl - spot.least), spot.gain) for part in (0.5, 0.35, 0.65)]
        labels.put(
            "wasted KL", middle, places=((0, -1.2), (0, 1.2)), always=False, color=GREY, fontsize=SMALL
        )


def _title(audits: Audits) -> str:
    """The verdict in two short lines."""
    main = audits[0] if len(audits) == 1 else SeveralFindings(audits).main
    findings = AuditFindings(main)
    name = short_name(main.name)
    gain = findings.gains.number(main.gain.estimate)
    if main.kl is None or main.efficiency is None or main.gain.low <= 0:
        return f"{'' if len(audits) == 1 else 'Best: '}{name} gains {gain}"
    efficiency = main.efficiency
    part = percent(efficiency.estimate) if efficiency.known else share(efficiency)
    first = f"{'' if len(audits) == 1 else 'Best: '}{name} gets {part} of the limit at its KL"
    if not main.least_kl.known:
        return first
    return (
        f"{first};\nits gain needs {findings.nats.number(main.least_kl.estimate)} of its "
        f"{findings.nats.number(main.kl.estimate)} nats"
    )
