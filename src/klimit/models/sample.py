"""``klimit.sample``: completions of a model, with their log-probabilities, as one Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.models.batches import Say, work_through
from klimit.models.engine import Completion, Draw, Engine
from klimit.models.extras import needed
from klimit.models.parts import Parts, differing, read_metadata
from klimit.models.prompts import Prompt, arrow_columns, read_prompts
from klimit.models.randomness import key_of
from klimit.models.settings import Sampling
from klimit.models.table import write_table

STEP = "sample"


def sample(
    *,
    model: str,
    prompts: str | Path | Sequence[Prompt],
    output: str | Path,
    n: int = 64,
    max_new_tokens: int = 256,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    batch_size: int | None = None,
    server: str | None = None,
    concurrency: int = 32,
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    overwrite: bool = False,
    say: Say | None = None,
) -> Path:
    """Sample ``n`` completions of every prompt, independently, and write them with their log-probabilities.

    The run can be stopped at any moment: at most the batch in flight is lost, a rerun goes on, and the file ends with
    the same rows. Rows are in the order of the prompts; columns are ``prompt_id``, ``sample_id``, ``prompt``,
    ``completion``, ``prompt_token_ids``, ``completion_token_ids``, ``logprob``, ``finish_reason``. The file's metadata
    hold model, weights, engine, dtype, settings and seed.

    Args:
        model: folder or hub id; with ``server``, the name that it serves the model by.
        prompts: file (see :func:`klimit.models.prompts.read_prompts`), or prompts.
        output: Parquet file to be written.
        n: completions of each prompt.
        max_new_tokens: where a completion is cut.
        temperature: of the policy that is sampled.
        top_p: of the policy that is sampled; 1 keeps all tokens.
        top_k: likewise; 0 keeps all tokens.
        seed: two runs with one seed and model draw the same completions.
        batch_size: completions at once; the largest that fits by default.
        server: address of an OpenAI-compatible server; in this process without one.
        concurrency: requests in flight, with a server.
        dtype: of the weights; ``"auto"`` is float32 on a CPU, else the model's own.
        device: as torch names it.
        trust_remote_code: run code that comes with the model.
        allow_pickle: load pickled weights.
        overwrite: begin again where the file was made with other settings.
        say: takes lines for the user.

    Returns:
        Where the file is.

    Raises:
        InputError: settings, prompts or a model that cannot be used; one line says why.
    """
    sampling = Sampling(max_new_tokens, temperature, top_p, top_k)
    count = _check_n(n)
    chosen = read_prompts(prompts) if isinstance(prompts, str | Path) else list(prompts)
    if not chosen:
        raise InputError("no prompts were given")
    engine: Engine
    if server is None:
        from klimit.models.loading import Trust, load_causal
        from klimit.models.local import local_engine

        trust = Trust(remote_code=trust_remote_code, pickle=allow_pickle)
        engine = local_engine(load_causal(model, dtype=dtype, device=device, trust=trust), sampling, seed)
    else:
        from klimit.models.server import server_engine

        engine = server_engine(server, model, sampling, seed, concurrency=concurrency)
    return sample_with(
        engine,
        chosen,
        sampling,
        output=Path(output).expanduser(),
        n=count,
        seed=seed,
        batch_size=batch_size,
        overwrite=overwrite,
        say=say or (lambda line: None),
    )


def sample_with(
    engine: Engine,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    output: Path,
    n: int,
    seed: int,
    batch_size: int | None,
    overwrite: bool,
    say: Say,
) -> Path:
    """Sample with an engine that stands ready; see :func:`sample`."""
    settings = {
        **engine.identity,
        **sampling.to_dict(),
        "seed": seed,
        "n": n,
        "prompts": f"{key_of(*((p.prompt_id, p.prompt) for p in prompts)):032x}",
    }
    parts = Parts(output, settings, len(prompts) * n)
    if is_complete(output, STEP, settings, overwrite=overwrite):
        parts.tidy()
        say(f"{output} is complete already")
        return output
    if overwrite:
        parts.discard_others()
    for line in engine.check(prompts):
        say(line)
    with parts.open():
        longest_first = np.argsort([-engine.length(prompt) for prompt in prompts], kind="stable")
        order = (longest_first[:, None] * n + np.arange(n)).ravel().astype(np.int64)

        def draw(rows: NDArray[np.int64]) -> Mapping[str, Any]:
            draws = [Draw(prompts[row // n], int(row % n)) for row in rows]
            return columns_of(draws, engine.sample(draws))

        fixed = batch_size is not None
        work_through(
            parts, order, batch_size or engine.batch_size, draw, what="completions", say=say, fixed=fixed
        )
        parts.finish(lambda path: write_table(path, parts.tables(), {STEP: settings}))
    say(f"wrote {output}")
    return output


def is_complete(output: Path, step: str, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Whether the file is there, made by the same step with the same settings.

    Raises:
        InputError: it is there, but made otherwise, and is not to be overwritten.
    """
    if not output.exists():
        return False
    if output.is_dir():
        raise InputError(f"{output}: is a folder; name a file in it")
    before = read_metadata(output).get(step)
    if before == dict(settings):
        return True
    if overwrite:
        return False
    made = (
        "not made by this step"
        if before is None
        else f"made with other settings ({differing(before, settings)})"
    )
    raise InputError(f"{output}: is there already, {made}; name another file, or give --overwrite")


def columns_of(draws: Sequence[Draw], completions: Sequence[Completion]) -> dict[str, Any]:
    """Arrow columns of completions, one row each."""
    arrow = needed("pyarrow")
    ids = arrow.list_(arrow.int32())
    prompts = arrow_columns([draw.prompt for draw in draws])
    return {
        "prompt_id": prompts["prompt_id"],
        "sample_id": arrow.array([d.sample_id for d in draws], arrow.int32()),
        "prompt": prompts["prompt"],
        "completion": arrow.array([c.text for c in completions], arrow.string()),
        "prompt_token_ids": arrow.array([c.prompt_token_ids for c in completions], ids),
        "completion_token_ids": arrow.array([c.completion_token_ids for c in completions], ids),
        "logprob": arrow.array([c.logprob for c in completions], arrow.float64()),
        "finish_reason": arrow.array([c.finish_reason for c in completions], arrow.string()),
    }


def _check_n(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"n is {n!r}; it must be a whole number, 1 or more")
    return n
