"""Parquet files between the steps: rows streamed in, with what made them in the metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from klimit.models.extras import needed
from klimit.models.parts import METADATA


def write_table(path: Path, batches: Iterable[Any], steps: Mapping[str, Any]) -> None:
    """Write arrow batches to one file.

    Args:
        path: of the file.
        batches: at least one.
        steps: the settings of each step, by its name.
    """
    parquet = needed("pyarrow.parquet")
    writer = None
    try:
        for batch in batches:
            if writer is None:
                schema = batch.schema.with_metadata({METADATA: json.dumps(dict(steps)).encode()})
                writer = parquet.ParquetWriter(path, schema, compression="zstd")
            writer.write_batch(batch.cast(writer.schema) if batch.schema != writer.schema else batch)
    finally:
        if writer is not None:
            writer.close()
