"""The settings of a training run, and which of them are no choice: those that give ``beta`` its meaning."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from klimit.errors import InputError

ALGORITHMS = ("grpo", "rloo", "ppo")
SCHEDULES = ("linear", "constant", "cosine")
_RATES = {"grpo": 1e-6, "rloo": 1e-6, "ppo": 3e-6}  # TRL's own
_GENERATIONS = {"grpo": 8, "rloo": 8, "ppo": 1}


@dataclass(frozen=True)
class Settings:
    """What is trained, and how.

    Attributes:
        algorithm: ``"grpo"``, ``"rloo"`` or ``"ppo"``.
        beta: price of a nat of the whole completion's KL, in reward.
        steps: optimiser steps; for PPO, batches of completions, each of which it steps on ``ppo_epochs`` times.
        batch_size: completions a step.
        generations: completions of each prompt in a step.
        micro_batch_size: completions in one forward and backward pass.
        learning_rate: at the start.
        schedule: of the learning rate: ``"linear"`` and ``"cosine"`` fall to 0.
        max_new_tokens: where a completion is cut.
        seed: of prompts' order and draws.
        ppo_epochs: passes of PPO over each batch.
        ppo_lambda: of PPO's advantage estimates; at 1 they do not depend on the value model but for their noise.
    """

    algorithm: str
    beta: float
    steps: int
    batch_size: int
    generations: int
    micro_batch_size: int
    learning_rate: float
    schedule: str
    max_new_tokens: int
    seed: int
    ppo_epochs: int
    ppo_lambda: float

    @property
    def prompts_a_step(self) -> int:
        """Prompts that a step draws completions of."""
        return self.batch_size // self.generations

    def to_dict(self) -> dict[str, Any]:
        """For metadata; without what another algorithm uses."""
        known = asdict(self)
        return {name: value for name, value in known.items() if self.algorithm == "ppo" or name[:4] != "ppo_"}


def settings_of(
    algorithm: str,
    *,
    beta: float,
    steps: int,
    batch_size: int,
    generations: int | None,
    micro_batch_size: int | None,
    learning_rate: float | None,
    schedule: str,
    max_new_tokens: int,
    seed: int,
    ppo_epochs: int,
    ppo_lambda: float,
) -> Settings:
    """Settings with the defaults of their algorithm.

    Raises:
        InputError: one line names the setting, its value and what it may be.
    """
    if algorithm not in ALGORITHMS:
        raise InputError(f"no trainer {algorithm!r}; known are {', '.join(ALGORITHMS)}")
    _check_beta(beta)
    for name, whole in (("steps", steps), ("batch_size", batch_size), ("max_new_tokens", max_new_tokens)):
        _check_whole(name, whole)
    _check_whole("ppo_epochs", ppo_epochs)
    _check_whole("seed", seed, least=0)
    group = _GENERATIONS[algorithm] if generations is None else generations
    _check_groups(algorithm, group, batch_size)
    micro = batch_size if micro_batch_size is None else micro_batch_size
    _check_whole("micro_batch_size", micro)
    if batch_size % micro:
        raise InputError(f"batch_size is {batch_size}, which is no multiple of micro_batch_size, {micro}")
    rate = _RATES[algorithm] if learning_rate is None else learning_rate
    if not 0 < rate < float("inf"):
        raise InputError(f"learning_rate is {rate:g}; it must be above 0 and finite")
    if schedule not in SCHEDULES:
        raise InputError(f"schedule is {schedule!r}; known are {', '.join(SCHEDULES)}")
    if not 0 <= ppo_lambda <= 1:
        raise InputError(f"ppo_lambda is {ppo_lambda:g}; it must be from 0 to 1")
    return Settings(
        algorithm, float(beta), steps, batch_size, group, micro, float(rate), schedule, max_new_tokens, seed,
        ppo_epochs, float(ppo_lambda),
    )  # fmt: skip


def _check_beta(beta: Any) -> None:
    if isinstance(beta, bool) or not isinstance(beta, int | float) or not isfinite(beta):
        raise InputError(f"beta is {beta!r}; it must be a number above 0: reward given up for a nat of KL")
    if beta <= 0:
        raise InputError(
            f"beta is {beta:g}; it must be above 0: where a nat of KL costs nothing no KL is too much, and training "
            "has no policy to settle at; take beta from klimit frontier --kl"
        )


def _check_groups(algorithm: str, generations: Any, batch_size: int) -> None:
    _check_whole("generations", generations)
    if generations < 2 and algorithm != "ppo":
        raise InputError(
            f"generations is {generations}; {algorithm} compares completions of one prompt: give 2 or more"
        )
    if batch_size % generations:
        raise InputError(
            f"batch_size is {batch_size}, which is no multiple of generations, {generations}; give {generations} "
            f"times a whole number, such as {generations * max(1, round(batch_size / generations))}"
        )


def _check_whole(name: str, value: Any, *, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number, {least} or more")
