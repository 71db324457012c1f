"""The KL's axis of the plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from klimit.reports.page.charts.chart import Floats, axis

_TICKS = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_APART = 0.1  # of the axis: ticks nearer than this would run into one another on a phone


@dataclass(frozen=True)
class Scale:
    """The KL's axis: as it is, or by its root where policies lie far beyond the limit."""

    end: float
    root: bool

    def __call__(self, kl: Any) -> Floats:
        """Coordinates of KLs."""
        values = np.asarray(kl, dtype=np.float64)
        return np.asarray(np.sqrt(np.maximum(values, 0.0)) if self.root else values)

    def axis(self) -> dict[str, Any]:
        """As Plotly takes it, its ticks in nats."""
        title = "KL(policy || base), nats per completion"
        if not self.root:
            return axis(title, 0.0, self.end)
        ticks: list[float] = []
        for tick in _TICKS:
            if tick <= self.end and (
                not ticks or np.sqrt(tick) - np.sqrt(ticks[-1]) >= _APART * np.sqrt(self.end)
            ):
                ticks.append(tick)
        shown = {
            "tickvals": [float(np.sqrt(tick)) for tick in ticks],
            "ticktext": [f"{tick:g}" for tick in ticks],
        }
        return axis(f"{title} (root scale)", 0.0, float(np.sqrt(self.end)), **shown)
