"""What a checkpoint of PPO needs beside the policy, which is all that TRL saves; and going on from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, set_seed

from klimit.training.generators import put_back, states
from klimit.training.run import Run

_STATE = "klimit_state.pt"


class Going(TrainerCallback):  # type: ignore[misc]
    """Saves what TRL leaves out, and lets a resumed run count from where it was.

    Args:
        trainer: TRL's.
        run: of the trainer.
        done: steps that are done already.
        checkpoint: of that step.
    """

    def __init__(self, trainer: Any, run: Run, done: int, checkpoint: Path | None) -> None:
        self.trainer = trainer
        self.run = run
        self.done = done
        self.checkpoint = checkpoint

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count from the checkpoint's step, with its random numbers; a new run seeds all that TRL draws from."""
        state.max_steps = self.run.settings.steps
        state.global_step = self.done
        state.episode = self.done * self.run.settings.batch_size
        if self.checkpoint:
            put_back(_read(self.checkpoint, "cpu")["random"])
        else:
            set_seed(self.run.settings.seed)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save value model, optimiser, schedule and random numbers."""
        trainer = self.trainer
        known = {
            "value": trainer.accelerator.unwrap_model(trainer.model).value_model.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "schedule": trainer.lr_scheduler.state_dict(),
            "random": states(),
        }
        torch.save(known, Path(args.output_dir) / f"checkpoint-{state.global_step}" / _STATE)


def resume(trainer: Any, checkpoint: Path, done: int) -> None:
    """Give a new trainer, whose policy is the checkpoint's, the rest of what was saved."""
    known = _read(checkpoint, trainer.accelerator.device)
    trainer.accelerator.unwrap_model(trainer.model).value_model.load_state_dict(known["value"])
    trainer.optimizer.load_state_dict(known["optimizer"])
    trainer.lr_scheduler.load_state_dict(known["schedule"])
    trainer.state.log_history = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    trainer.state.global_step = done
    trainer.args.num_total_batches -= done


def _read(checkpoint: Path, device: Any) -> dict[str, Any]:
    return dict(torch.load(checkpoint / _STATE, map_location=device, weights_only=True))
