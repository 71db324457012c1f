"""``klimit train``: a model trained for a reward at a price of beta a nat of KL, by TRL's trainers."""

from __future__ import annotations

from typing import Annotated

import typer

from klimit.cli import models


def train(
    algorithm: Annotated[str, typer.Argument(metavar="grpo|rloo|ppo", help="Which trainer.")],
    model: models.Model,
    reward: Annotated[
        str,
        typer.Option(
            metavar="REWARD", help="Folder or hub id of a reward model, or package.module:function."
        ),
    ],
    prompts: Annotated[
        str,
        typer.Option(metavar="FILE", help="JSON lines, Parquet or CSV with prompt and, if given, prompt_id."),
    ],
    beta: Annotated[
        float, typer.Option(metavar="B", help="Reward given up for a nat of the whole completion's KL.")
    ],
    output: Annotated[str, typer.Option("-o", "--output", metavar="DIR", help="Folder to write.")],
    steps: Annotated[int, typer.Option(metavar="N", help="Steps; for PPO batches.")] = 200,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", help="Completions a step.")] = 64,
    generations: Annotated[
        int | None,
        typer.Option(metavar="G", help="Completions of each prompt in a step.", show_default="8; 1 for ppo"),
    ] = None,
    micro_batch_size: Annotated[
        int | None,
        typer.Option(
            "--micro-batch-size", metavar="N", help="Completions in one pass.", show_default="all of a step"
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", metavar="R", help="At the start.", show_default="1e-6; 3e-6 for ppo"),
    ] = None,
    schedule: Annotated[
        str, typer.Option(help="Of the learning rate: linear, cosine or constant.")
    ] = "linear",
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", metavar="N", help="Where a completion is cut.")
    ] = 256,
    seed: Annotated[int, typer.Option(metavar="S", help="Of order and draws.")] = 0,
    ppo_epochs: Annotated[
        int, typer.Option("--ppo-epochs", metavar="N", help="Passes of PPO over each batch.")
    ] = 4,
    ppo_lambda: Annotated[
        float,
        typer.Option(
            "--ppo-lambda", metavar="L", help="Of PPO's advantages; below 1 they lean on the value model."
        ),
    ] = 1.0,
    save_every: Annotated[
        int, typer.Option("--save-every", metavar="N", help="Steps between checkpoints.")
    ] = 50,
    log_every: Annotated[
        int, typer.Option("--log-every", metavar="N", help="Steps between entries of the log.")
    ] = 10,
    report_to: Annotated[
        list[str] | None,
        typer.Option(
            "--report-to", metavar="NAME", help="A tracker, such as tensorboard. May be given again."
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Scored samples of the model: audit the run against them on its way."
        ),
    ] = None,
    audit_every: Annotated[
        int, typer.Option("--audit-every", metavar="N", help="Steps between two audits.")
    ] = 50,
    audit_n: Annotated[
        int, typer.Option("--audit-n", metavar="N", help="Completions of each prompt in an audit.")
    ] = 4,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Save memory for time.")
    ] = False,
    allow_truncated: Annotated[
        bool,
        typer.Option("--allow-truncated", help="Train a model that ends none of its completions in time."),
    ] = False,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Of the weights: float32, bfloat16 or float16.")
    ] = "float32",
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda or auto.")] = "auto",
    trust_remote_code: models.RemoteCode = False,
    allow_pickle: models.Pickle = False,
    overwrite: models.Overwrite = False,
) -> None:
    """Train a model for a reward by GRPO, RLOO or PPO, so set that beta prices a nat of the whole completion's KL.

    It can be stopped at any moment; the same command goes on from the last checkpoint. Needs the extra train; ppo
    needs the extra ppo.

    \b
    Examples:
      klimit train rloo --model Qwen/Qwen3-0.6B --reward Skywork/Skywork-Reward-V2-Qwen3-0.6B \\
        --prompts prompts.jsonl --beta 2 -o rloo
      klimit train grpo --model ./base --reward my_rewards:is_short --prompts prompts.jsonl --beta 0.5 -o grpo
      klimit train ppo --model ./base --reward ./reward --prompts prompts.jsonl --beta 0.5 --steps 400 -o ppo
    """
    from klimit.training.train import train as run

    with models.resumable():
        run(
            algorithm,
            model=model,
            reward=reward,
            prompts=prompts,
            beta=beta,
            output=output,
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
            save_every=save_every,
            log_every=log_every,
            report_to=report_to or (),
            base=base,
            audit_every=audit_every,
            audit_n=audit_n,
            gradient_checkpointing=gradient_checkpointing,
            allow_truncated=allow_truncated,
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            allow_pickle=allow_pickle,
            overwrite=overwrite,
            say=models.say,
        )
