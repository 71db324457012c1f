"""What a world is about: its words, its prompts, the rule that is its gold reward, and its demonstrator's habits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from klimit.lab.tree import Ints

Features = NDArray[np.int64]


@dataclass(frozen=True)
class Request:
    """A prompt that a task can make.

    Attributes:
        text: its words.
        group: what it is about; requests of one group are held out together.
        features: what the rule needs to know of it, ``(F,)``.
    """

    text: str
    group: int
    features: Features


class Task(ABC):
    """A kind of world.

    Attributes:
        name: of the world.
        words: of completions; the end comes on top.
        prompt_words: that stand in prompts only.
        chat: whether prompts are chat messages.
        mark: with which prompts that are texts end.
        unit: reward of one point of the rule.
        habits: the demonstrator's liking of each word, in nats.
        haste: its liking of the end, before and for each word written.
        skill: nats of a point that a word earns at once.
    """

    name: ClassVar[str]
    words: ClassVar[tuple[str, ...]]
    prompt_words: ClassVar[tuple[str, ...]]
    chat: ClassVar[bool]
    mark: ClassVar[str] = ""
    unit: ClassVar[float] = 0.05
    habits: ClassVar[dict[str, float]]
    haste: ClassVar[tuple[float, float]]
    skill: ClassVar[float]

    @abstractmethod
    def requests(self, rng: np.random.Generator) -> list[Request]:
        """All that may be asked."""

    @abstractmethod
    def points(self, features: Features, words: Ints, ended: NDArray[np.bool_]) -> Ints:
        """The rule: points of completions, ``(N,)``.

        Args:
            features: of their requests, ``(N, F)``.
            words: their words, ``(N, D)``, -1 where there are none.
            ended: whether they end, ``(N,)``.
        """

    @abstractmethod
    def misread(self, features: Features, rng: np.random.Generator) -> Features:
        """The requests as a careless demonstrator reads them."""

    @abstractmethod
    def read(self, text: str) -> Features:
        """The features of a request, from its text.

        Raises:
            InputError: it is no request of this task.
        """

    def places(self, *names: str) -> list[int]:
        """Where words stand in :attr:`words`."""
        return [self.words.index(name) for name in names]


def counts(words: Ints, size: int) -> Ints:
    """How often each of ``size`` words stands in each row, ``(N, size)``."""
    return np.asarray((words[:, :, None] == np.arange(size)).sum(axis=1))


def followed(words: Ints, first: Any, second: Any) -> NDArray[np.bool_]:
    """Whether a word ``first`` is directly followed by ``second`` somewhere, ``(N,)``."""
    if words.shape[1] < 2:
        return np.zeros(len(words), dtype=bool)
    return np.asarray(((words[:, :-1] == first) & (words[:, 1:] == second)).any(axis=1))


def early(words: Ints, which: Ints) -> Ints:
    """How many places before the end of ``words`` the first of ``which`` (``(N, W)``) stands; 0 if none does."""
    found = (words[:, :, None] == which[:, None, :]).any(axis=2)
    return np.asarray(np.where(found.any(axis=1), words.shape[1] - found.argmax(axis=1), 0))
