"""``klimit ensemble``: several proxies as one reward, and what that is worth, from a file of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from klimit.cli import shared
from klimit.cli.outputs import STDOUT, check_outputs, deliver
from klimit.cli.parsing import taken_down
from klimit.cli.progress import doing

if TYPE_CHECKING:
    from klimit.ensembles.result import Ensemble
    from klimit.proxies.by_members import HackingByMembers
    from klimit.reports.ensemble.findings import EnsembleFindings


def ensemble(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="Samples: Parquet, CSV or JSON lines; several, or globs."),
    ],
    proxies: Annotated[
        str, typer.Option(metavar="COL,COL", help="The members' reward columns: rm_a,rm_b,rm_c.")
    ],
    gold: Annotated[
        str | None, typer.Option(metavar="COL", help="The reward that is meant, known for every row.")
    ] = None,
    aggregate: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="mean, median, min, uwo:LAMBDA, soft-min:TAU, quantile:Q, log-sigmoid-centred or weighted:W,W.",
        ),
    ] = "mean",
    name: Annotated[str | None, typer.Option(metavar="COL", help="Of the new reward column.")] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Write the samples with the new column: .parquet or .csv."),
    ] = None,
    subsets: Annotated[
        int, typer.Option(metavar="N", help="Subsets of each size for gap and threshold; 0 for none.")
    ] = 5,
    prompt: shared.Prompt = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Condition that chooses rows: \"policy = 'cot'\".")
    ] = None,
    min_completions: Annotated[
        int, typer.Option("--min-completions", metavar="N", help="Leave out prompts with fewer completions.")
    ] = 1,
    lower_is_better: Annotated[
        bool, typer.Option("--lower-is-better", help="All these rewards are costs.")
    ] = False,
    level: shared.Level = 0.95,
    seed: Annotated[int, typer.Option(metavar="S", help="Of subsets, folds and random blocks.")] = 0,
    json: shared.Json = None,
    plot: Annotated[
        str | None, typer.Option(metavar="PATH", help="Draw worth against members: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Make one reward of several proxies, and say whether that is better than the best of them.

    One row of FILE is a completion of the base model with every proxy reward and, if there is one, a gold reward.
    Without gold the proxies' agreement says how good they are, blind to what all get wrong.

    \b
    Examples:
      klimit ensemble samples.parquet --proxies rm_a,rm_b,rm_c --gold human
      klimit ensemble samples.parquet --proxies rm_a,rm_b,rm_c --aggregate uwo:0.5 --output with_uwo.parquet
      klimit ensemble samples.csv --proxies rm_a,rm_b,rm_c --plot members.png --json -
    """
    from klimit.reports.ensemble.table import check_table

    check_table("--output", output)
    check_outputs({"--json": json, "--output": output}, {"--plot": plot}, inputs=files)
    options: dict[str, Any] = {
        "proxies": [part.strip() for part in proxies.split(",")],
        "gold": gold,
        "aggregate": aggregate,
        "name": name,
        "prompt": prompt or None,
        "where": where,
        "min_completions": min_completions,
        "lower_is_better": lower_is_better,
        "level": level,
        "seed": seed,
    }
    findings = find(files, subsets=subsets, alone=output is not None, **options)
    results = None if json is None else _json(findings, {"files": files, "subsets": subsets, **options})
    contents = {} if results is None or json == STDOUT else {str(json): results.encode()}
    if output is not None:
        contents[output] = _table(findings.found, output, prompt)
    if plot is not None:
        contents[plot] = _figure(findings, plot)
    from klimit.reports.ensemble.text import ensemble_report

    stdout = results if json == STDOUT else None
    deliver(contents, notes=findings.found.samples.notes, words=ensemble_report(findings), stdout=stdout)


def find(
    files: Sequence[str],
    *,
    proxies: list[str],
    gold: str | None = None,
    subsets: int = 5,
    alone: bool = False,
    prompt: list[str] | None = None,
    where: str | None = None,
    min_completions: int = 1,
    lower_is_better: bool = False,
    **options: Any,
) -> EnsembleFindings:
    """Read, aggregate and judge; see :func:`klimit.ensemble` for the options.

    Args:
        files: of samples.
        proxies: the members.
        gold: the gold column.
        subsets: of each size, whose gap and threshold are asked.
        alone: whether the new column itself is wanted, though nothing may judge it.
        prompt: columns that identify a prompt.
        where: SQL condition that chooses rows.
        min_completions: prompts with fewer are left out.
        lower_is_better: all are costs.
        options: of :func:`klimit.ensemble`.

    Raises:
        InputError: see :func:`klimit.ensemble`; nothing could judge so few proxies; some run against the others.
    """
    from klimit.ensembles.collocation import FEWEST
    from klimit.ensembles.inputs import check_names
    from klimit.errors import InputError

    names = check_names(proxies, gold)
    if gold is None and len(proxies) < FEWEST and not alone:
        raise InputError(
            f"--proxies: {len(proxies)} without gold: collocation needs {FEWEST}; name more, or a gold reward: --gold"
        )
    if subsets < 0:
        raise InputError(f"--subsets {subsets}: give a whole number, 0 for none")
    reading: dict[str, Any] = {"prompt": prompt, "where": where, "lower_is_better": lower_is_better}
    import klimit

    with doing(f"reading {files[0]}"), taken_down():  # the report says its warnings itself
        if min_completions > 1:
            samples = klimit.read_samples(list(files), rewards=names, audit=False, **reading)
            found = klimit.ensemble(samples.at_least(min_completions), proxies=proxies, gold=gold, **options)
        else:
            found = klimit.ensemble(list(files), proxies=proxies, gold=gold, **reading, **options)
    return _judged(found, subsets, options.get("seed", 0))


def _judged(found: Ensemble, subsets: int, seed: int) -> EnsembleFindings:
    from klimit.errors import InputError
    from klimit.reports.ensemble.findings import EnsembleFindings

    findings = EnsembleFindings(found)
    if findings.opposed and found.aggregator.given is None:
        name, value = next(iter(findings.opposed.items()))
        raise InputError(
            f"{found.samples.source}: {', '.join(findings.opposed)}: no common order with the other proxies within "
            f"prompts ({name}: correlation {value.estimate:.2g} [{value.low:.2g}, {value.high:.2g}] with their sum); "
            "leave it out or change its sign (--lower-is-better turns all of them)"
        )
    if found.gold_name is None or subsets == 0:
        return findings
    try:
        return EnsembleFindings(found, _hacked(found, subsets, seed))
    except InputError as error:
        return EnsembleFindings(found, why_not=str(error))


def _hacked(found: Ensemble, subsets: int, seed: int) -> HackingByMembers:
    from klimit.proxies.by_members import hacking_by_members

    return hacking_by_members(found, most=subsets, seed=seed, watch=doing)


def _json(findings: EnsembleFindings, options: dict[str, Any]) -> str:
    from klimit.reports.ensemble.payload import ensemble_payload
    from klimit.reports.frontier.payload import to_json

    return to_json(ensemble_payload(findings, options=options))


def _table(found: Ensemble, path: str, prompt: list[str] | None) -> bytes:
    from klimit.reports.ensemble.table import samples_table, table_bytes

    with doing(f"writing {path}"):
        return table_bytes(samples_table(found.samples, prompt=prompt), path)


def _figure(findings: EnsembleFindings, path: str) -> bytes:
    from klimit.reports.axes import figure_bytes
    from klimit.reports.ensemble.figure import draw_ensemble

    with doing(f"drawing {path}"):
        return figure_bytes(draw_ensemble(findings), path)
