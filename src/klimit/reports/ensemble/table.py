"""Samples as a table with one more reward, for training or for other tools: Parquet or CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from klimit.errors import InputError
from klimit.samples.container import Samples

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".parquet", ".csv")


def samples_table(samples: Samples, *, prompt: Sequence[str] | None = None) -> pd.DataFrame:
    """Every column that the samples know, one row a completion, grouped by prompt.

    Args:
        samples: the samples.
        prompt: names of the key's columns; by default ``prompt`` where prompts are known by their text alone, else
            ``prompt_id``.

    Raises:
        InputError: a reward has the name of another column.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    keys, texts = samples.prompt_ids, samples.prompts
    by_text = texts is not None and texts.tolist() == keys.tolist()
    names = list(prompt) if prompt else ["prompt" if by_text else "prompt_id"]
    parts = list(zip(*keys, strict=True)) if len(names) > 1 else [keys.tolist()]
    for name, part in zip(names, parts, strict=True):
        columns[name] = _each(list(part), samples)
    if texts is not None and "prompt" not in columns:
        columns["prompt"] = _each(texts.tolist(), samples)
    if samples.completions is not None:
        columns["completion"] = np.asarray(samples.completions)
    for name, column in (*samples.metadata.items(), *samples.rewards.items()):
        if name in columns:
            raise InputError(
                f"{samples.source}: there is a column {name!r} already; call the new one another (--name)"
            )
        columns[name] = np.asarray(column)
    return pd.DataFrame(columns)


def table_bytes(table: pd.DataFrame, path: str) -> bytes:
    """The table in the format that the path's ending names."""
    if path.lower().endswith(".csv"):
        return table.to_csv(index=False).encode()
    import duckdb

    with TemporaryDirectory() as folder, duckdb.connect() as connection:
        file = Path(folder) / "table.parquet"
        connection.register("samples", table)
        connection.table("samples").write_parquet(str(file))
        return file.read_bytes()


def check_table(option: str, path: str | None) -> None:
    """Refuse a path whose ending names no format.

    Raises:
        InputError: it ends in none of :data:`TABLES`.
    """
    if path is not None and not path.lower().endswith(TABLES):
        raise InputError(f"{option} {path}: the name must end in {', '.join(TABLES)}")


def _each(values: list[Any], samples: Samples) -> Any:
    """One value a prompt, for each of its completions."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    import pandas as pd

    return pd.Series(np.repeat(array, samples.counts)).infer_objects().array
