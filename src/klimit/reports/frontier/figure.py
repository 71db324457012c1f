"""The figure of a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from klimit.errors import InputError
from klimit.reports.axes import new_axes
from klimit.reports.captions import write_labels
from klimit.reports.plane import paint, right_end

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from klimit.limit.result import Frontier
    from klimit.policies.curve import PolicyCurve
    from klimit.reports.frontier.findings import Findings
    from klimit.testsystems import Curve


def plot_frontier(
    limit: Frontier,
    *,
    ax: Axes | None = None,
    best_of_n: PolicyCurve | None = None,
    truth: Curve | None = None,
    kl_max: float | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the limit with its band up to the horizon, the bracket beyond, the square-root law and best-of-N.

    Args:
        limit: the limit.
        ax: axes to draw on; by default those of a new figure that no window or global state knows of.
        best_of_n: points to draw, labelled by their N, with their intervals.
        truth: the true limit, where it is known (from :mod:`klimit.testsystems`).
        kl_max: right end of the axis, nats per completion; by default the horizon and the points fit.
        title: above the axes; by default none.

    Returns:
        The axes; ``ax.figure`` is the figure.

    Raises:
        InputError: ``kl_max`` is not a finite number above 0.
    """
    if kl_max is not None and not (np.isfinite(kl_max) and kl_max > 0):
        raise InputError(f"kl_max={kl_max!r}: give a finite number of nats above 0")
    ax = new_axes() if ax is None else ax
    end = right_end(limit, best_of_n) if kl_max is None else kl_max
    write_labels(*paint(ax, limit, end=end, best_of_n=best_of_n, truth=truth, title=title))
    return ax


def draw(findings: Findings) -> Figure:
    """The figure of a report, with its verdict above."""
    from klimit.reports.frontier.verdict import title

    axes = plot_frontier(findings.limit, best_of_n=findings.best, title=title(findings))
    figure: Any = axes.figure
    return figure  # type: ignore[no-any-return]
