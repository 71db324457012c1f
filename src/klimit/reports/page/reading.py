"""The samples behind a page, each read once; and the files they came from, so that a page can name them for certain."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np

from klimit.ensembles.inputs import for_all_columns
from klimit.errors import InputError
from klimit.reports.page.content import Source
from klimit.reports.page.question import Question
from klimit.reports.page.wording import about_policies
from klimit.samples import as_samples, read_samples
from klimit.samples.container import Samples
from klimit.samples.paths import find_files
from klimit.samples.sources import as_paths
from klimit.samples.table import file_stamps


@dataclass(frozen=True)
class Origin:
    """What one role's samples are read from, seen before they are read.

    Attributes:
        role: ``"base"``, or the policy's name.
        source: what was given.
        files: the files; none for a frame.
        stamps: their sizes and times.
    """

    role: str
    source: Any
    files: tuple[Path, ...]
    stamps: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, role: str, source: Any) -> Origin:
        """The origin of a role.

        Raises:
            InputError: a file cannot be read.
        """
        paths = as_paths(source)
        files = () if paths is None else find_files(paths)[0]
        return cls(role, source, files, file_stamps(files))

    @property
    def label(self) -> str:
        """The first file's name without its folder, and how many more there are; or what kind of frame it is."""
        if not self.files:
            return kind_of(self.source)
        more = len(self.files) - 1
        return f"{shown_name(self.files[0])}{f' and {more} more' if more else ''}"

    def sources(self, rows: int) -> list[Source]:
        """One entry a file, with its hash.

        Args:
            rows: completions that were read.

        Raises:
            InputError: a file changed since it was looked at first.
        """
        if not self.files:
            return [Source(self.role, self.label, None, None, rows)]
        entries = []
        for file in self.files:
            with file.open("rb") as opened:
                digest = file_digest(opened, "sha256").hexdigest()
            entries.append(Source(self.role, shown_name(file), digest, file.stat().st_size, rows))
        if file_stamps(self.files) != self.stamps:
            raise InputError(f"{self.label}: changed on disk while it was read; run it again")
        return entries


def kind_of(source: Any) -> str:
    """What a source is that is no file: ``"pandas DataFrame"``, ``"klimit Samples"``."""
    package = type(source).__module__.partition(".")[0]
    return type(source).__name__ if package == "builtins" else f"{package} {type(source).__name__}"


def shown_name(file: Path) -> str:
    """A file's name without its folder; bytes that are no text are written as escapes."""
    return file.name.encode("utf-8", "backslashreplace").decode()


def read_base(asked: Question) -> Samples:
    """The base samples with all rewards that are asked for; gold among the labels.

    Raises:
        InputError: they cannot be read, or lack a reward.
    """
    options = given(asked.reading)
    audit = bool(asked.policies)
    if not asked.proxies and asked.gold is None:
        found = as_samples(asked.base, reward=asked.reward, audit=audit, **options)
    else:
        found = _read_columns(asked, {"audit": audit, **options})
    return _plainly(found).at_least(int(asked.min_completions))


def _read_columns(asked: Question, options: dict[str, Any]) -> Samples:
    names, labels = asked.columns, None if asked.gold is None else [asked.gold]
    if not names:  # gold alone: the limit needs it for every completion
        return as_samples(asked.base, reward=asked.gold, **options)
    try:
        return read_samples(asked.base, rewards=names, labels=labels, **options)
    except InputError as error:
        if as_paths(asked.base) is None:
            raise
        raise InputError(for_all_columns(str(error), asked.base, names, options)) from None


def with_reward(base: Samples, gold: str | None) -> tuple[Samples, str]:
    """The completions with a reward for the limit; of gold that is known for a part, those that have it.

    Args:
        base: the base samples.
        gold: among their labels or rewards, or None.

    Returns:
        The samples, and a line that says how many completions have no gold; empty where all do.
    """
    if gold is None or gold in base.rewards:
        return base, ""
    labels = base.labels[gold]
    known = np.isfinite(labels)
    found = base.with_reward(gold, labels).rows(known)
    if known.all():
        return found, ""
    missing = (
        f"{gold} is known for {int(known.sum()):,} of {len(known):,} completions of the base policy: its limit, "
        "best-of-N and all about single prompts are of those; which ones must be up to chance"
    )
    return found, missing


def read_policy(name: str, source: Any, reward: str, options: Mapping[str, Any]) -> Samples:
    """Samples of a policy with their log-probabilities."""
    with about_policies():
        found = _plainly(as_samples(source, reward=reward, audit=True, **given(options)))
    return replace(found, source=f"{name} ({found.source})")


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value not in (None, False)}


def _plainly(samples: Samples) -> Samples:
    """Samples that name their file without its folder: a page is passed on, and says nothing of whose disk it was."""
    return replace(samples, source=os.path.basename(samples.source) or samples.source)


def in_common(base: Samples, prompt_ids: Iterable[Any]) -> Samples:
    """The base samples' prompts that an audit kept."""
    places = {key: place for place, key in enumerate(base.prompt_ids.tolist())}
    return base.select([places[key] for key in prompt_ids])
