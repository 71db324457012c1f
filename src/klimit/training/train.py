"""``klimit.train``: GRPO, RLOO and PPO with a ``beta`` that prices a nat of the whole completion's KL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from klimit.errors import InputError
from klimit.models.batches import Say
from klimit.models.extras import needed
from klimit.models.finding import current_folder
from klimit.models.loading import Trust, load_causal
from klimit.models.local import local_engine
from klimit.models.parts import Parts
from klimit.models.prompts import Prompt, read_prompts
from klimit.models.randomness import key_of
from klimit.models.settings import Sampling
from klimit.training import output as folders
from klimit.training.carry import carry_out
from klimit.training.checks import check_every, check_place, trainer_of
from klimit.training.ends import check_end_token, check_ends
from klimit.training.rewards import term_of
from klimit.training.run import Run
from klimit.training.settings import settings_of


def train(
    algorithm: str,
    *,
    model: str,
    reward: str | Callable[..., Any],
    prompts: str | Path | Sequence[Prompt],
    beta: float,
    output: str | Path,
    steps: int = 200,
    batch_size: int = 64,
    generations: int | None = None,
    micro_batch_size: int | None = None,
    learning_rate: float | None = None,
    schedule: str = "linear",
    max_new_tokens: int = 256,
    seed: int = 0,
    ppo_epochs: int = 4,
    ppo_lambda: float = 1.0,
    save_every: int = 50,
    log_every: int = 10,
    report_to: Sequence[str] = (),
    base: str | Path | None = None,
    audit_every: int = 50,
    audit_n: int = 4,
    gradient_checkpointing: bool = False,
    allow_truncated: bool = False,
    dtype: str = "float32",
    device: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    overwrite: bool = False,
    say: Say | None = None,
) -> Path:
    """Train a model for a reward at a price of ``beta`` a nat of ``KL(policy || model)``, by TRL's trainers.

    The policy that is trained is the model's own softmax: temperature 1, nothing cut off, no penalties, whatever its
    repository recommends. The run can be stopped at any moment; the same call goes on from the last checkpoint. What
    ``beta`` means in each trainer, and what was set to make it so: :doc:`/training`.

    Args:
        algorithm: ``"grpo"``, ``"rloo"`` or ``"ppo"``.
        model: folder or hub id of the base model, which is the reference as well.
        reward: folder or hub id of a reward model, ``"package.module:function"``, or a function of TRL's signature,
            which may take ``prompts``, ``completions``, ``completion_ids`` and ``prompt_id``.
        prompts: file (see :func:`klimit.models.prompts.read_prompts`), or prompts.
        beta: reward given up for a nat; above 0.
        output: folder to be written: model and tokenizer, ``klimit.json`` with settings, ``log.jsonl``.
        steps: optimiser steps; of PPO batches, on each of which it makes ``ppo_epochs`` steps.
        batch_size: completions a step.
        generations: completions of each prompt in a step; 8 by default, 1 for PPO.
        micro_batch_size: completions in one pass; all by default.
        learning_rate: at the start; TRL's by default: 1e-6, 3e-6 for PPO.
        schedule: of the learning rate: ``"linear"``, ``"cosine"`` or ``"constant"``.
        max_new_tokens: where a completion is cut.
        seed: of order and draws.
        ppo_epochs: passes of PPO over each batch.
        ppo_lambda: of PPO's advantage estimates; below 1 they lean on the value model.
        save_every: steps between checkpoints.
        log_every: steps between entries of the log; PPO logs every step.
        report_to: trackers, by the names that transformers has for them, such as ``"tensorboard"``.
        base: samples of the model with their rewards by the same reward, as :func:`klimit.score` writes them: the run
            is audited against them while it trains (see :class:`klimit.training.FrontierCallback`).
        audit_every: steps between two audits.
        audit_n: completions of each of the base samples' prompts in an audit.
        gradient_checkpointing: compute activations twice and keep few of them.
        allow_truncated: train a model that ends none of its completions within the limit.
        dtype: of the weights that are trained, and of the reference.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        trust_remote_code: run code that comes with the models.
        allow_pickle: load pickled weights.
        overwrite: begin again where the folder was made with other settings.
        say: takes lines for the user.

    Returns:
        Where the folder is.

    Raises:
        InputError: settings, prompts, a model or a reward that cannot be used; one line says why.
    """
    tell = say or (lambda line: None)
    settings = settings_of(
        algorithm,
        beta=beta,
        steps=steps,
        batch_size=batch_size,
        generations=generations,
        micro_batch_size=micro_batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        max_new_tokens=max_new_tokens,
        seed=seed,
        ppo_epochs=ppo_epochs,
        ppo_lambda=ppo_lambda,
    )
    check_every(save_every=save_every, log_every=log_every, audit_every=audit_every)
    trainer_of(algorithm)
    check_place(device)
    chosen = read_prompts(prompts) if isinstance(prompts, str | Path) else list(prompts)
    if not chosen:
        raise InputError("no prompts were given")
    source = Path(prompts) if isinstance(prompts, str | Path) else Path("the prompts")
    trust = Trust(remote_code=trust_remote_code, pickle=allow_pickle)
    start = load_causal(model, dtype=dtype, device=device, trust=trust)
    with current_folder():
        term = term_of(reward, chosen, dtype="auto", device=device, trust=trust, source=source)
        known = {
            **settings.to_dict(),
            **start.identity,
            "trl": needed("trl").__version__,
            **{f"reward_{name}".replace("reward_reward", "reward"): value for name, value in term.identity.items()},
            "prompts": f"{key_of(*((p.prompt_id, p.prompt) for p in chosen)):032x}",
        }  # fmt: skip
        parts = Parts(Path(output).expanduser(), known, 0)
        if folders.is_finished(parts.output, known, overwrite=overwrite):
            parts.tidy()
            tell(f"{parts.output} is complete already")
            return parts.output
        if overwrite:
            parts.discard_others()
        end = check_end_token(start)
        engine = local_engine(start, Sampling(max_new_tokens), seed)
        engine.check(chosen)
        if set(engine.ends) != {end}:
            tell(
                f"{start.name} names {len(engine.ends)} end tokens; trainers stop at its tokenizer's alone ({end}), "
                "and klimit sample at all of them"
            )

        def watch(trainer: Any) -> None:
            if base is not None:
                from klimit.training.callback import FrontierCallback

                own: Any = term  # not a function, and taken as it is
                trainer.add_callback(
                    FrontierCallback(trainer, base, every=audit_every, n=audit_n, reward=own, seed=seed)
                )

        run = Run(
            settings, start, term, chosen, folders.checkpoints(parts), trust, log_every, save_every,
            tuple(report_to), gradient_checkpointing, watch,
        )  # fmt: skip
        carry_out(
            parts,
            run,
            known,
            say=tell,
            before=lambda: check_ends(engine, chosen, allow_truncated=allow_truncated, say=tell),
        )
    tell(f"wrote {parts.output}")
    return parts.output
