"""Samples of policies given as tables, fast: studies of intervals draw them thousands of times."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.limit.roots import Array
from klimit.samples.container import Samples

_PASSES = 64  # outputs up to which a comparison with each edge is faster than searches


def cumulative(probabilities: Array) -> Array:
    """Upper edges of the outputs on [0, 1], ``(P, K)``; an output of probability zero owns nothing."""
    edges = np.cumsum(probabilities, axis=1)
    return np.asarray(edges / edges[:, -1:])


def draw_outputs(
    rng: np.random.Generator, edges: Array, rows: NDArray[np.int64], n_completions: int
) -> NDArray[np.int64]:
    """Outputs drawn for the prompts ``rows``, ``(len(rows), n_completions)``."""
    uniform = rng.random((len(rows), n_completions))
    which = np.zeros(uniform.shape, dtype=np.int64)
    if edges.shape[1] <= _PASSES:
        for column in edges[rows, :-1].T:
            which += uniform >= column[:, None]
        return which
    for i, row in enumerate(rows):
        which[i] = np.searchsorted(edges[row], uniform[i], side="right")
    return which


def as_samples(
    rows: NDArray[np.int64], outputs: NDArray[np.int64], source: str, tables: dict[str, Array]
) -> Samples:
    """Samples with ``outputs`` of the prompts ``rows``; ``tables`` by name: ``reward`` and log-probabilities."""
    n_prompts, n_completions = outputs.shape
    index = (rows[:, None], outputs)
    columns: dict[str, Any] = {name: table[index].reshape(-1) for name, table in tables.items()}
    return Samples(
        rewards={"reward": columns.pop("reward")},
        offsets=np.arange(n_prompts + 1, dtype=np.int64) * n_completions,
        prompt_ids=np.arange(n_prompts),
        metadata={"output": outputs.reshape(-1)},
        source=source,
        **columns,
    )
