"""In which order a run meets its prompts: fixed before it begins, so that a resumed run meets the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def prompt_order(n_prompts: int, count: int, seed: int) -> NDArray[np.int64]:
    """Which prompt comes when: all of them in random order, and again, each time in another.

    Args:
        n_prompts: how many there are.
        count: how many are wanted.
        seed: of the orders.
    """
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(n_prompts) for _ in range(-(-count // n_prompts))]
    return np.concatenate(rounds)[:count].astype(np.int64)
