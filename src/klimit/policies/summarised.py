"""Best-of-N from a summary of samples whose rewards are not in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from klimit.errors import InputError
from klimit.limit.projected import not_kept
from klimit.limit.summarised import SummarisedSamples
from klimit.policies.curve import Target
from klimit.policies.values import PromptValues
from klimit.rewards.transforms import IDENTITY, Transform
from klimit.samples.container import Samples


def only_in_memory(transform: Transform, target: Target) -> str | None:
    """Which of best-of-N's options no summary can serve."""
    if transform != IDENTITY:
        return f"transform={transform.name!r}"
    return None if target == "population" else f"best-of-N with target={target!r}"


def summarised_values(
    samples: Samples, sizes: Sequence[int], transform: Transform, target: Target
) -> PromptValues | None:
    """Each prompt's best-of-N as the summary has it; None for samples that are in memory.

    Raises:
        InputError: the summary does not have it.
    """
    if not isinstance(samples, SummarisedSamples) or samples.summary is None:
        return None
    whole = only_in_memory(transform, target)
    if whole is not None:
        raise not_kept(whole)
    known, found = samples.summary.sizes, samples.summary.best
    lacking = [size for size in sizes if size not in known]
    if lacking:
        raise InputError(
            f"N = {lacking[0]}: the summary has N = {', '.join(map(str, known))}; name others where it is made, "
            f"summarise(..., n={list(sizes)})"
        )
    chosen = [known.index(size) for size in sizes]
    names = ("gain", "kl", "kl_rough", "win_rate")
    return replace(found, **{name: getattr(found, name)[:, chosen] for name in names})
