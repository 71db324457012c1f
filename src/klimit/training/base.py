"""Samples of the base model as a run is watched against them: their prompts, and what their file says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from klimit.errors import InputError
from klimit.models.answers import COMPLETION, IDS, read_answers
from klimit.models.appending import Given
from klimit.models.loading import Loaded
from klimit.models.prompts import PROMPT, PROMPT_ID, Prompt, checked_prompts
from klimit.models.settings import Sampling

_ROWS = 32  # scored again, to see that the reward is the same
_CLOSE = 1e-3


@dataclass(frozen=True, eq=False)
class BaseSamples:
    """Where samples of the base model come from.

    Attributes:
        given: their Parquet file; None where they are not one.
    """

    given: Given | None

    @classmethod
    def of(cls, base: Any) -> BaseSamples:
        """Look at what was given as base samples."""
        path = Path(base).expanduser() if isinstance(base, str | Path) else None
        return cls(Given(path) if path is not None and path.suffix == ".parquet" and path.is_file() else None)

    @property
    def made(self) -> dict[str, Any]:
        """How they were sampled; empty where nobody says."""
        return {} if self.given is None else dict(self.given.metadata.get("sample", {}))

    def prompts(self) -> list[Prompt]:
        """Every prompt once.

        Raises:
            InputError: they are not to be had.
        """
        if self.given is None or not {PROMPT, PROMPT_ID} <= set(self.given.names):
            raise InputError("the base samples are no Parquet file with prompt_id and prompt; give prompts=")
        table = self.given.columns([PROMPT_ID, PROMPT])
        keys = table.column(PROMPT_ID).to_pylist()
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        texts = table.column(PROMPT)
        rows = (
            (f"{self.given.path}, row {row + 1}", {PROMPT_ID: keys[row], PROMPT: texts[row].as_py()})
            for row in sorted(first.values())
        )
        return checked_prompts(rows, source=str(self.given.path))

    def check_sampling(self, own: Sampling) -> Sampling:
        """The settings that policy and base share: the trainer's.

        Raises:
            InputError: the base was sampled otherwise.
        """
        before = Sampling.from_dict(self.made) if self.made else own
        if before.max_new_tokens != own.max_new_tokens or before.temperature != own.temperature:
            raise InputError(
                f"{self.given.path if self.given else 'base'}: was sampled with {before}, and the trainer samples with "
                f"{own}; they have to be the same"
            )
        if before.truncated:
            raise InputError(
                f"{self.given.path if self.given else 'base'}: was sampled with {before}; sample it with top_p 1 and "
                "top_k 0, as the trainer does"
            )
        return own

    def check_reference(self, reference: Loaded) -> None:
        """See that the reference is the model that they were sampled from, where the file says so.

        Raises:
            InputError: it is another.
        """
        made = self.made
        if made.get("dtype") != reference.dtype or made.get("weights") in (None, reference.fingerprint):
            return
        raise InputError(
            f"{self.given.path if self.given else 'base'}: was sampled from {made.get('model')} with weights "
            f"{made['weights']}, and {reference.name} has weights {reference.fingerprint}; give the model that it was "
            "sampled from as ref_model="
        )


def check_same_reward(file: BaseSamples, name: str, prompts: Sequence[Prompt], score: Any) -> None:
    """See that the reward is the one that scored the base samples, by scoring some of them again.

    Raises:
        InputError: it is another.
    """
    given = file.given
    if given is None or not {PROMPT, PROMPT_ID, COMPLETION, IDS, name} <= set(given.names):
        return
    answers = read_answers(given, [PROMPT_ID, IDS, name])
    known = {each.prompt_id: each for each in prompts}
    rows = [row for row, key in enumerate(answers.table.column(PROMPT_ID).to_pylist()) if key in known]
    some = np.array(rows[:: max(1, len(rows) // _ROWS)][:_ROWS], dtype=np.int64)
    if not len(some):
        raise InputError(f"{given.path}: holds none of the prompts that were given")
    small = replace(answers, table=answers.table.take(some))
    every = np.arange(len(some))
    texts = [each if isinstance(each, str) else each[0]["content"] for each in small.completions(every)]
    asked = [known[key] for key in small.values(PROMPT_ID, every)]
    again = score(asked, texts, small.values(IDS, every), str(given.path))
    before = np.array(small.values(name, every), dtype=float)
    apart = np.abs(again - before) > _CLOSE * (1 + np.abs(before))
    if apart.any():
        at = int(np.flatnonzero(apart)[0])
        raise InputError(
            f"{given.path}, row {some[at] + 1}: its {name} is {before[at]:.6g}, and the run's reward gives it "
            f"{again[at]:.6g}; score the base samples by the run's reward, name its column with reward_name=, or give "
            "reward= what scored them"
        )
