"""``klimit sample``: completions of a model with their log-probabilities, to Parquet."""

from __future__ import annotations

from typing import Annotated

import typer

from klimit.cli import models


def sample(
    model: models.Model,
    prompts: Annotated[
        str, typer.Option(metavar="FILE", help="JSON lines or Parquet with prompt and, if given, prompt_id.")
    ],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="Parquet file to write.")],
    n: Annotated[int, typer.Option("-n", "--n", metavar="N", help="Completions of each prompt.")] = 64,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", metavar="N", help="Where a completion is cut.")
    ] = 256,
    temperature: Annotated[float, typer.Option(metavar="T", help="Of the policy that is sampled.")] = 1.0,
    top_p: Annotated[float, typer.Option("--top-p", metavar="P", help="Likewise; 1 keeps all tokens.")] = 1.0,
    top_k: Annotated[int, typer.Option("--top-k", metavar="K", help="Likewise; 0 keeps all tokens.")] = 0,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the draws.")] = 0,
    batch_size: models.BatchSize = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An OpenAI-compatible server, which serves --model."),
    ] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", help="Requests in flight, with --server.")] = 32,
    dtype: models.Dtype = "auto",
    device: models.Device = "auto",
    trust_remote_code: models.RemoteCode = False,
    allow_pickle: models.Pickle = False,
    overwrite: models.Overwrite = False,
) -> None:
    """Sample completions of a model, each with the log-probability of the distribution it was sampled from.

    It can be stopped at any moment; the same command goes on where it stopped.

    \b
    Examples:
      klimit sample --model Qwen/Qwen3-0.6B --prompts prompts.jsonl -n 64 -o base.parquet
      klimit sample --model ./grpo --prompts prompts.jsonl -n 16 --max-new-tokens 128 -o grpo.parquet
      klimit sample --server http://localhost:8000/v1 --model my-model --prompts prompts.jsonl -o base.parquet
    """
    from klimit.models.sample import sample as run

    with models.resumable():
        run(
            model=model,
            prompts=prompts,
            output=output,
            n=n,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            seed=seed,
            batch_size=batch_size,
            server=server,
            concurrency=concurrency,
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            allow_pickle=allow_pickle,
            overwrite=overwrite,
            say=models.say,
        )
