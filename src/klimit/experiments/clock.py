"""How long what is left will take, from the steps that were timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from klimit.experiments.steps import Step

_SHORT = ("prepare", "report")  # kinds that take seconds


def time_left(steps: Sequence[Step], paces: Mapping[str, float]) -> str:
    """In words; empty where nothing like them was timed.

    Args:
        steps: those left.
        paces: seconds for a unit of work, by pace.
    """
    known = [step for step in steps if step.pace in paces]
    if not known:
        return ""
    seconds = sum(paces[step.pace] * step.size for step in known)
    whole = all(step.pace in paces or step.kind in _SHORT for step in steps)
    if not whole and seconds < 60:
        return ""
    return f"{'about' if whole else 'more than'} {_in_words(seconds)} left"


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return "a minute"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
