"""Reading samples from files, frames, datasets and arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.samples.again import negated, subset
from klimit.samples.columns import as_list, find_column
from klimit.samples.container import Samples
from klimit.samples.extras import metadata_columns, text_column
from klimit.samples.grouping import SPREAD, Groups, group_rows, repeated
from klimit.samples.keys import Keys, id_array, read_keys
from klimit.samples.kinds import plain
from klimit.samples.measures import Completions, open_completions, read_labels, read_rewards
from klimit.samples.notes import held_notes, rounded_notes
from klimit.samples.repeats import policy_codes, repeats_problem
from klimit.samples.roles import Roles, choose_roles
from klimit.samples.scores import read_scores
from klimit.samples.sources import Names, open_source
from klimit.samples.table import Table, check_where

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
    token_kl: str | None = None,
    sampling_logprob: str | None = None,
    truncated: str | None = None,
    completion: str | None = None,
    by: str | None = None,
    labels: Names | None = None,
    audit: bool = True,
    lower_is_better: bool = False,
    notify: Notify | None = None,
) -> Samples:
    """Read samples: completions of prompts, with their rewards.

    The table holds one row a completion, or one row a prompt with lists (of rewards and, alongside, of
    anything else). Prompts come in order of first appearance, completions of a prompt in file order; prompts
    need not stand together nor have equally many completions. Columns that nobody names are found by the
    field's usual names; what was found, held back or changed is said in ``Samples.notes``, one line each.

    Rows with the same completion are data. Rewards keep float32 where they have it; other numbers and
    booleans become float64. A score given as a list of one number a token is summed; lists of one completion
    that differ in length were scored on different tokens, and are held back. Tokens are counted by such
    lists, else by ``completion_token_ids``, else read from ``n_tokens``, ``num_tokens`` or
    ``completion_tokens``. Ids in a CSV are integers only if every one of them is written as one; else they
    are text, so ``007`` stays ``007``.

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
        token_kl: exact ``KL(policy || reference)`` of each next-token distribution (by default ``token_kl``).
        sampling_logprob: log-probabilities under the policy by the engine that sampled (by default
            ``sampling_logprob``).
        truncated: whether a completion was cut at the token limit (by default ``truncated``, else
            ``finish_reason``, where ``length``, ``max_tokens`` or ``max_length`` says so).
        completion: the column of completion texts (by default ``completion``); read when first used.
        by: a column that tells several policies in one table apart; sample ids may repeat across its values.
        labels: reward columns that may be missing (null or nan) for some completions; they come as
            ``Samples.labels``, not among the rewards.
        audit: whether to look for what only an audit needs: log-probabilities, token KLs and counts,
            truncation. What is named is read all the same.
        lower_is_better: the rewards are costs: change their sign.
        notify: called with each note.

    Raises:
        InputError: the samples cannot be used as they are; one line says what is wrong, where, what to do.
    """
    partial = [] if labels is None else as_list(labels)
    named = {"prompt": prompt, "sample": sample, "completion": completion, "by": by}
    scores = {
        "logprob": logprob,
        "ref_logprob": ref_logprob,
        "token_kl": token_kl,
        "sampling_logprob": sampling_logprob,
        "truncated": truncated,
    }
    if isinstance(source, Samples):
        samples = subset(source, rewards, {**named, **scores, "where": where, "by": None}, partial)
    else:
        table = open_source(source, prompt=prompt, sample=sample)
        if table is None:
            options = {**named, **scores, "where": where, "labels": labels}
            samples = subset(Samples.from_array(source), rewards, options)
        else:
            table.where = where
            check_where(table)
            roles = choose_roles(
                list(table.types),
                source=table.label,
                prompt=prompt,
                rewards=rewards,
                sample=sample,
                completion=completion,
                by=by,
                scores=scores,
                audit=audit,
            )
            found = [find_column(list(table.types), name, source=table.label) for name in partial]
            samples = read_table(table, roles, found)
    if lower_is_better:
        samples = negated(samples)
    if notify is not None:
        for note in samples.notes:
            notify(note)
    return samples


def as_samples(source: Any, *, reward: str | None = None, audit: bool = False, **options: Any) -> Samples:
    """Samples from whatever a function of klimit is given: samples, a path, an array or a frame.

    Args:
        source: as for :func:`read_samples`.
        reward: the one reward that is needed. It may be any column; it is checked, and no other is read.
        audit: as for :func:`read_samples`, but off: what an audit alone needs costs nothing elsewhere.
        options: as for :func:`read_samples`.

    Raises:
        InputError: as :func:`read_samples`; or the reward is missing or cannot be used.
    """
    if reward is not None:
        options = {**options, "rewards": [reward]}
    return read_samples(source, audit=audit, **options)


def read_table(table: Table, roles: Roles, partial: Sequence[str]) -> Samples:
    """The table's kept rows as samples.

    Args:
        table: where they are.
        roles: of its columns.
        partial: reward columns that may be missing for some completions.

    Raises:
        InputError: they cannot be used as they are.
    """
    keys = read_keys(table, roles.prompt, roles.text)
    if not keys.ids:
        _refuse_no_rows(table)
    others = [roles.sample, roles.completion, *roles.scores.values(), *partial]
    completions = open_completions(table, roles.rewards, [name for name in others if name is not None])
    (codes,) = table.columns([keys.sql])
    groups = group_rows(completions.spread(keys.merge(codes)))
    _refuse_repeats(table, roles, keys, groups, completions)

    rewards, held = read_rewards(completions, roles.rewards, asked="rewards" not in roles.guessed)
    if not rewards:
        raise InputError(next(iter(held.values())).reason)
    labels = read_labels(completions, partial)
    scores = read_scores(completions, roles)
    notes = [*held_notes(held), *rounded_notes(rewards, completions)]
    notes += [f"held back: {why.reason.removeprefix(f'{table.label}: ')}" for why in scores.held.values()]
    held |= scores.held
    sums = {part: groups.sort(values) for part, values in scores.sums.items()}
    guesses = roles.note(held)
    prompt_ids = [keys.ids[int(code)] for code in groups.keys]
    return Samples(
        rewards={name: groups.sort(values) for name, values in rewards.items()},
        labels={name: groups.sort(values) for name, values in labels.items()},
        offsets=groups.offsets,
        prompt_ids=id_array(prompt_ids),
        logprob=sums.get("logprob"),
        ref_logprob=sums.get("ref_logprob"),
        token_kl=sums.get("token_kl"),
        sampling_logprob=sums.get("sampling_logprob"),
        per_token=scores.per_token,
        n_tokens=None if scores.n_tokens is None else groups.sort(scores.n_tokens),
        truncated=None if scores.truncated is None else groups.sort(scores.truncated),
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
    (ids,) = completions.columns([sample_code(name, completions.types[name])])
    policies = policy_codes(table, roles, completions)
    if policies is not None:
        ids = ids.view(np.uint64) + policies * SPREAD
    places = repeated(groups, groups.sort(ids))
    if len(places):
        raise InputError(repeats_problem(table, roles, keys, groups, completions, places))


def sample_code(name: str, kind: str) -> str:
    """The SQL of a 64-bit code of a completion's number."""
    sql = plain(name, kind)
    small = kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
    return f"coalesce(CAST({sql} AS BIGINT), -1)" if small else f"hash({sql})"


def _prompt_texts(keys: Keys, groups: Groups, roles: Roles) -> NDArray[Any] | None:
    texts = keys.texts
    if texts is None and roles.prompt != ("prompt",):
        return None
    known = keys.ids if texts is None else texts
    array = np.empty(len(groups.keys), dtype=object)
    array[:] = [known[int(code)] for code in groups.keys]
    return array
