"""What the functions of this package accept: samples, a choice of reward, a level, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from klimit.errors import InputError
from klimit.limit.summarised import SummarisedSamples
from klimit.policies.curve import Target
from klimit.policies.efficiency import AverageLimit
from klimit.policies.levels import Floats
from klimit.rewards.transforms import IDENTITY, Transform
from klimit.samples.container import Samples

if TYPE_CHECKING:
    from klimit.limit.preparation import Rewards


def resolve_limit(
    samples: Samples,
    reward: str,
    limit: AverageLimit | None,
    *,
    wanted: bool,
    level: float,
    seed: int,
    target: Target,
    transform: Transform = IDENTITY,
) -> AverageLimit | None:
    """The limit given, else the average-budget frontier of the samples; None where none is wanted."""
    if not wanted:
        return None
    if limit is not None:
        check_limit(samples, reward, limit, transform)
        return limit
    from klimit.limit.frontier import frontier

    computed: AverageLimit = frontier(
        samples,
        reward=reward,
        budget="average",
        level=level,
        seed=seed,
        target=target,
        transform=transform,
    )
    return computed


def check_limit(samples: Samples, reward: str, limit: AverageLimit, transform: Transform = IDENTITY) -> None:
    """Raise unless a limit is the average-budget one of these samples and this reward: efficiency is against that."""
    from klimit.limit.result import Frontier

    if not isinstance(limit, Frontier):
        return
    if limit.budget != "average":
        raise InputError(
            "limit= has a per-prompt budget; efficiency is against the average-budget limit: "
            "frontier(..., budget='average')"
        )
    if limit.transform != transform.name:
        raise InputError(
            f"limit= is of the reward under transform={limit.transform!r}, this policy's gain under "
            f"{transform.name!r}; make both with one transform"
        )
    same = (
        limit.samples is samples
        or _one_summary(limit.samples, samples)
        or (
            limit.reward_name == reward
            and limit.samples.in_memory
            and samples.in_memory
            and np.array_equal(limit.samples.offsets, samples.offsets)
            and np.array_equal(limit.samples.reward(reward), samples.reward(reward))
        )
    )
    if not same or limit.reward_name != reward:
        raise InputError(
            f"limit= is of other samples or another reward ({limit.reward_name!r}, {limit.n_prompts} prompts); "
            f"make it from the same samples with reward={reward!r}"
        )


def _one_summary(one: Samples, other: Samples) -> bool:
    """Whether both are known by the same summary."""
    if not (isinstance(one, SummarisedSamples) and isinstance(other, SummarisedSamples)):
        return False
    return one.summary is not None and one.summary is other.summary


def sorted_already(limit: AverageLimit | None) -> Rewards | None:
    """The raw rewards of a limit, sorted within prompts; the limit must have passed :func:`check_limit`."""
    from klimit.limit.result import Frontier

    if not isinstance(limit, Frontier):
        return None
    return limit.rewards if limit.rewards.raw is None else limit.rewards.raw


def check_level(level: float, target: Target) -> None:
    """Raise unless the level lies in (0, 1) and the target is one of the two."""
    if not 0 < level < 1:
        raise InputError(f"level is {level}; it is the intervals' cover, between 0 and 1, for example 0.95")
    if target not in ("population", "these-prompts"):
        raise InputError(f"target is {target!r}; choose 'population' or 'these-prompts'")


def as_settings(values: ArrayLike, name: str, *, low: float, strict: bool) -> Floats:
    """One or several settings as a float array, each finite and at least (``strict``: above) ``low``."""
    array = np.atleast_1d(np.asarray(values))
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iuf":
        raise InputError(f"{name} is {values!r}; give one number or a list of numbers")
    floats = array.astype(np.float64)
    bad = ~np.isfinite(floats) | (floats <= low if strict else floats < low)
    if bad.any():
        at_least = "above" if strict else "at least"
        raise InputError(f"{name} is {array[bad][0]}; it must be {at_least} {low:g}")
    return floats


def choose_sizes(samples: Samples, n: ArrayLike | None) -> list[int]:
    """The values of N asked for, or powers of two up to the smallest prompt's completions.

    Raises:
        InputError: an N is not a whole number from 1 to the smallest prompt's number of completions.
    """
    smallest = int(samples.counts.min())
    if n is None:
        return [1 << k for k in range(smallest.bit_length())]
    floats = as_settings(n, "n", low=1, strict=False)
    if np.any(floats != np.floor(floats)):
        raise InputError(
            f"n is {floats[floats != np.floor(floats)][0]:g}; N counts completions: whole numbers"
        )
    largest = int(floats.max())
    if largest > smallest:
        raise InputError(
            f"N = {largest} is above {smallest}, the largest possible: {_short(samples, largest)}"
        )
    return [int(x) for x in floats]


def _short(samples: Samples, size: int) -> str:
    short = np.flatnonzero(samples.counts < size)
    names = ", ".join(repr(x) for x in samples.prompt_ids[short[:3]].tolist())
    more = ", ..." if len(short) > 3 else ""
    return (
        f"{len(short)} of {samples.n_prompts} prompts have fewer completions ({names}{more}); "
        f"sample more there, or leave them out: samples.at_least({size}), --min-completions {size}"
    )
