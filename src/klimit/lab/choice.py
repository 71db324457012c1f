"""Which prompts a world has: to train on, held out, and others for demonstrations and preferences only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from klimit.errors import InputError
from klimit.lab.recipe import Recipe
from klimit.lab.task import Features, Request, Task
from klimit.models.prompts import Prompt


@dataclass(frozen=True)
class Choice:
    """Requests by what they are for; those held out share no group with any other.

    Attributes:
        train: of the policies' training.
        held_out: of none.
        others: of demonstrations and preferences, beside ``train``.
    """

    train: tuple[Request, ...]
    held_out: tuple[Request, ...]
    others: tuple[Request, ...]

    @property
    def enumerated(self) -> tuple[Request, ...]:
        """Those whose completions are enumerated: ``train``, then ``held_out``."""
        return self.train + self.held_out

    @property
    def shown(self) -> tuple[Request, ...]:
        """Those that demonstrations and preferences are of."""
        return self.train + self.others


def choose(task: Task, recipe: Recipe) -> Choice:
    """Draw the prompts: one of each of so many groups, and others of the groups that are not held out.

    Raises:
        InputError: the task has too few groups.
    """
    rng = np.random.default_rng([recipe.seed, 1])
    groups: dict[int, list[Request]] = {}
    for request in task.requests(rng):
        groups.setdefault(request.group, []).append(request)
    wanted = recipe.train + recipe.held_out
    if wanted > len(groups):
        raise InputError(
            f"train {recipe.train} and held_out {recipe.held_out}: {task.name} has {len(groups)} kinds of prompts, "
            f"so that together they can be at most {len(groups)}"
        )
    order = rng.permutation(list(groups))
    drawn = [groups[g][int(rng.integers(len(groups[g])))] for g in order[:wanted]]
    aside = set(order[recipe.train : wanted].tolist())
    taken = {request.text for request in drawn}
    free = [r for g, made in groups.items() if g not in aside for r in made if r.text not in taken]
    others = [free[i] for i in rng.permutation(len(free))[: recipe.others]]
    return Choice(tuple(drawn[: recipe.train]), tuple(drawn[recipe.train :]), tuple(others))


def features_of(requests: tuple[Request, ...]) -> Features:
    """Their features, ``(N, F)``."""
    return np.stack([request.features for request in requests])


def as_prompt(task: Task, request: Request, prompt_id: int | str) -> Prompt:
    """The request as models are given it."""
    if task.chat:
        return Prompt(prompt_id, ({"role": "user", "content": request.text},))
    return Prompt(prompt_id, request.text)
