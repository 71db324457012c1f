"""Reading samples from files, frames, datasets and arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.columns import Roles, choose_reward, choose_roles, prompt_columns
from klimit.samples.container import Samples
from klimit.samples.extras import metadata_columns, text_column
from klimit.samples.files import open_files
from klimit.samples.frames import open_frame
from klimit.samples.grouping import Groups, group_rows, repeated
from klimit.samples.keys import Keys, id_array, read_keys
from klimit.samples.kinds import plain
from klimit.samples.measures import Completions, open_completions, read_logprob, read_rewards
from klimit.samples.notes import held_notes, rounded_notes
from klimit.samples.repeats import repeats_problem
from klimit.samples.table import Table, check_where

Names = str | Sequence[str]
Notify = Callable[[str], None]


def read_samples(
    source: Any,
    *,
    prompt: Names | None = None,
    rewards: Names | None = None,
    sample: str | None = None,
    where: str | None = None,
    logprob: str | None = None,
    ref_logprob: str | None = None,
    completion: str | None = None,
    lower_is_better: bool = False,
    notify: Notify | None = None,
) -> Samples:
    """Read samples: completions of prompts, with their rewards.

    The table holds one row a completion, or one row a prompt with lists (of rewards and, alongside, of
    anything else). Prompts come in order of first appearance, completions of a prompt in file order; prompts
    need not stand together nor have equally many completions. Columns that nobody names are found by the
    field's usual names; what was found, held back or changed is said in ``Samples.notes``, one line each.

    Rows with the same completion are data. Rewards keep float32 where they have it; other numbers and
    booleans become float64. A log-probability given as a list of one number a token is summed. Ids in a CSV
    are integers only if every one of them is written as one; else they are text, so ``007`` stays ``007``.

    Args:
        source: a path or several, or globs (Parquet, CSV, TSV, JSON or JSON lines, texts also as ``.gz``); a
            frame of pandas or polars, an Arrow table, or a Hugging Face ``Dataset``; a 2-D array of rewards,
            ``(n_prompts, n_completions)``; or ``Samples``.
        prompt: the column, or columns, that tell prompts apart (by default ``prompt_id``, else ``prompt``).
            Chat messages will do.
        rewards: the reward columns (by default ``reward``, ``reward_*`` and ``rewards``, else ``score``).
        sample: the column that numbers the completions of a prompt (by default ``sample_id``, if any).
        where: an SQL condition on the columns that chooses rows, such as ``"policy = 'cot'"``.
        logprob: log-probabilities under the policy that sampled, in nats (by default ``logprob``).
        ref_logprob: the same under the reference policy (by default ``ref_logprob``).
        completion: the column of completion texts (by default ``completion``); read when first used.
        lower_is_better: the rewards are costs: change their sign.
        notify: called with each note.

    Raises:
        InputError: the samples cannot be used as they are; one line says what is wrong, where, what to do.
    """
    options = {
        "prompt": prompt,
        "sample": sample,
        "where": where,
        "logprob": logprob,
        "ref_logprob": ref_logprob,
        "completion": completion,
    }
    if isinstance(source, Samples):
        samples = _subset(source, rewards, options)
    else:
        table = _open(source, prompt=prompt, sample=sample)
        if table is None:
            samples = _subset(Samples.from_array(source), rewards, options)
        else:
            table.where = where
            check_where(table)
            named: dict[str, Any] = {name: value for name, value in options.items() if name != "where"}
            roles = choose_roles(list(table.types), source=table.label, rewards=rewards, **named)
            samples = _read(table, roles)
    if lower_is_better:
        samples = _negated(samples)
    if notify is not None:
        for note in samples.notes:
            notify(note)
    return samples


def as_samples(source: Any, *, reward: str | None = None, **options: Any) -> Samples:
    """Samples from whatever a function of klimit is given: samples, a path, an array or a frame.

    Args:
        source: as for :func:`read_samples`.
        reward: the one reward that is needed. It may be any column; it is checked, and no other is read.
        options: as for :func:`read_samples`.

    Raises:
        InputError: as :func:`read_samples`; or the reward is missing or cannot be used.
    """
    if isinstance(source, Samples):
        samples = read_samples(source, **options) if options else source
        return (
            samples if reward is None else replace(samples, rewards={reward: samples.reward(reward)}, held={})
        )
    if reward is not None:
        options = {**options, "rewards": [reward]}
    return read_samples(source, **options)


def _open(source: Any, *, prompt: Names | None, sample: str | None) -> Table | None:
    """The source as a table; None if it is an array."""
    paths = _paths(source)
    if paths is not None:

        def ids(names: Sequence[str]) -> list[str]:
            keys = prompt_columns(names, prompt, source=str(source))
            return [*keys, sample or "sample_id"]

        return open_files(paths, ids=ids)
    if isinstance(source, list | tuple) and not source:
        raise InputError("no samples: the list is empty")
    if isinstance(source, list | tuple) and isinstance(source[0], Mapping):
        raise InputError("a list of dicts is not a table; give pandas.DataFrame(rows)")
    table = open_frame(source)
    if table is None and not (isinstance(source, list | tuple) or hasattr(source, "__array__")):
        raise InputError(
            f"samples cannot be read from {type(source).__name__}; "
            "give a path, a frame, a dataset or a 2-D array"
        )
    return table


def _paths(source: Any) -> list[str | os.PathLike[str]] | None:
    if isinstance(source, str | os.PathLike):
        return [source]
    if (
        isinstance(source, list | tuple)
        and source
        and all(isinstance(one, str | os.PathLike) for one in source)
    ):
        return list(source)
    return None


def _read(table: Table, roles: Roles) -> Samples:
    keys = read_keys(table, roles.prompt, roles.text)
    if not keys.ids:
        _refuse_no_rows(table)
    others = [roles.sample, roles.logprob, roles.ref_logprob, roles.completion]
    completions = open_completions(table, roles.rewards, [name for name in others if name is not None])
    (codes,) = table.columns([keys.sql])
    groups = group_rows(completions.spread(keys.merge(codes)))
    _refuse_repeats(table, roles, keys, groups, completions)

    rewards, held = read_rewards(completions, roles.rewards, asked="rewards" not in roles.guessed)
    if not rewards:
        raise InputError(next(iter(held.values())).reason)
    notes = [*held_notes(held), *rounded_notes(rewards, completions)]
    found: dict[str, NDArray[np.floating[Any]] | None] = {"logprob": None, "ref_logprob": None}
    for part, name in (("logprob", roles.logprob), ("ref_logprob", roles.ref_logprob)):
        if name is not None:
            values, problem = read_logprob(completions, name)
            if problem is not None and part not in roles.guessed:
                raise InputError(problem.reason)
            if problem is not None:
                held[name] = problem
                notes.append(f"held back: {problem.reason.removeprefix(f'{table.label}: ')}")
            found[part] = None if values is None else groups.sort(values)

    guesses = roles.note(held)
    prompt_ids = [keys.ids[int(code)] for code in groups.keys]
    return Samples(
        rewards={name: groups.sort(values) for name, values in rewards.items()},
        offsets=groups.offsets,
        prompt_ids=id_array(prompt_ids),
        logprob=found["logprob"],
        ref_logprob=found["ref_logprob"],
        prompts=_prompt_texts(keys, groups, roles),
        completions=text_column(completions, groups, roles.completion),
        metadata=metadata_columns(completions, groups, roles),
        source=table.label,
        notes=tuple([guesses, *notes] if guesses else notes),
        held=held,
    )


def _refuse_no_rows(table: Table) -> None:
    ((total,),) = table.query("SELECT count(*) FROM source")
    if total:
        raise InputError(f"{table.label}: where={table.where!r} keeps none of the {total:,} rows")
    raise InputError(f"{table.label}: there are columns but no rows")


def _refuse_repeats(table: Table, roles: Roles, keys: Keys, groups: Groups, completions: Completions) -> None:
    name = roles.sample
    if name is None or name not in completions.types:
        return
    sql = plain(name, completions.types[name])
    small = completions.types[name] in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
    (ids,) = completions.columns([f"coalesce(CAST({sql} AS BIGINT), -1)" if small else f"hash({sql})"])
    places = repeated(groups, groups.sort(ids))
    if len(places):
        raise InputError(repeats_problem(table, roles, keys, groups, completions, places))


def _prompt_texts(keys: Keys, groups: Groups, roles: Roles) -> NDArray[Any] | None:
    texts = keys.texts
    if texts is None and roles.prompt != ("prompt",):
        return None
    known = keys.ids if texts is None else texts
    array = np.empty(len(groups.keys), dtype=object)
    array[:] = [known[int(code)] for code in groups.keys]
    return array


def _subset(samples: Samples, rewards: Names | None, options: Mapping[str, Any]) -> Samples:
    unused = [name for name, value in options.items() if value is not None]
    if unused:
        raise InputError(
            f"{samples.source}: {unused[0]}= needs a table with columns; these samples are read already"
        )
    if rewards is None:
        return samples
    names = [rewards] if isinstance(rewards, str) else list(rewards)
    chosen = [
        choose_reward(tuple(samples.rewards), name, source=samples.source, held=samples.held)
        for name in names
    ]
    return replace(samples, rewards={name: samples.rewards[name] for name in chosen}, held={})


def _negated(samples: Samples) -> Samples:
    # 0 - x rather than -x: a cost of 0 becomes 0, not -0.
    rewards = {name: np.asarray(0 - values, dtype=values.dtype) for name, values in samples.rewards.items()}
    note = f"lower is better: changed the sign of {', '.join(rewards)}"
    return replace(samples, rewards=rewards, notes=(*samples.notes, note))
