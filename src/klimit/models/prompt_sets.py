"""``klimit.prompts``: sets of prompts in the one form that ``klimit.sample`` reads: unique, with keys that stay."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from klimit.errors import InputError
from klimit.models.batches import Say
from klimit.models.extras import needed
from klimit.models.hub import HUB_SETS, HubSet, hub_set
from klimit.models.parts import METADATA
from klimit.models.prompts import (
    JSON_LINES,
    PROMPT,
    PROMPT_ID,
    Prompt,
    arrow_columns,
    checked_prompts,
    prompt_rows,
)
from klimit.reports.files import check_outputs, write_files

STEP = "prompts"
PARQUET = (".parquet", ".pq")


def prompts(
    name: str | Path,
    *,
    output: str | Path,
    split: str | None = None,
    column: str = PROMPT,
    limit: int | None = None,
    seed: int = 0,
    chat: bool = False,
    overwrite: bool = False,
    say: Say | None = None,
) -> Path:
    """Write a set of prompts, each once, as a file that :func:`klimit.sample` reads.

    Columns are ``prompt_id`` and ``prompt`` (a text, or chat messages). Rows with the same prompt become one; how many
    is said. Where the source has no ``prompt_id``, a prompt's key is the number of its first row there, from 0: it is
    the same in every selection.

    Args:
        name: ``"beavertails"`` or ``"tldr"`` from the hub, or a file: JSON lines, Parquet or CSV.
        output: to be written; ``.parquet`` or ``.jsonl``.
        split: of a set on the hub; its first by default.
        column: that holds the prompts.
        limit: take that many, at random; all by default.
        seed: of that choice.
        chat: make each text the message of a user, for chat models.
        overwrite: replace a file that holds something else.
        say: takes lines for the user.

    Returns:
        Where the file is.

    Raises:
        InputError: no such set, file, split or column, the hub out of reach, fewer prompts than ``limit``.
    """
    tell = say or (lambda line: None)
    file = Path(output).expanduser()
    _check(file, limit)
    source = _source(str(name), split)
    if source.hub is not None:
        tell(f"asking the hub for {source.said}")
    elif Path(source.said).expanduser().resolve() == file.resolve():
        raise InputError(f"{output}: is the file that is read; name another")
    kept, merged = unique(source.rows(column))
    found = checked_prompts(iter(kept), source=str(name))
    chosen = _chosen(found, limit, seed, source.said)
    if chat:
        chosen = [replace(prompt, prompt=tuple(prompt.messages())) for prompt in chosen]
    made = {**source.identity, "column": column, "limit": limit, "merged": merged.rows, "chat": chat}
    made["seed"] = None if limit is None else seed
    content = written(chosen, file, made)
    if file.exists() and not overwrite:
        if file.read_bytes() == content:
            tell(f"{file} is complete already")
            return file
        raise InputError(
            f"{output}: is there already, with something else in it; name another file, or give --overwrite"
        )
    write_files({str(file): content})
    for line in (*merged.told(), _told(file, len(chosen), len(found), source.said, seed)):
        tell(line)
    return file


@dataclass(frozen=True)
class _Source:
    """Where prompts come from: a split of a set, or a file."""

    said: str
    identity: Mapping[str, Any]
    hub: HubSet | None
    split: str

    def rows(self, column: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return prompt_rows(self.said, column) if self.hub is None else self.hub.rows(self.split, column)


def _source(name: str, split: str | None) -> _Source:
    file = Path(name).expanduser()
    if file.is_file():
        if split is not None:
            raise InputError(f"{name}: is a file, which has no splits; leave --split out")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:32]
        return _Source(name, {"source": file.name, "digest": digest}, None, "")
    known = hub_set(name)
    if known is None:
        raise InputError(
            f"{name}: no such file, and no known set of prompts; known are {', '.join(HUB_SETS)}"
        )
    chosen = split or known.splits[0]
    known.check(chosen)
    return _Source(f"{known.name}, {chosen}", {"source": known.name, "split": chosen}, known, chosen)


@dataclass(frozen=True)
class Merged:
    """What became of rows with a prompt that stood there before.

    Attributes:
        rows: how many there were.
        renamed: those among them with another ``prompt_id`` than the first.
    """

    rows: int
    renamed: int

    def told(self) -> list[str]:
        """A line for the user, if there is something to say."""
        if not self.rows:
            return []
        more = f", {self.renamed:,} of them under another {PROMPT_ID}" if self.renamed else ""
        return [f"{self.rows:,} rows repeat a prompt{more}; each prompt is kept once"]


def unique(
    rows: Iterator[tuple[str, Mapping[str, Any]]],
) -> tuple[list[tuple[str, Mapping[str, Any]]], Merged]:
    """The first row of every prompt, with a key, and what was merged into them."""
    first: dict[str, Any] = {}
    kept: list[tuple[str, Mapping[str, Any]]] = []
    repeated = renamed = 0
    for number, (where, row) in enumerate(rows):
        same = json.dumps(row[PROMPT], sort_keys=True, default=repr)
        key = row.get(PROMPT_ID, number)
        if same in first:
            repeated += 1
            renamed += PROMPT_ID in row and first[same] != key
            continue
        first[same] = key
        kept.append((where, {PROMPT_ID: key, PROMPT: row[PROMPT]}))
    return kept, Merged(repeated, renamed)


def written(chosen: Sequence[Prompt], file: Path, made: Mapping[str, Any]) -> bytes:
    """The file's content: Parquet with what made it in the metadata, or JSON lines."""
    if file.suffix.lower() in JSON_LINES:
        rows = (
            {PROMPT_ID: each.prompt_id, PROMPT: each.messages() if each.is_chat else each.prompt}
            for each in chosen
        )
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    arrow, parquet = needed("pyarrow"), needed("pyarrow.parquet")
    table = arrow.table(arrow_columns(chosen))
    sink = arrow.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata({METADATA: json.dumps({STEP: dict(made)})}), sink)
    return bytes(sink.getvalue().to_pybytes())


def _check(file: Path, limit: Any) -> None:
    if file.suffix.lower() not in (*PARQUET, *JSON_LINES):
        raise InputError(f"{file}: the name must end in .parquet or .jsonl")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError(f"limit is {limit!r}; it must be a whole number, 1 or more")
    check_outputs([str(file)])


def _chosen(found: list[Prompt], limit: int | None, seed: int, said: str) -> list[Prompt]:
    if limit is None:
        return found
    if limit > len(found):
        raise InputError(
            f"{said}: has {len(found):,} prompts, fewer than {limit:,}; leave --limit out to take them all"
        )
    picked = np.random.default_rng(seed).choice(len(found), limit, replace=False)
    return [found[i] for i in np.sort(picked)]


def _told(file: Path, chosen: int, found: int, said: str, seed: int) -> str:
    what = (
        f"{chosen:,} prompts"
        if chosen == found
        else f"{chosen:,} of {found:,} prompts (at random, seed {seed})"
    )
    return f"wrote {file}: {what} of {said}"
