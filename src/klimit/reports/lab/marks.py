"""Marks and shades of the ways to train, the same in every figure of a world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from klimit.lab.study import Trained
from klimit.lab.world import Which
from klimit.reports.style import POLICY

_MARKS = ("D", "s", "^", "v", "P", "X")


def kinds_of(trained: Sequence[Trained]) -> list[str]:
    """How policies were trained, each once."""
    return list(dict.fromkeys(each.plan.kind for each in trained))


def marks(kinds: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Mark and shade of each, told apart without hue."""
    shades = np.linspace(0.0, 0.55, max(len(kinds), 2))
    return {
        kind: (mark, POLICY if shade == 0 else str(float(shade)))
        for kind, mark, shade in zip(kinds, _MARKS * len(kinds), shades, strict=False)
    }


def called(which: Which) -> str:
    """Prompts, as a legend has them."""
    return {"held_out": ", held-out prompts", "train": ", trained on", "all": ", all prompts"}[which]
