"""Samples larger than memory, read a part at a time: whole prompts, in the order of their first rows.

One pass of the engine tells where each prompt's rows are. Prompts whose rows stand together are read as ranges of
rows; where the rows of several interleave, the engine first writes a copy that is grouped, in a temporary folder that
goes with :class:`Parts`. Every part is read and checked by the code that reads samples whole.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.again import negated
from klimit.samples.container import Samples
from klimit.samples.grouping import Groups, repeated
from klimit.samples.keys import read_keys
from klimit.samples.kinds import is_list, is_nested, is_number, number, plain
from klimit.samples.messages import one_line_errors
from klimit.samples.places import Places, regrouped
from klimit.samples.ranges import PartTable, row_range
from klimit.samples.read import read_table, sample_code
from klimit.samples.roles import Roles, choose_roles
from klimit.samples.sources import Names, as_paths, open_source
from klimit.samples.table import Table, check_where, literal, run

PART = 2_000_000  # rows of a part, but for prompts that have more
MEMORY = "600MB"  # that the engine may use
_PLAIN = ("FLOAT", "DOUBLE", "TINYINT", "SMALLINT", "INTEGER", "BOOLEAN")  # that no rounding is told of


@dataclass(eq=False)
class Parts:
    """Samples in parts; a context manager, which removes what was written.

    Attributes:
        reward: name of the reward.
        counts: completions of each prompt, in the order of their first rows, ``(P,)``.
        variances: of the reward within each prompt (``ddof=1``), ``(P,)``; 0 for one completion.
        prompt_ids: ``(P,)``.
        notes: what reading guessed, one line each.
        label: the source, for messages.
        grouped: whether the rows of every prompt stood together in the source.
        part: rows of a part, but for prompts that have more.
    """

    reward: str
    counts: NDArray[np.int64]
    variances: NDArray[np.float64]
    prompt_ids: NDArray[Any]
    notes: tuple[str, ...]
    label: str
    grouped: bool
    part: int
    _table: Table
    _source: Table
    _starts: NDArray[np.int64]
    _ends: NDArray[np.int64]
    _roles: Roles
    _negate: bool
    _plain: bool
    _kept: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the copy that was written, if any."""
        self._kept.close()

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.counts)

    @property
    def n_completions(self) -> int:
        """Number of completions over all prompts."""
        return int(self.counts.sum())

    def __iter__(self) -> Iterator[tuple[int, Samples]]:
        """The parts, each with the place of its first prompt.

        Raises:
            InputError: a part cannot be used as it is, or its file was changed meanwhile.
        """
        cuts = list(self.cuts())
        with ThreadPoolExecutor(1) as reader:  # the next part is read while this one is worked on
            ahead = reader.submit(self.read, *cuts[0])
            for i, (first, _) in enumerate(cuts):
                samples = ahead.result()
                if i + 1 < len(cuts):
                    ahead = reader.submit(self.read, *cuts[i + 1])
                yield first, samples

    def cuts(self) -> Iterator[tuple[int, int]]:
        """First and last prompt of every part, the last one not in it."""
        upto = np.cumsum(self.counts)
        first = 0
        while first < self.n_prompts:
            before = upto[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(upto, before + self.part, side="right")))
            yield first, last
            first = last

    def read(self, first: int, last: int) -> Samples:
        """Prompts ``first`` to ``last``, the last one not among them."""
        self._table.check_unchanged()
        table = row_range(self._table, int(self._starts[first]), int(self._ends[last - 1]) + 1, self._source)
        counts = self.counts[first:last]
        try:
            rewards = self._rewards(table, counts) if self._plain else None
            if rewards is None:  # with all checks, which say what is wrong
                rewards = read_table(table, self._roles, ()).reward(self.reward)
        finally:  # a file that is written meanwhile may look broken
            self._table.check_unchanged()
        if len(rewards) != counts.sum():
            raise InputError(f"{self.label}: changed while it was read; read it again")
        samples = Samples(
            rewards={self.reward: rewards},
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            prompt_ids=self.prompt_ids[first:last],
            source=self.label,
        )
        return negated(samples) if self._negate else samples

    def _rewards(self, table: PartTable, counts: NDArray[np.int64]) -> NDArray[np.floating[Any]] | None:
        """The rewards of a part in one query; None where something is wrong with them."""
        sample = self._roles.sample
        asked = [number(self.reward, table.types[self.reward])]
        asked += [] if sample is None else [_sample(sample, table.types[sample])]
        rewards, *ids = table.columns(asked)
        if len(rewards) != counts.sum() or not np.isfinite(rewards.sum(dtype=np.float64)):
            return None
        if any(each.dtype.kind == "f" for each in ids):  # some are missing
            return None
        groups = Groups(
            np.arange(len(counts), dtype=np.uint64), np.concatenate([[0], np.cumsum(counts)]), None
        )
        return None if ids and len(repeated(groups, ids[0])) else rewards

    def rewards_of(self, prompts: NDArray[np.int64]) -> tuple[NDArray[np.floating[Any]], NDArray[np.int64]]:
        """Rewards of some prompts, one after the other, and how many each has."""
        found = [self.read(int(i), int(i) + 1).reward(self.reward) for i in prompts]
        return np.concatenate(found), np.array([len(one) for one in found])


