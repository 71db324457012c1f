"""What the reader of an ensemble must know besides the numbers: one line each."""

from __future__ import annotations

import numpy as np

from klimit.audits.measured import Array
from klimit.ensembles.collocation import Collocation, NoCollocation
from klimit.ensembles.errors import ErrorStructure
from klimit.ensembles.weights import BestWeights
from klimit.samples.container import Samples

_SAME = 1e-9
_REJECTED = 0.05
_FEW_PROMPTS = 20
_FEW_COMPLETIONS = 16


def warnings_of(
    collocation: Collocation | NoCollocation,
    covariance: Array,
    names: tuple[str, ...],
    errors: ErrorStructure | None,
    weights: BestWeights | None,
    data: Samples,
) -> list[str]:
    """Limitations that change how the ensemble may be used."""
    lines = [*_same(covariance, names), *_against(covariance, names)]
    if isinstance(collocation, NoCollocation):
        lines.append(collocation.reason)
    else:
        lines += _of_collocation(collocation)
    if errors is not None:
        lines += _of_errors(errors, names)
        if data.counts.min() < _FEW_COMPLETIONS:
            lines.append(
                f"some prompts have only {data.counts.min()} completions: standardising by fewer than "
                f"{_FEW_COMPLETIONS} leaves a bias in the errors that their intervals do not hold"
            )
        if weights is None:
            lines.append(
                "no best weights: the proxies depend linearly on each other, or there are fewer than ten prompts"
            )
    if data.n_prompts < _FEW_PROMPTS:
        lines.append(f"{data.n_prompts} prompts are few for intervals about a population of them")
    return lines


def _same(covariance: Array, names: tuple[str, ...]) -> list[str]:
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    rows, columns = np.triu_indices(len(names), 1)
    return [
        f"{names[i]} and {names[j]} are the same within prompts but for their unit: they count as one opinion twice"
        for i, j in zip(rows, columns, strict=True)
        if correlation[i, j] > 1 - _SAME
    ]


def _against(covariance: Array, names: tuple[str, ...]) -> list[str]:
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    rest = (correlation.sum(axis=1) - 1) / (len(names) - 1)
    against = [name for name, mean in zip(names, rest, strict=True) if mean < 0]
    if not against:
        return []
    verb = "runs" if len(against) == 1 else "run"
    return [
        f"{', '.join(against)} {verb} against the other proxies within prompts; if lower is better there, change the "
        "sign"
    ]


def _of_collocation(found: Collocation) -> list[str]:
    lines = []
    beyond = [name for name, one in zip(found.proxies, found.reliability, strict=True) if one.estimate > 1]
    if beyond:
        lines.append(
            f"collocation: reliability above 1 ({', '.join(beyond)}): some proxies share an error that others do not "
            "have, or the samples are too few"
        )
    if found.test is not None and found.test.p_value < _REJECTED:
        lines.append(
            "collocation: one truth with independent errors does not explain the proxies' correlations "
            f"(p = {found.test.p_value:.2g}): some share an error that others do not have; its reliabilities are not "
            "to be trusted"
        )
    clear = sum(0.0 not in one for one in found.correlation)
    if clear < 3:
        lines.append(
            "collocation: fewer than three proxies clearly have anything in common, which is too little to tell their "
            "reliabilities"
        )
    return lines


def _of_errors(errors: ErrorStructure, names: tuple[str, ...]) -> list[str]:
    down = [name for name, one in zip(names, errors.correlation, strict=True) if one.estimate <= 0]
    if not down:
        return []
    verb = "does" if len(down) == 1 else "do"
    return [f"{', '.join(down)} {verb} not rise with gold within prompts"]
