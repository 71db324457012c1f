"""Where each policy's KL went, as one stacked bar a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from klimit.audits.result import Audit, Audits
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.several import SeveralFindings
from klimit.reports.axes import new_axes, plain
from klimit.reports.style import BARS, DPI, POLICY, SIZE, SMALL, TEXT
from klimit.reports.values import short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE = 0.11  # of the axis: a segment that has room for its number
UNKNOWN = "unknown"
PARTS = {
    "necessary": "needed for the gain",
    "allocation": "wrong prompts (allocation)",
    "shape": "other law of the reward (shape)",
    "off-reward": "unseen by the reward (off-reward)",
    "shape + off-reward": "shape + off-reward",
    UNKNOWN: "cannot be told",
}


def plot_parts(audits: Audits | Audit, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw the parts of each policy's KL as one stacked bar, the KL's interval at its end.

    A part whose estimate is below 0 is drawn as 0. Shape and off-reward are one segment where the samples do not tell
    them apart; of a part known by a range only, the lower end is drawn, and the rest of the KL is a segment of its own.

    Args:
        audits: the accounts.
        ax: axes to draw on; by default those of a new figure that no window or global state knows of.
        title: above the axes; by default none.

    Returns:
        The axes; ``ax.figure`` is the figure.
    """
    shown = Audits((audits,)) if isinstance(audits, Audit) else audits
    own = ax is None
    ax = _new_axes(len(shown)) if ax is None else ax
    bars = [segments(audit) for audit in shown]
    unit = SeveralFindings(shown).nats
    ends = [0.0 if audit.kl is None else _end(audit) for audit in shown]
    right = 1.05 * max([*ends, *(sum(bar.values()) for bar in bars)]) or 1.0
    for i, (audit, bar) in enumerate(zip(shown, bars, strict=True)):
        left = 0.0
        for part, width in bar.items():
            if width == 0.0:
                continue
            ax.barh(i, width, left=left, height=0.62, label=PARTS[part], **BARS[part])
            if width > _WIDE * right:
                box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"}
                ax.text(
                    left + width / 2,
                    i,
                    unit.number(width),
                    ha="center",
                    va="center",
                    fontsize=SMALL,
                    bbox=box,
                )
            left += width
        _whole(ax, i, audit, left)
    ax.set_xlim(0, right)
    ax.set_ylim(len(shown) - 0.45, -0.55)
    ax.set_yticks(range(len(shown)), [short_name(audit.name) for audit in shown], parse_math=False)
    ax.set_xlabel("KL(policy || base), nats per completion", fontsize=TEXT)
    plain(ax, title)
    ax.tick_params(axis="y", length=0)
    _legend(ax, outside=own)
    return ax


def draw_parts(audits: Audits) -> Figure:
    """The figure of a report."""
    figure: Any = plot_parts(audits, title="Where the KL went").figure
    return figure  # type: ignore[no-any-return]


def segments(audit: Audit) -> dict[str, float]:
    """Width of each part, nats."""
    told = AuditFindings(audit).told_apart
    sizes = {name: max(value.estimate if value.known else value.low, 0.0) for name, value in told.items()}
    if audit.kl is None or all(value.known for value in told.values()):
        return sizes
    return {**sizes, UNKNOWN: max(audit.kl.estimate - sum(sizes.values()), 0.0)}


def _end(audit: Audit) -> float:
    assert audit.kl is not None
    return audit.kl.high if np.isfinite(audit.kl.high) else audit.kl.estimate


def _whole(ax: Axes, place: int, audit: Audit, left: float) -> None:
    """The KL and its interval; words where there is nothing to draw."""
    if audit.kl is None:
        ax.text(0.02, place, "KL unknown", transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL)
        return
    kl = audit.kl
    low, high = (end if np.isfinite(end) else kl.estimate for end in (kl.low, kl.high))
    if left == 0.0 and audit.parts is None:
        ax.text(0.02, place, "no KL to part", transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL)
    errors = [[max(kl.estimate - low, 0.0)], [max(high - kl.estimate, 0.0)]]
    ax.errorbar(
        [kl.estimate], [place], xerr=errors, fmt="none", ecolor=POLICY, elinewidth=1.4, capsize=4, zorder=5
    )


def _legend(ax: Axes, *, outside: bool) -> None:
    """Each part once."""
    handles, names = ax.get_legend_handles_labels()
    found = dict(zip(names, handles, strict=True))
    order = [name for name in PARTS.values() if name in found]
    if not order:
        return
    style: dict[str, Any] = {"frameon": False, "fontsize": SMALL, "handlelength": 2.2, "handleheight": 1.1}
    if outside:
        figure: Any = ax.figure
        figure.legend([found[name] for name in order], order, loc="outside lower left", **style)
    else:
        ax.legend([found[name] for name in order], order, **style)


def _new_axes(bars: int) -> Axes:
    ax = new_axes()
    figure: Any = ax.figure
    figure.set_size_inches(SIZE[0], 2.3 + 0.55 * bars)
    figure.set_dpi(DPI)
    return ax
