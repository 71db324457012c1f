"""From what a page shows to one HTML file: words and tables as text, charts and the prompts' table by its script."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from klimit.reports.frontier.findings import gather as findings_of
from klimit.reports.hacking.findings import HackingFindings
from klimit.reports.page.charts.chart import Chart
from klimit.reports.page.charts.ensemble import ensemble_charts
from klimit.reports.page.charts.hacking import hacking_chart
from klimit.reports.page.charts.parts import parts
from klimit.reports.page.charts.plane import plane
from klimit.reports.page.content import Content
from klimit.reports.page.glossary import glossary
from klimit.reports.page.statics import (
    Table,
    diagnostics_table,
    hacking_table,
    limit_table,
    policies_table,
)
from klimit.reports.page.text import answers

MOST_PROMPTS = 10_000  # in the page's own table: it must stay small enough to send
_LISTED = 20


@dataclass(frozen=True, eq=False)
class Section:
    """A chart with its static table.

    Attributes:
        chart: the chart, or None.
        table: the table, or None.
        key: its id.
    """

    key: str
    chart: Chart | None
    table: Table | None


def render(content: Content) -> str:
    """The page."""
    sections = sections_of(content)
    charts = [each.chart for each in sections if each.chart is not None]
    script, plotly = asset("page.js"), plotly_source()
    prompts = content.prompts.table
    shown = len(prompts) if len(prompts) <= MOST_PROMPTS else MOST_PROMPTS
    payload = {
        "charts": [chart.payload() for chart in charts],
        "tables": {
            name: table_payload(table.head(shown) if name == "prompts" else table)
            for name, table in content.tables.items()
        },
        "columns": [
            {"name": c.name, "heading": c.heading, "meaning": c.meaning, "unit": c.unit, "group": c.group}
            for c in content.prompts.columns
        ],
    }
    return str(
        _template().render(
            content=content,
            answers=answers(content),
            sections=sections,
            diagnostics=diagnostics_table(content),
            glossary=glossary(content),
            prompts_shown=shown,
            prompts_total=len(prompts),
            listed=_LISTED,
            style=asset("page.css"),
            script=script,
            data=packed(json.dumps(payload, allow_nan=False).encode()),
            plotly=packed_plotly(),
            policy=security_policy(script, plotly),
        )
    )


def sections_of(content: Content) -> list[Section]:
    """The page's charts and static tables, in its order."""
    findings = findings_of(content.limit, content.best_of_n)
    found = [Section("plane", plane(findings, content.audits), limit_table(findings))]
    if content.audits is not None:
        found.append(Section("policies", parts(content.audits), policies_table(content.audits)))
    for place, each in enumerate(content.hackings):
        found.append(
            Section(f"hacking-{place}", hacking_chart(each, place), hacking_table(HackingFindings(each)))
        )
    if content.ensemble is not None:
        charts = ensemble_charts(content.ensemble, content.by_members)
        found += [
            Section("ensemble" if i == 0 else chart.key, chart, None) for i, chart in enumerate(charts)
        ] or [Section("ensemble", None, None)]
    return found


def security_policy(*scripts: str) -> str:
    """What the browser lets the page do: run these scripts and no other, and load nothing."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def table_payload(table: pd.DataFrame) -> dict[str, Any]:
    """A table column by column, as plain values."""
    return {
        "columns": [str(name) for name in table.columns],
        "values": [[_plain(value) for value in table[name].tolist()] for name in table.columns],
    }


def packed(data: bytes) -> str:
    """Bytes compressed, as text that needs no escaping in HTML."""
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()


@cache
def asset(name: str) -> str:
    """A file of the page's own."""
    return files("klimit.reports.page").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def plotly_source() -> str:
    """The charting library, as its Python package carries it."""
    return files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")


@cache
def packed_plotly() -> str:
    """The charting library, compressed."""
    return packed(plotly_source().encode())


@cache
def _template() -> Any:
    from jinja2 import BaseLoader, Environment, StrictUndefined

    environment = Environment(
        loader=BaseLoader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(asset("page.html.j2"))


def _plain(value: Any) -> Any:
    """A JSON value: not a number is None, infinities are words that a CSV reader takes."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
