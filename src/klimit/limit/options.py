"""Options of the limit, checked at the door."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from klimit.errors import InputError
from klimit.limit.dual import Array
from klimit.limit.estimator import ESTIMATORS, TARGETS

BudgetName = Literal["average", "per-prompt"]
EngineName = Literal["auto", "memory", "stream"]
BUDGETS: tuple[str, ...] = get_args(BudgetName)
ENGINES: tuple[str, ...] = get_args(EngineName)


def check_options(*, budget: str, level: float, target: str, estimator: str, seed: int) -> None:
    """Raise an InputError that names the first option which cannot be."""
    for label, value, allowed in (
        ("budget", budget, BUDGETS),
        ("target", target, TARGETS),
        ("estimator", estimator, ESTIMATORS),
    ):
        if value not in allowed:
            raise InputError(f"{label}={value!r}: choose one of {', '.join(map(repr, allowed))}")
    if not 0 < check_number("level", level, positive=False) < 1:
        raise InputError(f"level={level!r}: give a probability between 0 and 1, such as 0.95")
    check_seed(seed)


def check_seed(seed: int) -> None:
    """Raise an InputError where the seed is no whole number from 0 on."""
    if check_number("seed", seed, positive=False) != int(seed) or seed < 0:
        raise InputError(f"seed={seed!r}: give a whole number that is not negative")


def check_budgets(kl: ArrayLike) -> Array:
    """KL budgets as a 1-D float array.

    Raises:
        InputError: a budget is not a finite number above 0.
    """
    try:
        if isinstance(kl, (str, bool)):
            raise TypeError
        budgets = np.atleast_1d(np.asarray(kl, dtype=np.float64))
    except (TypeError, ValueError):
        raise InputError(f"kl={kl!r}: give KL budgets in nats, such as [0.25, 0.5, 1]") from None
    if budgets.ndim != 1 or not len(budgets):
        raise InputError(f"kl has shape {budgets.shape}: give one or several KL budgets in nats")
    bad = ~(np.isfinite(budgets) & (budgets > 0))
    if bad.any():
        raise InputError(f"kl={budgets[bad][0]:g}: a KL budget is a finite number of nats above 0")
    return budgets


def check_number(name: str, value: object, *, positive: bool) -> float:
    """One finite number, above 0 where ``positive``.

    Raises:
        InputError: it is not.
    """
    number = (
        float(value) if isinstance(value, int | float | np.number) and not isinstance(value, bool) else np.nan
    )
    if not np.isfinite(number) or (positive and number <= 0):
        raise InputError(f"{name}={value!r}: give a finite number" + (" above 0" if positive else ""))
    return number
