"""``klimit frontier``: the limit and best-of-N, from a file of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from klimit.cli import shared
from klimit.cli.outputs import STDOUT, check_outputs, deliver
from klimit.cli.parsing import numbers, taken_down, whole_numbers
from klimit.cli.progress import counting, doing, estimating

if TYPE_CHECKING:
    from klimit.reports.frontier.findings import Findings


def frontier(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="Samples: Parquet, CSV or JSON lines; several, or globs."),
    ],
    reward: Annotated[str | None, typer.Option(metavar="COL", help="Reward column.")] = None,
    prompt: shared.Prompt = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Condition that chooses rows: \"policy = 'cot'\".")
    ] = None,
    lower_is_better: shared.LowerIsBetter = False,
    min_completions: Annotated[
        int, typer.Option("--min-completions", metavar="N", help="Leave out prompts with fewer completions.")
    ] = 1,
    reward_max: shared.RewardMax = None,
    transform: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Of the reward: standardised, rank, log-sigmoid-centred or clipped:LOW,HIGH.",
        ),
    ] = "identity",
    budget: Annotated[
        str, typer.Option(metavar="KIND", help="average (over prompts) or per-prompt.")
    ] = "average",
    target: Annotated[
        str, typer.Option(metavar="WHOM", help="Intervals for the population of prompts, or these-prompts.")
    ] = "population",
    kl: Annotated[
        str | None, typer.Option(metavar="K,K", help="KL budgets, nats per completion: 0.25,0.5,1.")
    ] = None,
    n: Annotated[str | None, typer.Option("--n", metavar="N,N", help="N of best-of-N: 4,16,64.")] = None,
    level: shared.Level = 0.95,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the random blocks of samples.")] = 0,
    engine: Annotated[
        str,
        typer.Option(metavar="NAME", help="How to read: memory, stream (files larger than memory) or auto."),
    ] = "auto",
    json: shared.Json = None,
    plot: Annotated[
        str | None, typer.Option(metavar="PATH", help="Draw the limit: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Say how much reward any method can buy at each KL budget, and what best-of-N gets of it.

    One row of FILE is a completion of the base model with its reward, or a prompt with a list of rewards.

    \b
    Examples:
      klimit frontier samples.parquet
      klimit frontier samples.csv --reward score --kl 0.5,1 --plot limit.png
      klimit frontier 'runs/*.jsonl' --prompt task --where "model = 'base'" --json -
    """
    budgets = numbers(kl, "--kl", example="0.25,0.5,1")
    sizes = whole_numbers(n, "--n", example="4,16,64")
    check_outputs({"--json": json}, {"--plot": plot}, inputs=files)
    options: dict[str, Any] = {
        "reward": reward,
        "prompt": prompt or None,
        "where": where,
        "lower_is_better": lower_is_better,
        "min_completions": min_completions,
        "reward_max": reward_max,
        "transform": transform,
        "budget": budget,
        "target": target,
        "kl": budgets,
        "n": sizes,
        "level": level,
        "seed": seed,
        "engine": engine,
    }
    findings = find(files, **options)
    results = None if json is None else _json(findings, {"files": files, **options})
    contents = {} if results is None or json == STDOUT else {str(json): results.encode()}
    if plot is not None:
        contents[plot] = _figure(findings, plot)
    from klimit.reports.frontier.text import report

    stdout = results if json == STDOUT else None
    deliver(contents, notes=findings.limit.samples.notes, words=report(findings), stdout=stdout)


def find(
    files: Sequence[str],
    *,
    reward: str | None = None,
    prompt: list[str] | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
    min_completions: int = 1,
    reward_max: float | None = None,
    transform: str = "identity",
    budget: str = "average",
    target: str = "population",
    kl: list[float] | None = None,
    n: list[int] | None = None,
    level: float = 0.95,
    seed: int = 0,
    engine: str = "auto",
) -> Findings:
    """Read, estimate and choose what to report; see :func:`klimit.frontier` for the options."""
    from klimit.limit.options import check_budgets, check_options
    from klimit.rewards import parse_transform

    chosen = parse_transform(transform)
    check_options(budget=budget, level=level, target=target, estimator="extrapolated", seed=seed)
    if kl is not None:
        check_budgets(kl)
    kind = cast(Literal["average", "per-prompt"], budget)
    whom = cast(Literal["population", "these-prompts"], target)
    with counting(f"reading {files[0]}") as progress:
        from klimit.limit.summarised import only_in_memory
        from klimit.streams.engines import open_samples

        samples = open_samples(
            list(files),
            engine=cast(Any, engine),
            reward=reward,
            prompt=prompt,
            where=where,
            lower_is_better=lower_is_better,
            n=n,
            seed=seed,
            whole=only_in_memory(transform=chosen, budget=budget, estimator="extrapolated")
            or (f"target={target!r}" if target != "population" else None),
            progress=progress,
        ).at_least(min_completions)
    with estimating(f"estimating from {samples.n_completions:,} rewards"):
        import klimit
        from klimit.reports.frontier.findings import gather

        with taken_down() as said:
            limit = klimit.frontier(
                samples,
                reward=reward,
                budget=kind,
                level=level,
                seed=seed,
                target=whom,
                reward_max=reward_max,
                kl=kl,
                transform=chosen,
            )
        with taken_down() as said_of_best:
            best = klimit.best_of_n(
                samples,
                reward=reward,
                n=n,
                level=level,
                seed=seed,
                target=whom,
                limit=limit if kind == "average" else limit.outer,
                transform=chosen,
            )
        # Both warn of the same limitations: the limit says it better.
        return gather(limit, best, kl=kl, warnings=said or said_of_best)


def _json(findings: Findings, options: dict[str, Any]) -> str:
    from klimit.reports.frontier.payload import payload, to_json

    return to_json(payload(findings, options=options))


def _figure(findings: Findings, path: str) -> bytes:
    from klimit.reports.axes import figure_bytes
    from klimit.reports.frontier.figure import draw

    with doing(f"drawing {path}"):
        return figure_bytes(draw(findings), path)
