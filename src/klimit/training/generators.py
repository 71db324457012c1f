"""The states of all random number generators that training draws from: kept, saved, and put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def states() -> dict[str, Any]:
    """The states, as tensors and plain values."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002  # trainers draw from it
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [str(name), torch.tensor(np.asarray(keys).astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def put_back(known: dict[str, Any]) -> None:
    """Let all generators go on from states that :func:`states` gave."""
    version, internal, gauss = known["python"]
    name, keys, *rest = known["numpy"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(known["torch"].cpu())
    if known["cuda"]:
        torch.cuda.set_rng_state_all([each.cpu() for each in known["cuda"]])


@contextmanager
def untouched() -> Iterator[None]:
    """Leave all generators as they were."""
    before = states()
    try:
        yield
    finally:
        put_back(before)
