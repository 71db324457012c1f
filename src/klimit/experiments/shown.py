"""The plan of an experiment in words: which steps there are, and which of them are done."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from klimit.experiments.clock import time_left
from klimit.experiments.place import Place
from klimit.experiments.steps import Step
from klimit.experiments.store import Store

Numbered = tuple[int, str, Step]
_SHORT = {"logprob": "log-probabilities"}


def plan_in_words(place: Place, steps: Sequence[Step], store: Store) -> str:
    """All steps, those of one policy that are equally far on one line; ends in a newline."""
    numbered = [(number, store.state(step), step) for number, step in enumerate(steps, 1)]
    left = [step for _, state, step in numbered if state != "done"]
    time = time_left(left, store.paces())
    head = f"{place.recipe.name}: {len(steps)} steps, {len(steps) - len(left)} done, in {place.folder}"
    groups = groupby(numbered, lambda each: (each[1], each[2].about or each[0]))
    lines = [_line(list(group)) for _, group in groups]
    return "\n".join([f"{head}{f'; {time}' if time else ''}", *lines]) + "\n"


def _line(group: Sequence[Numbered]) -> str:
    (first, state, step), last = group[0], group[-1][0]
    if first == last:
        return f"{first:>7}  {state:5}  {step.says}"
    done = ", ".join(_SHORT.get(each.kind, each.kind) for _, _, each in group)
    return f"{f'{first}-{last}':>7}  {state:5}  {step.about}: {done}"
