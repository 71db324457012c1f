"""How completions are drawn: the settings that make a base policy what it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from klimit.errors import InputError


@dataclass(frozen=True)
class Sampling:
    """Settings of the sampling distribution; they are part of the policy, and travel with the samples.

    Attributes:
        max_new_tokens: where a completion is cut.
        temperature: that the logits are divided by.
        top_p: keep the likeliest tokens that hold this much probability; 1 keeps all.
        top_k: keep that many of the likeliest tokens; 0 keeps all.
    """

    max_new_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that no distribution has.

        Raises:
            InputError: one line names the setting, its value and what it may be.
        """
        _check_whole("max_new_tokens", self.max_new_tokens, least=1)
        _check_whole("top_k", self.top_k, least=0)
        if not 0 < self.temperature < float("inf"):
            raise InputError(
                f"temperature is {self.temperature:g}; it must be above 0 and finite: at 0 there is one completion, "
                "and no KL from it is finite"
            )
        if not 0 < self.top_p <= 1:
            raise InputError(
                f"top_p is {self.top_p:g}; it must be above 0 and at most 1 (1 keeps all tokens)"
            )

    @property
    def truncated(self) -> bool:
        """Whether some tokens have probability 0 that the model gives them more."""
        return self.top_p < 1 or self.top_k > 0

    def to_dict(self) -> dict[str, Any]:
        """For the metadata of a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, known: dict[str, Any]) -> Sampling:
        """From the metadata of a file; what else is in there is left alone."""
        return cls(**{name: known[name] for name in cls.__dataclass_fields__ if name in known})

    def __str__(self) -> str:
        parts = [f"temperature {self.temperature:g}"]
        parts += [f"top_p {self.top_p:g}"] if self.top_p < 1 else []
        parts += [f"top_k {self.top_k}"] if self.top_k else []
        return ", ".join([*parts, f"at most {self.max_new_tokens:,} new tokens"])


def _check_whole(name: str, value: Any, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number, {least} or more")
