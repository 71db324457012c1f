"""Values of splines and their derivatives, compiled.

De Boor's recursion; SciPy's splines give the same (tested), but importing them takes longer than most runs.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def combine(knots: Array, degree: int, derivative: int, u: Array, rows: Array) -> Array:
    """B-splines (or their derivatives) at points within the knots, times ``rows``: ``(K, M)``.

    Args:
        knots: ascending, the ends ``degree + 1`` times each.
        degree: of the polynomials.
        derivative: 0 for values.
        u: points, ``(K,)``.
        rows: one for each B-spline, ``(len(knots) - degree - 1, M)``.
    """
    out = np.zeros((len(u), rows.shape[1]))
    cells = np.clip(np.searchsorted(knots, u, side="right") - 1, degree, len(rows) - 1)
    _combine(knots, degree, derivative, np.ascontiguousarray(u, dtype=np.float64), cells, rows, out)
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _combine(
    knots: Array, degree: int, derivative: int, u: Array, cells: NDArray[np.int64], rows: Array, out: Array
) -> None:
    # Only degree + 1 splines differ from 0 at a point: those of order d that do are cell - d, ..., cell.
    value, higher = np.empty(degree + 1), np.empty(degree + 1)
    for k in range(len(u)):
        x, cell = u[k], cells[k]
        value[0] = 1.0
        for order in range(1, degree + 1):
            for r in range(order + 1):
                higher[r] = 0.0
            for r in range(order):
                left, right = knots[cell - order + 1 + r], knots[cell + 1 + r]
                part = value[r] / (right - left)
                if order > degree - derivative:
                    higher[r] -= order * part
                    higher[r + 1] += order * part
                else:
                    higher[r] += (right - x) * part
                    higher[r + 1] += (x - left) * part
            for r in range(order + 1):
                value[r] = higher[r]
        for r in range(degree + 1):
            row = rows[cell - degree + r]
            for m in range(len(row)):
                out[k, m] += value[r] * row[m]
