"""Prompts' log-partitions in a temporary file, read again when single prompts' influences are asked for."""

from __future__ import annotations

import os
import tempfile
import weakref
from typing import BinaryIO

import numpy as np

from klimit.errors import InputError
from klimit.limit.dual import Array

_AT_ONCE = 4_000_000  # numbers read at once


class Spilled:
    """Jackknifed log-partitions of prompts on a grid of ``T`` points, from three block sizes.

    The file has no name: it is gone with this object, or with the process.
    """

    def __init__(self, n_points: int) -> None:
        self.n_points = n_points
        self.n_prompts = 0
        self._file: BinaryIO = tempfile.TemporaryFile(prefix="klimit-")  # noqa: SIM115 - it lives as long as this does
        weakref.finalize(self, self._file.close)

    def append(self, jackknife: Array) -> None:
        """Add prompts, ``(3, P, T)``.

        Raises:
            InputError: the disk is full.
        """
        rows = np.ascontiguousarray(jackknife.transpose(1, 0, 2), dtype=np.float64)
        try:
            self._file.seek(0, os.SEEK_END)
            self._file.write(rows.data)
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"{tempfile.gettempdir()}: cannot be written ({error.strerror or error}); about "
                f"{3 * self.n_points * 8:,} bytes a prompt are kept there: set TMPDIR to a folder with room"
            ) from None
        self.n_prompts += len(rows)

    def project(self, weights: Array) -> Array:
        """See :meth:`klimit.limit.kernels.PromptStatistics.project`."""
        flat = weights.transpose(0, 2, 1).reshape(3 * self.n_points, -1)
        out = np.empty((self.n_prompts, flat.shape[1]))
        step = max(1, _AT_ONCE // len(flat))
        self._file.seek(0)
        for first in range(0, self.n_prompts, step):
            last = min(first + step, self.n_prompts)
            rows = np.frombuffer(self._file.read((last - first) * len(flat) * 8))
            out[first:last] = rows.reshape(last - first, len(flat)) @ flat
        return out
