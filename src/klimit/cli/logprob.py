"""``klimit logprob``: log-probabilities of samples under policy and reference, to Parquet."""

from __future__ import annotations

from typing import Annotated

import typer

from klimit.cli import models


def logprob(
    model: Annotated[
        str, typer.Option("--model", metavar="PATH_OR_ID", help="The policy that sampled: folder or hub id.")
    ],
    ref_model: Annotated[
        str, typer.Option("--ref-model", metavar="PATH_OR_ID", help="The reference (base) model.")
    ],
    input: Annotated[
        str, typer.Option("-i", "--input", metavar="FILE", help="Samples of the policy, with token ids.")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Parquet file to write.", show_default="the input"
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(metavar="T", help="Of the samples.", show_default="what the file says, else 1"),
    ] = None,
    batch_size: models.BatchSize = None,
    dtype: models.Dtype = "auto",
    device: models.Device = "auto",
    trust_remote_code: models.RemoteCode = False,
    allow_pickle: models.Pickle = False,
    overwrite: models.Overwrite = False,
) -> None:
    """Add logprob, ref_logprob and token_kl to a policy's samples: what klimit audit needs for a KL.

    Both models score the token ids that were sampled, with one engine and dtype. It can be stopped at any moment; the
    same command goes on where it stopped.

    \b
    Examples:
      klimit logprob --model ./grpo --ref-model Qwen/Qwen3-0.6B -i grpo.parquet
      klimit logprob --model ./grpo --ref-model ./base -i grpo.parquet -o scored.parquet --dtype bfloat16
    """
    from klimit.models.logprob import logprob as run

    with models.resumable():
        run(
            model=model,
            ref_model=ref_model,
            input=input,
            output=output,
            temperature=temperature,
            batch_size=batch_size,
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            allow_pickle=allow_pickle,
            overwrite=overwrite,
            say=models.say,
        )
