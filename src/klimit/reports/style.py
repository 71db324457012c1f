"""Sizes and colours of the figure: told apart by lightness and line style as well as by hue."""

from typing import Any

SIZE = (5.6, 4.6)  # inches; narrow, so that letters stay readable on a phone
DPI = 200
TEXT, SMALL = 11.0, 10.0  # points

LIMIT, BAND = "#00456e", "#9ccbe8"
BRACKET, HATCH = "#e9e9e9", "#b5b5b5"
BEST = "#c04a00"
POLICY = "#111111"
GREY = "#6b6b6b"

# Parts of a KL, each with a hatch of its own.
BARS: dict[str, dict[str, Any]] = {
    "necessary": {"facecolor": LIMIT, "edgecolor": "white", "hatch": "", "linewidth": 0.8},
    "allocation": {"facecolor": "#f2d9a0", "edgecolor": "#6b4e00", "hatch": "//", "linewidth": 0.8},
    "shape": {"facecolor": "#ffffff", "edgecolor": "#555555", "hatch": "..", "linewidth": 0.8},
    "off-reward": {"facecolor": "#e08a5a", "edgecolor": "#4a1d00", "hatch": "xx", "linewidth": 0.8},
    "shape + off-reward": {"facecolor": "#e9b99c", "edgecolor": "#4a1d00", "hatch": "x", "linewidth": 0.8},
    "unknown": {"facecolor": "white", "edgecolor": GREY, "hatch": "", "linewidth": 0.8, "linestyle": "--"},
}
