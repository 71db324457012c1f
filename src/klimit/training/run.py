"""What all trainers are built from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from klimit.models.batches import progress_bar
from klimit.models.extras import needed
from klimit.models.loading import Loaded, Trust
from klimit.models.prompts import PROMPT, PROMPT_ID, Prompt
from klimit.training.order import prompt_order
from klimit.training.output import WHOLE
from klimit.training.rewards import Term
from klimit.training.settings import Settings


@dataclass(frozen=True, eq=False)
class Run:
    """A run before its trainer is built.

    Attributes:
        settings: of the run.
        base: the model that it starts at, and is held to.
        term: the reward.
        prompts: all of them.
        folder: of checkpoints and trackers.
        trust: in the model's repository.
        log_every: steps between entries of the log.
        save_every: steps between checkpoints.
        report_to: trackers, by transformers' names.
        gradient_checkpointing: whether to save memory for time.
        watch: adds to a trainer what watches the run.
    """

    settings: Settings
    base: Loaded
    term: Term
    prompts: Sequence[Prompt]
    folder: Path
    trust: Trust
    log_every: int
    save_every: int
    report_to: tuple[str, ...]
    gradient_checkpointing: bool
    watch: Callable[[Any], None]

    @property
    def arguments(self) -> dict[str, Any]:
        """Settings that TRL's trainers share."""
        chosen = self.settings
        return {
            "output_dir": str(self.folder),
            "per_device_train_batch_size": chosen.micro_batch_size,
            "gradient_accumulation_steps": chosen.batch_size // chosen.micro_batch_size,
            "learning_rate": chosen.learning_rate,
            "lr_scheduler_type": chosen.schedule,
            "seed": chosen.seed,
            "temperature": 1.0,
            "logging_steps": self.log_every,
            "save_strategy": "steps",
            "save_steps": self.save_every,
            "save_total_limit": 2,
            "report_to": list(self.report_to) or "none",
            "use_cpu": self.base.device == "cpu",
            "bf16": False,
            "gradient_checkpointing": self.gradient_checkpointing,
            "dataloader_pin_memory": self.base.device != "cpu",
            "disable_tqdm": True,
        }

    def dataset(self, rows: int) -> Any:
        """The prompts in the order in which the run meets them, as a data set."""
        prompts = [each.messages() if each.is_chat else each.prompt for each in self.prompts]
        whole = needed("datasets").Dataset.from_dict(
            {PROMPT: prompts, PROMPT_ID: [each.prompt_id for each in self.prompts]}
        )
        return whole.select(prompt_order(len(self.prompts), rows, self.settings.seed))


def ready(trainer: Any, run: Run, *, more: Sequence[Any] = ()) -> None:
    """Let a trainer sample the model's own softmax, mark its checkpoints, and show a bar in place of its prints."""
    transformers = needed("transformers")
    callbacks = needed("transformers.trainer_callback")
    policy = policy_of(trainer)
    policy.generation_config = transformers.GenerationConfig(
        eos_token_id=run.base.tokenizer.eos_token_id, pad_token_id=run.base.tokenizer.eos_token_id
    )
    for each in (callbacks.PrinterCallback, callbacks.ProgressCallback):
        trainer.remove_callback(each)
    for callback in (*more, _marks(), _bar(run.settings.steps)):
        trainer.add_callback(callback)
    run.watch(trainer)


def policy_of(trainer: Any) -> Any:
    """The model that a trainer trains, whichever trainer it is."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    return getattr(model, "policy", model)


def _marks() -> Any:
    """A callback that says in a checkpoint that it is whole."""

    class Marks(needed("transformers").TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()

    return Marks()


def _bar(steps: int) -> Any:
    """A callback that shows how far the run is."""

    class Bar(needed("transformers").TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar = progress_bar(total=steps, done=state.global_step, unit="steps")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.update(state.global_step - self.bar.n)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.close()

    return Bar()
