"""Tables of the studies of cover, made from the files in benchmarks/ when the site is built.

``{cover-table} FILE`` with the options ``rows`` and ``columns`` (names of columns of the file), ``measure`` (the column
of covers) and, for covers given as shares, ``scale: 100``. A cell is the mean over what remains, and the lowest.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# What a study draws, as opposed to what it finds.
SETTINGS = (
    "law",
    "transform",
    "world",
    "policy",
    "quantity",
    "budget",
    "target",
    "completions",
    "n",
    "base_completions",
    "prompts",
    "labelled",
    "N",
)


def cover_table(frame: pd.DataFrame, *, rows: str, columns: str, measure: str, scale: float) -> str:
    """A table in Markdown: mean cover, and the lowest in brackets.

    Args:
        frame: the study, one row a cell of it.
        rows: column whose values are the table's rows, in the order of the file.
        columns: column whose values are its columns.
        measure: column of covers.
        scale: that makes them per cent.
    """
    cells = frame.assign(cover=scale * frame[measure]).dropna(subset=["cover"])
    heads = list(dict.fromkeys(cells[columns]))
    lines = ["| " + " | ".join([rows, *(f"{columns} = {head}" for head in heads)]) + " |"]
    lines.append("|---" * (1 + len(heads)) + "|")
    for name in dict.fromkeys(cells[rows]):
        found = [cells.loc[(cells[rows] == name) & (cells[columns] == head), "cover"] for head in heads]
        texts = [f"{each.mean():.1f} ({each.min():.1f})" if len(each) else "" for each in found]
        lines.append("| " + " | ".join([str(name), *texts]) + " |")
    return "\n".join(lines)


def lowest(frame: pd.DataFrame, *, measure: str, scale: float) -> str:
    """How many cells there are, their mean, and which one is the lowest."""
    covers = scale * frame[measure]
    worst = frame.loc[covers.idxmin()]
    varied = [name for name in SETTINGS if name in frame and frame[name].nunique() > 1]
    where = ", ".join(f"{name} {worst[name]}" for name in varied)
    error = f" ± {worst['standard_error']:.1f}" if measure == "cover" else ""
    cells = f"{covers.notna().sum():,} cells, mean cover {covers.mean():.1f}%"
    return f"{cells}; the lowest, {covers.min():.1f}%{error}: {where}."


class CoverTable(SphinxDirective):
    """``{cover-table}``; where the study is not there yet, a line that says so."""

    required_arguments = 1
    option_spec = {  # noqa: RUF012
        "rows": directives.unchanged_required,
        "columns": directives.unchanged_required,
        "measure": directives.unchanged_required,
        "scale": float,
    }

    def run(self) -> list[nodes.Node]:
        """The table and the line above it."""
        path = BENCHMARKS / self.arguments[0]
        self.env.note_dependency(str(path))
        if not path.exists():
            return self.parse_text_to_nodes("This study is not there yet.")
        frame = pd.read_csv(path)
        options: dict[str, Any] = {"measure": "cover", "scale": 1.0, **self.options}
        summary = lowest(frame, measure=options["measure"], scale=options["scale"])
        return self.parse_text_to_nodes(f"{summary}\n\n{cover_table(frame, **options)}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("cover-table", CoverTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
