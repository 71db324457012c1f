"""The steps of an experiment: what each makes, what that depends on, and how it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


def key_of(**known: Any) -> str:
    """A short name for all that something depends on."""
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        kind: what is done, in a word.
        target: the file or folder that it makes, or adds to; relative to the experiment's folder.
        says: what is done, for people.
        made_by: the key of the step that makes the target; its own where it does.
        keys: what each part of it depends on, by the part's name, as short names; most steps have one part.
        size: how much work it is, in units of its kind.
        do: does some of its parts, in the experiment's folder.
        pace: steps of one pace take time in proportion to their size.
        about: the policy that it is about, if it is about one.
        also: further files that it makes.
        keep: whether a target that was made otherwise is kept when it is made anew.
    """

    kind: str
    target: str
    says: str
    made_by: str
    keys: Mapping[str, str]
    size: float
    do: Callable[[Sequence[str]], None]
    pace: str
    about: str = ""
    also: tuple[str, ...] = ()
    keep: bool = True

    @property
    def makes(self) -> bool:
        """Whether it makes its target, not only adds to it."""
        return set(self.keys.values()) == {self.made_by}
