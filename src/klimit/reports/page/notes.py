"""What the reader of a page must know besides the numbers, each line once, with what it is about."""

from __future__ import annotations

from collections.abc import Iterable

from klimit.audits.result import Audits
from klimit.ensembles.result import Ensemble
from klimit.limit.notes import warnings_of as warnings_of_limit
from klimit.limit.result import Frontier
from klimit.proxies.result import Hacking
from klimit.samples.container import Samples

_SHOWN = 3


def notes_of(
    missing: Iterable[str],
    limit: Frontier,
    audits: Audits | None,
    hackings: Iterable[Hacking],
    ensemble: Ensemble | None,
) -> tuple[str, ...]:
    """What is missing, then the warnings of all parts.

    Args:
        missing: what was asked for and cannot be.
        limit: whose warnings concern everything.
        audits: of policies, or None.
        hackings: of proxies.
        ensemble: of proxies, or None.
    """
    about = [("", warnings_of_limit(limit))]
    about += [(audit.name, list(audit.warnings)) for audit in audits or ()]
    about += [(each.proxy_name, list(each.warnings)) for each in hackings]
    if ensemble is not None:
        about.append(("ensemble", list(ensemble.warnings)))
    return tuple(dict.fromkeys([*missing, *_once(about)]))


def readings_of(samples: Samples, audits: Audits | None) -> tuple[str, ...]:
    """What reading the base samples, then the policies', guessed, held back or left out."""
    about = [("", list(samples.notes))]
    about += [(audit.name, list(audit.notes)) for audit in audits or ()]
    return tuple(_once(about))


def _once(about: Iterable[tuple[str, list[str]]]) -> list[str]:
    """Each line once, with the names it is about; without, where it is about the base samples as well."""
    names: dict[str, list[str]] = {}
    for name, lines in about:
        for line in lines:
            names.setdefault(line, []).append(name)
    return [line if "" in found else f"{_listed(found)}: {line}" for line, found in names.items()]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
