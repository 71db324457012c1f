"""The numbers of the page on the lab, from the files beside it: ``python docs/lab_tables.py`` fills them in anew.

Each stands in ``lab.md`` between ``<!-- NAME -->`` and ``<!-- end -->``.
"""

import csv
import re
from collections.abc import Callable

from lab_cells import (
    PAGE,
    PARTS,
    Found,
    best,
    kinds,
    listed,
    percents,
    policy_cells,
    proxy_cells,
    result,
    results,
    runs,
    seed_cells,
    table,
    trained_on,
)  # fmt: skip

# What stands in the page.


def shares(found: dict[str, Found]) -> str:
    """Of the limit, by world and prompts."""
    names = kinds(found["safety"])
    rows = []
    for world, each in found.items():
        mine = [runs(each, kind) for kind in names]
        rows.append([f"{world}, held-out prompts", percents(best(each)), *map(percents, mine)])
        rows.append([f"{world}, prompts trained on", "", *(percents(trained_on(of)) for of in mine)])
    return table(["of the exact limit at its own KL", "best-of-2 to 32", *map(str.upper, names)], rows)


def policies(found: Found) -> str:
    """Every policy on held-out prompts, how much it got on those trained on, and whether its run came to rest."""
    head = ["", "KL", "gain", "of the limit", *(part.replace("_", "-") for part in PARTS)]
    head += ["of the limit, trained on", "objective", "last 100 steps"]
    return table(head, map(policy_cells, found["policies"]))


def proxies(found: Found) -> str:
    """Gold gained by tilting to each proxy, of the most that gold could gain."""
    rows = found["proxies"]
    head = ["", "correlation", *(f"KL {kl}" for kl in rows[0]["at_kl"]), "gold turns at"]
    return table(head, map(proxy_cells, rows))


