"""What reading tells its caller beside the samples, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.samples.columns import HeldBack
from klimit.samples.measures import Completions

EXACT_INTEGERS = 2.0**53


def held_notes(held: Mapping[str, HeldBack]) -> list[str]:
    """Which columns with a reward's name are not among the rewards."""
    numbers = [name for name, why in held.items() if why.is_number]
    others = [name for name, why in held.items() if not why.is_number]
    notes = []
    if numbers:
        verb = "has" if len(numbers) == 1 else "have"
        notes.append(
            f"held back: {', '.join(numbers)} {verb} missing or infinite values (ask for one to see where)"
        )
    if others:
        notes.append(f"not read as rewards: {', '.join(others)} (ask for one to see why)")
    return notes


def rounded_notes(rewards: Mapping[str, NDArray[Any]], completions: Completions) -> list[str]:
    """Which rewards are integers too large for float64 to tell apart."""
    exact = ("FLOAT", "DOUBLE", "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER")
    wide = [name for name in rewards if completions.types[name] not in exact]
    rounded = [name for name in wide if np.abs(rewards[name]).max() >= EXACT_INTEGERS]
    return [f"{name}: integers above 2^53 are rounded to float64, so close ones may tie" for name in rounded]
