"""``klimit demo`` with the core alone: the main job, as a user would do it, on samples whose truth is known."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from klimit.cli.progress import doing

if TYPE_CHECKING:
    from klimit.reports.frontier.findings import Findings
    from klimit.samples import Samples
    from klimit.testsystems import TestSystem

_N_PROMPTS, _N_COMPLETIONS, _SEED = 2000, 32, 0
_ABOUT = f"""\
A made-up reward model scores {_N_COMPLETIONS} completions of each of {_N_PROMPTS:,} prompts. One in
ten is of a better kind; prompts differ in level and spread. The true limit is
known, but klimit sees only the samples.

$ klimit frontier samples.parquet
"""


def demo_samples(plot: str) -> None:
    """Estimate the limit of made-up samples, beside the truth.

    Args:
        plot: where the figure goes.
    """
    from klimit.cli.frontier import find
    from klimit.reports.frontier.text import report
    from klimit.testsystems import GaussianMixture

    system = GaussianMixture((0.0, 3.0), (1.0, 0.5), (0.9, 0.1), scale=(0.5, 1.5), location_sd=1.0)
    with doing("drawing samples"):
        samples = system.sample(_N_PROMPTS, _N_COMPLETIONS, seed=_SEED)
    print(_ABOUT)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "samples.parquet"
        _write(samples, file)
        findings = find([str(file)])
    print(report(findings))
    print(comparison(findings, system))
    _draw(findings, system, plot)
    print(f"Figure: {plot}")


def comparison(findings: Findings, system: TestSystem) -> str:
    """The truth beside the estimate and beside the naive one, which takes the samples for the policy."""
    from klimit.reports.numbers import kl_text

    form = findings.numbers
    points = [point for point in findings.points if point.status == "estimate"]
    budgets = [point.kl for point in points]
    truth = system.frontier(budgets)
    lines = [
        "The same beside the truth. Naive: the samples taken for the policy itself.",
        f"{'KL, nats':10}{'truth':8}{'klimit':30}naive",
    ]
    for point, true, naive in zip(points, truth, _naive(findings, budgets), strict=True):
        cells = [
            f"{form.estimate(*three)} {'covers' if three[1] <= true <= three[2] else 'misses'}"
            for three in ((point.gain, point.gain_low, point.gain_high), naive)
        ]
        lines.append(f"{kl_text(point.kl):10}{form.gain(true):8}{cells[0]:30}{cells[1]}")
    return "\n".join([*lines, ""])


def _naive(findings: Findings, kl: list[float]) -> list[tuple[float, float, float]]:
    """The plug-in limit and its interval at each budget, with no regard to any horizon."""
    import numpy as np

    import klimit

    limit = klimit.frontier(findings.limit.samples, estimator="plug-in")
    assert limit.engine is not None
    estimates = limit.inference.estimate(limit.engine.levels(np.array(kl)))
    arrays = [limit.rewards.scale * x for x in (estimates.value, estimates.low, estimates.high)]
    return [(float(value), float(low), float(high)) for value, low, high in zip(*arrays, strict=True)]


def _write(samples: Samples, file: Path) -> None:
    """The samples as a Parquet file, one row a completion."""
    import duckdb
    import numpy as np

    prompt_id = np.repeat(samples.prompt_ids, samples.counts)
    sample_id = np.tile(np.arange(_N_COMPLETIONS), samples.n_prompts)
    reward = samples.reward()
    with duckdb.connect() as connection:
        connection.register("arrays", {"prompt_id": prompt_id, "sample_id": sample_id, "reward": reward})
        connection.table("arrays").write_parquet(str(file))


def _draw(findings: Findings, system: TestSystem, path: str) -> None:
    import numpy as np

    from klimit.reports.axes import save_figure
    from klimit.reports.frontier.figure import plot_frontier
    from klimit.reports.frontier.verdict import title
    from klimit.testsystems import Curve

    with doing(f"drawing {path}"):
        end = 1.5 * max(findings.limit.horizon, float(findings.best.kl_high.max()))
        kl = np.linspace(0, np.sqrt(end), 200)[1:] ** 2
        axes = plot_frontier(
            findings.limit,
            best_of_n=findings.best,
            truth=Curve(kl, system.frontier(kl)),
            title=title(findings),
        )
        figure: Any = axes.figure
        save_figure(figure, path)
