"""``klimit.logprob``: log-probabilities of sampled token ids under policy and reference, by one engine and dtype."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.models.appending import Given, Step, append_columns
from klimit.models.batches import Say
from klimit.models.extras import needed
from klimit.models.loading import Loaded, Trust, load_causal
from klimit.models.settings import Sampling

STEP = "logprob"
COLUMNS = ("logprob", "ref_logprob", "token_kl")
IDS = ("prompt_token_ids", "completion_token_ids")
SAMPLED = "sampling_logprob"
_FLOATS = 2**29  # numbers in the log-probabilities of one batch, both models together
_FAR = 0.05  # nats a token: further apart, two engines' log-probabilities are worth a word


def logprob(
    *,
    model: str,
    ref_model: str,
    input: str | Path,
    output: str | Path | None = None,
    temperature: float | None = None,
    batch_size: int | None = None,
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    overwrite: bool = False,
    say: Say | None = None,
) -> Path:
    """Score a policy's completions under the policy and its reference, from their stored token ids.

    Adds ``logprob`` and ``ref_logprob`` (sums over the completion's tokens, the end token included, nats) and
    ``token_kl``: the KL of the policy's next-token distribution from the reference's, exact at every token, summed. Its
    mean over completions is the Rao-Blackwellised estimate of ``KL(policy || reference)``. The log-probability of the
    engine that sampled, if the file has one, is kept as ``sampling_logprob``. Nothing is tokenised again. The run can
    be stopped at any moment; a rerun goes on.

    Args:
        model: the policy that sampled: folder or hub id.
        ref_model: the reference: folder or hub id.
        input: Parquet file with ``prompt_token_ids`` and ``completion_token_ids``.
        output: Parquet file to be written; the input is replaced, when all is done, by default.
        temperature: of the samples; the file's own by default, 1 where it does not say.
        batch_size: completions at once; the largest that fits by default.
        dtype: of both models; ``"auto"`` is float32 on a CPU, else the policy's own.
        device: as torch names it.
        trust_remote_code: run code that comes with the models.
        allow_pickle: load pickled weights.
        overwrite: replace columns of the same name.
        say: takes lines for the user.

    Returns:
        Where the file is.

    Raises:
        InputError: no token ids, samples under top-p or top-k, models that cannot be compared; one line says why.
    """
    tell = say or (lambda line: None)
    given = Given(Path(input).expanduser())
    sampling = _sampling(given, temperature)
    prompts, completions = _ids(given)
    trust = Trust(remote_code=trust_remote_code, pickle=allow_pickle)
    policy = load_causal(model, dtype=dtype, device=device, trust=trust)
    reference = load_causal(ref_model, dtype=policy.dtype, device=device, trust=trust)
    _check_models(policy, reference, given, tell)
    lengths = np.array([len(ids) for ids in completions])
    _check_ids(given, policy, prompts, completions)
    settings = {
        **policy.identity,
        "ref_model": reference.identity["model"],
        "ref_weights": reference.fingerprint,
        "temperature": sampling.temperature,
    }
    work = _scorer(policy, reference, sampling, prompts, completions)
    had = "logprob" in given.names and STEP not in given.metadata and SAMPLED not in given.names
    total = lengths + np.array([len(ids) for ids in prompts])
    written = append_columns(
        given,
        Path(output).expanduser() if output is not None else given.path,
        steps=[Step(STEP, settings, COLUMNS)],
        renamed={"logprob": SAMPLED} if had else {},
        order=np.argsort(-total, kind="stable").astype(np.int64),
        batch_size=batch_size or _batch_size(policy, int(lengths.max(initial=1))),
        work=work,
        overwrite=overwrite,
        fixed=batch_size is not None,
        say=tell,
    )
    _compare_engines(written, lengths, tell)
    return written


def _sampling(given: Given, temperature: float | None) -> Sampling:
    made = given.metadata.get("sample", {})
    sampling = Sampling.from_dict(made)
    if sampling.truncated:
        raise InputError(
            f"{given.path}: was sampled with {sampling}; under top-p and top-k the KL to a base model is infinite or "
            "that of another policy: sample again with top_p 1 and top_k 0"
        )
    if temperature is None:
        return sampling
    if "temperature" in made and made["temperature"] != temperature:
        raise InputError(
            f"{given.path}: was sampled at temperature {made['temperature']:g}, not {temperature:g}; leave "
            "--temperature out"
        )
    return Sampling(sampling.max_new_tokens, temperature)


def _ids(given: Given) -> tuple[list[list[int]], list[list[int]]]:
    missing = [name for name in IDS if name not in given.names]
    if missing:
        raise InputError(
            f"{given.path}: no column {missing[0]!r}; log-probabilities are of the token ids that were sampled, never "
            "of text tokenised again: sample with klimit sample, or with a server that returns token ids"
        )
    table = given.columns(IDS)
    found = [table.column(name) for name in IDS]
    for name, column in zip(IDS, found, strict=True):
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise InputError(
                f"{given.path}, row {row + 1}: {name} is missing ({column.null_count:,} rows); the server that sampled "
                "gave no token ids: sample with klimit sample, or with a server that returns them"
            )
    prompts, completions = (column.to_pylist() for column in found)
    for name, rows in zip(IDS, (prompts, completions), strict=True):
        empty = next((row for row, ids in enumerate(rows) if not ids), None)
        if empty is not None:
            raise InputError(f"{given.path}, row {empty + 1}: {name} is empty; every completion has a token")
    if not completions:
        raise InputError(f"{given.path}: holds no completions")
    return prompts, completions


def _check_models(policy: Loaded, reference: Loaded, given: Given, say: Say) -> None:
    if policy.tokenizer.get_vocab() != reference.tokenizer.get_vocab():
        raise InputError(
            f"{policy.name} and {reference.name} have different vocabularies; a KL is defined between "
            "distributions over the same tokens"
        )
    sizes = [each.model.get_output_embeddings().weight.shape[0] for each in (policy, reference)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{policy.name} gives {sizes[0]:,} token probabilities and {reference.name} {sizes[1]:,}; resize the "
            "embeddings of one to those of the other"
        )
    made = given.metadata.get("sample", {})
    if made.get("dtype") == policy.dtype and made.get("weights", policy.fingerprint) != policy.fingerprint:
        raise InputError(
            f"{policy.name}: is not the model that sampled {given.path} (weights {policy.fingerprint}, sampled with "
            f"{made['weights']} of {made.get('model')}); give that one with --model"
        )
    if policy.fingerprint == reference.fingerprint:
        say("policy and reference have the same weights: every KL will be 0")


def _check_ids(given: Given, policy: Loaded, prompts: list[list[int]], completions: list[list[int]]) -> None:
    size = policy.model.get_output_embeddings().weight.shape[0]
    context = policy.context
    for row, ids in enumerate(zip(prompts, completions, strict=True)):
        highest, lowest = max(map(max, ids)), min(map(min, ids))
        if highest >= size or lowest < 0:
            raise InputError(
                f"{given.path}, row {row + 1}: token id {highest if highest >= size else lowest} is not in the "
                f"vocabulary of {policy.name} ({size:,} tokens)"
            )
        if context is not None and sum(map(len, ids)) > context:
            raise InputError(
                f"{given.path}, row {row + 1}: {sum(map(len, ids)):,} tokens are more than the context of "
                f"{policy.name} ({context:,})"
            )


def _scorer(
    policy: Loaded,
    reference: Loaded,
    sampling: Sampling,
    prompts: list[list[int]],
    completions: list[list[int]],
) -> Any:
    from klimit.models.choosing import warpers
    from klimit.models.forward import score
    from klimit.models.local import out_of_memory

    torch, arrow = needed("torch"), needed("pyarrow")
    through = (warpers(sampling), warpers(sampling))

    def work(rows: NDArray[np.int64]) -> Mapping[str, Any]:
        with out_of_memory(torch):
            found = score(
                policy.model,
                reference.model,
                [prompts[row] for row in rows],
                [completions[row] for row in rows],
                through,
            )
        columns = {name: getattr(found, name) for name in COLUMNS}
        for name, values in columns.items():
            if not np.isfinite(values).all():
                row = int(rows[~np.isfinite(values)][0])
                raise InputError(
                    f"row {row + 1}: its {name} is {values[~np.isfinite(values)][0]} in {policy.dtype}; use --dtype "
                    "float32, and see that the reference gives every token some probability"
                )
        return {name: arrow.array(values, arrow.float64()) for name, values in columns.items()}

    return work


def _batch_size(policy: Loaded, longest: int) -> int:
    """What keeps the log-probabilities of both models within bounds."""
    vocabulary = policy.model.get_output_embeddings().weight.shape[0]
    return int(np.clip(_FLOATS // (2 * vocabulary * longest), 1, 256))


def _compare_engines(written: Path, lengths: NDArray[Any], say: Say) -> None:
    """Say how far the sampling engine's log-probabilities lie from these."""
    given = Given(written)
    if SAMPLED not in given.names:
        return
    table = given.columns([SAMPLED, "logprob"])
    sampled, scored = (table.column(name).to_numpy() for name in (SAMPLED, "logprob"))
    apart = np.abs(sampled - scored) / lengths
    known = apart[np.isfinite(apart)]
    if len(known) and known.mean() > _FAR:
        say(
            f"log-probabilities of the engine that sampled differ by {known.mean():.2g} nats a token on average from "
            "these: another temperature, another model, or another dtype; an audit takes these and shows the difference"
        )
