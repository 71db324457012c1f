"""DuckDB's types, as far as reading samples cares: numbers, text, lists."""

from __future__ import annotations

import re

from klimit.samples.table import identifier

INTEGERS = frozenset(
    [f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")]
    + ["INTEGER", "UINTEGER", "BIGNUM"]
)
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


def token_sum(name: str, kind: str) -> str:
    """SQL for the sum of a list of token log-probabilities; NULL where one is missing or there is none.

    Where one token's is above 0, that one is given instead of the sum, so that the check for it sees it.
    """
    tokens = f"CAST({identifier(name)} AS DOUBLE[])"
    return (
        f"CASE WHEN len({tokens}) = 0 OR list_count({tokens}) < len({tokens}) THEN NULL "
        f"WHEN list_max({tokens}) > 1e-6 THEN list_max({tokens}) ELSE list_sum({tokens}) END"
    )
