"""``klimit hacking``: up to which KL optimising a proxy helps gold, from a file of samples scored by both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from klimit.cli import shared
from klimit.cli.outputs import STDOUT, check_outputs, deliver
from klimit.cli.parsing import numbers, taken_down, whole_numbers
from klimit.cli.progress import doing

if TYPE_CHECKING:
    from klimit.proxies.result import Hacking
    from klimit.reports.hacking.findings import HackingFindings
    from klimit.samples import Samples


def hacking(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="Samples: Parquet, CSV or JSON lines; several, or globs."),
    ],
    proxy: Annotated[str, typer.Option(metavar="COL", help="The reward that is optimised.")],
    gold: Annotated[
        str,
        typer.Option(metavar="COL", help="The reward that is meant; null where a completion has no label."),
    ],
    kl: Annotated[
        str | None, typer.Option(metavar="K,K", help="KL budgets, nats per completion: 0.25,0.5,1.")
    ] = None,
    n: Annotated[str | None, typer.Option("--n", metavar="N,N", help="N of best-of-N: 4,16,64.")] = None,
    prompt: shared.Prompt = None,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Condition that chooses rows: \"policy = 'cot'\".")
    ] = None,
    min_completions: Annotated[
        int, typer.Option("--min-completions", metavar="N", help="Leave out prompts with fewer completions.")
    ] = 1,
    lower_is_better: Annotated[
        bool, typer.Option("--lower-is-better", help="Both rewards are costs.")
    ] = False,
    level: shared.Level = 0.95,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the random blocks of samples.")] = 0,
    json: shared.Json = None,
    plot: Annotated[
        str | None, typer.Option(metavar="PATH", help="Draw gold along the tilt: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Say up to which KL, beta or N optimising a proxy reward still helps the reward that is meant.

    One row of FILE is a completion of the base model with its proxy reward and, for all or some, its gold reward.

    \b
    Examples:
      klimit hacking samples.parquet --proxy reward_model --gold human
      klimit hacking samples.csv --proxy rm --gold label --plot hacking.png
      klimit hacking 'runs/*.jsonl' --proxy rm --gold pass --kl 0.5,1 --n 4,16 --json -
    """
    budgets = numbers(kl, "--kl", example="0.25,0.5,1")
    sizes = whole_numbers(n, "--n", example="4,16,64")
    check_outputs({"--json": json}, {"--plot": plot}, inputs=files)
    options: dict[str, Any] = {
        "proxy": proxy,
        "gold": gold,
        "kl": budgets,
        "n": sizes,
        "prompt": prompt or None,
        "where": where,
        "min_completions": min_completions,
        "lower_is_better": lower_is_better,
        "level": level,
        "seed": seed,
    }
    findings, samples = find(files, **options)
    results = None if json is None else _json(findings, {"files": files, **options})
    contents = {} if results is None or json == STDOUT else {str(json): results.encode()}
    if plot is not None:
        contents[plot] = _figure(findings, samples, plot)
    from klimit.reports.hacking.text import hacking_report

    stdout = results if json == STDOUT else None
    deliver(contents, notes=samples.notes, words=hacking_report(findings), stdout=stdout)


def find(
    files: Sequence[str],
    *,
    proxy: str,
    gold: str,
    kl: list[float] | None = None,
    n: list[int] | None = None,
    prompt: list[str] | None = None,
    where: str | None = None,
    min_completions: int = 1,
    lower_is_better: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[HackingFindings, Samples]:
    """Read, estimate and choose what to report; see :func:`klimit.hacking` for the options."""
    from klimit.errors import InputError
    from klimit.limit.options import check_budgets, check_options

    check_options(budget="average", level=level, target="population", estimator="extrapolated", seed=seed)
    if kl is not None:
        check_budgets(kl)
    if proxy == gold:
        raise InputError(f"--proxy and --gold are both {proxy!r}; name two columns")
    with doing(f"reading {files[0]}"):
        from klimit.samples import read_samples

        samples = read_samples(
            list(files),
            rewards=[proxy],
            labels=[gold],
            prompt=prompt,
            where=where,
            audit=False,
            lower_is_better=lower_is_better,
        ).at_least(min_completions)
    found = _found(samples, proxy, gold, kl=kl, n=n, level=level, seed=seed)
    from klimit.reports.hacking.findings import HackingFindings

    return HackingFindings(found, asked=kl is not None, asked_sizes=n is not None), samples


def _found(samples: Samples, proxy: str, gold: str, **options: Any) -> Hacking:
    with doing(f"tilting {samples.n_completions:,} completions by {proxy}"):
        import klimit

        with taken_down():  # the report says its warnings itself
            return klimit.hacking(samples, proxy=proxy, gold=gold, **options)


def _json(findings: HackingFindings, options: dict[str, Any]) -> str:
    from klimit.reports.frontier.payload import to_json
    from klimit.reports.hacking.payload import hacking_payload

    return to_json(hacking_payload(findings, options=options))


def _figure(findings: HackingFindings, samples: Samples, path: str) -> bytes:
    from klimit.reports.axes import figure_bytes
    from klimit.reports.hacking.figure import draw_hacking
    from klimit.reports.hacking.findings import HackingFindings

    found = findings.found
    if findings.asked:  # the budgets asked for are too few for a curve
        found = _found(
            samples, found.proxy_name, found.gold_name, level=found.level, seed=found.proxy_limit.seed
        )
    with doing(f"drawing {path}"):
        return figure_bytes(draw_hacking(HackingFindings(found)), path)
