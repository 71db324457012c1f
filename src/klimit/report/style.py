"""Sizes and colours of the figure: told apart by lightness and line style as well as by hue."""

SIZE = (5.6, 4.6)  # inches; narrow, so that letters stay readable on a phone
DPI = 200
TEXT, SMALL = 11.0, 10.0  # points

LIMIT, BAND = "#00456e", "#9ccbe8"
BRACKET, HATCH = "#e9e9e9", "#b5b5b5"
BEST = "#c04a00"
GREY = "#6b6b6b"
