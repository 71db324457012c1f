"""``klimit report``: one page of the limit, policies, proxies and an ensemble, from files of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from klimit.cli import shared
from klimit.cli.outputs import STDOUT, check_outputs, deliver
from klimit.cli.parsing import taken_down
from klimit.cli.progress import doing

if TYPE_CHECKING:
    from klimit.reports.page.content import Content

_PAGES = (".html", ".htm")


def report(
    base: Annotated[
        list[str],
        typer.Argument(
            metavar="BASE", help="Samples of the base policy: Parquet, CSV or JSON lines; several, or globs."
        ),
    ],
    output: Annotated[str, typer.Option("-o", "--output", metavar="PATH", help="The page: .html.")],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE", help="Samples of a policy, to be audited; repeat it for several."
        ),
    ] = None,
    reward: Annotated[
        str | None, typer.Option(metavar="COL", help="Reward column, where there is no gold.")
    ] = None,
    gold: Annotated[str | None, typer.Option(metavar="COL", help="The reward that is meant.")] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="COL", help="A reward optimised in place of gold; repeat it for several."),
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Of the page.")] = None,
    prompt: shared.Prompt = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="Condition that chooses rows of BASE: \"model = 'base'\"."),
    ] = None,
    policy_where: Annotated[
        str | None, typer.Option("--policy-where", metavar="SQL", help="The same for the policies.")
    ] = None,
    min_completions: Annotated[
        int, typer.Option("--min-completions", metavar="N", help="Leave out prompts with fewer completions.")
    ] = 1,
    by: shared.By = None,
    shared_prompts: Annotated[
        bool, typer.Option("--shared-prompts", help="Leave out prompts that a policy or BASE lacks.")
    ] = False,
    kl_estimator: shared.KLEstimator = None,
    logprob: shared.Logprob = None,
    ref_logprob: shared.RefLogprob = None,
    token_kl: shared.TokenKL = None,
    sampling_logprob: shared.SamplingLogprob = None,
    truncated: shared.Truncated = None,
    token_means: shared.TokenMeans = None,
    reward_max: shared.RewardMax = None,
    subsets: Annotated[
        int, typer.Option(metavar="N", help="Smaller ensembles of each size to try; 0 for none.")
    ] = 5,
    lower_is_better: shared.LowerIsBetter = False,
    level: shared.Level = 0.95,
    seed: Annotated[int, typer.Option(metavar="S", help="Of random blocks, subsets and folds.")] = 0,
    json: shared.Json = None,
) -> None:
    """Write one HTML page to send to others: the limit, what policies got of it, where proxies are hacked.

    The page needs no other file and no network. It names files without their folders, each with its hash.

    \b
    Examples:
      klimit report samples.parquet -o report.html
      klimit report base.parquet --policy grpo=grpo.parquet --policy ppo=ppo.parquet -o report.html
      klimit report samples.parquet --gold human --proxy rm_a --proxy rm_b -o report.html --json report.json
    """
    from klimit.errors import InputError
    from klimit.reports.page.question import as_policies

    if not output.lower().endswith(_PAGES):
        raise InputError(f"-o {output}: the name must end in {' or '.join(_PAGES)}")
    options: dict[str, Any] = {
        "reward": reward,
        "gold": gold,
        "proxy": proxy or None,
        "title": title,
        "prompt": prompt or None,
        "where": where,
        "policy_where": policy_where,
        "min_completions": min_completions,
        "by": by,
        "shared_prompts": shared_prompts,
        "kl_estimator": kl_estimator,
        "logprob": logprob,
        "ref_logprob": ref_logprob,
        "token_kl": token_kl,
        "sampling_logprob": sampling_logprob,
        "truncated": truncated,
        "token_means": token_means,
        "reward_max": reward_max,
        "subsets": subsets,
        "lower_is_better": lower_is_better,
        "level": level,
        "seed": seed,
    }
    policies = as_policies(policy or ())
    check_outputs({"-o": output, "--json": json}, {}, inputs=[*base, *policies.values()])
    content = find(base, policies, options, output)
    results = None if json is None else _json(content, {"base": base, "policy": policy or [], **options})
    contents = {output: _page(content, output)}
    if results is not None and json != STDOUT:
        contents[str(json)] = results.encode()
    from klimit.reports.page.text import page_words

    stdout = results if json == STDOUT else None
    deliver(contents, notes=content.read, words=page_words(content), stdout=stdout)


def find(
    base: Sequence[str], policies: Mapping[str, str], options: Mapping[str, Any], output: str
) -> Content:
    """Read, estimate and audit; see :func:`klimit.report` for the options."""
    from klimit.reports.page.gather import gather
    from klimit.reports.page.provenance import command_line
    from klimit.reports.page.question import question

    asked = question(list(base), policies=policies, **options)
    command = command_line(base, policies, options, output)
    with taken_down():  # the page says its warnings itself
        return gather(asked, command=command, watch=doing)


def _page(content: Content, path: str) -> bytes:
    from klimit.reports.page.report import Report

    with doing(f"drawing {path}"):
        return Report(content).data


def _json(content: Content, options: dict[str, Any]) -> str:
    from klimit.reports.frontier.payload import to_json
    from klimit.reports.page.payload import page_payload

    return to_json(page_payload(content, options=options))
