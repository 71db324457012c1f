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
    from klimit.proxies.by_members import HackingByMembers
    from klimit.proxies.result import Hacking


@dataclass(frozen=True)
class Source:
    """One file (or frame) that was read.

    Attributes:
        role: ``"base"``, or the policy's name; of several checkpoints in one file, the file's.
        name: file name without its folder, or what kind of frame it was.
        sha256: of the file's bytes; None for a frame.
        size: bytes; None for a frame.
        rows: completions that were read for this role, from all its files together.
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
        command: what would make the same page again, files without their folders; None from Python.
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
    """A column of a table for readers.

    Attributes:
        name: of the column in the table.
        heading: what readers see.
        meaning: in a sentence, without its full stop.
        unit: such as ``"nats"``; empty where there is none, or it is the reward's own.
        group: the policy that it is about; empty where it is about the base policy.
    """

    name: str
    heading: str
    meaning: str
    unit: str = ""
    group: str = ""


@dataclass(frozen=True, eq=False)
class Prompts:
    """The base samples prompt by prompt, the policies' numbers beside them.

    Attributes:
        table: one row a prompt, in the order of the base samples; ids as text, missing numbers nan.
        columns: what the columns of the table are, in order.
        limiting: ids of the prompts that keep the horizon where it is, the worst first, 20 at most; none where no
            prompt stands out.
        never_succeed: ids of the prompts none of whose base completions has the largest reward there is; none where
            the largest reward is not known. With 0/1 rewards: those that never pass.
        constant: ids of the prompts whose base completions all have one and the same reward, be it a good one: nothing
            can be learnt from them.
    """

    table: pd.DataFrame
    columns: tuple[Column, ...]
    limiting: tuple[str, ...]
    never_succeed: tuple[str, ...]
    constant: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Content:
    """Everything a page shows.

    Attributes:
        title: of the page.
        limit: of the reward asked for (gold, where there is one).
        best_of_n: of the base policy by that reward.
        audits: the policies; None without any.
        hackings: each proxy against gold, in the order asked for; those that ``notes`` says are missing left out.
        ensemble: of two proxies or more; None otherwise.
        diagnostics: along the limit up to the horizon, one row a budget; empty where the horizon is 0. As
            :meth:`klimit.Frontier.diagnostics` gives them, summarised over prompts: ``kl`` (nats); ``beta``;
            ``varying``, prompts whose rewards vary; over those ``ess``, the mean effective sample size as a share of
            the completions, and ``ess_least``, the least; ``tails``, prompts whose weights have a tail to fit; over
            those ``pareto_k``, the median, ``pareto_k_most``, the largest, and ``heavy``, how many lie above 0.7.
        prompts: prompt by prompt.
        provenance: where the numbers come from.
        tables: every table behind the figures, by file name without ending, for copying and downloading as CSV.
        notes: what the reader must know, one line each: what was asked for and is missing, with the reason; then the
            warnings of all parts.
        by_members: gap and threshold against the number of the ensemble's members; None where there is no ensemble
            with gold, or ``why_no_members`` says why not.
        why_no_members: why ``by_members`` is missing though there are an ensemble and gold; else empty.
        lead: sentences that answer, before all else, what the page was made for; none by default.
        read: what reading guessed, held back or left out, one line each.
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
    by_members: HackingByMembers | None = None
    why_no_members: str = ""
    lead: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
