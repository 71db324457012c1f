"""Options that hold several values, and warnings taken down instead of shown."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from klimit.errors import InputError, KlimitWarning


def numbers(text: str | None, option: str, *, example: str) -> list[float] | None:
    """``"0.25,0.5"`` as numbers; None where the option was not given.

    Raises:
        InputError: a part is not a number.
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text!r}: give numbers parted by commas, such as {example}") from None


def whole_numbers(text: str | None, option: str, *, example: str) -> list[int] | None:
    """``"4,16"`` as whole numbers; None where the option was not given.

    Raises:
        InputError: a part is not a whole number.
    """
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} {text!r}: give whole numbers parted by commas, such as {example}"
        ) from None


@contextmanager
def taken_down() -> Iterator[list[str]]:
    """Collect the messages of :class:`KlimitWarning`; other warnings take their usual way."""
    lines: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", KlimitWarning)
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, KlimitWarning):
                lines.append(str(message))
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show
        yield lines
