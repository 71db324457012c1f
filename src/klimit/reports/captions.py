"""What the figure's lines and points are called, each label beside its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from klimit.reports.labels import ABOVE, AROUND, BELOW, NEAR, Labels
from klimit.reports.numbers import nats
from klimit.reports.style import BEST, GREY, LIMIT, SMALL, TEXT

if TYPE_CHECKING:
    from klimit.limit.result import Frontier
    from klimit.policies.curve import PolicyCurve
    from klimit.testsystems import Curve

Floats = NDArray[np.float64]

_THIN = 0.06  # share of the height below which a bracket pins the limit down and needs no words


@dataclass(frozen=True, eq=False)
class Picture:
    """What a figure shows.

    Attributes:
        curve: the limit, its arrays along the axis.
        law: the square-root law at ``curve.kl``.
        best: best-of-N, if shown.
        truth: the true limit, cut to the axes, if shown.
        end: right end of the axis.
        top: upper end of the axis.
    """

    curve: Frontier
    law: Floats
    best: PolicyCurve | None
    truth: Curve | None
    end: float
    top: float

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Where ``curve`` is an estimate."""
        return np.asarray(self.curve.kl <= self.curve.horizon)

    @property
    def law_shown(self) -> NDArray[np.bool_]:
        """Where the law lies within the axes, if it is drawn at all."""
        return (self.law > 0) & (self.law <= self.top)

    @property
    def sizes(self) -> list[int]:
        """Indices of the points of ``best`` that are shown."""
        best = self.best
        if best is None:
            return []
        return [i for i in range(len(best)) if best.n[i] > 1 and best.kl[i] <= self.end]


def write_labels(labels: Labels, picture: Picture) -> None:
    """Name everything; the more a label is tied to its place, the earlier it chooses."""
    _keep_off_lines(labels, picture)
    _label_horizon(labels, picture)
    _label_sizes(labels, picture)
    _label_limit(labels, picture)
    _label_law(labels, picture)
    if picture.truth is not None and len(picture.truth.kl):
        anchors = _along(picture.truth.kl, picture.truth.gain, (0.9, 0.75, 0.5, 0.3, 0.15))
        labels.put("truth", anchors, places=AROUND, fontsize=SMALL)
    _label_bracket(labels, picture)


def _keep_off_lines(labels: Labels, picture: Picture) -> None:
    curve, inside = picture.curve, picture.inside
    kl = curve.kl
    labels.keep_off(kl[picture.law_shown], picture.law[picture.law_shown])
    if picture.truth is not None:
        labels.keep_off(picture.truth.kl, picture.truth.gain)
    for line in (curve.gain, curve.gain_low, curve.gain_high):
        labels.keep_off(kl[inside], line[inside], width=3.0)
    for bound in (curve.gain_low, curve.gain_high):
        shown = ~inside & (bound <= picture.top)
        labels.keep_off(kl[shown], bound[shown])
    best = picture.best
    for i in picture.sizes if best is not None else []:
        assert best is not None
        labels.keep_off(best.kl[i : i + 1], best.gain[i : i + 1], width=10.0)
        if np.isfinite(best.gain_low[i]):
            labels.keep_off(np.array([best.kl_low[i], best.kl_high[i]]), best.gain[[i, i]])
            labels.keep_off(best.kl[[i, i]], np.array([best.gain_low[i], best.gain_high[i]]))


def _label_horizon(labels: Labels, picture: Picture) -> None:
    horizon, top = picture.curve.horizon, picture.top
    if not 0 < horizon < picture.end:
        return
    labels.keep_off(np.full(2, horizon), np.array([0, top]))
    anchors = [(horizon, share * top) for share in (0.03, 0.12, 0.2)]
    labels.put(f"horizon\n{nats(horizon)}", anchors, places=((1, 1), (-1, 1)), fontsize=SMALL)


def _label_sizes(labels: Labels, picture: Picture) -> None:
    """N beside each point, as far as there is room: the largest first, which carries the name."""
    best, shown = picture.best, picture.sizes
    for i in reversed(shown):
        assert best is not None
        name = f"best-of-{best.n[i]:g}" if i == shown[-1] else f"{best.n[i]:g}"
        anchor = [(float(best.kl[i]), float(best.gain[i]))]
        last = i == shown[-1]
        labels.put(name, anchor, places=BELOW if last else NEAR, always=last, color=BEST, fontsize=SMALL)


def _label_limit(labels: Labels, picture: Picture) -> None:
    curve, inside = picture.curve, picture.inside
    if inside.any():
        bounded = bool(np.isfinite(curve.gain_high[inside]).all())
        edge = curve.gain_high if bounded else curve.gain
        anchors = _along(curve.kl[inside], edge[inside], (0.55, 0.4, 0.7, 0.3, 0.85))
        name = f"limit, {100 * curve.level:g}% band" if bounded else "limit"
        style: dict[str, Any] = {"color": LIMIT, "fontsize": TEXT, "fontweight": "bold"}
        labels.put(name, anchors, places=(*ABOVE, *NEAR), **style)


def _label_law(labels: Labels, picture: Picture) -> None:
    shown, inside = picture.law_shown, picture.inside
    if not shown.any():
        return
    last = int(np.flatnonzero(inside)[-1]) if inside.any() else 0
    under = inside.any() and picture.law[last] < picture.curve.gain[last]
    anchors = _along(picture.curve.kl[shown], picture.law[shown], (0.75, 0.6, 0.9, 0.45))
    style: dict[str, Any] = {"color": GREY, "fontsize": SMALL, "fontstyle": "italic"}
    labels.put("square-root law", anchors, places=BELOW if under else ABOVE, **style)


def _label_bracket(labels: Labels, picture: Picture) -> None:
    curve, beyond = picture.curve, ~picture.inside
    if not beyond.any():
        return
    kl, low = curve.kl[beyond], curve.gain_low[beyond]
    high = np.minimum(curve.gain_high[beyond], picture.top)
    if (high - low).max() < _THIN * picture.top:
        return
    labels.block_left_of(curve.horizon)
    text = "bounds only" if curve.horizon > 0 else "no estimate:\nbounds only"
    shares = (0.5, 0.7, 0.3, 0.85, 0.15)
    anchors = [*_along(kl, low, shares), *_along(kl, (low + high) / 2, shares)]
    labels.put(text, anchors, places=((0, 0), *BELOW), fontsize=SMALL)


def _along(x: NDArray[Any], y: NDArray[Any], shares: tuple[float, ...]) -> list[tuple[float, float]]:
    """Points of a line at shares of its range in ``x``."""
    wanted = [x[0] + share * (x[-1] - x[0]) for share in shares]
    return [(float(at), float(np.interp(at, x, y))) for at in wanted]
