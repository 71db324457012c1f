"""The demonstrator: writes word by word, likes some words, sees one word ahead, and misreads requests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from klimit.lab.task import Features, Task
from klimit.lab.tree import Ints


def demonstrate(task: Task, features: Features, length: int, rng: np.random.Generator) -> Ints:
    """Completions of requests, one each.

    The next word has odds exp(habit + skill * points that it adds at once); the end has odds of its own, which grow
    with each word. The last word before the cut adds no points.

    Args:
        task: whose habits, haste and skill.
        features: of the requests, ``(N, F)``.
        length: words after which a completion is cut.
        rng: the randomness.

    Returns:
        Words, ``(N, length)``, -1 from the end on.
    """
    read = task.misread(features, rng)
    habits = np.array([task.habits.get(word, 0.0) for word in task.words])
    written = np.full((len(read), length), -1, dtype=np.int64)
    open_ends = np.ones(len(read), dtype=bool)
    for step in range(length):
        logits = np.concatenate(
            [
                habits + task.skill * _added(task, read, written[:, : length - 1], step),
                np.full((len(read), 1), task.haste[0] + task.haste[1] * step),
            ],
            axis=1,
        )
        chosen = _drawn(logits, rng)
        open_ends &= chosen < len(task.words)
        written[:, step] = np.where(open_ends, chosen, -1)
    return written


def _added(task: Task, features: Features, written: Ints, step: int) -> Ints:
    """Points that each word adds in place ``step``, ``(N, K)``; none where rewards do not look."""
    size = len(task.words)
    if step >= written.shape[1]:
        return np.zeros((len(written), size), dtype=np.int64)
    candidates = np.repeat(written, size, axis=0)
    candidates[:, step] = np.tile(np.arange(size), len(written))
    ended = np.ones(len(candidates), dtype=bool)
    after = task.points(np.repeat(features, size, axis=0), candidates, ended).reshape(-1, size)
    return np.asarray(after - task.points(features, written, ended[: len(written)])[:, None])


def _drawn(logits: NDArray[np.float64], rng: np.random.Generator) -> Ints:
    """One draw of each row."""
    return np.asarray((logits + rng.gumbel(size=logits.shape)).argmax(axis=1))
