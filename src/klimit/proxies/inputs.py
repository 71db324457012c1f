"""What :func:`klimit.hacking` reads, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.audits.measured import Array
from klimit.errors import InputError
from klimit.proxies.along import MIN_COMPLETIONS, Scored
from klimit.samples import read_samples
from klimit.samples.checks import counted
from klimit.samples.container import Samples

_MIN_PROMPTS = 2  # with labels enough


def read_scored(
    source: Any,
    *,
    proxy: str,
    gold: str,
    prompt: str | list[str] | None,
    where: str | None,
    lower_is_better: bool,
) -> tuple[Samples, Scored]:
    """Samples with a proxy on every completion, and gold on all or some.

    Raises:
        InputError: see :func:`klimit.proxies.hacking.hacking`.
    """
    if proxy == gold:
        raise InputError(f"proxy and gold are both {proxy!r}; name two rewards")
    data = read_samples(
        source,
        rewards=[proxy],
        labels=[gold],
        prompt=prompt,
        where=where,
        audit=False,
        lower_is_better=lower_is_better,
    )
    own, labels = data.reward(proxy).astype(np.float64), data.labels[gold].astype(np.float64)
    labelled = np.isfinite(labels)
    scored = Scored(own, labels, labelled, data.offsets)
    _check(data, scored, proxy, gold)
    if scored.complete:
        data = data.with_reward(gold, data.labels[gold])
    return data, scored


def _check(data: Samples, scored: Scored, proxy: str, gold: str) -> None:
    fewest = int(data.counts.min())
    if fewest < MIN_COMPLETIONS:
        short = data.prompt_ids[[int(np.argmin(data.counts))]].tolist()[0]
        raise InputError(
            f"{data.source}: {int((data.counts < MIN_COMPLETIONS).sum())} of {data.n_prompts} prompts have fewer than "
            f"{MIN_COMPLETIONS} completions (prompt {short!r} has {fewest}): too few to tilt by {proxy!r}; leave them "
            f"out: samples.at_least({MIN_COMPLETIONS}), --min-completions {MIN_COMPLETIONS}"
        )
    if data.n_prompts < _MIN_PROMPTS:
        raise InputError(
            f"{data.source}: {data.n_prompts} prompt: one says nothing about others; {_MIN_PROMPTS} are needed at least"
        )
    if scored.usable.sum() < _MIN_PROMPTS:
        raise InputError(
            f"{data.source}: no overlap: {int(scored.labelled.sum())} completions have both {proxy!r} and {gold!r}, "
            f"and {counted(int(scored.usable.sum()), 'prompt')} two or more of them; {_MIN_PROMPTS} are needed at least"
        )
    if _constant(scored.proxy, scored.offsets):
        raise InputError(
            f"{data.source}: proxy {proxy!r} never varies within a prompt: there is nothing to optimise"
        )
    if _constant(scored.gold[scored.labelled], np.concatenate([[0], np.cumsum(scored.labels)])):
        raise InputError(
            f"{data.source}: gold {gold!r} never varies within a prompt where it is known: nothing helps or harms it"
        )


def _constant(values: Array, offsets: NDArray[np.int64]) -> bool:
    """Whether values ``(n,)`` are the same within every prompt that has any."""
    starts = offsets[:-1][np.diff(offsets) > 0]
    return bool((np.maximum.reduceat(values, starts) == np.minimum.reduceat(values, starts)).all())
