"""Columns that are neither key nor reward: completion texts and metadata, read when looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.samples.grouping import Groups
from klimit.samples.kinds import is_list, plain
from klimit.samples.lazy import LazyColumn
from klimit.samples.measures import Completions
from klimit.samples.roles import Roles


def text_column(completions: Completions, groups: Groups, name: str | None) -> LazyColumn | None:
    """The completion texts; chat messages as JSON."""
    if name is None or name not in completions.types:
        return None
    text = plain(name, completions.types[name])
    if completions.table.files and completions.table.files[0].name.lower().removesuffix(".gz").endswith(
        ("csv", "tsv")
    ):
        text = f"coalesce({text}, '')"  # in a CSV nothing tells an empty text from a missing one

    def first(n: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        (values,) = completions.columns([text], first=n)
        places = (
            np.arange(len(values)) if groups.order is None else np.flatnonzero(groups.order < len(values))
        )
        return places, values[groups.rows(places)]

    return LazyColumn(
        completions.table,
        lambda: groups.sort(completions.columns([text])[0]),
        int(groups.offsets[-1]),
        first,
    )


def metadata_columns(completions: Completions, groups: Groups, roles: Roles) -> dict[str, LazyColumn]:
    """Every column that the samples do not hold elsewhere; a prompt's value is repeated for its completions."""
    table, used = completions.table, roles.used() - {roles.sample, roles.by}
    columns = {}
    for name, kind in table.types.items():
        unpacked = name in completions.lists
        if name in used or (completions.per_row is not None and is_list(kind) and not unpacked):
            continue
        sql = plain(name, completions.types[name] if unpacked else kind)

        def load(sql: str = sql, unpacked: bool = unpacked) -> NDArray[Any]:
            if unpacked:
                return groups.sort(completions.columns([sql])[0])
            return groups.sort(completions.spread(table.columns([sql])[0]))

        columns[name] = LazyColumn(table, load, int(groups.offsets[-1]))
    return columns
