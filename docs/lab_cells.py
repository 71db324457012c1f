"""Rows and cells of the page on the lab, from the files beside it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("lab.md")
RESULTS = PAGE.with_name("lab")
WORLDS = ("safety", "summarization")
PARTS = ("necessary", "allocation", "shape", "off_reward")
Found = dict[str, Any]


def result(name: str) -> Found:
    """What ``klimit lab`` wrote into a file."""
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


def results(suffix: str = "") -> dict[str, Found]:
    """The files of both worlds."""
    return {world: result(f"{world}{suffix}") for world in WORLDS}


# Rows.


def best(found: Found) -> list[Found]:
    """Best-of-N."""
    return [row for row in found["policies"] if row["kind"] == "best-of-n"]


def runs(found: Found, kind: str | None = None) -> list[Found]:
    """Trained policies: all, or those of one kind."""
    return [row for row in found["policies"] if row["kind"] != "best-of-n" and kind in (None, row["kind"])]


def kinds(found: Found) -> list[str]:
    """How policies were trained."""
    return list(dict.fromkeys(row["kind"] for row in runs(found)))


def trained_on(rows: Iterable[Found]) -> list[Found]:
    """The same on the prompts trained on."""
    return [row["on_training_prompts"] for row in rows]


# Cells.


def percents(rows: Iterable[Found]) -> str:
    """Shares of the limit, from the lowest to the highest."""
    low, *_, high = sorted([row["efficiency"] for row in rows] * 2)
    return span(low, high)


def span(low: float, high: float) -> str:
    """A range of shares."""
    ends = f"{100 * low:.1f}", f"{100 * high:.1f}"
    return f"{ends[0]}%" if ends[0] == ends[1] else f"{'-'.join(ends)}%"


def listed(values: Iterable[float]) -> str:
    """Numbers of reward."""
    return ", ".join(f"{value:.2f}" for value in values)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of the page."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * (lines[0].count(" | ") + 1), *lines[1:]])


def policy_cells(row: Found) -> list[str]:
    """One policy."""
    cells = [row["name"], f"{row['kl']:.2f}", f"{row['gain']:.3f}", f"{100 * row['efficiency']:.1f}%"]
    cells += [f"{row['parts'][part]:.3f}" for part in PARTS]
    if "objective" not in row:
        return [*cells, "", "", ""]
    there, objective = row["on_training_prompts"], row["objective"]
    ends = [f"{100 * objective['share']:.1f}%", f"{100 * objective['change']:+.1f}"]
    return [*cells, f"{100 * there['efficiency']:.1f}%", *ends]


def proxy_cells(row: Found) -> list[str]:
    """One proxy."""
    gained = [f"{100 * at['gain'] / at['limit']:.0f}%" for at in row["at_kl"].values()]
    peak = "never" if row["peak_kl"] is None else f"{row['peak_kl']:.2f}"
    return [row["name"], f"{row['correlation']:.2f}", *gained, peak]


def seed_cells(row: Found) -> list[str]:
    """One of them."""
    name = row["name"] if row["seed"] else f"{row['name']}, seed 0"
    there = row["on_training_prompts"]
    return [name, f"{row['kl']:.2f}", *(f"{100 * each['efficiency']:.1f}%" for each in (row, there))]
