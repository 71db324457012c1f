"""Where the name of a point stands, so that names do not cover one another even on a phone."""

from __future__ import annotations

from collections.abc import Sequence

SIDES = ("bottom right", "top right", "bottom left", "top left", "bottom center", "top center")
_WIDTH, _HEIGHT = 280.0, 320.0  # of a phone's plot, pixels
_LETTER, _LINE, _MARK = 7.0, 16.0, 14.0
_COVERED = 0.15  # share of a number beside a ring that may be covered; more makes it illegible
Box = tuple[float, float, float, float]
Point = tuple[float, float]


def sides(
    names: Sequence[str], points: Sequence[Point], others: Sequence[Point], boxes: Sequence[Box] = ()
) -> list[str]:
    """One of Plotly's text positions for each name, in turn the one that covers least.

    Args:
        names: to be written; an empty one needs no room.
        points: theirs, as shares of the axes, (0, 0) at the bottom left.
        others: further points that names should keep off.
        boxes: words that stand already.
    """
    taken = [*(_mark(x, y) for x, y in (*points, *others)), *boxes]
    found = []
    for name, (x, y) in zip(names, points, strict=True):
        side, _ = _best(name, x, y, taken)
        found.append(side)
        if name:
            taken.append(box_of(side, name, x, y))
    return found


def legible(
    names: Sequence[str], points: Sequence[Point], others: Sequence[Point], boxes: Sequence[Box] = ()
) -> tuple[list[str], list[str]]:
    """The names that find room, the rest empty; and the side of each. Arguments as for :func:`sides`."""
    taken = [*(_mark(x, y) for x, y in (*points, *others)), *boxes]
    shown, found = [], []
    for name, (x, y) in zip(names, points, strict=True):
        side, cost = _best(name, x, y, taken)
        box = box_of(side, name, x, y)
        fits = cost <= _COVERED * (box[2] - box[0]) * (box[3] - box[1])
        shown.append(name if fits else "")
        found.append(side)
        if fits:
            taken.append(box)
    return shown, found


def _best(name: str, x: float, y: float, taken: Sequence[Box]) -> tuple[str, float]:
    """The side that covers least, and how much."""
    costs = {}
    for side in SIDES:
        box = box_of(side, name, x, y)
        costs[side] = _outside(box) + sum(_overlap(box, other) for other in taken)
    best = min(SIDES, key=lambda side: costs[side])
    return best, costs[best]


def _mark(x: float, y: float) -> Box:
    half = _MARK / 2
    return x * _WIDTH - half, y * _HEIGHT - half, x * _WIDTH + half, y * _HEIGHT + half


def box_of(side: str, name: str, x: float, y: float) -> Box:
    """The room of a name on a side of its point."""
    vertical, horizontal = side.split()
    width = _LETTER * len(name)
    left = x * _WIDTH + {"right": _MARK / 2, "left": -_MARK / 2 - width, "center": -width / 2}[horizontal]
    low = y * _HEIGHT + (_MARK / 2 if vertical == "top" else -_MARK / 2 - _LINE)
    return left, low, left + width, low + _LINE


def _overlap(a: Box, b: Box) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    up = min(a[3], b[3]) - max(a[1], b[1])
    return max(across, 0.0) * max(up, 0.0)


def _outside(box: Box) -> float:
    """Its part beyond the axes, which counts twice: a name cut off cannot be read."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    return 2 * (area - _overlap(box, (0.0, 0.0, _WIDTH, _HEIGHT)))
