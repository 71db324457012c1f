"""Training runs on a world's base model: each in a folder of its own, done once, gone on with where it was stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection
from itertools import count, takewhile
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
FIRST = 25  # steps after which a policy is first kept
_ALONG = "steps"
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
        schedule=plan.method.schedule,
        max_new_tokens=world.recipe.length,
        seed=plan.seed,
        ppo_epochs=4,
        ppo_lambda=plan.method.ppo_lambda,
    )


def folder_of(world: World, plan: Plan) -> Path:
    """Where a run is kept, by all that it depends on."""
    return world.folder / "runs" / f"{plan.method.name}-{plan.reward}-{_key(_known(world, plan))}"


def kept_steps(steps: int) -> tuple[int, ...]:
    """After which steps of so many a run keeps its policy: ever twice as many, 100 before the end, and the end."""
    doubled = takewhile(lambda step: step < steps, (FIRST * 2**i for i in count()))
    return tuple(sorted({*doubled, *({steps - LOOKED_BACK} if steps > LOOKED_BACK else ()), steps}))


def folder_at(world: World, plan: Plan, step: int) -> Path:
    """Where a run that is done keeps its policy as it was after a step of :func:`kept_steps`."""
    folder = folder_of(world, plan)
    return folder if step == plan.steps else folder / _ALONG / str(step)


def is_done(world: World, plan: Plan) -> bool:
    """Whether a run stands there, whole."""
    return (folder_of(world, plan) / folders.METADATA).is_file()


def _known(world: World, plan: Plan) -> dict[str, Any]:
    return {
        "method": plan.method.name,
        "reward": plan.reward,
        **settings(world, plan).to_dict(),
        "trl": str(needed("trl").__version__),
        "kept": kept_steps(plan.steps),
    }


def _key(known: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def train_run(world: World, plan: Plan, say: Say) -> Path:
    """Train a policy, or go on with it; the folder is whole or not there.

    Beside the model it holds ``steps/25/`` and so on, the policy after those of :func:`kept_steps`.

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
    along = parts.folder / _ALONG
    between = kept_steps(plan.steps)[:-1]

    def watch(trainer: Any) -> None:
        if plan.method.change is not None:
            plan.method.change(trainer, plan.beta)
        trainer.add_callback(_keeps(trainer, between, along))

    run = Run(
        settings(world, plan), base, term, prompts, folders.checkpoints(parts), Trust(), 10, _SAVED, (), False, watch
    )  # fmt: skip

    def keep(folder: Path) -> None:
        for step in between:
            shutil.copytree(along / str(step), folder / _ALONG / str(step))
            base.tokenizer.save_pretrained(folder / _ALONG / str(step))

    carry_out(parts, run, known, say=lambda line: say(f"{plan.name}: {line}"), after=keep)
    return output


def _keeps(trainer: Any, steps: Collection[int], folder: Path) -> Any:
    """A callback that keeps the policy as it is after each of some steps."""

    class Keeps(needed("transformers").TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step in steps:
                policy_of(trainer).save_pretrained(folder / str(state.global_step))

    return Keeps()
