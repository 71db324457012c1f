"""Random orders of each prompt's completions: blocks of them are random subsets, whatever belongs to a completion."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from klimit.limit.dealing import prompt_key

Ints = NDArray[np.int64]


@numba.njit(cache=True, nogil=True)
def _shuffle(count: int, key: np.uint64, out: Ints) -> None:
    """A random order of ``0 .. count - 1`` (Fisher and Yates, a stream of its own for each key)."""
    for i in range(count):
        out[i] = i
    state = key
    for i in range(count - 1, 0, -1):
        state = prompt_key(state, 1)
        j = np.int64(((state >> np.uint64(32)) * np.uint64(i + 1)) >> np.uint64(32))
        out[i], out[j] = out[j], out[i]


@numba.njit(cache=True, nogil=True)
def _shuffle_all(offsets: Ints, key: np.uint64, out: Ints) -> None:
    for p in range(len(offsets) - 1):
        start, stop = offsets[p], offsets[p + 1]
        _shuffle(stop - start, prompt_key(key, p), out[start:stop])
        for i in range(start, stop):
            out[i] += start


def shuffled_rows(offsets: Ints, key: np.uint64) -> Ints:
    """Indices of the completions, each prompt's in a random order of its own, ``(n_completions,)``.

    Args:
        offsets: ``(n_prompts + 1,)``.
        key: of the random stream, see :func:`klimit.limit.kernels.deal_seed`.
    """
    out = np.empty(int(offsets[-1]), dtype=np.int64)
    _shuffle_all(offsets, key, out)
    return out
