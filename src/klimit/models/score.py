"""``klimit.score``: rewards of sampled completions, by reward models and Python functions, several in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.models.answers import Answers, read_answers
from klimit.models.appending import Given, Step, append_columns
from klimit.models.batches import Say
from klimit.models.extras import needed
from klimit.models.finding import current_folder, find_function, source_of
from klimit.models.functions import FunctionReward, check_signature, columns_taken
from klimit.models.loading import Trust
from klimit.models.rewards import Asked, Reward, Rows, Wanted, asked

STEP = "score"


def score(
    *,
    reward: Wanted,
    input: str | Path,
    output: str | Path | None = None,
    batch_size: int | None = None,
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    overwrite: bool = False,
    say: Say | None = None,
) -> Path:
    """Add a column ``reward_<name>`` for every reward to a file of samples.

    A reward is a reward model (a sequence classifier with one label, which reads the messages by its own chat template;
    where prompts are texts, prompt and completion one after the other), or a Python function of TRL's signature, which
    needs the extra ``server`` only: it is given ``prompts``, ``completions``, ``completion_ids`` and every other column
    of the file by name, as lists, and returns a list of numbers. Nothing is truncated or left out. The run can be
    stopped at any moment; a rerun goes on.

    Args:
        reward: folder or hub id of a model, ``"package.module:function"`` (the current folder included), or a function;
            with ``NAME=`` before it where the column is to be ``reward_NAME``. Several as a list, or by name as a
            mapping.
        input: Parquet file with ``prompt`` and ``completion``.
        output: Parquet file to be written; the input is replaced, when all is done, by default.
        batch_size: completions at once; the largest that fits by default.
        dtype: of reward models; ``"auto"`` is float32 on a CPU, else the model's own.
        device: as torch names it.
        trust_remote_code: run code that comes with the models.
        allow_pickle: load pickled weights.
        overwrite: replace columns of the same name.
        say: takes lines for the user.

    Returns:
        Where the file is.

    Raises:
        InputError: no texts, no such reward, a reward that fails or is no finite number; one line says why and where.
    """
    tell = say or (lambda line: None)
    wanted = asked(reward)
    given = Given(Path(input).expanduser())
    trust = Trust(remote_code=trust_remote_code, pickle=allow_pickle)
    with current_folder():
        functions = {each.column: _function(each) for each in wanted if each.is_function}
        more = [name for each in functions.values() for name in columns_taken(each, given.names)]
        answers = read_answers(given, more)
        rewards = {
            each.column: _function_reward(each, functions[each.column], answers, tell)
            if each.is_function
            else _model(str(each.what), answers, dtype, device, trust, padded=batch_size != 1)
            for each in wanted
        }
        return append_columns(
            given,
            Path(output).expanduser() if output is not None else given.path,
            steps=[Step(f"{STEP} {name}", each.identity, [name]) for name, each in rewards.items()],
            order=_order(list(rewards.values()), len(answers)),
            batch_size=batch_size or min(each.batch_size for each in rewards.values()),
            work=_work(rewards),
            overwrite=overwrite,
            fixed=batch_size is not None,
            say=tell,
        )


def _function(wanted: Asked) -> Any:
    return find_function(wanted.what) if isinstance(wanted.what, str) else wanted.what


def _function_reward(wanted: Asked, function: Any, answers: Answers, say: Say) -> Reward:
    name = wanted.what if isinstance(wanted.what, str) else _qualified(function)
    check_signature(function, name, answers.given.names, answers.given.path)
    if source_of(function) is None:
        say(f"the source of {name} cannot be read: a change of it between runs would not be noticed")
    return FunctionReward(function, name, answers)


def _qualified(function: Any) -> str:
    whole = function if hasattr(function, "__qualname__") else type(function)
    return f"{whole.__module__}:{whole.__qualname__}"


def _model(name: str, answers: Answers, dtype: str, device: str, trust: Trust, *, padded: bool) -> Reward:
    from klimit.models.classifiers import classifier_reward
    from klimit.models.loading import load_classifier

    found = classifier_reward(load_classifier(name, dtype=dtype, device=device, trust=trust), answers)
    if padded:
        found.check_padding()
    return found


def _order(rewards: Sequence[Reward], count: int) -> NDArray[np.int64]:
    """Rows by what the first reward model needs for them, most first."""
    lengths = next((each.lengths for each in rewards if each.lengths is not None), None)
    if lengths is None:
        return np.arange(count, dtype=np.int64)
    return np.argsort(-lengths, kind="stable").astype(np.int64)


def _work(rewards: Mapping[str, Reward]) -> Any:
    def work(rows: Rows) -> Mapping[str, Any]:
        arrow = needed("pyarrow")
        return {name: arrow.array(each.score(rows), arrow.float64()) for name, each in rewards.items()}

    return work
