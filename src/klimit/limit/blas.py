"""Products of matrices in the thread that asks: OpenBLAS's idle threads would take time from klimit's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Array = NDArray[np.float64]


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """While the block runs, products are made by the thread that asks for them, in the same order on every machine."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


def product(left: Array, right: Array) -> Array:
    """``left @ right``, so made."""
    with one_thread():
        return np.asarray(left @ right)
