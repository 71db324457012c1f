"""DuckDB's types, as far as reading samples cares: numbers, text, lists."""

from __future__ import annotations

import re

from klimit.samples.table import identifier

INTEGERS = frozenset(
    [f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")]
    + ["INTEGER", "UINTEGER", "BIGNUM"]
)
# A number may have the wrong sign by the rounding of a sum over tokens, not by more.
SIGN_SLACK = 1e-6
_LIST = re.compile(r"\[\d*\]$")


def is_number(kind: str) -> bool:
    """Whether values of this type are numbers or booleans."""
    return kind in INTEGERS or kind in ("FLOAT", "DOUBLE", "BOOLEAN") or kind.startswith("DECIMAL")


def is_list(kind: str) -> bool:
    """Whether values of this type are lists."""
    return _LIST.search(kind) is not None


def element(kind: str) -> str:
    """The type of a list's items."""
    return _LIST.sub("", kind)


def is_nested(kind: str) -> bool:
    """Whether values of this type are lists, structs or maps, such as chat messages."""
    return is_list(kind) or kind.startswith(("STRUCT(", "MAP("))


def is_text(kind: str) -> bool:
    """Whether values of this type are text (or JSON of several types)."""
    return kind in ("VARCHAR", "JSON") or kind.startswith("ENUM(")


def number(name: str, kind: str) -> str:
    """SQL for a column of numbers: float32 stays float32, all else becomes float64."""
    return identifier(name) if kind == "FLOAT" else f"CAST({identifier(name)} AS DOUBLE)"


def plain(name: str, kind: str) -> str:
    """SQL for any column such that equal values are equal texts or numbers; nested ones become JSON."""
    if is_nested(kind):
        return f"CAST(to_json({identifier(name)}) AS VARCHAR)"
    if is_number(kind) or kind == "VARCHAR":
        return identifier(name)
    return f"CAST({identifier(name)} AS VARCHAR)"


def token_list(name: str) -> str:
    """SQL for a list of numbers, one a token, as float64."""
    return f"CAST({identifier(name)} AS DOUBLE[])"


def token_count(name: str, kind: str) -> str:
    """SQL for the length of a list."""
    return f"len(CAST({identifier(name)} AS {element(kind)}[]))"


def token_sum(tokens: str, *, positive: bool) -> str:
    """SQL for the sum of a list with one number a token; NULL where one is missing or there is none.

    Where one has the wrong sign, that one is given instead of the sum, so that the check for it sees it.

    Args:
        tokens: SQL of the list, as by :func:`token_list`.
        positive: whether the numbers are at least 0; at most 0, as log-probabilities are, if not.
    """
    wrong = f"list_min({tokens}) < -{SIGN_SLACK}" if positive else f"list_max({tokens}) > {SIGN_SLACK}"
    shown = f"list_min({tokens})" if positive else f"list_max({tokens})"
    return (
        f"CASE WHEN len({tokens}) = 0 OR list_count({tokens}) < len({tokens}) THEN NULL "
        f"WHEN {wrong} THEN {shown} ELSE list_sum({tokens}) END"
    )
