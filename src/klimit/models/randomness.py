"""One stream of uniform numbers for each completion: a completion depends on its own key, never on its batch."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from klimit.models.engine import Draw


def key_of(*parts: object) -> int:
    """128 bits that differ for different parts."""
    text = "\x1f".join(repr(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def uniforms(seed: int, weights: str, draw: Draw, count: int) -> NDArray[np.float64]:
    """The uniform numbers in ``[0, 1)`` that one completion is drawn with, one a token.

    The weights are part of the key: two models asked with one seed draw independently, as an audit takes them to.

    Args:
        seed: of the run.
        weights: fingerprint of the model.
        draw: whose.
        count: how many.
    """
    key = key_of(seed, weights, draw.prompt.prompt_id, draw.sample_id)
    words = np.array([key & 0xFFFFFFFFFFFFFFFF, key >> 64], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words)).random(count)
