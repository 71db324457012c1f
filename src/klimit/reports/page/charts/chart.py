"""A chart: traces in layers that the reader can switch off, words on hovering, colours by role.

Colours are names such as ``"@limit"``: the page resolves them by its theme, light, dark or printed. All text is escaped
here, for Plotly reads some HTML in it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_DIGITS = 7


@dataclass(frozen=True)
class Layer:
    """What one switch of the legend shows and hides.

    Attributes:
        name: on the switch.
        swatch: how it looks: ``"line"``, ``"dash"``, ``"dot"``, ``"area"``, ``"hatch"``, ``"ring"``, ``"disc"``,
            ``"diamond"``, ``"square"``, or a part of a KL.
        color: by role.
        traces: places of its traces.
    """

    name: str
    swatch: str
    color: str
    traces: list[int] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Chart:
    """One chart of a page.

    Attributes:
        key: its id on the page.
        title: the question it answers.
        caption: how to read it, in words that also say what it shows.
        tables: names of the tables with its numbers.
        height: pixels.
        traces: as Plotly takes them.
        layout: likewise.
        layers: the switches.
    """

    key: str
    title: str
    caption: str
    tables: tuple[str, ...]
    height: int = 440
    traces: list[dict[str, Any]] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)

    def add(self, layer: str, swatch: str, color: str, *traces: dict[str, Any]) -> None:
        """Add traces to a layer, which is made where there is none by that name."""
        found = next((each for each in self.layers if each.name == layer), None)
        if found is None:
            found = Layer(layer, swatch, color)
            self.layers.append(found)
        for trace in traces:
            found.traces.append(len(self.traces))
            self.traces.append({"type": "scatter", "showlegend": False, **trace})

    def payload(self) -> dict[str, Any]:
        """What the page's script needs."""
        return {
            "key": self.key,
            "height": self.height,
            "traces": self.traces,
            "layout": {**base_layout(), **self.layout},
            "layers": [
                {"name": each.name, "swatch": each.swatch, "color": each.color, "traces": each.traces}
                for each in self.layers
            ],
        }


def base_layout() -> dict[str, Any]:
    """What all charts share."""
    return {
        "paper_bgcolor": "@paper",
        "plot_bgcolor": "@paper",
        "font": {"family": "system-ui, sans-serif", "size": 14, "color": "@text"},
        "margin": {"l": 64, "r": 20, "t": 12, "b": 56},
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "@paper", "bordercolor": "@grey", "font": {"color": "@text", "size": 14}},
        "dragmode": False,
        "showlegend": False,
    }


def axis(title: str, low: float, high: float, **more: Any) -> dict[str, Any]:
    """An axis with its range."""
    return {
        "title": {"text": escaped(title), "standoff": 10},
        "range": [number(low), number(high)],
        "gridcolor": "@grid",
        "linecolor": "@grey",
        "zerolinecolor": "@grey",
        "ticks": "outside",
        "tickcolor": "@grey",
        "automargin": True,
        **more,
    }


def line(
    x: Floats, y: Floats, color: str, hover: Sequence[str], *, width: float = 2.0, dash: str = "solid"
) -> dict[str, Any]:
    """A line with words on hovering."""
    return {
        "mode": "lines",
        "x": numbers(x),
        "y": numbers(y),
        "line": {"color": color, "width": width, "dash": dash},
        **hovering(hover),
    }


def area(x: Floats, low: Floats, high: Floats, color: str, hatch: str = "") -> dict[str, Any]:
    """What lies between two lines; nothing where either is not finite."""
    known = np.isfinite(low) & np.isfinite(high)
    outline = np.concatenate([x[known], x[known][::-1]])
    filled: dict[str, Any] = {
        "mode": "lines",
        "x": numbers(outline),
        "y": numbers(np.concatenate([high[known], low[known][::-1]])),
        "line": {"width": 0, "color": color},
        "hoverinfo": "skip",
        "fill": "toself",
        "fillcolor": color,
    }
    if hatch:
        filled["fillpattern"] = {
            "shape": hatch,
            "fgcolor": "@hatch",
            "bgcolor": color,
            "size": 9,
            "solidity": 0.12,
        }
    return filled


def points(
    x: Iterable[float],
    y: Iterable[float],
    *,
    hover: Sequence[str],
    labels: Sequence[str] = (),
    place: str | Sequence[str] = "bottom right",
    **marker: Any,
) -> dict[str, Any]:
    """Points, with labels beside them where given."""
    found: dict[str, Any] = {
        "mode": "markers+text" if labels else "markers",
        "x": numbers(x),
        "y": numbers(y),
        "marker": marker,
        "cliponaxis": False,
        **hovering(hover),
    }
    if labels:
        found["text"] = [escaped(label) for label in labels]
        found["textposition"] = place if isinstance(place, str) else list(place)
    return found


def bars(values: Iterable[float], low: Iterable[float], high: Iterable[float], color: str) -> dict[str, Any]:
    """Error bars from ``low`` to ``high`` about ``values``; none where an end is not finite."""
    ends = [
        (max(v - a, 0.0), max(b - v, 0.0)) if np.isfinite(a) and np.isfinite(b) else (0.0, 0.0)
        for v, a, b in zip(values, low, high, strict=True)
    ]
    return {
        "type": "data",
        "symmetric": False,
        "array": numbers(b for _, b in ends),
        "arrayminus": numbers(a for a, _ in ends),
        "color": color,
        "thickness": 1.3,
        "width": 4,
    }


def upright(
    x: float, low: float, high: float, hover: str, *, color: str = "@text", dash: str = "dash"
) -> dict[str, Any]:
    """A vertical line that tells of itself all along."""
    y = np.linspace(low, high, 12)
    return line(np.full(12, x), y, color, [hover] * 12, width=1.4, dash=dash)


def note(x: float, y: float, text: str, color: str = "@text", **more: Any) -> dict[str, Any]:
    """Words in the chart."""
    return {
        "x": number(x),
        "y": number(y),
        "text": escaped(text),
        "showarrow": False,
        "font": {"color": color, "size": 13},
        "bgcolor": "@veil",
        **more,
    }


def hovering(words: Sequence[str]) -> dict[str, Any]:
    """Words on hovering, one text a point; lines of a text are kept."""
    return {"hovertext": [escaped(word).replace("\n", "<br>") for word in words], "hoverinfo": "text"}


def escaped(text: str) -> str:
    """Text that Plotly shows as it stands."""
    return html.escape(text, quote=False)


def numbers(values: Iterable[float]) -> list[float | None]:
    """Coordinates in seven digits; None where there is none."""
    return [number(float(value)) for value in values]


def number(value: float) -> float | None:
    """One coordinate."""
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
