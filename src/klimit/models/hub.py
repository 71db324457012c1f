"""Data sets on the Hugging Face hub: loaded by ``datasets``, with its many ways of failing told in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from klimit.errors import InputError
from klimit.models.extras import needed
from klimit.models.prompts import PROMPT

_GONE = ("not found", "doesn't exist", "404", "gated", "401")


@dataclass(frozen=True)
class HubSet:
    """A set of prompts on the hub.

    Attributes:
        name: its id.
        splits: that it has; the first is used unless another is asked for.
    """

    name: str
    splits: tuple[str, ...]

    def check(self, split: str) -> None:
        """See that there is such a split.

        Raises:
            InputError: there is none.
        """
        if split not in self.splits:
            raise InputError(f"{self.name}: has no split {split!r}; its splits: {', '.join(self.splits)}")

    def rows(self, split: str, column: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Its rows as ``(where, row)``, with the prompt under ``prompt``.

        Raises:
            InputError: the hub cannot be reached, or does not give the set; there is no such column.
        """
        found = self._load(split)
        if column not in found.column_names:
            raise InputError(
                f"{self.name}: no column {column!r}; its columns: {', '.join(found.column_names)}"
            )
        for number, prompt in enumerate(found.select_columns([column])[column]):
            yield f"{self.name}, {split}, row {number + 1}", {PROMPT: prompt}

    def _load(self, split: str) -> Any:
        datasets = needed("datasets")
        try:
            with _without_retries():
                return datasets.load_dataset(self.name, split=split)
        except Exception as error:  # of many kinds, by library
            raise InputError(f"{self.name}: {_explained(error)}") from None


# The two tasks: safety, and summaries of posts.
HUB_SETS = {
    "beavertails": HubSet("PKU-Alignment/BeaverTails", ("330k_train", "330k_test", "30k_train", "30k_test")),
    "tldr": HubSet("trl-lib/tldr", ("train", "validation", "test")),
}


def hub_set(name: str) -> HubSet | None:
    """A known set by its short name or its id, upper and lower case being one; None where there is none."""
    wanted = name.lower()
    return next((each for short, each in HUB_SETS.items() if wanted in (short, each.name.lower())), None)


@contextmanager
def _without_retries() -> Iterator[None]:
    """Without a line for every time that the hub is asked again."""
    hub = needed("huggingface_hub.utils.logging")
    before = hub.get_verbosity()
    hub.set_verbosity_error()
    try:
        yield
    finally:
        hub.set_verbosity(before)


def _explained(error: Exception) -> str:
    text = " ".join(str(error).split())
    kinds = {type(each).__name__ for each in _causes(error)}
    if isinstance(error, ConnectionError) or any("Connect" in kind or "Offline" in kind for kind in kinds):
        return "the hub cannot be reached, and no copy of the set lies here (offline?); go online, or give a file"
    if any(mark in text for mark in _GONE):
        return f"the hub does not give it ({text[:160]})"
    return f"cannot be loaded ({text[:160] or type(error).__name__})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