def open_parts(
    source: Any,
    *,
    reward: str | None = None,
    prompt: Names | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
    part: int = PART,
) -> Parts:
    """Find out where every prompt's completions are, in Parquet files of any size.

    Args:
        source: path or paths, or globs.
        reward: the reward column; needed where there are several.
        prompt: columns that identify a prompt.
        where: SQL condition that chooses rows.
        lower_is_better: the rewards are costs: change their sign.
        part: rows of a part, but for prompts that have more.

    Raises:
        InputError: the files cannot be used as they are; one line says what is wrong, where, what to do.
    """
    paths = as_paths(source)
    table = None if paths is None else open_source(source, prompt=prompt, sample=None)
    if table is None or not table.is_parquet:
        raise InputError(
            "samples are read in parts from Parquet files alone; convert them, or read them whole (engine='memory', "
            "--engine memory)"
        )
    table.where = where
    check_where(table)
    roles = choose_roles(
        list(table.types),
        source=table.label,
        prompt=prompt,
        rewards=None if reward is None else [reward],
        sample=None,
        completion=None,
        by=None,
        scores={},
        audit=False,
    )
    name = _one_reward(table, roles)
    roles = replace(roles, rewards=(name,), completion=None, scores={})
    kept = ExitStack()
    try:
        return _placed(table, roles, name, kept, negate=lower_is_better, part=part)
    except BaseException:
        kept.close()
        raise


def _sample(name: str, kind: str) -> str:
    """A completion's number as it is where that is a small one, else its code."""
    return plain(name, kind) if kind in _PLAIN and "INT" in kind else sample_code(name, kind)


def _one_reward(table: Table, roles: Roles) -> str:
    names = [name for name in roles.rewards if is_number(table.types[name])]
    if len(roles.rewards) > 1 and len(names) != 1:
        raise InputError(
            f"{table.label}: several rewards ({', '.join(roles.rewards)}); name one with reward="
        )
    name = names[0] if names else roles.rewards[0]
    if is_list(table.types[name]):
        raise InputError(
            f"{table.label}: {name!r} holds lists; parts are read from one row a completion, so read it whole "
            "(engine='memory', --engine memory)"
        )
    nested = [column for column in roles.prompt if is_nested(table.types[column])]
    if nested:
        raise InputError(
            f"{table.label}: {nested[0]!r} holds messages; parts need a column of prompt ids, such as prompt_id"
        )
    return name


def _placed(table: Table, roles: Roles, name: str, kept: ExitStack, *, negate: bool, part: int) -> Parts:
    folder = kept.enter_context(tempfile.TemporaryDirectory(prefix="klimit-"))
    with one_line_errors(table.label):
        run(table.connection, f"SET memory_limit = {literal(MEMORY)}")
        run(table.connection, f"SET temp_directory = {literal(folder)}")
        run(
            table.connection, "SET enable_external_file_cache = false"
        )  # the files are read once or twice, in order
        run(table.connection, "SET parquet_metadata_cache = true")
    code = f"hash({', '.join(plain(column, table.types[column]) for column in roles.prompt)})"
    places = Places.of(table, code, name, roles)
    if places is None:
        read_keys(table, roles.prompt, roles.text)  # which say why
        read_table(table, roles, ())
        raise InputError(f"{table.label}: changed while it was read; read it again")
    source, grouped = table, places.grouped
    kind = table.types[name]
    if not grouped:
        columns = dict.fromkeys([*roles.prompt, name, *(x for x in (roles.sample, roles.text) if x)])
        table = regrouped(table, code, list(columns), places.codes, Path(folder) / "grouped.parquet")
        places = places.together()
    guessed = roles.note()
    return Parts(
        name,
        places.counts,
        places.variances,
        places.prompt_ids,
        (guessed,) if guessed else (),
        table.label,
        grouped,
        part,
        table,
        source,
        places.firsts,
        places.lasts,
        roles,
        negate,
        kind in _PLAIN,
        kept,
    )
