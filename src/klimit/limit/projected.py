"""Prompts' log-partitions that are not in memory."""

from __future__ import annotations

from typing import Protocol

from klimit.errors import InputError
from klimit.limit.dual import Array


class Projected(Protocol):
    """Prompts' log-partitions, wherever they are."""

    def project(self, weights: Array) -> Array:
        """See :meth:`klimit.limit.kernels.PromptStatistics.project`."""
        ...


def not_kept(what: str) -> InputError:
    """That something cannot be had from a summary of samples."""
    return InputError(
        f"{what} needs the rewards themselves, and of these a summary alone is in memory; read them whole "
        "(engine='memory', --engine memory), or fewer of them (where=, --where)"
    )
