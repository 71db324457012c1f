"""The answers on a page: each by the function that also gives it alone, or a line that says why it is missing.

What a page is about must be there, or there is no page: the base samples, the limit, every policy. A proxy that cannot
be optimised, or proxies that make no ensemble, leave the others as they are; a line on the page says which one is
missing and why. If no proxy can be optimised, that is an error.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from klimit.audits.audit import audit
from klimit.audits.result import Audits
from klimit.ensembles.ensemble import ensemble
from klimit.ensembles.result import Ensemble
from klimit.errors import InputError, KlimitWarning
from klimit.limit.frontier import frontier
from klimit.limit.result import Frontier
from klimit.policies import best_of_n
from klimit.policies.curve import PolicyCurve
from klimit.proxies.by_members import HackingByMembers, hacking_by_members
from klimit.proxies.hacking import hacking
from klimit.proxies.result import Hacking
from klimit.reports.ensemble.findings import EnsembleFindings
from klimit.reports.page.question import Question
from klimit.reports.page.reading import with_reward
from klimit.reports.page.wording import about_policies
from klimit.samples.container import Samples

Watch = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, eq=False)
class Limit:
    """The limit, best-of-N and the policies, all of the same samples.

    Attributes:
        limit: of the base policy.
        best_of_n: of the base policy.
        audits: the policies; None without any.
    """

    limit: Frontier
    best_of_n: PolicyCurve
    audits: Audits | None


@dataclass(frozen=True, eq=False)
class Proxies:
    """What the proxies do to gold, each by itself and all as one.

    Attributes:
        hackings: each proxy that can be optimised, in the order asked for.
        ensemble: of those; None where there is none.
        by_members: of smaller ensembles; None where they were not asked for or cannot be.
        why_no_members: why they cannot be; else empty.
        missing: what was asked for and cannot be, one line each.
    """

    hackings: tuple[Hacking, ...] = ()
    ensemble: Ensemble | None = None
    by_members: HackingByMembers | None = None
    why_no_members: str = ""
    missing: tuple[str, ...] = ()


def limit_of(asked: Question, samples: Samples, policies: dict[str, Samples], watch: Watch) -> Limit:
    """The limit of the samples' reward, and what policies got of it.

    Args:
        asked: what is asked.
        samples: the base samples that have the reward.
        policies: samples by name.
        watch: a context around each step, given what is being done.

    Raises:
        InputError: see :func:`klimit.frontier` and :func:`klimit.audit`.
    """
    name = samples.reward_name(asked.limit_reward)
    options: dict[str, Any] = {"level": asked.level, "seed": asked.seed}
    if policies:
        completions = samples.n_completions + sum(each.n_completions for each in policies.values())
        with watch(f"auditing {completions:,} completions"), about_policies(samples.source):
            found = audit(
                policies, samples, reward=name, reward_max=asked.reward_max, **asked.auditing, **options
            )
        assert isinstance(found, Audits)
        return Limit(found.limit, found.best_of_n, found)
    with watch(f"estimating from {samples.n_completions:,} rewards"):
        limit = frontier(samples, reward=name, reward_max=asked.reward_max, **options)
        with warnings.catch_warnings():
            # Both warn of the same limitations: the limit says it better.
            warnings.simplefilter("ignore", KlimitWarning)
            best = best_of_n(samples, reward=name, limit=limit, **options)
    return Limit(limit, best, None)


def proxies_of(asked: Question, base: Samples, watch: Watch) -> Proxies:
    """Each proxy against gold, and several as one.

    Args:
        asked: what is asked.
        base: the base samples with all proxies, gold among their labels.
        watch: a context around each step, given what is being done.

    Raises:
        InputError: no proxy can be optimised; the reason of the first.
    """
    if not asked.proxies:
        return Proxies()
    hackings, usable, missing = _hackings(asked, base, watch)
    found = Proxies(tuple(hackings), missing=tuple(missing))
    if len(asked.proxies) < 2:
        return found
    if len(usable) < 2:
        return replace(
            found, missing=(*missing, f"no ensemble: of the proxies only {usable[0]} can be optimised")
        )
    try:
        with watch(f"aggregating {len(usable)} proxies"):
            together = _ensemble(asked, base, usable)
    except InputError as error:
        return replace(
            found, missing=(*missing, f"no ensemble of {', '.join(usable)}: {_reason(error, base)}")
        )
    members, why_not = _by_members(asked, together, watch)
    return replace(
        found,
        ensemble=together,
        by_members=members,
        why_no_members=why_not,
        missing=(*missing, *([f"no smaller ensembles: {why_not}"] if why_not else [])),
    )


def _hackings(asked: Question, base: Samples, watch: Watch) -> tuple[list[Hacking], list[str], list[str]]:
    """Each proxy against gold; the proxies that can be optimised; why the others cannot."""
    if asked.gold is None:
        return [], list(asked.proxies), []
    options: dict[str, Any] = {"gold": asked.gold, "level": asked.level, "seed": asked.seed}
    hackings: list[Hacking] = []
    refused: dict[str, InputError] = {}
    for proxy in asked.proxies:
        try:
            with watch(f"tilting {base.n_completions:,} completions by {proxy}"):
                hackings.append(hacking(base, proxy=proxy, **options))
        except InputError as error:
            refused[proxy] = error
    if not hackings:
        raise next(iter(refused.values()))
    missing = [
        f"no answer about {proxy}, nor is it in any ensemble: {_reason(error, base)}"
        for proxy, error in refused.items()
    ]
    return hackings, [each.proxy_name for each in hackings], missing


def _ensemble(asked: Question, base: Samples, proxies: Sequence[str]) -> Ensemble:
    samples, _ = with_reward(base, asked.gold)
    found = ensemble(samples, proxies=proxies, gold=asked.gold, level=asked.level, seed=asked.seed)
    opposed = EnsembleFindings(found).opposed
    if opposed:
        name, value = next(iter(opposed.items()))
        raise InputError(
            f"{', '.join(opposed)}: no common order with the other proxies within prompts ({name}: correlation "
            f"{value} with their sum); leave it out or change its sign"
        )
    return found


def _by_members(asked: Question, together: Ensemble, watch: Watch) -> tuple[HackingByMembers | None, str]:
    if asked.gold is None or asked.subsets == 0:
        return None, ""
    try:
        return hacking_by_members(together, most=asked.subsets, seed=asked.seed, watch=watch), ""
    except InputError as error:
        return None, _reason(error, together.samples)


def _reason(error: InputError, samples: Samples) -> str:
    """What is wrong, without the file's name, which the page names once."""
    return str(error).removeprefix(f"{samples.source}: ")
