"""Axes of every figure, and how figures become files."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from klimit.reports.style import DPI, SIZE, SMALL, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_axes() -> Axes:
    """Axes of a new figure that no window or global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def plain(ax: Axes, title: str | None) -> None:
    """Axes without a frame above and at the right."""
    ax.tick_params(labelsize=SMALL)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize=TEXT, fontweight="bold", loc="left", parse_math=False)


def finish(ax: Axes) -> None:
    """The layout must be final before labels are placed."""
    figure: Any = ax.figure
    figure.draw_without_rendering()
    ax.set_autoscale_on(False)


def figure_bytes(figure: Figure, path: str) -> bytes:
    """The figure in the format that the path's ending names; the same figure gives the same bytes."""
    import matplotlib

    kind = path.rsplit(".", 1)[-1].lower()
    undated: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    buffer = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "klimit"}):
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=undated.get(kind))
    return buffer.getvalue()


def save_figure(figure: Figure, path: str) -> None:
    """Write a figure whole or not at all.

    Raises:
        InputError: it cannot be written; then nothing was.
    """
    from klimit.reports.files import write_files

    write_files({path: figure_bytes(figure, path)})
