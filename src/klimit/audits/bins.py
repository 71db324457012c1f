"""Which bin of its prompt a value falls into."""

from __future__ import annotations

import numba
import numpy as np

from klimit.audits.measured import Array
from klimit.audits.pair import Ints


@numba.njit(cache=True, nogil=True)
def bin_of(values: Array, prompt: Ints, edge: Array, edge_offsets: Ints, first: Ints) -> Ints:
    """The bin of each value: bins of all prompts numbered through, a value on an edge in the upper one.

    Args:
        values: ``(M,)``.
        prompt: of each value, ``(M,)``.
        edge: between two bins of one prompt, in order within prompts, those of all prompts one after another.
        edge_offsets: where the edges of each prompt begin and end, ``(P + 1,)``.
        first: number of each prompt's first bin, ``(P,)``.
    """
    out = np.empty(len(values), dtype=np.int64)
    for i in range(len(values)):
        own = prompt[i]
        low, high = edge_offsets[own], edge_offsets[own + 1]
        while low < high:  # edges at or below the value
            middle = (low + high) // 2
            if edge[middle] <= values[i]:
                low = middle + 1
            else:
                high = middle
        out[i] = low - edge_offsets[own] + first[own]
    return out
