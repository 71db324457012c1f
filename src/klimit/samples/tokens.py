"""How many tokens a completion has, and whether it was cut at their limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.samples.checks import counted
from klimit.samples.columns import HeldBack
from klimit.samples.kinds import is_list, is_text, plain, token_count
from klimit.samples.measures import Completions, not_finite, not_numbers
from klimit.samples.table import identifier, literal

# Why a completion ended, as engines say it, where it was cut at the token limit.
CUT = ("length", "max_tokens", "max_length")
_TRUTHS = ("true", "false", "yes", "no", "0", "1", "t", "f")


class Unusable(Exception):
    """A column cannot be used; it is held back where nobody named it."""

    def __init__(self, reason: str, part: str) -> None:
        super().__init__(reason)
        self.held = HeldBack(reason, is_number=False, part=part)


def check_lengths(
    completions: Completions, lengths: Mapping[str, NDArray[Any]], name: str, tokens: NDArray[Any], part: str
) -> None:
    """Refuse lists that have another length than the first ones read.

    Args:
        completions: where they are.
        lengths: of the lists read before, by column.
        name: the column.
        tokens: the lengths of its lists, shape ``(n_completions,)``.
        part: the part it plays.

    Raises:
        Unusable: naming a row and both lengths.
    """
    if not lengths:
        return
    first, expected = next(iter(lengths.items()))
    differ = np.flatnonzero(tokens != expected)
    if len(differ):
        row = differ[0]
        raise Unusable(
            f"{completions.table.label}: {first!r} has {_tokens(expected[row])} and {name!r} {_tokens(tokens[row])} "
            f"in {completions.locate(differ)} ({len(differ):,} of {counted(len(tokens), 'completion')} differ): "
            "scored on different tokens; score the token ids that were sampled, never re-tokenise",
            part,
        )


def read_count(
    completions: Completions, lengths: Mapping[str, NDArray[Any]], name: str
) -> NDArray[Any] | None:
    """Tokens of each completion, by the lengths of its lists or a column of counts.

    Counts are not compared with lists, nor needed beside them: engines count special tokens, or the prompt's, each in
    their own way.

    Raises:
        Unusable: the lists have other lengths than those read before, or the counts are no whole numbers.
    """
    label, kind = completions.table.label, completions.types.get(name, "")
    said = f"number of tokens {name!r}"
    if is_list(kind):
        (tokens,) = completions.columns([token_count(name, kind)])
        check_lengths(completions, lengths, name, tokens, "tokens")
    elif lengths:
        return None
    else:
        problem = not_numbers(completions, name)
        if problem is not None:
            raise Unusable(f"{label}: {said} {problem}", "n_tokens")
        (tokens,) = completions.columns([f"CAST({identifier(name)} AS DOUBLE)"])
    reason = not_finite(completions, said, tokens)
    if reason is not None:
        raise Unusable(reason, "n_tokens")
    wrong = np.flatnonzero((tokens < 0) | (tokens != np.floor(tokens)))
    if len(wrong):
        where = completions.locate(wrong)
        raise Unusable(f"{label}: {said} is {tokens[wrong[0]]:g} in {where}; give whole numbers", "n_tokens")
    return tokens


def read_truncated(completions: Completions, name: str) -> NDArray[np.bool_]:
    """Which completions were cut at the token limit, from booleans, 0/1, or the reasons why they ended.

    Raises:
        Unusable: the column is none of these, or has gaps.
    """
    table, kind = completions.table, completions.types.get(name, "")
    said = f"{table.label}: truncation {name!r}"
    if is_text(kind) and name not in table.mixed:
        cut, missing = _from_reasons(completions, name, kind, said)
    else:
        problem = not_numbers(completions, name)
        if problem is not None:
            raise Unusable(f"{said} {problem}", "truncated")
        (values,) = completions.columns([f"CAST({identifier(name)} AS DOUBLE)"])
        cut, missing = values == 1, np.isnan(values)
        wrong = np.flatnonzero((values != 0) & ~cut & ~missing)
        if len(wrong):
            where = completions.locate(wrong)
            raise Unusable(
                f"{said} is {values[wrong[0]]:g} in {where}; it must be true or false", "truncated"
            )
    gaps = np.flatnonzero(missing)
    if len(gaps):
        of = counted(len(cut), "completion")
        raise Unusable(
            f"{said} is missing in {len(gaps):,} of {of} ({completions.locate(gaps)})", "truncated"
        )
    return cut


def _from_reasons(
    completions: Completions, name: str, kind: str, said: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    reason = f"nullif(lower(trim({plain(name, kind)}, ' \"')), 'null')"
    cut, missing, truths = completions.columns(
        [
            f"coalesce({reason} IN ({_listed(CUT)}), false)",
            f"({reason} IS NULL)",
            f"coalesce({reason} IN ({_listed(_TRUTHS)}), true)",
        ]
    )
    if truths.all() and not missing.all():
        raise Unusable(f"{said} holds truth values written as text; convert them to booleans", "truncated")
    return cut, missing


def _listed(texts: tuple[str, ...]) -> str:
    return ", ".join(literal(text) for text in texts)


def _tokens(n: float) -> str:
    return "no list" if np.isnan(n) else counted(int(n), "token")
