"""What is known of a completion beside its reward: log-probabilities, token KLs, token counts, truncation.

Each may be one number a completion or a list of one a token. Lists are summed, and all lists of one completion must
have one length: else they were scored on different tokens, and no sum of theirs can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.checks import counted
from klimit.samples.columns import HeldBack
from klimit.samples.kinds import SIGN_SLACK, element, is_list, is_number, token_count, token_list, token_sum
from klimit.samples.measures import Completions, Floats, not_finite, not_numbers
from klimit.samples.roles import Roles
from klimit.samples.table import identifier
from klimit.samples.tokens import Unusable, check_lengths, read_count, read_truncated

SUMS = ("logprob", "ref_logprob", "token_kl", "sampling_logprob")
SAID = dict.fromkeys(SUMS, "log-probability") | {"token_kl": "token KL"}
SIGN_ADVICE = {
    "log-probability": "give natural logarithms of probabilities, not their negatives nor the probabilities",
    "token KL": "give the exact KL of each next-token distribution, a sum over the vocabulary; "
    "the log ratio of the sampled token alone is none",
}


@dataclass
class Scores:
    """Scores of the completions in row order, and what could not be used.

    Attributes:
        sums: each of shape ``(n_completions,)``, by part, in nats.
        per_token: the parts that were lists of one number a token.
        n_tokens: shape ``(n_completions,)``, int64.
        truncated: shape ``(n_completions,)``, bool.
        held: columns that cannot be used, by name.
    """

    sums: dict[str, Floats] = field(default_factory=dict)
    per_token: frozenset[str] = frozenset()
    n_tokens: NDArray[np.int64] | None = None
    truncated: NDArray[np.bool_] | None = None
    held: dict[str, HeldBack] = field(default_factory=dict)


def read_scores(completions: Completions, roles: Roles) -> Scores:
    """Every score that there is a column for.

    Raises:
        InputError: a column that the caller named cannot be used.
    """
    found = Scores()
    lengths: dict[str, NDArray[Any]] = {}
    for part in (part for part in SUMS if part in roles.scores):
        name = roles.scores[part]
        with _held_back(found, roles, part):
            values, tokens = _read_sum(completions, name, part)
            if tokens is not None:
                check_lengths(completions, lengths, name, tokens, part)
                lengths[name] = tokens
                found.per_token |= {part}
            found.sums[part] = values
    for part in (part for part in ("token_ids", "n_tokens") if part in roles.scores):
        with _held_back(found, roles, part):
            counts = read_count(completions, lengths, roles.scores[part])
            if counts is not None:
                lengths[roles.scores[part]] = counts
    if lengths:
        found.n_tokens = next(iter(lengths.values())).astype(np.int64)
    if "truncated" in roles.scores:
        with _held_back(found, roles, "truncated"):
            found.truncated = read_truncated(completions, roles.scores["truncated"])
    return found


@contextmanager
def _held_back(found: Scores, roles: Roles, part: str) -> Iterator[None]:
    """Hold a column back that cannot be used; an error where the caller named it."""
    try:
        yield
    except Unusable as why:
        if part not in roles.guessed:
            raise InputError(why.held.reason) from None
        found.held[roles.scores[part]] = why.held


def _read_sum(completions: Completions, name: str, part: str) -> tuple[Floats, NDArray[Any] | None]:
    """One number a completion, and the lengths of its lists where it has such.

    Raises:
        Unusable: not numbers, missing ones, or of the wrong sign.
    """
    said = f"{SAID[part]} {name!r}"
    kind, positive = completions.types.get(name, ""), part == "token_kl"
    tokens: NDArray[Any] | None = None
    if is_list(kind) and is_number(element(kind)):
        sums = token_sum(token_list(name), positive=positive)
        values, tokens = completions.columns([sums, token_count(name, kind)])
    else:
        problem = not_numbers(completions, name)
        if problem is not None:
            raise Unusable(f"{completions.table.label}: {said} {problem}", part)
        (values,) = completions.columns([f"CAST({identifier(name)} AS DOUBLE)"])
    reason = not_finite(completions, said, values)
    if reason is not None:
        wanted = "a number for every token" if tokens is not None else "what was sampled has a finite one"
        raise Unusable(f"{reason}; {wanted}", part)
    wrong = np.flatnonzero(values < -SIGN_SLACK if positive else values > SIGN_SLACK)
    if len(wrong):
        raise Unusable(
            f"{completions.table.label}: {said} is {'below' if positive else 'above'} 0 in {len(wrong):,} of "
            f"{counted(len(values), 'completion')} ({completions.locate(wrong)}: {values[wrong[0]]:.6g}); "
            f"{SIGN_ADVICE[SAID[part]]}",
            part,
        )
    return values, tokens
