"""What ``lab_cover.py`` draws again and again: the lab's quantities, exactly, and what a redraw makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

import klimit
from klimit.lab import Law, World
from klimit.lab.findings import BUDGETS, PARTS, QUANTITIES, SIZES
from klimit.lab.methods import Method, plans
from klimit.lab.runs import train_run
from klimit.lab.training import settled
from klimit.lab.world import Which
from klimit.testsystems import ProxyTables
from klimit.values import Value

PROMPTS, COMPLETIONS = 300, 64
METHODS = {
    name: Method(name, name, rate, schedule="linear", ppo_lambda=1.0)
    for name, rate in (("grpo", 3e-3), ("ppo", 3e-4))
}
STEPS = 150
ALONG = (0.25, 0.5, 1.0, 2.0, 3.0)  # nats, where a proxy's tilt is looked at
GAPS = (1.0, 0.3)  # betas, in units of gold's spread
GAINS = ("proxy_gain", "gold_gain")

Name = tuple[str, str, str]  # study, policy, quantity
Found = dict[Name, Value]


@dataclass(frozen=True, eq=False)
class Study:
    """What is known exactly, and what one redraw makes of it.

    Attributes:
        truths: by name.
        redraw: answers by name, from a seed; those that are refused are left out.
    """

    truths: dict[Name, float]
    redraw: Callable[[int], Found]


def limit_study(world: World, prompts: Which) -> Study:
    """The frontier and best-of-N."""
    truth = world.limit(prompts=prompts)
    curve = truth.best_of_n(SIZES)
    best = {"kl": curve.kl, "gain": curve.gain, "efficiency": curve.gain / truth.frontier(curve.kl)}
    budgets = [("frontier", f"limit at KL {kl:g}", "gain") for kl in BUDGETS]
    truths: dict[Name, float] = dict(zip(budgets, truth.frontier(BUDGETS).tolist(), strict=True))
    for i, n in enumerate(SIZES):
        truths |= {("best-of-N", f"best-of-{n}", name): float(best[name][i]) for name in QUANTITIES}

    def redraw(seed: int) -> Found:
        samples = truth.sample(PROMPTS, COMPLETIONS, seed=seed)
        limit = klimit.frontier(samples, kl=list(BUDGETS))
        curve = klimit.best_of_n(samples, n=list(SIZES), limit=limit)
        found = {name: _at(limit, "gain", i) for i, name in enumerate(budgets)}
        for i, n in enumerate(SIZES):
            found |= {("best-of-N", f"best-of-{n}", name): _at(curve, name, i) for name in QUANTITIES}
        return found

    return Study(truths, redraw)


def audit_study(world: World, prompts: Which, laws: dict[str, Law]) -> Study:
    """KL, gain, efficiency and the four parts of policies whose laws are known, by name; all in one audit."""
    tables = {name: world.audit(law, prompts=prompts) for name, law in laws.items()}
    truths = {
        ("audit", name, each): float(getattr(table, each))
        for name, table in tables.items()
        for each in (*QUANTITIES, *PARTS)
    }

    def redraw(seed: int) -> Found:
        drawn = {name: table.sample(PROMPTS, COMPLETIONS, seed=seed) for name, table in tables.items()}
        base = next(iter(drawn.values()))[1]  # the same in all
        found = {}
        for audit in klimit.audit({name: policy for name, (policy, _) in drawn.items()}, base=base):
            found |= {("audit", audit.name, each): getattr(audit, each) for each in QUANTITIES}
            if audit.parts is not None:
                found |= {("audit", audit.name, each): getattr(audit.parts, each) for each in PARTS}
        return {name: value for name, value in found.items() if value is not None}

    return Study(truths, redraw)


def hacking_study(world: World, prompts: Which, proxy: str) -> Study:
    """A proxy in gold's unit: its tilt, where gold turns down, gap and regret, and best-of-N by the proxy."""
    raw, spread = world.hacking(proxy, prompts), _spread(world, "gold", prompts)
    tables = ProxyTables(raw.base, raw.gold, raw.proxy * spread / _spread(world, proxy, prompts))
    betas = {f"{proxy} at beta {multiple:g} spreads": multiple * spread for multiple in GAPS}
    tilts = [f"{proxy} tilted to KL {kl:g}" for kl in ALONG]
    picks = [f"best-of-{n} by {proxy}" for n in SIZES]

    def named(threshold, along, selected, gap_at, at):  # exact or estimated, by the same names
        out = {("hacking", proxy, "threshold"): threshold}
        out |= {("hacking", tilt, name): at(along, name, i) for i, tilt in enumerate(tilts) for name in GAINS}
        for i, pick in enumerate(picks):
            out |= {("hacking", pick, name): at(selected, name, i) for name in ("kl", *GAINS)}
        for where, beta in betas.items():
            out |= {("hacking", where, name): value for name, value in gap_at(beta).items()}
        return out

    def exact_gap(beta: float) -> dict[str, float]:
        return {"gap": float(tables.gap(beta)), "regret": float(tables.regret(beta))}

    def redraw(seed: int) -> Found:
        samples = tables.sample(PROMPTS, COMPLETIONS, seed=seed)
        found = klimit.hacking(samples, proxy="proxy", gold="gold", kl=list(ALONG), n=list(SIZES))

        def gap(beta: float) -> dict[str, Value]:
            there = found.gap(beta=beta)
            return {"gap": there.gap, "regret": there.regret}

        return named(found.threshold, found, found.best_of_n, gap, _at)

    return Study(
        named(tables.threshold, tables.at_kl(ALONG), tables.best_of_n(SIZES), exact_gap, _exactly_at), redraw
    )


def _spread(world: World, reward: str, prompts: Which) -> float:
    return float(world.limit(reward, prompts).variance) ** 0.5


def _at(result: object, name: str, i: int) -> Value:
    return Value(*(float(getattr(result, f"{name}{end}")[i]) for end in ("", "_low", "_high")))


def _exactly_at(result: object, name: str, i: int) -> float:
    return float(getattr(result, name)[i])


def laws_of(world: World, multiple: float) -> dict[str, Law]:
    """The enumerated checkpoints of one beta, trained where they are not there yet."""
    found = {}
    for planned in plans(world, methods=list(METHODS), betas=[multiple], steps=STEPS):
        plan = replace(planned, method=METHODS[planned.method.name])
        with settled(plan.seed):
            folder = train_run(world, plan, print)
            kept = folder / "law.npy"
            if not kept.is_file():
                np.save(folder / "new.npy", world.enumerate(folder).logprob)
                (folder / "new.npy").replace(kept)
        found[f"{plan.method.name} at beta {multiple:g} spreads"] = Law(world.tree, np.load(kept))
    return found


JOBS: dict[str, tuple[Which, Callable[[World, Which], Study]]] = {
    "limit": ("held_out", limit_study),
    "audit at beta 1": ("held_out", lambda world, prompts: audit_study(world, prompts, laws_of(world, 1.0))),
    "audit at beta 0.3": (
        "held_out",
        lambda world, prompts: audit_study(world, prompts, laws_of(world, 0.3)),
    ),
    "hacking by rm_weak": ("held_out", lambda world, prompts: hacking_study(world, prompts, "rm_weak")),
    "hacking by rm_a": ("held_out", lambda world, prompts: hacking_study(world, prompts, "rm_a")),
    "limit of all prompts": ("all", limit_study),
    "audit at beta 0.1": (
        "held_out",
        lambda world, prompts: audit_study(world, prompts, laws_of(world, 0.1)),
    ),
}
