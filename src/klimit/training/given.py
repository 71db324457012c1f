"""What a trainer of TRL tells of itself, whichever it is: its rewards, its reference, how it samples."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from klimit.errors import InputError
from klimit.models.answers import Answers
from klimit.models.functions import FunctionReward, check_signature
from klimit.models.loading import Loaded, Trust, fingerprint, load_causal
from klimit.models.prompts import Prompt
from klimit.models.rewards import PREFIX
from klimit.models.settings import Sampling
from klimit.training.ppo_parts import ScoreModule
from klimit.training.rewards import COLUMNS, Floats, Term, model_term
from klimit.training.run import policy_of

Scorer = Callable[[Sequence[Prompt], Sequence[str], Sequence[Sequence[int]], str], Floats]
_MEND = "give reward= what scored the base samples"


def in_memory(model: Any, tokenizer: Any, name: str) -> Loaded:
    """A model that is in memory as one that was loaded."""
    return Loaded(
        model, tokenizer, name, fingerprint(model), str(model.dtype).removeprefix("torch."), str(model.device)
    )


def tokenizer_of(trainer: Any) -> Any:
    """The tokenizer; of a processor its own."""
    return getattr(trainer.processing_class, "tokenizer", trainer.processing_class)


def sampling_of(trainer: Any) -> Sampling:
    """How the trainer samples.

    Raises:
        InputError: it cuts tokens off, or changes their probabilities by their past.
    """
    args = trainer.args
    limit = getattr(args, "response_length", None) or getattr(args, "max_completion_length", None)
    sampling = Sampling(
        int(limit or 256),
        float(args.temperature),
        float(getattr(args, "top_p", 1.0)),
        int(getattr(args, "top_k", 0) or 0),
    )
    if sampling.truncated or getattr(args, "min_p", None) or getattr(args, "repetition_penalty", 1.0) != 1.0:
        raise InputError(
            "the trainer samples with top_p, top_k, min_p or a repetition penalty; such a policy has no finite KL from "
            "the base model, or another one: set top_p=1, top_k=0, min_p=None, repetition_penalty=1"
        )
    return sampling


def reference_of(trainer: Any, ref_model: Any) -> Loaded:
    """The reference: as given, else the trainer's if that stays what it is, else what the policy was loaded from.

    Raises:
        InputError: there is none.
    """
    tokenizer = tokenizer_of(trainer)
    policy = policy_of(trainer)
    if isinstance(ref_model, str | Path):
        return _loaded(str(ref_model), policy)
    if ref_model is not None:
        return in_memory(ref_model, tokenizer, "ref_model")
    own = getattr(trainer, "ref_model", None)
    if own is not None and not getattr(trainer.args, "sync_ref_model", False):
        return in_memory(trainer.accelerator.unwrap_model(own), tokenizer, "the trainer's reference")
    name = getattr(policy.config, "_name_or_path", "")
    if not name:
        raise InputError(
            "the trainer keeps no reference (beta=0, or adapters), and its model does not say where it came from; give "
            "ref_model= a path, an id or a model"
        )
    return _loaded(str(name), policy)


def _loaded(name: str, policy: Any) -> Loaded:
    dtype = str(policy.dtype).removeprefix("torch.")
    return load_causal(name, dtype=dtype, device=str(policy.device), trust=Trust())


def reward_of(trainer: Any) -> Scorer:
    """The trainer's own rewards, weighted as it weighs them, as one function.

    Raises:
        InputError: one cannot be called on fresh completions.
    """
    if not hasattr(trainer, "reward_funcs"):
        module = getattr(trainer, "reward_model", None)
        if not isinstance(module, ScoreModule):
            raise InputError(
                f"the trainer's reward model reads token ids with the end token, which klimit score does not: {_MEND}"
            )
        return _of_terms([module.reader.term], [1.0])
    terms = []
    for function, tokenizer, name in zip(
        trainer.reward_funcs, trainer.reward_processing_classes, trainer.reward_func_names, strict=True
    ):
        if isinstance(function, torch.nn.Module):
            model = trainer.accelerator.unwrap_model(function)
            terms.append(model_term(PREFIX + name, in_memory(model, tokenizer, name)))
        else:
            terms.append(_function_term(_bound(function, trainer), name))
    return _of_terms(terms, trainer.reward_weights.tolist())


def _of_terms(terms: Sequence[Term], weights: Sequence[float]) -> Scorer:
    def score(
        prompts: Sequence[Prompt], completions: Sequence[str], ids: Sequence[Sequence[int]], when: str
    ) -> Floats:
        parts = [term.score(prompts, completions, ids, when=when) for term in terms]
        total: Floats = sum(weight * part for weight, part in zip(weights, parts, strict=True))  # type: ignore[assignment]
        return total

    return score


def _function_term(function: Any, name: str) -> Term:
    try:
        check_signature(function, name, COLUMNS, Path("the callback"))
    except InputError as error:
        raise InputError(f"{error}; {_MEND}") from None

    def made(answers: Answers) -> FunctionReward:
        return FunctionReward(function, name, answers)

    return Term(PREFIX + name, {"reward": name}, made)


def _bound(function: Any, trainer: Any) -> Any:
    """A reward function with what else TRL hands to it; what it would log is passed over."""

    def unlogged(*_: Any, **__: Any) -> None:
        return None

    more = {"trainer_state": trainer.state, "log_extra": unlogged, "log_metric": unlogged}
    try:
        names = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return function
    kwargs = {name: value for name, value in more.items() if name in names}
    return partial(function, **kwargs) if kwargs else function
