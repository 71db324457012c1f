"""Which column plays which part: what the caller named, else what the field's usual names say."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from klimit.errors import InputError

PROMPT_NAMES = ("prompt_id", "prompt", "problem_id", "question_id", "task_id")
REWARD_NAMES = "reward, reward_*, rewards, score"
SAMPLE_NAMES = ("sample_id",)
COMPLETION_NAMES = ("completion", "completions")


@dataclass(frozen=True)
class HeldBack:
    """A column with a reward's name that cannot be used, and why.

    Attributes:
        reason: the error, in one line, for whoever asks for it by name.
        is_number: False for text and the like: it is no rival where one reward is left.
    """

    reason: str
    is_number: bool = True


@dataclass(frozen=True)
class Roles:
    """The columns read and the part each plays; ``guessed`` holds the parts that nobody named."""

    prompt: tuple[str, ...]
    rewards: tuple[str, ...]
    sample: str | None
    logprob: str | None
    ref_logprob: str | None
    completion: str | None
    text: str | None
    guessed: frozenset[str]

    def used(self) -> set[str]:
        """Every column that has a part."""
        one = (self.sample, self.logprob, self.ref_logprob, self.completion, self.text)
        return {*self.prompt, *self.rewards, *(name for name in one if name is not None)}

    def note(self, held: Container[str] = ()) -> str | None:
        """The guesses in one line, less the columns held back; None where nothing was guessed."""
        parts = {
            "prompt": ", ".join(self.prompt),
            "rewards": ", ".join(name for name in self.rewards if name not in held),
            "sample": self.sample,
            "logprob": self.logprob,
            "ref_logprob": self.ref_logprob,
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
    logprob: str | None = None,
    ref_logprob: str | None = None,
    completion: str | None = None,
) -> Roles:
    """Give every part its column: the one named, else the one with a usual name.

    Raises:
        InputError: a named column does not exist, or there is no prompt or reward column to be guessed.
    """
    guessed: set[str] = set()

    def named(part: str, given: str | None, usual: Sequence[str]) -> str | None:
        if given is not None:
            return find_column(names, given, source=source)
        guessed.add(part)
        return _first(names, usual)

    prompts = prompt_columns(names, prompt, source=source)
    if prompt is None:
        guessed.add("prompt")
    if rewards is None:
        guessed.add("rewards")
        chosen = guess_rewards(names, source=source)
    else:
        chosen = tuple(find_column(names, name, source=source) for name in _listed(rewards))
        if not chosen:
            raise InputError(f"{source}: rewards is an empty list; name at least one reward column")
    return Roles(
        prompt=prompts,
        rewards=tuple(dict.fromkeys(chosen)),
        sample=named("sample", sample, SAMPLE_NAMES),
        logprob=named("logprob", logprob, ("logprob",)),
        ref_logprob=named("ref_logprob", ref_logprob, ("ref_logprob",)),
        completion=named("completion", completion, COMPLETION_NAMES),
        text=_first([name for name in names if name not in prompts], ("prompt",)),
        guessed=frozenset(guessed),
    )


def prompt_columns(
    names: Sequence[str], given: str | Sequence[str] | None, *, source: str
) -> tuple[str, ...]:
    """The columns that key a prompt.

    Raises:
        InputError: a named column does not exist, or none has a usual name.
    """
    if given is not None:
        chosen = tuple(dict.fromkeys(find_column(names, name, source=source) for name in _listed(given)))
        if not chosen:
            raise InputError(f"{source}: prompt is an empty list; name the column that tells prompts apart")
        return chosen
    guess = _first(names, PROMPT_NAMES)
    if guess is None:
        raise InputError(
            f"{source}: no prompt column (looked for {', '.join(PROMPT_NAMES)}); "
            f"name it with prompt= (--prompt); {_listing(names)}"
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
            f"name it with rewards= (--reward); {_listing(names)}"
        )
    return found


def find_column(names: Sequence[str], name: str, *, source: str) -> str:
    """``name`` itself, if it is a column.

    Raises:
        InputError: it is not, or not text; the nearest name is suggested.
    """
    if not isinstance(name, str):
        raise InputError(f"{source}: column names are text, not {type(name).__name__} ({name!r})")
    if name not in names:
        raise InputError(f"{source}: no column {name!r}{did_you_mean(name, names)}; {_listing(names)}")
    return name


def choose_reward(
    names: Sequence[str],
    name: str | None = None,
    *,
    source: str,
    held: Mapping[str, HeldBack] | None = None,
) -> str:
    """The reward that ``name`` stands for; without a name, the only one there is.

    A numeric reward that was held back still counts: it might be the one that was meant.

    Args:
        names: the rewards that can be used.
        name: the one wanted.
        source: where the samples came from, for messages.
        held: columns with a reward's name that cannot be used.

    Raises:
        InputError: no such reward, one that cannot be used, or several and no name.
    """
    held = held or {}
    if name is not None:
        if name in names:
            return name
        if name in held:
            raise InputError(held[name].reason)
        raise InputError(
            f"{source}: no reward {name!r}{did_you_mean(name, [*names, *held])}; rewards: {_shorten(names)}"
        )
    rivals = [other for other in held if held[other].is_number]
    if len(names) == 1 and not rivals:
        return names[0]
    if not names and len(held) == 1:
        raise InputError(next(iter(held.values())).reason)
    listed = ", ".join(names) or "none is complete"
    if rivals:
        listed += f" (with missing or infinite values: {', '.join(rivals)})"
    n_rewards = len(names) + len(rivals)
    raise InputError(f"{source}: {n_rewards} rewards; choose one with reward= (--reward): {listed}")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """``" (did you mean 'reward'?)"`` for the nearest of the names, or nothing where none is near."""
    by_lower = {other.lower(): other for other in names}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.6)
    return f" (did you mean {by_lower[near[0]]!r}?)" if near else ""


def _first(names: Sequence[str], usual: Sequence[str]) -> str | None:
    by_lower = {name.lower(): name for name in reversed(names)}
    return next((by_lower[name] for name in usual if name in by_lower), None)


def _listed(names: str | Sequence[str]) -> list[str]:
    return list(names) if isinstance(names, Sequence) and not isinstance(names, str) else [names]


def _listing(names: Sequence[str]) -> str:
    return f"its columns: {_shorten(names)}"


def _shorten(names: Sequence[str], most: int = 16) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