def middle(found: Found) -> list[Found]:
    """The curves at the middle beta."""
    betas = sorted({curve["beta"] for curve in found["curves"]})
    return [curve for curve in found["curves"] if curve["beta"] == betas[len(betas) // 2]]


def curves(found: dict[str, Found]) -> str:
    """Of the limit by completions drawn, at the middle beta."""
    points = middle(found["safety"])[0]["points"]
    rows = []
    for which, name in (("held_out", "held-out"), ("train", "trained on")):
        for world, each in found.items():
            for curve in middle(each):
                along = (f"{100 * point[which]['efficiency']:.1f}%" for point in curve["points"])
                rows.append([f"{curve['kind'].upper()}, {world}, {name}", *along])
    return table(["completions drawn", *(f"{point['samples']:,}" for point in points)], rows)


def rest(found: dict[str, Found]) -> str:
    """How many runs came to rest."""
    every = [row for each in found.values() for row in runs(each)]
    moving = [row for row in every if not row["objective"]["settled"]]
    steps = every[0]["training"]["steps"]
    said = f"{len(every) - len(moving)} of {len(every)} runs changed their objective by under 1% of its optimum in the "
    said += f"last 100 of {steps} steps"
    if not moving:
        return f"{said}."
    most = max(abs(row["objective"]["change"]) for row in moving)
    return f"{said}; the others by up to {100 * most:.1f}%."


def estimates(found: dict[str, Found]) -> str:
    """How many of klimit's intervals hold what is exact."""
    held = [
        value["low"] <= row[name] <= value["high"]
        for each in found.values()
        for row in each["policies"]
        for name, value in row["estimates"].items()
        if name != "parts" and value is not None
    ]
    drawn, missed = found["safety"]["estimates_from"], held.count(False)
    hold = f"all but {missed} hold" if missed else "all hold"
    return (
        f"Of {len(held)} intervals (KL, gain and efficiency of every policy on held-out prompts, nominal 95%, from "
        f"{drawn['n_prompts']} prompts with {drawn['n_completions']} completions), {hold} the exact number."
    )


def claims(found: dict[str, Found]) -> str:
    """What the paper says, beside what was measured."""
    names, betas = kinds(found["safety"]), f"at beta {multiples(found)} spreads"

    def row(words: str, number: Callable[[Found], str]) -> list[str]:
        return [words, *map(number, found.values())]

    rows = [
        row("best-of-N is close to the limit: its share, N = 2 to 32, held-out", lambda f: percents(best(f)))
    ]
    for kind in names:
        words = f"{kind.upper()} is below it: its share, held-out; on prompts trained on"
        rows.append(
            row(words, lambda f, k=kind: f"{percents(runs(f, k))}; {percents(trained_on(runs(f, k)))}")
        )
    for kind in names:
        words = f"the gap grows as beta falls: {kind.upper()}'s missing reward {betas}, held-out"
        rows.append(row(words, lambda f, k=kind: listed(missing(f, k))))
    team = "rm_a+rm_b+rm_c"
    for words, name, what in (
        ("likewise gold lost by tilting to the proxy `rm_a` in place of gold", "rm_a", "gap"),
        ("its regret", "rm_a", "regret"),
        (
            "the gap grows with the proxy's error: `rm_weak`, of fewer and noisier preferences",
            "rm_weak",
            "gap",
        ),
        ("an ensemble narrows it: the mean of three", team, "gap"),
    ):
        rows.append(row(f"{words}, {betas}", lambda f, n=name, w=what: listed(at(f, n, w))))
    for words, name in (("`rm_a`", "rm_a"), ("the mean of three", team)):
        rows.append(row(f"{words}: gold gained, of the limit, at KL 1 and 3", lambda f, n=name: gained(f, n)))
    return table(["claim", *found], rows)


def multiples(found: dict[str, Found]) -> str:
    """Betas in units of the spread."""
    return ", ".join(
        f"{row['beta_in_spreads']:g}" for row in runs(found["safety"], kinds(found["safety"])[0])
    )


def missing(found: Found, kind: str) -> list[float]:
    """Reward missed, by beta."""
    return [row["limit_gain"] - row["gain"] for row in runs(found, kind)]


def at(found: Found, name: str, what: str) -> list[float]:
    """A proxy's gap or regret, by beta."""
    (row,) = (row for row in found["proxies"] if row["name"] == name)
    return [each[what] for each in row["at_beta"].values()]


def gained(found: Found, name: str) -> str:
    """Gold gained by a proxy's tilt, of the limit."""
    (row,) = (row for row in found["proxies"] if row["name"] == name)
    return ", ".join(
        f"{100 * row['at_kl'][kl]['gain'] / row['at_kl'][kl]['limit']:.0f}%" for kl in ("1", "3")
    )


def variants(more: dict[str, Found], found: dict[str, Found]) -> str:
    """Other ways to train, beside the two, at the same beta."""
    rows = []
    for world, each in more.items():
        beta = runs(each)[0]["beta_in_spreads"]
        both = [row for row in runs(found[world]) if row["beta_in_spreads"] == beta]
        rows += [[world, *policy_cells(row)] for row in (*both, *runs(each))]
    head = ["", "", "KL", "gain", "of the limit", *(part.replace("_", "-") for part in PARTS)]
    return table([*head, "of the limit, trained on", "objective", "last 100 steps"], rows)


def seeds(found: Found) -> str:
    """The same runs with several seeds."""
    return table(["", "KL", "of the limit", "of the limit, trained on"], map(seed_cells, runs(found)))


def rates() -> str:
    """The search of learning rates: the objective reached, of its optimum."""
    with (PAGE.parents[1] / "benchmarks" / "lab_search.csv").open(encoding="utf-8") as file:
        found = {(row["method"], float(row["learning_rate"])): row for row in csv.DictReader(file)}
    every = sorted({rate for _, rate in found})
    rows = []
    for method in dict.fromkeys(method for method, _ in found):
        got = {
            rate: float(found[method, rate]["objective_share"]) for rate in every if (method, rate) in found
        }
        shown = {rate: f"{100 * share:.1f}%" for rate, share in got.items()}
        chosen = max(got, key=lambda rate: got[rate])
        shown[chosen] = f"**{shown[chosen]}**"
        rows.append([method.upper(), *(shown.get(rate, "") for rate in every)])
    return table(["learning rate", *(f"{rate:.0e}".replace("e-0", "e-") for rate in every)], rows)


def schedules() -> str:
    """Objective by steps and schedule, of its optimum."""
    with (PAGE.parents[1] / "benchmarks" / "lab_rest.csv").open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    runs_of = dict.fromkeys((row["method"], int(row["steps"]), row["schedule"]) for row in found)
    after = sorted({int(row["after_step"]) for row in found})
    rows = []
    for run in runs_of:
        mine = [row for row in found if (row["method"], int(row["steps"]), row["schedule"]) == run]
        got = {int(row["after_step"]): float(row["objective_share"]) for row in mine}
        name = f"{run[0].upper()}, {run[1]} steps, {run[2]}"
        rows.append([name, *(f"{100 * got[step]:.1f}%" if step in got else "" for step in after)])
    return table(["after step", *map(str, after)], rows)


def contents() -> dict[str, Callable[[], str]]:
    """What stands at each name."""
    found = results()
    of_one = {
        f"{name} {world}": (lambda make=make, each=each: make(each))
        for name, make in (("policies", policies), ("proxies", proxies))
        for world, each in found.items()
    }
    of_all = {
        make.__name__: (lambda make=make: make(found)) for make in (shares, curves, rest, estimates, claims)
    }
    more = {
        "rates": rates,
        "schedules": schedules,
        "variants": lambda: variants(results("-variants"), found),
        "seeds": lambda: seeds(result("safety-seeds")),
    }
    return {**of_one, **of_all, **more}


def filled(page: str) -> str:
    """The page with all of its numbers as they are on file."""
    made = contents()
    return re.sub(
        r"<!-- (?!end)([a-z ]+) -->\n.*?<!-- end -->",
        lambda mark: f"<!-- {mark[1]} -->\n{made[mark[1]]()}\n<!-- end -->",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
