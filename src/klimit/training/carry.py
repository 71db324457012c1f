"""Carrying a run out: from its last checkpoint, or from the start, to a folder that is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import klimit
from klimit.errors import InputError
from klimit.models.batches import Say
from klimit.models.extras import needed
from klimit.models.parts import Parts
from klimit.models.tokens import prompt_ids
from klimit.training import output as folders
from klimit.training.checks import trainer_of
from klimit.training.ended import versions, write
from klimit.training.quiet import quiet
from klimit.training.run import Run, policy_of


def carry_out(
    parts: Parts,
    run: Run,
    settings: Mapping[str, Any],
    *,
    say: Say,
    before: Callable[[], None] | None = None,
    after: Callable[[Path], None] | None = None,
) -> None:
    """Train, from the last checkpoint that is whole, and write the folder.

    Args:
        parts: of the run, for one writer at a time; its checkpoints lie there until the folder stands.
        run: what is trained.
        settings: for the folder's metadata.
        say: takes lines for the user.
        before: done where there is no checkpoint, before training starts.
        after: adds to the folder what else is to be in it, before that is moved into place.

    Raises:
        InputError: training stopped for a reason or came to no numbers, the folder cannot be written, or another
            process writes it.
    """
    go = trainer_of(run.settings.algorithm)
    with parts.open(), quiet():
        last = folders.last_checkpoint(parts)
        if last is not None:
            say(f"going on from step {last[1]:,} of {run.settings.steps:,}")
        elif before is not None:
            before()
        trainer = _finite(lambda: _kept(lambda: go(run, last[0] if last else None), parts), run)

        def whole(folder: Path) -> None:
            write(folder, trainer, run.base)
            if after is not None:
                after(folder)

        made = {"klimit": klimit.__version__, "settings": dict(settings), "versions": versions()}
        folders.finish(parts, made, whole)


def _finite(go: Callable[[], Any], run: Run) -> Any:
    """Train; a policy that came to no numbers is no result, nor are its checkpoints anything to go on from."""
    lost = InputError(
        "training came to a policy whose probabilities are no numbers; give a lower learning_rate than "
        f"{run.settings.learning_rate:g}, or a reward of a smaller scale, and --overwrite to begin again"
    )
    try:
        trainer = go()
    except RuntimeError as error:
        if "probability tensor contains" in str(error):  # torch's, of a draw
            raise lost from None
        raise
    if not _has_numbers(trainer, run):
        raise lost
    return trainer


def _has_numbers(trainer: Any, run: Run) -> bool:
    """Whether the policy's next token after a prompt has probabilities."""
    torch, policy = needed("torch"), policy_of(trainer)
    ids = torch.tensor([prompt_ids(run.base.tokenizer, run.prompts[0])], device=policy.device)
    with torch.no_grad():
        return bool(policy(input_ids=ids).logits.isfinite().all())


def _kept(go: Callable[[], Any], parts: Parts) -> Any:
    """Train; where that stops for a reason, say which checkpoint there is."""
    try:
        return go()
    except InputError as error:
        last = folders.last_checkpoint(parts)
        kept = (
            f"the checkpoint of step {last[1]:,} is kept: {last[0]}" if last else "there is no checkpoint yet"
        )
        raise InputError(f"{error}; {kept}") from None
