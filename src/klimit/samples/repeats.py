"""A sample id that stands twice for one prompt: most often several policies in one table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.samples.grouping import Groups
from klimit.samples.keys import Keys, show
from klimit.samples.kinds import is_text, plain
from klimit.samples.measures import Completions
from klimit.samples.roles import Roles
from klimit.samples.table import Table, identifier, literal, sql_name

# A column with more values than this is no name of a policy.
MOST_POLICIES = 100


def policy_codes(table: Table, roles: Roles, completions: Completions) -> NDArray[np.uint64] | None:
    """A code for the policy of each completion, by the column that tells them apart; None where there is none."""
    if roles.by is None:
        return None
    if roles.by in completions.lists:
        (codes,) = completions.columns([f"hash({plain(roles.by, completions.types[roles.by])})"])
        return codes
    (codes,) = table.columns([f"hash({plain(roles.by, table.types[roles.by])})"])
    return completions.spread(codes)


def repeats_problem(
    table: Table,
    roles: Roles,
    keys: Keys,
    groups: Groups,
    completions: Completions,
    places: NDArray[np.int64],
) -> str:
    """Which sample id is repeated, and what would tell its rows apart."""
    name = str(roles.sample)
    (ids,) = completions.columns([plain(name, completions.types[name])])
    ids = groups.sort(ids)
    place = int(places[0])
    prompt = int(np.searchsorted(groups.offsets, place, side="right")) - 1
    own = np.arange(groups.offsets[prompt], groups.offsets[prompt + 1])
    own = own[ids[own] == ids[place]]
    codes = policy_codes(table, roles, completions)
    if codes is not None:
        codes = groups.sort(codes)
        own = own[codes[own] == codes[place]]
    same = np.sort(groups.rows(own))
    key, value = keys.ids[int(groups.keys[prompt])], ids[place]
    value = value.item() if isinstance(value, np.generic) else value
    one_policy = "" if roles.by is None else f" for one {roles.by}"
    said = (
        f"{table.label}: {', '.join(roles.prompt)} {show(key)} has {name} {value!r} {len(same):,} times{one_policy} "
        f"({completions.locate(same)}); {len(places):,} such repeats"
    )
    policy = _telling_column(table, roles, keys) if completions.per_row is None else None
    if policy is None:
        return (
            f"{said}; several policies in one table, or rows copied twice? Choose rows with where= (--where)"
        )
    column, one = policy
    prompts = "[" + ", ".join(f'"{column}"' for column in (column, *roles.prompt)) + "]"
    flags = " ".join(f"--prompt {column}" for column in (column, *roles.prompt))
    return (
        f"{said}; several policies in one table? "
        f'Choose one, where="{sql_name(column)} = {literal(str(one))}", '
        f"or key by both, prompt={prompts} ({flags})"
    )


def _telling_column(table: Table, roles: Roles, keys: Keys) -> tuple[str, Any] | None:
    """A text column of few values that, joined to the key, leaves no pair repeated; and one of its values."""
    pair = ", ".join([keys.sql, *(identifier(str(name)) for name in (roles.sample, roles.by) if name)])
    for name in [name for name, kind in table.types.items() if is_text(kind) and name not in roles.used()]:
        column = identifier(name)
        ((n_values, one),) = table.query(
            f"SELECT approx_count_distinct({column}), min({column}) {table.rows}"
        )
        if not 1 < n_values <= MOST_POLICIES:
            continue
        still = table.query(f"SELECT 1 {table.rows} GROUP BY {pair}, {column} HAVING count(*) > 1 LIMIT 1")
        if not still:
            return name, one
    return None
