"""Which column plays which part: what the caller named, else what the field's usual names say."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from klimit.errors import InputError
from klimit.samples.columns import REWARD_NAMES, as_list, find_column, first_of, listing

PROMPT_NAMES = ("prompt_id", "prompt", "problem_id", "question_id", "task_id")
SAMPLE_NAMES = ("sample_id",)
COMPLETION_NAMES = ("completion", "completions")
# What is known of a completion beside its reward, by part, with the usual names of its column.
SCORE_NAMES: Mapping[str, tuple[str, ...]] = {
    "logprob": ("logprob",),
    "ref_logprob": ("ref_logprob",),
    "token_kl": ("token_kl",),
    "sampling_logprob": ("sampling_logprob",),
    "truncated": ("truncated", "finish_reason"),
    "token_ids": ("completion_token_ids",),
    "n_tokens": ("n_tokens", "num_tokens", "completion_tokens"),
}
# Samples keep less of these than their columns say, so they stay among the metadata.
_STILL_METADATA = ("truncated", "token_ids", "n_tokens")


@dataclass(frozen=True)
class Roles:
    """The columns read and the part each plays; ``guessed`` holds the parts that nobody named.

    ``scores`` gives the column of each part in :data:`SCORE_NAMES` that there is; ``by`` tells apart policies that
    stand in one table.
    """

    prompt: tuple[str, ...]
    rewards: tuple[str, ...]
    sample: str | None
    completion: str | None
    text: str | None
    scores: Mapping[str, str]
    guessed: frozenset[str]
    by: str | None = None

    def used(self) -> set[str]:
        """Every column whose values the samples hold under a part's name."""
        one = (self.sample, self.completion, self.text)
        scores = {name for part, name in self.scores.items() if part not in _STILL_METADATA}
        return {*self.prompt, *self.rewards, *scores, *(name for name in one if name is not None)}

    def note(self, held: Container[str] = ()) -> str | None:
        """The guesses in one line, less the columns held back; None where nothing was guessed."""
        parts = {
            "prompt": ", ".join(self.prompt),
            "rewards": ", ".join(name for name in self.rewards if name not in held),
            "sample": self.sample,
            **{part: self.scores.get(part) for part in SCORE_NAMES},
            "completion": self.completion,
        }
        guesses = [
            f"{part} = {value}"
            for part, value in parts.items()
            if part in self.guessed and value and value not in held
        ]
        return f"read by their names: {'; '.join(guesses)}" if guesses else None


def choose_roles(
    names: Sequence[str],
    *,
    source: str,
    prompt: str | Sequence[str] | None = None,
    rewards: str | Sequence[str] | None = None,
    sample: str | None = None,
    completion: str | None = None,
    by: str | None = None,
    scores: Mapping[str, str | None] | None = None,
    audit: bool = True,
) -> Roles:
    """Give every part its column: the one named, else the one with a usual name.

    Args:
        names: the columns there are.
        source: where they come from, for messages.
        prompt: the key's columns.
        rewards: the reward columns.
        sample: the column that numbers the completions of a prompt.
        completion: the column of completion texts.
        by: the column that tells policies apart; never guessed.
        scores: columns of the parts in :data:`SCORE_NAMES`.
        audit: look also for the scores, which only an audit needs.

    Raises:
        InputError: a named column does not exist, or there is no prompt or reward column to be guessed.
    """
    guessed: set[str] = set()

    def named(part: str, given: str | None, usual: Sequence[str]) -> str | None:
        if given is not None:
            return find_column(names, given, source=source)
        guessed.add(part)
        return first_of(names, usual)

    prompts = prompt_columns(names, prompt, source=source)
    if prompt is None:
        guessed.add("prompt")
    if rewards is None:
        guessed.add("rewards")
        chosen = guess_rewards(names, source=source)
    else:
        chosen = tuple(find_column(names, name, source=source) for name in as_list(rewards))
        if not chosen:
            raise InputError(f"{source}: rewards is an empty list; name at least one reward column")
    given = scores or {}
    sample = named("sample", sample, SAMPLE_NAMES)
    found = {
        part: named(part, given.get(part), usual if audit else ()) for part, usual in SCORE_NAMES.items()
    }
    return Roles(
        prompt=prompts,
        rewards=tuple(dict.fromkeys(chosen)),
        sample=sample,
        completion=named("completion", completion, COMPLETION_NAMES),
        text=first_of([name for name in names if name not in prompts], ("prompt",)),
        scores={part: name for part, name in found.items() if name is not None},
        guessed=frozenset(guessed),
        by=None if by is None else find_column(names, by, source=source),
    )


def prompt_columns(
    names: Sequence[str], given: str | Sequence[str] | None, *, source: str
) -> tuple[str, ...]:
    """The columns that key a prompt.

    Raises:
        InputError: a named column does not exist, or none has a usual name.
    """
    if given is not None:
        chosen = tuple(dict.fromkeys(find_column(names, name, source=source) for name in as_list(given)))
        if not chosen:
            raise InputError(f"{source}: prompt is an empty list; name the column that tells prompts apart")
        return chosen
    guess = first_of(names, PROMPT_NAMES)
    if guess is None:
        raise InputError(
            f"{source}: no prompt column (looked for {', '.join(PROMPT_NAMES)}); "
            f"name it with prompt= (--prompt); {listing(names)}"
        )
    return (guess,)


def guess_rewards(names: Sequence[str], *, source: str) -> tuple[str, ...]:
    """Every column with a usual reward name, in file order; ``score`` only where there is no other.

    Raises:
        InputError: there is none.
    """
    found = tuple(
        name for name in names if name.lower() in ("reward", "rewards") or name.lower().startswith("reward_")
    )
    if not found:
        found = tuple(name for name in names if name.lower() in ("score", "scores"))
    if not found:
        raise InputError(
            f"{source}: no reward column (looked for {REWARD_NAMES}); "
            f"name it with rewards= (--reward); {listing(names)}"
        )
    return found
