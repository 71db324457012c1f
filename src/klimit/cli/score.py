"""``klimit score``: rewards of samples, by reward models and Python functions, to Parquet."""

from __future__ import annotations

from typing import Annotated

import typer

from klimit.cli import models


def score(
    reward: Annotated[
        list[str],
        typer.Option(
            "--reward",
            metavar="REWARD",
            help="Folder or hub id of a reward model, or package.module:function; NAME=... names its column. "
            "May be given several times.",
        ),
    ],
    input: Annotated[
        str, typer.Option("-i", "--input", metavar="FILE", help="Samples, with prompt and completion.")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Parquet file to write.", show_default="the input"
        ),
    ] = None,
    batch_size: models.BatchSize = None,
    dtype: models.Dtype = "auto",
    device: models.Device = "auto",
    trust_remote_code: models.RemoteCode = False,
    allow_pickle: models.Pickle = False,
    overwrite: models.Overwrite = False,
) -> None:
    """Add a column reward_NAME to samples, by a reward model or a Python function with TRL's signature.

    It can be stopped at any moment; the same command goes on where it stopped.

    \b
    Examples:
      klimit score --reward Skywork/Skywork-Reward-V2-Qwen3-0.6B -i base.parquet
      klimit score --reward my_rewards:is_short -i base.parquet -o scored.parquet
      klimit score --reward safe=./guard --reward help=./helper -i base.parquet
    """
    from klimit.models.score import score as run

    with models.resumable():
        run(
            reward=reward,
            input=input,
            output=output,
            batch_size=batch_size,
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            allow_pickle=allow_pickle,
            overwrite=overwrite,
            say=models.say,
        )
