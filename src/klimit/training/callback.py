"""Watching a run against the limit: KL, gain and efficiency of the policy as it is, in the run's own tracker."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback

from klimit.audits.audit import audit
from klimit.audits.result import Audit
from klimit.errors import InputError, KlimitWarning
from klimit.models.loading import Loaded, Trust
from klimit.models.prompts import Prompt, read_prompts
from klimit.samples import as_samples
from klimit.training.base import BaseSamples, check_same_reward
from klimit.training.fresh import Fresh
from klimit.training.generators import untouched
from klimit.training.given import in_memory, reference_of, reward_of, sampling_of, tokenizer_of
from klimit.training.rewards import Term, term_of
from klimit.training.run import policy_of
from klimit.values import Value

PREFIX = "klimit/"


class FrontierCallback(TrainerCallback):  # type: ignore[misc]
    """Audits the policy while it trains, and logs what comes out beside the trainer's own metrics.

    Every ``every`` steps it draws fresh completions of the current policy by random numbers of their own, scores them
    with the run's reward, sums the exact KL of every next token from the reference's along them (the Rao-Blackwellised
    estimate of the whole completion's KL), and audits them against samples of the base model. Logged are
    ``klimit/kl``, ``klimit/gain``, ``klimit/limit_gain`` (the most gain at that KL) and ``klimit/efficiency``, each
    with ``_low`` and ``_high``; what is unknown (an efficiency at KL 0, an estimate beyond the horizon) is left out.
    Training goes on as it would have without: generators, modes and generation settings are put back.

    Add it after the trainer is built: ``trainer.add_callback(FrontierCallback(trainer, base="base.parquet"))``.

    Args:
        trainer: TRL's ``GRPOTrainer``, ``RLOOTrainer`` or (TRL 1.12) ``PPOTrainer``, in one process.
        base: samples of the reference with their rewards, as :func:`klimit.audit` takes them; best the Parquet file of
            :func:`klimit.sample` and :func:`klimit.score`, whose metadata say how it was sampled.
        ref_model: the reference: path, id, or model. By default the trainer's; where it keeps none (``beta=0``), what
            its model was loaded from.
        prompts: file of prompts, or prompts: of those of ``base``, which all are by default.
        every: steps between two audits.
        n: completions of each prompt in an audit.
        reward: what scored ``base``: folder or id of a reward model, ``"package.module:function"``, or a function. By
            default the trainer's own, weighted as it weighs them.
        reward_name: column of ``base`` that holds it, where it has several.
        seed: of the draws and the audit.
        level: nominal cover of the intervals.

    Attributes:
        last: the last audit in full; None before the first.

    Raises:
        InputError: base samples, reference or rewards that do not belong together; one line says why.
    """

    def __init__(
        self,
        trainer: Any,
        base: Any,
        ref_model: Any = None,
        prompts: str | Path | Sequence[Prompt] | None = None,
        *,
        every: int = 50,
        n: int = 4,
        reward: str | Callable[..., Any] | None = None,
        reward_name: str | None = None,
        seed: int = 0,
        level: float = 0.95,
    ) -> None:
        for name, value in (("every", every), ("n", n)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; it must be a whole number, 1 or more")
        if trainer.accelerator.num_processes > 1:
            raise InputError("FrontierCallback runs in one process; this trainer runs in several")
        self.trainer = trainer
        self.every = every
        self.n = n
        self.seed = seed
        self.level = level
        self.last: Audit | None = None
        self._file = BaseSamples.of(base)
        self._sampling = self._file.check_sampling(sampling_of(trainer))
        self._ref_model = ref_model
        self._some = prompts is not None
        self._prompts = _prompts(prompts, self._file)
        with untouched():
            self._score = self._scorer(reward)
            self._base = as_samples(base, reward=reward_name, audit=True)
            self._reward_name = self._base.reward_name(reward_name)
            check_same_reward(self._file, self._reward_name, self._prompts, self._score)

    @cached_property
    def _reference(self) -> Loaded:
        """The reference; loaded when first needed, if it has to be."""
        found = reference_of(self.trainer, self._ref_model)
        self._file.check_reference(found)
        return found

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """See that the reference is the model that the base samples came from, before the work."""
        with untouched():
            self._reference  # noqa: B018

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Audit, where it is time, and log."""
        if state.global_step % self.every:
            return
        asked = control.should_log
        with untouched():
            self.last = self.audit(state.global_step)
            # not the trainer's own log(), which would empty its averages
            Trainer.log(self.trainer, numbers(self.last))
        control.should_log = asked

    def audit(self, step: int) -> Audit:
        """The audit of the policy as it is.

        Args:
            step: for its name and messages.
        """
        tokenizer = tokenizer_of(self.trainer)
        policy = in_memory(policy_of(self.trainer), tokenizer, "the policy")
        fresh = Fresh(policy, self._reference, self._sampling, self.seed, self.n)
        samples = fresh.samples(self._prompts, self._score, self._reward_name, f"step {step:,}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KlimitWarning)  # they stand in the audit
            found = audit(
                samples,
                self._base,
                reward=self._reward_name,
                level=self.level,
                seed=self.seed,
                kl_estimator="rao-blackwellised",
                shared_prompts=self._some,
                token_means=False,
            )
        assert isinstance(found, Audit)
        return found

    def _scorer(self, reward: Any) -> Any:
        if reward is None:
            return reward_of(self.trainer)
        term = reward
        if not isinstance(reward, Term):
            term = term_of(
                reward,
                self._prompts,
                dtype="auto",
                device=str(self.trainer.accelerator.device),
                trust=Trust(),
                source=Path("the callback"),
            )
        return lambda prompts, completions, ids, when: term.score(prompts, completions, ids, when=when)


def numbers(found: Audit) -> dict[str, float]:
    """What is logged of an audit."""
    values: dict[str, Value | None] = {"kl": found.kl, "gain": found.gain, "efficiency": found.efficiency}
    if found.kl is not None and found.kl.estimate > 0:
        point = found.limit.at(kl=found.kl.estimate)
        values["limit_gain"] = Value(point.gain, point.gain_low, point.gain_high)
    logged = {}
    for name, value in values.items():
        if value is None:
            continue
        parts = {"": value.estimate, "_low": value.low, "_high": value.high}
        logged.update({f"{PREFIX}{name}{end}": part for end, part in parts.items() if isfinite(part)})
    return logged


def _prompts(prompts: str | Path | Sequence[Prompt] | None, file: BaseSamples) -> list[Prompt]:
    if prompts is None:
        return file.prompts()
    found = read_prompts(prompts) if isinstance(prompts, str | Path) else list(prompts)
    if not found:
        raise InputError("no prompts were given")
    return found
