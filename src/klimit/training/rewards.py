"""Rewards of completions that a trainer has just drawn, by the same code that scores files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.models.answers import COMPLETION, IDS, Answers
from klimit.models.appending import Given
from klimit.models.classifiers import check_labels, classifier_reward
from klimit.models.engine import OutOfMemory
from klimit.models.extras import needed
from klimit.models.finding import find_function
from klimit.models.functions import FunctionReward, check_signature
from klimit.models.loading import Loaded, Trust, load_classifier
from klimit.models.prompts import PROMPT, PROMPT_ID, Prompt, arrow_columns
from klimit.models.rewards import Asked, Reward, asked

COLUMNS = (PROMPT, COMPLETION, IDS, PROMPT_ID)  # what a function may take, as TRL's trainers name them
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moment(Given):
    """Where other steps have a file: the step of a run, in words."""

    @cached_property
    def names(self) -> list[str]:
        """What a reward may take."""
        return list(COLUMNS)


@dataclass(frozen=True, eq=False)
class FreshAnswers(Answers):
    """Completions that have just been drawn."""

    def where(self, row: int) -> str:
        """The step, which of its completions, and how that begins."""
        text = str(self.table.column(COMPLETION)[row].as_py())
        shown = text if len(text) <= 40 else f"{text[:37]}..."
        return f"{self.given.path}, completion {row + 1} ({shown!r})"


@dataclass(frozen=True, eq=False)
class Term:
    """A reward to train on.

    Attributes:
        name: of its column, with the ``reward_`` of files.
        identity: what its numbers depend on, for metadata.
        made: makes it, for completions.
    """

    name: str
    identity: dict[str, Any]
    made: Callable[[Answers], Reward]

    def score(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[str],
        ids: Sequence[Sequence[int]],
        *,
        when: str,
    ) -> Floats:
        """Rewards of completions, one each.

        Args:
            prompts: one a completion.
            completions: their texts.
            ids: their token ids.
            when: what to call the batch in messages, such as ``"step 12"``.

        Raises:
            InputError: it failed, or a reward is no finite number; the message says of which completion.
        """
        answers = answers_of(prompts, completions, ids, when=when)
        try:
            return _in_batches(self.made(answers), len(answers))
        except InputError as error:
            said = str(error)
            raise InputError(said if said.startswith(when) else f"{when}, {said}") from None


def answers_of(
    prompts: Sequence[Prompt], completions: Sequence[str], ids: Sequence[Sequence[int]], *, when: str
) -> Answers:
    """Completions in the form in which rewards take them."""
    arrow = needed("pyarrow")
    table = arrow.table(
        {
            **arrow_columns(prompts),
            COMPLETION: arrow.array(list(completions), arrow.string()),
            IDS: arrow.array([list(map(int, each)) for each in ids], arrow.list_(arrow.int32())),
        }
    )
    return FreshAnswers(Moment(Path(when)), prompts[0].is_chat, table)


def term_of(
    reward: Any, prompts: Sequence[Prompt], *, dtype: str, device: str, trust: Trust, source: Path
) -> Term:
    """The reward that a run is given.

    Args:
        reward: folder or hub id of a model, ``package.module:function``, or a function.
        prompts: of the run.
        dtype: of a reward model.
        device: of a reward model.
        trust: in a reward model's repository.
        source: what to call the prompts in messages.

    Raises:
        InputError: no such reward, several of them, or one that asks for what a trainer has not.
    """
    wanted = asked(reward)
    if len(wanted) > 1:
        raise InputError(
            f"{len(wanted)} rewards were given, and training maximises one; combine them in a function "
            "(klimit.ensemble makes one)"
        )
    if wanted[0].is_function:
        return _function_term(wanted[0], prompts, source)
    loaded = load_classifier(str(wanted[0].what), dtype=dtype, device=device, trust=trust)
    check_labels(loaded)
    return model_term(wanted[0].column, loaded)


def model_term(column: str, loaded: Loaded) -> Term:
    """A reward model as a reward to train on."""
    known = loaded.identity
    return Term(
        column,
        {"reward": known.pop("model"), **known},
        lambda answers: classifier_reward(loaded, answers),
    )


def _function_term(wanted: Asked, prompts: Sequence[Prompt], source: Path) -> Term:
    function = find_function(wanted.what) if isinstance(wanted.what, str) else wanted.what
    name = wanted.what if isinstance(wanted.what, str) else getattr(function, "__name__", wanted.column)
    check_signature(function, name, COLUMNS, source)
    trial = FunctionReward(function, name, answers_of(prompts[:1], [""], [[0]], when="before training"))
    return Term(wanted.column, trial.identity, lambda answers: FunctionReward(function, name, answers))


def _in_batches(reward: Reward, count: int) -> Floats:
    """Rewards in batches that fit."""
    size = min(reward.batch_size, count)
    while True:
        try:
            return np.concatenate(
                [reward.score(np.arange(at, min(at + size, count))) for at in range(0, count, size)]
            )
        except OutOfMemory:
            if size == 1:
                raise InputError("out of memory in the reward with a single completion") from None
            size //= 2
