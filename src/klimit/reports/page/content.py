"""What a page shows, gathered and computed; how it looks is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from klimit.audits.result import Audits
    from klimit.ensembles.result import Ensemble
    from klimit.limit.result import Frontier
    from klimit.policies.curve import PolicyCurve
    from klimit.proxies.result import Hacking


@dataclass(frozen=True)
class Source:
    """One file (or frame) that was read.

    Attributes:
        role: ``"base"``, or the policy's name.
        name: file name without its folder, or what kind of frame it was.
        sha256: of the file's bytes; None for a frame.
        size: bytes; None for a frame.
        rows: completions that were read.
    """

    role: str
    name: str
    sha256: str | None
    size: int | None
    rows: int


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from.

    Attributes:
        sources: what was read, the base samples first.
        command: what would make the same page again; None from Python.
        seed: of the random blocks.
        written: time, ISO 8601, UTC.
        versions: of klimit, Python and the packages the numbers depend on.
    """

    sources: tuple[Source, ...]
    command: str | None
    seed: int
    written: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Column:
    """A column of a table for readers: its heading, its unit, and what it means in a sentence."""

    name: str
    heading: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Prompts:
    """The base samples prompt by prompt, the policies' numbers beside them.

    Attributes:
        table: one row a prompt, in the order of the base samples; missing numbers are nan.
        columns: what the columns of the table are, in order.
        limiting: ids of the prompts that keep the horizon where it is, the worst first.
        never_succeed: ids of the prompts whose base completions all have one and the same reward.
    """

    table: pd.DataFrame
    columns: tuple[Column, ...]
    limiting: tuple[str, ...]
    never_succeed: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Content:
    """Everything a page shows.

    Attributes:
        title: of the page.
        limit: of the reward asked for (gold, where there is one).
        best_of_n: of the base policy by that reward.
        audits: the policies; None without any.
        hackings: each proxy against gold, in the order asked for.
        ensemble: of two proxies or more; None otherwise.
        diagnostics: along the limit: ``kl``, ``beta``, ``ess`` (share of the completions), ``pareto_k``; as
            :meth:`klimit.Frontier.diagnostics` gives them, averaged or counted over prompts.
        prompts: prompt by prompt.
        provenance: where the numbers come from.
        tables: every table behind the figures, by file name without ending, for copying and downloading as CSV.
        notes: warnings met on the way, one line each.
    """

    title: str
    limit: Frontier
    best_of_n: PolicyCurve
    audits: Audits | None
    hackings: tuple[Hacking, ...]
    ensemble: Ensemble | None
    diagnostics: pd.DataFrame
    prompts: Prompts
    provenance: Provenance
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
