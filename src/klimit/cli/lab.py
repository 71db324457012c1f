"""``klimit lab``: a small world's exact limit, best-of-N and trained policies, beside what klimit estimates."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from klimit.cli import models
from klimit.cli.outputs import STDOUT, check_outputs, deliver
from klimit.cli.progress import doing

_PROMPTS = {"held-out": "held_out", "train": "train", "all": "all"}
_FULL_BETAS, _FULL_SEEDS = (1.0, 0.3, 0.1, 0.03), 3
_FULL_METHODS, _FULL_PROXIES = ("grpo", "grpo-trl", "rloo", "ppo"), ("rm_a", "rm_weak")


def lab(
    world: Annotated[str, typer.Argument(metavar="WORLD", help="safety or summarization.")],
    prompts: Annotated[
        str, typer.Option(metavar="WHICH", help="held-out, train or all of its prompts.")
    ] = "held-out",
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train policies, or show limit and best-of-N alone.")
    ] = True,
    methods: Annotated[
        str | None,
        typer.Option(metavar="M,...", help="grpo, ppo, rloo, grpo-trl, ppo-lambda.", show_default="grpo,ppo"),
    ] = None,
    betas: Annotated[
        str | None,
        typer.Option(
            metavar="B,...", help="In units of the reward's spread within prompts.", show_default="1,0.3,0.1"
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Runs of each method and beta.", show_default="1")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Of each run; 256 completions a step.", show_default="300")
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="4 betas, 3 seeds, four methods, curves, and training on two of the proxies."
        ),
    ] = False,
    curves: Annotated[
        bool, typer.Option("--curves", help="Enumerate the policies along the runs of the first seed too.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the world, and of the samples.")] = 0,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Where worlds and runs are kept.", show_default="KLIMIT_CACHE, or the user's"
        ),
    ] = None,
    json: Annotated[
        str | None, typer.Option("--json", metavar="PATH", help="Write all results as JSON; - for stdout.")
    ] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FIGURE", help="Draw the plane: .png, .svg or .pdf.")
    ] = None,
    plot_curves: Annotated[
        str | None,
        typer.Option(
            metavar="FIGURE", help="Draw what is missed, by completions drawn and by KL; with --curves."
        ),
    ] = None,
) -> None:
    """Train policies in a small world of language models, and hold them against its exact limit.

    GRPO and PPO train the world's base model on the rule that is its gold reward; every completion of the models is
    enumerated, so that limit, best-of-N, and KL, gain and parts of every policy are exact, on held-out prompts first.
    Nothing is downloaded; world and runs are kept, and what is done is not done again. Needs the extra ppo, or train
    for the other methods; with --no-train the extra lm.

    \b
    Examples:
      klimit lab safety
      klimit lab summarization --json lab.json --plot lab.png
      klimit lab safety --methods rloo --betas 0.3 --steps 150
      klimit lab safety --plot-curves curves.png
      klimit lab safety --no-train
    """
    from klimit.errors import InputError

    if prompts not in _PROMPTS:
        raise InputError(f"--prompts {prompts}: choose one of {', '.join(_PROMPTS)}")
    if not train and (full or curves or plot_curves):
        raise InputError("--full, --curves and --plot-curves are of training; leave out --no-train")
    check_outputs({"--json": json}, {"--plot": plot, "--plot-curves": plot_curves}, inputs=[])
    chosen = _chosen(methods, betas, seeds, steps, full=full)
    if train:
        _check(chosen)
    opened = open_it(world, seed=seed, cache=cache)
    trained = (
        _train(
            opened,
            chosen,
            _PROMPTS[prompts],
            seed,
            proxies=_FULL_PROXIES if full else (),
            curves=full or curves or plot_curves is not None,
        )
        if train
        else ()
    )
    findings = find(opened, _PROMPTS[prompts], seed=seed)
    proxies = _proxies(opened, _PROMPTS[prompts], chosen["betas"]) if train else ()
    from klimit.reports.frontier.payload import to_json
    from klimit.reports.lab.payload import lab_payload
    from klimit.reports.lab.text import lab_report

    results = None if json is None else to_json(lab_payload(findings, trained, proxies))
    contents = {} if results is None or json == STDOUT else {str(json): results.encode()}
    for path, draw in ((plot, _plane), (plot_curves, _curves)):
        if path is not None:
            contents[path] = draw(findings, trained, path)
    stdout = results if json == STDOUT else None
    deliver(contents, notes=[], words=lab_report(findings, trained, proxies), stdout=stdout)


def _chosen(
    methods: str | None, betas: str | None, seeds: int | None, steps: int | None, *, full: bool
) -> dict[str, Any]:
    """What is trained: what was asked for, else the short or the full study."""
    from klimit.cli.parsing import numbers
    from klimit.lab.methods import BETAS, DEFAULT, STEPS

    named = tuple(methods.split(",")) if methods is not None else _FULL_METHODS if full else DEFAULT
    return {
        "methods": named,
        "betas": numbers(betas, "--betas", example="1,0.3,0.1") or (_FULL_BETAS if full else BETAS),
        "seeds": seeds if seeds is not None else _FULL_SEEDS if full else 1,
        "steps": steps if steps is not None else STEPS,
    }


def _check(chosen: dict[str, Any]) -> None:
    """Refuse what cannot be trained, or not with what is installed, before a world is built."""
    from klimit.lab.methods import METHODS, check
    from klimit.training.checks import trainer_of

    check(**chosen)
    for name in chosen["methods"]:
        trainer_of(METHODS[name].algorithm)


def _train(
    opened: Any, chosen: dict[str, Any], prompts: Any, seed: int, *, proxies: tuple[str, ...], curves: bool
) -> Any:
    """Train and audit; the proxies with one seed, by the methods of the short study."""
    from klimit.lab.findings import Drawn
    from klimit.lab.methods import DEFAULT, plans
    from klimit.lab.study import study

    made = plans(opened, **chosen)
    if proxies:
        made += plans(opened, **{**chosen, "methods": DEFAULT, "seeds": 1}, rewards=proxies)
    with models.resumable():
        return study(
            opened, made, prompts=(prompts, "train"), drawn=Drawn(seed=seed), curves=curves, say=models.say
        )


def _proxies(opened: Any, prompts: Any, betas: Any) -> Any:
    """What optimising the world's proxies costs in gold."""
    from klimit.lab.proxies import proxy_rows

    with doing("following the proxies' tilts"):
        return proxy_rows(opened, prompts=prompts, betas=betas)


def _plane(findings: Any, trained: Any, path: str) -> bytes:
    from klimit.reports.axes import figure_bytes
    from klimit.reports.lab.figure import draw_lab

    return figure_bytes(draw_lab(findings, trained), path)


def _curves(findings: Any, trained: Any, path: str) -> bytes:
    from klimit.reports.axes import figure_bytes
    from klimit.reports.lab.curves import draw_curves

    return figure_bytes(draw_curves(findings, trained), path)


def open_it(world: str, *, seed: int, cache: str | None) -> Any:
    """Open the world, building it where it is not kept."""
    from klimit.lab import Recipe, open_world

    return open_world(Recipe(world, seed=seed), cache=cache, say=models.say)


def find(opened: Any, prompts: Any, *, seed: int) -> Any:
    """Its limit and best-of-N, exact and estimated."""
    from klimit.lab.findings import Drawn
    from klimit.lab.findings import find as find_in

    with doing(f"weighing {opened.tree.n_leaves:,} completions a prompt"):
        return find_in(opened, prompts=prompts, drawn=Drawn(seed=seed))
