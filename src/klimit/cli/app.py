"""The parser: which commands there are."""

from __future__ import annotations

from typing import Annotated

import typer

import klimit
from klimit.cli.audit import audit
from klimit.cli.demo import demo
from klimit.cli.ensemble import ensemble
from klimit.cli.experiment import experiment
from klimit.cli.frontier import frontier
from klimit.cli.hacking import hacking
from klimit.cli.lab import lab
from klimit.cli.logprob import logprob
from klimit.cli.prompts import prompts
from klimit.cli.report import report
from klimit.cli.sample import sample
from klimit.cli.score import score
from klimit.cli.train import train

app = typer.Typer(
    name="klimit",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _klimit(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    """How much reward any alignment method can buy for a given KL from the base model.

    The limit needs samples of the base model with their rewards, and no training.

    \b
    Examples:
      klimit demo
      klimit frontier samples.parquet
      klimit frontier samples.csv --reward score --kl 0.5,1 --plot limit.png
      klimit audit grpo.parquet --base base.parquet
      klimit hacking samples.parquet --proxy reward_model --gold human
      klimit ensemble samples.parquet --proxies rm_a,rm_b,rm_c --gold human
      klimit report base.parquet --policy grpo=grpo.parquet -o report.html
      klimit train rloo --model ./base --reward ./reward --prompts prompts.jsonl --beta 0.5 -o rloo
      klimit experiment lab-safety
    """
    if version:
        print(f"klimit {klimit.__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


app.command()(frontier)
app.command()(audit)
app.command()(hacking)
app.command()(ensemble)
app.command()(report)
app.command()(prompts)
app.command()(sample)
app.command()(score)
app.command()(logprob)
app.command()(train)
app.command()(experiment)
app.command()(lab)
app.command()(demo)
