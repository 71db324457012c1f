"""Options that commands on samples share."""

from __future__ import annotations

from typing import Annotated

import typer

Prompt = Annotated[
    list[str] | None,
    typer.Option(metavar="COL", help="Column that tells prompts apart; repeat it for several."),
]
By = Annotated[
    str | None, typer.Option(metavar="COL", help="Column that tells policies in one file apart: step.")
]
KLEstimator = Annotated[
    str | None,
    typer.Option(
        "--kl-estimator", metavar="NAME", help="k1, k2, k3 or rao-blackwellised; by default the surest."
    ),
]
Logprob = Annotated[
    str | None, typer.Option(metavar="COL", help="Log-probability under the policy, if not 'logprob'.")
]
RefLogprob = Annotated[
    str | None,
    typer.Option("--ref-logprob", metavar="COL", help="Under the reference, if not 'ref_logprob'."),
]
TokenKL = Annotated[
    str | None, typer.Option("--token-kl", metavar="COL", help="Exact next-token KLs, if not 'token_kl'.")
]
SamplingLogprob = Annotated[
    str | None,
    typer.Option(
        "--sampling-logprob", metavar="COL", help="Under the policy, by a second engine: the noise floor."
    ),
]
Truncated = Annotated[
    str | None, typer.Option(metavar="COL", help="Whether cut at the token limit, if not 'truncated'.")
]
TokenMeans = Annotated[
    bool | None,
    typer.Option(
        "--token-means/--token-sums", help="Log-probabilities are means over tokens, or sums (the default)."
    ),
]
RewardMax = Annotated[
    float | None, typer.Option("--reward-max", metavar="X", help="Largest reward there is, if known.")
]
LowerIsBetter = Annotated[bool, typer.Option("--lower-is-better", help="Rewards are costs.")]
Level = Annotated[float, typer.Option(metavar="P", help="Cover of the intervals.")]
Json = Annotated[
    str | None, typer.Option("--json", metavar="PATH", help="Write all results as JSON; - for stdout.")
]
