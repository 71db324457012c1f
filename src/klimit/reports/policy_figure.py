"""The figure of one policy without a limit beside it: gain against KL, by its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from klimit.reports.axes import finish, new_axes, plain
from klimit.reports.labels import NEAR, Labels
from klimit.reports.numbers import RewardFormat
from klimit.reports.style import BEST, SMALL, TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from klimit.policies.curve import PolicyCurve


def plot_policy(curve: PolicyCurve, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw a policy's gain against its KL, with the intervals of both, each setting labelled where there is room.

    The limit is not among a policy's numbers: draw it first with :meth:`klimit.Frontier.plot`, or give the policy to
    it as ``best_of_n=``.

    Args:
        curve: of the policy.
        ax: axes to draw on; by default those of a new figure that no window or global state knows of.
        title: above the axes; by default none.

    Returns:
        The axes; ``ax.figure`` is the figure.
    """
    own = ax is None
    ax = new_axes() if ax is None else ax
    ends = [
        np.nan_to_num(np.maximum(np.stack([at - low, high - at]), 0.0))
        for at, low, high in (
            (curve.kl, curve.kl_low, curve.kl_high),
            (curve.gain, curve.gain_low, curve.gain_high),
        )
    ]
    style: dict[str, Any] = {"color": BEST, "ecolor": BEST, "elinewidth": 0.9, "linewidth": 1.2, "zorder": 6}
    ax.errorbar(
        curve.kl, curve.gain, xerr=ends[0], yerr=ends[1], fmt="o-", markersize=6, markerfacecolor="white",
        markeredgewidth=1.6, label=curve.policy, **style,
    )  # fmt: skip
    if not own:
        return ax
    base = RewardFormat.fitting(float(np.abs(curve.gain).max()) or 1.0).reward(curve.base_reward)
    ax.set_xlabel("KL(policy || base), nats per completion", fontsize=TEXT)
    ax.set_ylabel(
        f"gain in {curve.reward_name}\nover the base mean ({base})", fontsize=TEXT, parse_math=False
    )
    ax.set_xlim(left=0)
    plain(ax, title)
    finish(ax)
    labels = Labels(ax)
    name, values = next(iter(curve.parameters.items()))
    for i in range(len(curve)):
        labels.keep_off(curve.kl[i : i + 1], curve.gain[i : i + 1], width=10.0)
    labels.keep_off(curve.kl, curve.gain)
    for i in reversed(range(len(curve))):
        text = f"{name} = {values[i]:.3g}" if i == len(curve) - 1 else f"{values[i]:.3g}"
        at = [(float(curve.kl[i]), float(curve.gain[i]))]
        labels.put(text, at, places=NEAR, always=False, color=BEST, fontsize=SMALL)
    return ax
