"""Everything that a page shows, from samples to numbers; how it looks is decided elsewhere."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext

from klimit.errors import KlimitWarning
from klimit.reports.page.content import Content
from klimit.reports.page.diagnostics import diagnose
from klimit.reports.page.notes import notes_of, readings_of
from klimit.reports.page.parts import Watch, limit_of, proxies_of
from klimit.reports.page.prompts import prompts_of
from klimit.reports.page.provenance import provenance_of
from klimit.reports.page.question import Question
from klimit.reports.page.reading import Origin, in_common, read_base, read_policy, with_reward
from klimit.reports.page.tables import tables_of
from klimit.samples.container import Samples


def gather(asked: Question, *, command: str | None = None, watch: Watch | None = None) -> Content:
    """Read, estimate, audit, and look at single prompts.

    Args:
        asked: what is asked.
        command: what would make the page again; None from Python.
        watch: a context around each step, given what is being done: for showing progress.

    Raises:
        InputError: see :func:`klimit.report`.

    Warns:
        KlimitWarning: a part is missing, or the samples cannot support part of an answer.
    """
    watch = _unwatched if watch is None else watch
    origin = Origin.of("base", asked.base)
    origins = {name: Origin.of(name, source) for name, source in asked.policies.items()}
    with watch(f"reading {origin.label}"):
        base = read_base(asked)
    judged, partly = with_reward(base, asked.gold)
    policies = _policies(asked, origins, judged.reward_name(asked.limit_reward), watch)
    rows = {"base": base.n_completions, **{name: each.n_completions for name, each in policies.items()}}

    found = limit_of(asked, judged, policies, watch)
    if found.audits is not None:
        base = in_common(base, found.limit.samples.prompt_ids.tolist())
    proxies = proxies_of(asked, base, watch)
    missing = [*([partly] if partly else []), *proxies.missing]
    for line in missing:
        warnings.warn(line, KlimitWarning, stacklevel=3)
    with watch(f"looking at {base.n_prompts:,} prompts"):
        diagnostics = diagnose(found.limit)
        prompts = prompts_of(found.limit, diagnostics, found.audits)
    with watch("hashing files"):
        sources = [entry for each in (origin, *origins.values()) for entry in each.sources(rows[each.role])]
    parts = (found.audits, proxies.hackings, proxies.ensemble)
    return Content(
        title=asked.title or f"{found.limit.reward_label} of {origin.label}",
        limit=found.limit,
        best_of_n=found.best_of_n,
        audits=found.audits,
        hackings=proxies.hackings,
        ensemble=proxies.ensemble,
        diagnostics=diagnostics.along,
        prompts=prompts,
        provenance=provenance_of(sources, command, asked.seed),
        tables={
            **tables_of(found.limit, found.best_of_n, *parts, proxies.by_members),
            "diagnostics": diagnostics.along,
            "prompts": prompts.table,
        },
        notes=notes_of(missing, found.limit, *parts),
        by_members=proxies.by_members,
        why_no_members=proxies.why_no_members,
        read=readings_of(judged, found.audits),
    )


def _policies(asked: Question, origins: dict[str, Origin], reward: str, watch: Watch) -> dict[str, Samples]:
    lower, prompt = asked.reading.get("lower_is_better"), asked.reading.get("prompt")
    options = {
        "lower_is_better": lower,
        "prompt": prompt,
        **asked.policy_reading,
        "by": asked.auditing.get("by"),
    }
    policies = {}
    for name, origin in origins.items():
        with watch(f"reading {origin.label}"):
            policies[name] = read_policy(name, origin.source, reward, options)
    return policies


def _unwatched(what: str) -> AbstractContextManager[None]:
    return nullcontext()
