"""Words and tables in 80 columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

WIDTH = 80
_JOINED = "\ue000"  # a space that is not folded at
_BETWEEN = (" | ", ": ", "; ")


def wrap(text: str, *, indent: str = "") -> str:
    """Fold a line, but not within an interval, nor within the items of a list parted by ``|``."""
    whole = re.sub(r"\[[^]]{1,40}\]", lambda found: _joined(found[0]), text)
    if " | " in whole:
        whole = "".join(
            part if part in _BETWEEN else _joined(part) for part in re.split(r"( \| |: |; )", whole)
        )
    folded = textwrap.fill(
        whole, WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    return folded.replace(_JOINED, " ")


def _joined(text: str) -> str:
    """The text with spaces that are not folded at."""
    return text.replace(" ", _JOINED)


def table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns flush left, two spaces apart; the last one is folded where it does not fit."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = sum(widths[:-1]) + 2 * (len(widths) - 1)
    lines = []
    for row in rows:
        first = "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths[:-1], strict=False))
        folded = textwrap.wrap(row[-1], max(WIDTH - left, 16), break_long_words=False) or [""]
        lines += [f"{first}{folded[0]}".rstrip(), *(f"{'':{left}}{more}" for more in folded[1:])]
    return lines
