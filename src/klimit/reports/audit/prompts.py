"""Audits prompt by prompt, as CSV."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import Any

import numpy as np

from klimit.audits.result import Audit, Audits, PromptTable

_COLUMNS = tuple(PromptTable.__dataclass_fields__)


def prompts_csv(audits: Audits) -> str:
    """One row a policy and prompt, the columns of :class:`klimit.audits.result.PromptTable` after ``policy``.

    A cell is empty where a number is not known; ids of several columns are JSON lists.
    """
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["policy", *_COLUMNS])
    for audit in audits:
        writer.writerows(_rows(audit))
    return buffer.getvalue()


def _rows(audit: Audit) -> list[list[Any]]:
    table = audit.prompts
    columns = [getattr(table, name) for name in _COLUMNS]
    known = [[None] * audit.n_prompts if column is None else column.tolist() for column in columns]
    return [[audit.name, *map(_cell, row)] for row in zip(*known, strict=True)]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if np.isnan(value) else repr(value)
    if isinstance(value, tuple | list):
        return json.dumps(list(value), ensure_ascii=False)
    return "" if value is None else value
