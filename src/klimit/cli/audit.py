"""``klimit audit``: what trained policies got for their KL, from files of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from klimit.cli import shared
from klimit.cli.outputs import STDOUT, check_outputs, deliver
from klimit.cli.parsing import taken_down
from klimit.cli.progress import doing

if TYPE_CHECKING:
    from klimit.audits.result import Audits
    from klimit.samples import Samples


def audit(
    policies: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY", help="Samples of a policy with log-probabilities: FILE or NAME=FILE; several."
        ),
    ],
    base: Annotated[
        list[str], typer.Option(metavar="FILE", help="Samples of the base policy on the same prompts.")
    ],
    reward: Annotated[str | None, typer.Option(metavar="COL", help="Reward column.")] = None,
    transform: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Of the reward: standardised, rank, log-sigmoid-centred or clipped:LOW,HIGH.",
        ),
    ] = "identity",
    prompt: shared.Prompt = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help='Condition that chooses rows of POLICY: "step > 100".')
    ] = None,
    base_where: Annotated[
        str | None, typer.Option("--base-where", metavar="SQL", help="The same for the base samples.")
    ] = None,
    by: shared.By = None,
    kl_estimator: shared.KLEstimator = None,
    logprob: shared.Logprob = None,
    ref_logprob: shared.RefLogprob = None,
    token_kl: shared.TokenKL = None,
    sampling_logprob: shared.SamplingLogprob = None,
    truncated: shared.Truncated = None,
    token_means: shared.TokenMeans = None,
    shared_prompts: Annotated[
        bool, typer.Option("--shared-prompts", help="Leave out prompts that policy or base lacks.")
    ] = False,
    reward_max: shared.RewardMax = None,
    lower_is_better: shared.LowerIsBetter = False,
    level: shared.Level = 0.95,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the random blocks of samples.")] = 0,
    json: shared.Json = None,
    plot: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Draw the policies beside the limit: .png, .svg or .pdf."),
    ] = None,
    plot_parts: Annotated[
        str | None, typer.Option("--plot-parts", metavar="PATH", help="Draw where the KL went, as bars.")
    ] = None,
    prompts_csv: Annotated[
        str | None,
        typer.Option("--prompts-csv", metavar="PATH", help="Write the audit prompt by prompt; - for stdout."),
    ] = None,
) -> None:
    """Say what trained policies got for their KL from the base policy, and where the rest went.

    One row of POLICY is a completion drawn from the policy, with its reward and its log-probabilities under the
    policy (logprob) and under the base policy (ref_logprob), in nats: sums over tokens, or lists of one a token.

    \b
    Examples:
      klimit audit grpo.parquet --base base.parquet
      klimit audit b0.04=a.jsonl b0.1=b.jsonl --base base.jsonl --plot runs.png
      klimit audit checkpoints.parquet --by step --base base.parquet --json -
    """
    from klimit.audits.checkpoints import named_policies
    from klimit.audits.same import check_sources

    named = named_policies(policies)
    check_sources(named.values(), base, where=where, base_where=base_where, by=by)
    check_outputs(
        {"--json": json, "--prompts-csv": prompts_csv},
        {"--plot": plot, "--plot-parts": plot_parts},
        inputs=[*named.values(), *base],
    )
    reading: dict[str, Any] = {
        "reward": reward,
        "prompt": prompt or None,
        "where": where,
        "base_where": base_where,
        "logprob": logprob,
        "ref_logprob": ref_logprob,
        "token_kl": token_kl,
        "sampling_logprob": sampling_logprob,
        "truncated": truncated,
        "lower_is_better": lower_is_better,
    }
    options: dict[str, Any] = {
        "by": by,
        "transform": transform,
        "kl_estimator": kl_estimator,
        "token_means": token_means,
        "shared_prompts": shared_prompts,
        "reward_max": reward_max,
        "level": level,
        "seed": seed,
    }
    audits = find(named, base, reading=reading, **options)
    results = (
        None if json is None else _json(audits, {"policies": policies, "base": base, **reading, **options})
    )
    rows = None if prompts_csv is None else _csv(audits)
    contents = {
        path: text.encode()
        for path, text in ((json, results), (prompts_csv, rows))
        if path is not None and path != STDOUT and text is not None
    }
    contents |= _figures(audits, plot, plot_parts)
    stdout = results if json == STDOUT else rows if prompts_csv == STDOUT else None
    deliver(contents, notes=_notes(audits), words=_words(audits), stdout=stdout)


def find(
    policies: Mapping[str, str], base: Sequence[str], *, reading: dict[str, Any], **options: Any
) -> Audits:
    """Read and audit; see :func:`klimit.audit` for the options."""
    from klimit.limit.options import check_options

    check_options(
        budget="average",
        level=options["level"],
        target="population",
        estimator="extrapolated",
        seed=options["seed"],
    )
    start, found = _read(policies, base, {**reading, "by": options["by"]})
    n_completions = start.n_completions + sum(samples.n_completions for samples in found.values())
    with doing(f"auditing {n_completions:,} completions"):
        import klimit

        with taken_down():  # an audit says its warnings itself
            name = start.reward_name(reading["reward"])
            audits = klimit.audit(found, start, reward=name, **options)
    assert isinstance(audits, klimit.Audits)
    return audits


def _read(
    policies: Mapping[str, str], base: Sequence[str], reading: dict[str, Any]
) -> tuple[Samples, dict[str, Samples]]:
    """The base samples, and those of every policy by its name."""
    from klimit.samples import as_samples

    own = {name: value for name, value in reading.items() if name not in ("reward", "base_where")}
    common = {name: own[name] for name in ("prompt", "lower_is_better")}
    with doing(f"reading {base[0]}"):
        start = as_samples(
            list(base), reward=reading["reward"], where=reading["base_where"], audit=True, **common
        )
    found = {}
    for label, file in policies.items():
        with doing(f"reading {file}"):
            found[label] = as_samples(file, reward=start.reward_name(reading["reward"]), audit=True, **own)
    return start, found


def _json(audits: Audits, options: dict[str, Any]) -> str:
    from klimit.reports.audit.payload import audits_payload
    from klimit.reports.frontier.payload import to_json

    return to_json(audits_payload(audits, options=options))


def _csv(audits: Audits) -> str:
    from klimit.reports.audit.prompts import prompts_csv

    return prompts_csv(audits)


def _figures(audits: Audits, plot: str | None, plot_parts: str | None) -> dict[str, bytes]:
    contents = {}
    if plot is not None:
        from klimit.reports.audit.figure import draw_audits
        from klimit.reports.axes import figure_bytes

        with doing(f"drawing {plot}"):
            contents[plot] = figure_bytes(draw_audits(audits), plot)
    if plot_parts is not None:
        from klimit.reports.audit.bars import draw_parts
        from klimit.reports.axes import figure_bytes

        with doing(f"drawing {plot_parts}"):
            contents[plot_parts] = figure_bytes(draw_parts(audits), plot_parts)
    return contents


def _words(audits: Audits) -> str:
    from klimit.reports.audit.report import Report

    return Report.of(audits).text


def _notes(audits: Audits) -> list[str]:
    """What was read or left out; a note about one policy of several names it."""
    about: dict[str, list[str]] = {}
    for audit in audits:
        for note in audit.notes:
            about.setdefault(note, []).append(audit.name)
    return [
        note if len(names) == len(audits) else f"{names[0]}{', ...' * (len(names) > 1)}: {note}"
        for note, names in about.items()
    ]
