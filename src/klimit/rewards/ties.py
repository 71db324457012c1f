"""When equal rewards are atoms of the reward's law, and when they are two equal floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def most_by_chance(n: int) -> int:
    """How often a reward may occur among ``n`` completions of a prompt without being an atom of its law.

    A rare pair among eight or more is no atom, but two equal floats.
    """
    return 2 if n >= 8 else 1


def shows_ties(ordered: NDArray[np.floating[Any]], offsets: NDArray[np.integer[Any]]) -> bool:
    """Whether some prompt shows a reward more often than by chance.

    Args:
        ordered: rewards grouped by prompt, ascending within each, ``(n_completions,)``.
        offsets: ``(n_prompts + 1,)``.
    """
    counts = np.diff(offsets)
    prompt = np.repeat(np.arange(len(counts)), counts)
    # Of equal neighbours as far apart as may be by chance, both must be of one prompt.
    steps = np.array([most_by_chance(int(n)) for n in np.unique(counts)])
    for step in np.unique(steps).tolist():
        here = (counts >= 8) == (step == 2)
        same = (ordered[step:] == ordered[:-step]) & (prompt[step:] == prompt[:-step])
        if (same & here[prompt[step:]]).any():
            return True
    return False
