"""What came out of an experiment in words: how near each method got to the limit, then every policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from klimit.experiments.recipe import Recipe
from klimit.experiments.results import Found, best_of_n_rows, rows_of, shares, value_of
from klimit.reports.audit.several import SeveralFindings
from klimit.reports.audit.several_text import parts_table
from klimit.reports.layout import table, wrap
from klimit.reports.numbers import percent, plural
from klimit.reports.values import Unit, share

Rows = Sequence[Mapping[str, Any]]


def summary(found: Found) -> str:
    """How near each method got to the limit, in 80 columns, ending in a newline."""
    recipe, rows, best = found.recipe, rows_of(found), best_of_n_rows(found.best_of_n)
    prompts = plural(found.audits[0].n_prompts, "held-out prompt")
    first = f"How near to the limit of {recipe.limit_reward}, on {prompts}? Gain over the most gain at the same KL:"
    lines = [wrap(first), *(wrap(f"  {line}", indent="    ") for line in _methods(recipe, rows, best))]
    if recipe.reward != recipe.limit_reward:
        lines.append(
            wrap(
                f"  trained on {recipe.reward}, of whose own limit they got "
                f"{_range([row['by_trained_reward'] for row in rows])}",
                indent="    ",
            )
        )
    parts = parts_table(SeveralFindings(found.audits))
    return "\n".join([*lines, "", *_table(rows, best, found), "", "Where their KL went, nats:", *parts, ""])


def _methods(recipe: Recipe, rows: Rows, best: Rows) -> list[str]:
    """One line a method."""
    lines = []
    if best:
        sizes = f"best-of-{best[0]['n']}" + (f" to {best[-1]['n']}" if len(best) > 1 else "")
        lines.append(f"{sizes}: {_range(best)}")
    for trainer in recipe.trainers:
        own = [row for row in rows if row["trainer"] == trainer]
        lines.append(
            f"{trainer}: {_range(own)} ({'one policy' if len(own) == 1 else f'{len(own)} policies'})"
        )
    return lines


def _range(rows: Rows) -> str:
    """The least and the largest share; how many are not known."""
    known = shares(rows)
    beyond = len(rows) - len(known)
    if not known:
        return "unknown: their KL is beyond the horizon of the base samples, or 0"
    low, high = percent(min(known)), percent(max(known))
    text = low if low == high else f"{low} to {high}"
    return text + (f", and {beyond} beyond the horizon of the base samples or at KL 0" if beyond else "")


def _table(rows: Rows, best: Rows, found: Found) -> list[str]:
    level = f"{100 * found.audits[0].level:g}%"
    named = [(f"best-of-{row['n']}", row) for row in best] + [(row["name"], row) for row in rows]
    kls = Unit.fitting(*(value_of(row, "kl") for _, row in named))
    gains = Unit.fitting(*(value_of(row, "gain") for _, row in named), signed=True)
    lines = [("", "KL, nats", f"gain [{level}]", "of the limit")]
    lines += [
        (
            name,
            kls.full(value_of(row, "kl")),
            gains.full(value_of(row, "gain")),
            share(value_of(row, "efficiency")),
        )
        for name, row in named
    ]
    return table(lines)
