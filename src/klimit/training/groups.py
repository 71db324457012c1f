"""GRPO and RLOO by TRL's trainers, so set that their ``beta`` is the theory's.

RLOO puts the sequence's ``log(pi/pi0)`` into the reward and compares a completion with the others of its prompt: on
completions of the current policy its gradient is that of ``E[r] - beta KL(pi || pi0)``, without bias.

GRPO has a token's ``k3`` beside the advantage instead. Of its ``loss_type``, ``"dr_grpo"`` sums over tokens and divides
by one constant, so that both terms keep their proportion; ``"grpo"`` weighs a completion by the inverse of its length,
and ``"dapo"`` and ``"bnpo"`` divide by the batch's number of tokens, which moves with its completions. Its advantage
subtracts the mean of the group, the completion itself included, and is so ``1 - 1/G`` of RLOO's; the KL term is not, so
TRL is given ``beta (1 - 1/G)``. With that the reward's gradient and every token's KL have the theory's proportion. What
remains is in the trainer: the KL of later tokens does not reach the choice of earlier ones.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from klimit.models.extras import needed
from klimit.models.prompts import Prompt
from klimit.training.run import Run, ready


def group_trainer(run: Run) -> Any:
    """A trainer for GRPO or RLOO."""
    trl = needed("trl")
    chosen = run.settings
    arguments = {
        **run.arguments,
        "max_steps": chosen.steps,
        "num_generations": chosen.generations,
        "max_completion_length": chosen.max_new_tokens,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        "num_iterations": 1,
        "shuffle_dataset": False,
        "disable_dropout": True,
        "mask_truncated_completions": False,
        "model_init_kwargs": {"dtype": run.base.dtype, **({} if run.trust.pickle else {"use_safetensors": True})},
        "trust_remote_code": run.trust.remote_code,
    }  # fmt: skip
    if chosen.algorithm == "rloo":
        kind = trl.RLOOTrainer
        args = trl.RLOOConfig(
            **arguments, beta=chosen.beta, normalize_advantages=False, reward_clip_range=None
        )
    else:
        kind = trl.GRPOTrainer
        args = trl.GRPOConfig(
            **arguments,
            beta=chosen.beta * (1 - 1 / chosen.generations),
            scale_rewards="none",
            loss_type="dr_grpo",
            importance_sampling_level="token",
            use_bias_correction_kl=True,
        )
    trainer = kind(
        model=run.base.name,
        reward_funcs=for_groups(run),
        args=args,
        train_dataset=run.dataset(chosen.steps * chosen.prompts_a_step),
        processing_class=copy.deepcopy(run.base.tokenizer),
    )
    ready(trainer, run)
    return trainer


def for_groups(run: Run) -> Any:
    """The reward as a function of TRL's signature, which stops the run where one is no finite number."""
    known: dict[int | str, Prompt] = {each.prompt_id: each for each in run.prompts}

    def reward(completions: Any, completion_ids: Any, prompt_id: Any, trainer_state: Any, **_: Any) -> Any:
        texts = [each if isinstance(each, str) else each[0]["content"] for each in completions]
        when = f"step {trainer_state.global_step + 1:,}"
        return run.term.score([known[key] for key in prompt_id], texts, completion_ids, when=when).tolist()

    reward.__name__ = run.term.name
    return reward


def train_groups(run: Run, checkpoint: Path | None) -> Any:
    """Train, from a checkpoint if there is one; returns the trainer."""
    trainer = group_trainer(run)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer
