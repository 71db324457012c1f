"""The rules of the worlds as reward functions, with the signature of TRL's: ``klimit.lab.rewards:safety`` and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from klimit.errors import InputError
from klimit.lab.task import Task
from klimit.lab.tasks import task_named
from klimit.lab.tree import as_views

Said = str | Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Gold:
    """The gold reward of a world; it takes completions of any of its prompts.

    Attributes:
        task: whose rule.
        length: words after which a completion is cut. One with as many words counts as cut, and its last word not.
    """

    task: Task
    length: int = 5

    @property
    def __name__(self) -> str:
        """What trainers log it by."""
        return "gold"

    def __call__(self, prompts: Sequence[Said], completions: Sequence[Said], **columns: Any) -> list[float]:
        """Rewards of completions.

        Args:
            prompts: texts, or chat messages.
            completions: texts, or chat messages; one for each prompt.
            columns: what trainers hand over besides; not looked at.

        Raises:
            InputError: a prompt is none of the world's, or a completion has other words.
        """
        words = [completion_words(self.task, text_of(said), self.length) for said in completions]
        if not words:
            return []
        features = np.stack([self.task.read(text_of(prompt)) for prompt in prompts])
        points = self.task.points(features, *as_views(words, self.length))
        return [float(point) for point in points * self.task.unit]


def text_of(said: Said) -> str:
    """A text, or the last message's."""
    return said if isinstance(said, str) else said[-1]["content"]


def completion_words(task: Task, text: str, length: int) -> list[int]:
    """The words of a completion, as places in the task's.

    Raises:
        InputError: there are too many, or others.
    """
    said = text.split()
    other = next((word for word in said if word not in task.words), None)
    if other is not None:
        raise InputError(f"completion {text!r}: {other!r} is no word of {task.name}: {', '.join(task.words)}")
    if len(said) > length:
        raise InputError(f"completion {text!r}: {len(said)} words; those of {task.name} are cut at {length}")
    return [task.words.index(word) for word in said]


safety = Gold(task_named("safety"))
summarization = Gold(task_named("summarization"))
