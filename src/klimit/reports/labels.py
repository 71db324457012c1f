"""Labels beside what they name, none over another: each takes the first free place of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Places = Sequence[tuple[float, float]]
Box = tuple[float, float, float, float]

_GAP = 7.0  # points between a label and what it names
# Offsets from the anchor, in gaps: the side of the anchor on which the label lies.
BELOW: Places = ((1, -1), (0, -1.2), (1.2, 0), (-1, -1), (2, -2), (0, -2.4), (0, -4), (0, -6), (0, -8))
ABOVE: Places = ((-1, 1), (0, 1.2), (-1.2, 0), (1, 1), (-2, 2), (0, 2.4), (0, 4))
AROUND: Places = (*BELOW, *ABOVE)
CLOSE: Places = (*BELOW[:4], *ABOVE[:4])
NEAR: Places = BELOW[:6]  # where a label is not mistaken for another point's


@dataclass
class Labels:
    """Places labels on axes whose limits are set.

    Attributes:
        ax: the axes.
        taken: boxes in pixels, (x0, y0, x1, y1), of what labels must keep off.
        written: boxes of the labels.
    """

    ax: Axes
    taken: list[Box] = field(default_factory=list)
    written: list[Box] = field(default_factory=list)

    def keep_off(self, x: NDArray[Any], y: NDArray[Any], *, width: float = 2.0) -> None:
        """Keep labels off a line (drawn through at least two points) or off single points."""
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = x[finite], y[finite]
        if not len(x):
            return
        pixels = self.ax.transData.transform(np.column_stack([x, y]))
        half = width / 2 * self._pixels_per_point
        for start, end in pairwise(pixels):
            steps = max(2, int(np.hypot(*(end - start)) / (3 * half)) + 1)
            for u in np.linspace(0, 1, steps):
                px, py = start + u * (end - start)
                self.taken.append((px - half, py - half, px + half, py + half))
        if len(pixels) == 1:
            px, py = pixels[0]
            self.taken.append((px - half, py - half, px + half, py + half))

    def block_left_of(self, x: float) -> None:
        """Keep further labels to the right of ``x``."""
        frame = self.ax.get_window_extent()
        edge = self.ax.transData.transform((x, 0.0))[0]
        self.written.append((float(frame.x0), float(frame.y0), float(edge), float(frame.y1)))

    def put(
        self,
        text: str,
        anchors: Sequence[tuple[float, float]],
        *,
        places: Places = AROUND,
        always: bool = True,
        **style: Any,
    ) -> bool:
        """Write ``text`` at the first free place around the first anchor that has one.

        Args:
            text: the label, no mathematics in it.
            anchors: data coordinates, the best first.
            places: sides to try at each anchor.
            always: where no place is free, take the least crowded one; else leave the label out.
            style: of the text.

        Returns:
            Whether it was written.
        """
        best: tuple[float, Any] | None = None
        for anchor in anchors:
            for dx, dy in places:
                note = self._write(text, anchor, dx, dy, style)
                box = self._box(note)
                crowding = self._crowding(box)
                if crowding == 0:
                    if best is not None:
                        best[1].remove()
                    self.written.append(box)
                    return True
                if best is None or crowding < best[0]:
                    if best is not None:
                        best[1].remove()
                    best = (crowding, note)
                else:
                    note.remove()
        if best is None:
            return False
        if always:
            self.written.append(self._box(best[1]))
        else:
            best[1].remove()
        return always

    @property
    def _pixels_per_point(self) -> float:
        return float(self.ax.figure.dpi) / 72

    def _write(
        self, text: str, anchor: tuple[float, float], dx: float, dy: float, style: dict[str, Any]
    ) -> Any:
        from matplotlib.patheffects import withStroke

        horizontal: Literal["left", "right", "center"] = "left" if dx > 0 else "right" if dx < 0 else "center"
        vertical: Literal["bottom", "top", "center"] = "bottom" if dy > 0 else "top" if dy < 0 else "center"
        return self.ax.annotate(
            text,
            anchor,
            xytext=(dx * _GAP, dy * _GAP),
            textcoords="offset points",
            ha=horizontal,
            va=vertical,
            parse_math=False,
            zorder=9,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
            **style,
        )

    def _box(self, note: Any) -> Box:
        box = note.get_window_extent()
        return float(box.x0), float(box.y0), float(box.x1), float(box.y1)

    def _crowding(self, box: Box) -> float:
        """Pixels of the box that are taken or lie outside the axes."""
        frame = self.ax.get_window_extent()
        inside = _overlap(box, (frame.x0, frame.y0, frame.x1, frame.y1))
        outside = (box[2] - box[0]) * (box[3] - box[1]) - inside
        crossed = sum(_overlap(box, other) for other in self.taken)
        # A label over a line can be read, one over another label or outside the axes cannot.
        return (
            crossed + 20 * sum(_overlap(box, other) for other in self.written) + 100 * (outside > 1) * outside
        )


def _overlap(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0
