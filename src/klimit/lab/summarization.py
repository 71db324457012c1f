"""Summarization: a weather report of two to four facts, to be told in a few words."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.lab.task import Features, Request, Task, counts, early, followed
from klimit.lab.tree import Ints

_TOPICS = ("rain", "wind", "snow", "storm", "sun", "fog", "heat", "frost")
_WORTH = {"heavy": 6, "": 4, "light": 1}  # pairs of points of a fact that is told
_DAYS = ("", "monday", "tuesday")
_VARIANTS = 12  # of each set of topics


class Summarization(Task):
    """Eight topics, ``heavy`` and ``and``; a report names some topics as heavy, light or neither."""

    name = "summarization"
    words: ClassVar[tuple[str, ...]] = (*_TOPICS, "heavy", "and")
    prompt_words: ClassVar[tuple[str, ...]] = ("report", ":", "light", ",", "monday", "tuesday", "summary")
    chat = False
    mark = "summary : "
    habits: ClassVar[dict[str, float]] = {"sun": 0.9, "rain": 0.5, "heavy": 0.6, "and": 0.8, "frost": -0.5}
    haste = (-2.8, 1.0)
    skill = 0.125

    def requests(self, rng: np.random.Generator) -> list[Request]:
        """Every set of topics: a group; in it, orders, strengths and days drawn at random."""
        sets = [s for size in (2, 3, 4) for s in itertools.combinations(_TOPICS, size)]
        made = {}
        for group, topics in enumerate(sets):
            for _ in range(_VARIANTS):
                facts = [
                    f"{rng.choice(list(_WORTH))} {topic} {rng.choice(_DAYS, p=[0.6, 0.2, 0.2])}".split()
                    for topic in rng.permutation(topics)
                ]
                text = f"report : {' , '.join(' '.join(fact) for fact in facts)} {self.mark}"
                made[text] = Request(text, group, self.read(text))
        return list(made.values())

    def read(self, text: str) -> Features:
        """Of each topic the points that it is worth (0 where it is not reported), then its place, ``(16,)``.

        Raises:
            InputError: it is no report.
        """
        said = text.split()
        if said[:2] != ["report", ":"] or said[-2:] != ["summary", ":"]:
            raise InputError(
                f"prompt {text!r}: is none of the summarization world's ('report : ... summary : ')"
            )
        worth, place = np.zeros(len(_TOPICS), dtype=np.int64), np.full(len(_TOPICS), -1, dtype=np.int64)
        for number, fact in enumerate(" ".join(said[2:-2]).split(" , ")):
            told = [word for word in fact.split() if word in _TOPICS]
            if len(told) != 1:
                raise InputError(
                    f"prompt {text!r}: the fact {fact!r} names {len(told)} topics; it must name one"
                )
            strength = next((word for word in fact.split() if word in ("heavy", "light")), "")
            worth[_TOPICS.index(told[0])] = _WORTH[strength]
            place[_TOPICS.index(told[0])] = number
        return np.concatenate([worth, place])

    def misread(self, features: Features, rng: np.random.Generator) -> Features:
        """Each fact goes unread one time in five; one report in five is read with a topic that is not there."""
        worth, place = features[:, : len(_TOPICS)].copy(), features[:, len(_TOPICS) :]
        worth[rng.random(worth.shape) < 0.2] = 0
        seen = rng.random(len(worth)) < 0.2
        worth[seen, rng.integers(len(_TOPICS), size=len(worth))[seen]] = _WORTH[""]
        return np.concatenate([worth, place], axis=1)

    def points(self, features: Features, words: Ints, ended: NDArray[np.bool_]) -> Ints:
        """Facts told earn their worth; what was not reported, repeats, ``heavy`` or ``and`` misplaced cost."""
        worth, place = features[:, : len(_TOPICS)], features[:, len(_TOPICS) :]
        said = counts(words, len(self.words))
        told = said[:, : len(_TOPICS)] > 0
        total = (told * np.where(worth > 0, worth, -5)).sum(axis=1) - 3 * (said - (said > 0)).sum(axis=1)
        heavy, joined = self.places("heavy", "and")
        for topic in range(len(_TOPICS)):
            rightly = worth[:, topic] == _WORTH["heavy"]
            total += np.where(rightly, 3, -2) * followed(words, heavy, topic)
        total -= (said[:, [heavy, joined]] > 0).sum(axis=1)
        for first, second in itertools.permutations(range(len(_TOPICS)), 2):
            both = (worth[:, first] > 0) & (worth[:, second] > 0)
            total += (2 * both * joins(words, first, joined, second)).astype(np.int64)
            later = place[:, second] > place[:, first]
            total += (both & later & followed(words, first, second)).astype(np.int64)
        total = 2 * (total + np.where(ended, 3, -4))
        leading = np.broadcast_to(worth.argmax(axis=1)[:, None], (len(worth), 1))
        return np.asarray(total + early(words, leading))


def joins(words: Ints, first: int, link: int, second: int) -> NDArray[np.bool_]:
    """Whether ``first link second`` stands somewhere, ``(N,)``."""
    if words.shape[1] < 3:
        return np.zeros(len(words), dtype=bool)
    here = (words[:, :-2] == first) & (words[:, 1:-1] == link) & (words[:, 2:] == second)
    return np.asarray(here.any(axis=1))
