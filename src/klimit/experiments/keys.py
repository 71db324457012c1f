"""The keys that a recipe may have, what each may be, and which one is meant by one that is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from math import isfinite
from typing import Any

from klimit.errors import InputError

Taken = Callable[[Any], Any]


class Wrong(Exception):
    """A value is not what its key takes; the message says what it takes."""


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise Wrong("give a text")
    return value


def whole(value: Any) -> int:
    """A whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Wrong("give a whole number, 1 or more")
    return value


def seed(value: Any) -> int:
    """A whole number, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Wrong("give a whole number, 0 or more")
    return value


def flag(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise Wrong("give true or false, without quotes")
    return value


def number(value: Any) -> float:
    """A number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise Wrong("give a number")
    return float(value)


def price(value: Any) -> float:
    """A price of a nat."""
    if number(value) <= 0:
        raise Wrong(
            "it must be above 0: where a nat of KL costs nothing, training has no policy to settle at"
        )
    return float(value)


def above_0(value: Any) -> float:
    """A number above 0."""
    if number(value) <= 0:
        raise Wrong("it must be above 0")
    return float(value)


def part(value: Any) -> float:
    """A number between 0 and 1."""
    if not 0 < number(value) < 1:
        raise Wrong("give a number between 0 and 1")
    return float(value)


def table(value: Any) -> Mapping[str, Any]:
    """A table."""
    if not isinstance(value, Mapping):
        raise Wrong("give a table")
    return value


def one_or_more(each: Taken) -> Taken:
    """One, or a list of different ones."""

    def taken(value: Any) -> tuple[Any, ...]:
        found = tuple(each(one) for one in (value if isinstance(value, list | tuple) else [value]))
        if not found:
            raise Wrong("the list is empty")
        if len(set(found)) < len(found):
            raise Wrong("one of them stands there twice")
        return found

    return taken


def text_or_table(value: Any) -> Any:
    """A text or a table."""
    return value if isinstance(value, Mapping) else text(value)


TOP: dict[str, Taken] = {
    "title": text,
    "world": text_or_table,
    "model": text,
    "prompts": text_or_table,
    "held_out_prompts": text_or_table,
    "held_out": part,
    "rewards": table,
    "reward": text,
    "gold": text,
    "proxies": one_or_more(text),
    "beta": one_or_more(price),
    "beta_in_spreads": one_or_more(price),
    "trainers": one_or_more(text),
    "training": table,
    "seeds": one_or_more(seed),
    "n": whole,
    "n_policy": whole,
    "best_of_n": one_or_more(whole),
    "max_new_tokens": whole,
    "seed": seed,
    "level": part,
    "dtype": text,
    "device": text,
    "trust_remote_code": flag,
    "allow_pickle": flag,
}
PROMPTS: dict[str, Taken] = {
    "name": text,
    "split": text,
    "column": text,
    "limit": whole,
    "seed": seed,
    "chat": flag,
}
TRAINING: dict[str, Taken] = {
    "steps": whole,
    "batch_size": whole,
    "generations": whole,
    "micro_batch_size": whole,
    "learning_rate": above_0,
    "schedule": text,
    "ppo_epochs": whole,
    "ppo_lambda": number,
    "save_every": whole,
    "log_every": whole,
    "gradient_checkpointing": flag,
    "allow_truncated": flag,
    "dtype": text,
}

# What other tools call some of them, and what there is no key for.
_ELSEWHERE = {
    "max_steps": "steps",
    "num_generations": "generations",
    "max_completion_length": "max_new_tokens",
    "response_length": "max_new_tokens",
    "per_device_train_batch_size": "batch_size",
    "lr": "learning_rate",
    "lr_scheduler_type": "schedule",
    "kl_coef": "beta",
    "model_name_or_path": "model",
    "dataset": "prompts",
    "dataset_name": "prompts",
    "train_dataset": "prompts",
    "eval_dataset": "held_out_prompts",
    "reward_funcs": "reward",
    "reward_model": "reward",
    "num_ppo_epochs": "ppo_epochs",
    "lam": "ppo_lambda",
}
_NO_KEY = {
    "temperature": "completions are drawn at temperature 1, which is what the limit is about: leave it out",
    "top_p": "all tokens are kept, or no KL is finite: leave it out",
    "top_k": "all tokens are kept, or no KL is finite: leave it out",
    "num_train_epochs": "training is counted in steps: steps",
}


def checked(given: Mapping[str, Any], known: Mapping[str, Taken], where: str) -> dict[str, Any]:
    """The values of a table, each as its key takes it.

    Args:
        given: key and value.
        known: what each key takes.
        where: what messages begin with: the file, and the table in it.

    Raises:
        InputError: a key that there is not, or a value that it does not take.
    """
    for key in given:
        if key not in known:
            raise InputError(f"{where}: no key {key!r}{_meant(str(key), known)}")
    found = {}
    for key, value in given.items():
        try:
            found[key] = known[key](value)
        except Wrong as wrong:
            raise InputError(f"{where}: {key} is {_shown(value)}; {wrong}") from None
    return found


def near(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """``; did you mean 'reward'?``; or all there are."""
    close = get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _meant(key: str, known: Mapping[str, Taken]) -> str:
    if key in _NO_KEY:
        return f": {_NO_KEY[key]}"
    if _ELSEWHERE.get(key) in known:
        return f"; here it is called {_ELSEWHERE[key]!r}"
    if key in TOP:
        return "; it belongs above all [tables]"
    if key in TRAINING:
        return "; it belongs to [training]"
    return near(key, known)


def _shown(value: Any) -> str:
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
