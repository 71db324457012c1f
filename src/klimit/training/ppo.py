"""PPO by TRL's trainer, so set that its ``kl_coef`` is the theory's ``beta``.

Every token's ``log(pi/pi0)`` is taken from the reward at that token, at temperature 1 and ``gamma = 1``: the return of
a token is the completion's reward less ``beta`` times the KL still to come, and that of the first token the objective.
Rewards are neither whitened nor clipped nor lowered for completions without an end; advantages are whitened over the
batch, which changes the length of a step and not where it leads.

TRL's PPO cannot resume. Here policy, value model, optimiser, schedule and random numbers are saved beside every
checkpoint, and a resumed run does the steps that are left, on the prompts that the first would have met.
"""

from __future__ import annotations

import copy
import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from klimit.errors import InputError
from klimit.models.extras import needed
from klimit.training.ppo_parts import Collator, ScoreModule, Unseen
from klimit.training.ppo_state import Going, resume
from klimit.training.run import Run, ready

_MISSING = "PPO needs trl from 1.12 to below 1.13, and trl {version} is installed; pip install 'klimit[ppo]'"


def check_trl() -> None:
    """See that TRL has PPO.

    Raises:
        InputError: it has none, or another one; the message names the extra.
    """
    version = str(needed("trl").__version__)
    if version.split(".")[:2] != ["1", "12"]:
        raise InputError(_MISSING.format(version=version))
    try:
        _ppo()
    except ImportError:
        raise InputError(_MISSING.format(version=version)) from None


def _ppo() -> Any:
    from importlib import import_module

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental, and will move
        return import_module("trl.experimental.ppo")


def ppo_trainer(run: Run, checkpoint: Path | None) -> Any:
    """A trainer for PPO, at the step of a checkpoint if there is one."""
    transformers, ppo = needed("transformers"), _ppo()
    chosen = run.settings
    args = ppo.PPOConfig(
        **run.arguments,
        total_episodes=chosen.steps * chosen.batch_size,
        num_mini_batches=1,
        num_ppo_epochs=chosen.ppo_epochs,
        # one batch at once, so that none of its rows is padded after it was drawn
        local_rollout_forward_batch_size=chosen.batch_size,
        num_sample_generations=0,
        response_length=chosen.max_new_tokens,
        stop_token="eos",
        missing_eos_penalty=None,
        kl_coef=chosen.beta,
        kl_estimator="k1",
        whiten_rewards=False,
        gamma=1.0,
        lam=chosen.ppo_lambda,
        save_only_model=True,
    )
    start = str(checkpoint) if checkpoint else run.base.name
    policy = _loaded(run, transformers.AutoModelForCausalLM, start)
    reference = _loaded(run, transformers.AutoModelForCausalLM, run.base.name)
    value = _loaded(run, transformers.AutoModelForSequenceClassification, run.base.name, num_labels=1)
    value.score.weight.data.zero_()  # its start is random otherwise
    tokenizer = copy.deepcopy(run.base.tokenizer)
    unseen = Unseen(tokenizer, policy.get_output_embeddings().weight.shape[0])
    collate = Collator(tokenizer, run.prompts, unseen.pad_token_id)
    scores = ScoreModule(run.term, run.prompts, collate, tokenizer)
    rows = run.dataset(chosen.steps * chosen.prompts_a_step)
    trainer = ppo.PPOTrainer(
        args=args,
        processing_class=unseen,
        model=policy,
        ref_model=reference,
        reward_model=scores,
        value_model=value,
        train_dataset=rows,
        data_collator=collate,
    )
    scores.reader.step = lambda: trainer.state.global_step + 1
    done = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    trainer.dataloader = _batches(rows, run, collate, done)
    trainer.accelerator.print = lambda *_: None
    ready(trainer, run, more=[Going(trainer, run, done, checkpoint)])
    if checkpoint:
        resume(trainer, checkpoint, done)
    return trainer


def train_ppo(run: Run, checkpoint: Path | None) -> Any:
    """Train, from a checkpoint if there is one; returns the trainer."""
    trainer = ppo_trainer(run, checkpoint)
    if trainer.args.num_total_batches:
        with _frozen():
            trainer.train()
    return trainer


def _loaded(run: Run, kind: Any, name: str, **more: Any) -> Any:
    torch = needed("torch")
    return kind.from_pretrained(
        name,
        dtype=getattr(torch, run.base.dtype),
        use_safetensors=None if run.trust.pickle else True,
        trust_remote_code=run.trust.remote_code,
        **more,
    )


def _batches(rows: Any, run: Run, collate: Collator, done: int) -> Any:
    """The prompts of every step that is left, in their order; with random numbers of its own."""
    torch = needed("torch")
    chosen = run.settings
    first = done * chosen.prompts_a_step
    repeated = [row for row in range(first, len(rows)) for _ in range(chosen.generations)]
    return torch.utils.data.DataLoader(
        rows.select(repeated), batch_size=chosen.batch_size, collate_fn=collate, generator=torch.Generator()
    )


@contextmanager
def _frozen() -> Iterator[None]:
    """TRL collects garbage several times a step: let that pass over what is there already."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
