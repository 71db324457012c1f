"""Training runs on a world's base model: each in a folder of its own, done once, gone on with where it was stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from klimit.lab.methods import BATCH, GENERATIONS, GOLD, Plan
from klimit.lab.world import World
from klimit.models.extras import needed
from klimit.models.finding import current_folder
from klimit.models.loading import Trust, load_causal
from klimit.models.parts import Parts
from klimit.training import output as folders
from klimit.training.carry import carry_out
from klimit.training.checks import trainer_of
from klimit.training.rewards import term_of
from klimit.training.run import Run, policy_of
from klimit.training.settings import Settings, settings_of

Say = Callable[[str], None]
LOOKED_BACK = 100  # steps over which it is seen whether training has settled
EARLIER = "earlier"
_SAVED = 50  # steps between two checkpoints


def settings(world: World, plan: Plan) -> Settings:
    """What a run is made with."""
    return settings_of(
        plan.method.algorithm,
        beta=plan.beta,
        steps=plan.steps,
        batch_size=BATCH,
        generations=GENERATIONS,
        micro_batch_size=None,
        learning_rate=plan.method.learning_rate,
        schedule="linear",
        max_new_tokens=world.recipe.length,
        seed=plan.seed,
        ppo_epochs=4,
        ppo_lambda=1.0,
    )


def folder_of(world: World, plan: Plan) -> Path:
    """Where a run is kept, by all that it depends on."""
    return world.folder / "runs" / f"{plan.method.name}-{plan.reward}-{_key(_known(world, plan))}"


def is_done(world: World, plan: Plan) -> bool:
    """Whether a run stands there, whole."""
    return (folder_of(world, plan) / folders.METADATA).is_file()


def _known(world: World, plan: Plan) -> dict[str, Any]:
    trl = str(needed("trl").__version__)
    return {"method": plan.method.name, "reward": plan.reward, **settings(world, plan).to_dict(), "trl": trl}


def _key(known: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def train_run(world: World, plan: Plan, say: Say) -> Path:
    """Train a policy, or go on with it; the folder is whole or not there.

    Beside the model it holds ``earlier/``, the policy of 100 steps before the end, where there were more.

    Args:
        world: whose base model is trained, on its training prompts.
        plan: how.
        say: takes lines for the user.

    Raises:
        InputError: packages are missing, another process trains the same run, or it cannot be written.
    """
    trainer_of(plan.method.algorithm)
    output, known = folder_of(world, plan), _known(world, plan)
    output.parent.mkdir(exist_ok=True)
    parts = Parts(output, known, 0)
    if folders.is_finished(output, known, overwrite=False):
        parts.tidy()
        return output
    base = load_causal(str(world.base_model), dtype="float32", device="cpu")
    prompts = world.prompts.train
    reward = world.gold if plan.reward == GOLD else str(world.proxies[plan.reward])
    source = world.prompt_file("train")
    with current_folder():
        term = term_of(reward, prompts, dtype="float32", device="cpu", trust=Trust(), source=source)
    kept = parts.folder / EARLIER
    at = plan.steps - LOOKED_BACK

    def watch(trainer: Any) -> None:
        if plan.method.change is not None:
            plan.method.change(trainer, plan.beta)
        if at > 0:
            trainer.add_callback(_keeps(trainer, at, kept))

    run = Run(
        settings(world, plan), base, term, prompts, folders.checkpoints(parts), Trust(), 10, _SAVED, (), False, watch
    )  # fmt: skip

    def keep(folder: Path) -> None:
        if at > 0:
            shutil.copytree(kept, folder / EARLIER)
            base.tokenizer.save_pretrained(folder / EARLIER)

    carry_out(parts, run, known, say=lambda line: say(f"{plan.name}: {line}"), after=keep)
    return output


def _keeps(trainer: Any, step: int, folder: Path) -> Any:
    """A callback that keeps the policy as it is after a step."""

    class Keeps(needed("transformers").TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == step:
                policy_of(trainer).save_pretrained(folder)

    return Keeps()
