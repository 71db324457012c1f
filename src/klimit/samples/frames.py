"""Frames of pandas and polars, Arrow tables and Hugging Face datasets as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from klimit.errors import InputError
from klimit.samples.messages import one_line_errors
from klimit.samples.table import Table, connect, describe


def open_frame(source: Any) -> Table | None:
    """The frame as a table, without a copy where its memory can be read as it is; None if it is no frame.

    Raises:
        InputError: a ``DatasetDict``, a streamed dataset, a single column, or columns of the same name.
    """
    library = type(source).__module__.partition(".")[0]
    if isinstance(source, Mapping):
        raise InputError(_mapping_problem(source))
    if hasattr(source, "with_format"):
        return _open_dataset(source)
    if library == "polars" and hasattr(source, "collect"):  # a LazyFrame
        source = source.collect()
    if library in ("pandas", "polars") and not hasattr(source, "columns"):
        raise InputError(
            f"a {library} {type(source).__name__} is one column; give the frame with prompts and rewards"
        )
    if library == "pandas":
        return _open_pandas(source)
    if library == "polars":
        return _open_polars(source)
    if library == "pyarrow":
        return _register_arrow(source, "Arrow table")
    return None


def _open_dataset(dataset: Any) -> Table:
    if not hasattr(dataset, "data"):
        raise InputError("a streamed dataset cannot be read twice; load it without streaming=True")
    # Not dataset.data.table: that one ignores select(), filter() and shuffle().
    return _register_arrow(dataset.with_format("arrow")[:], "dataset")


def _open_pandas(frame: Any) -> Table:
    names = [str(name) for name in frame.columns]
    inner = [str(name) for name in frame.index.names if name is not None]
    if inner:
        if set(inner) & set(names):
            raise InputError(f"pandas frame: {inner[0]!r} names both a column and the index; rename one")
        frame = frame.reset_index()  # an index with a name is data, such as the prompt ids of a groupby
        names = [str(name) for name in frame.columns]
    table = _register(frame, "pandas frame", names)
    for name in frame.columns:
        if frame[name].dtype == object:
            kinds = {type(value).__name__ for value in frame[name][frame[name].notna()]}
            if len(kinds) > 1:
                table.mixed[str(name)] = ", ".join(sorted(kinds))
    return table


def _open_polars(frame: Any) -> Table:
    try:
        return _register(frame.to_arrow(), "polars frame", list(frame.columns))
    except ModuleNotFoundError:
        raise InputError(
            "polars frame: reading one needs pyarrow (pip install pyarrow); or save it with write_parquet "
            "and give the path"
        ) from None


def _register_arrow(table: Any, label: str) -> Table:
    import pyarrow as pa

    schema = table.schema
    for i, column in enumerate(schema):
        if str(column.type) == "halffloat":  # which DuckDB does not read
            schema = schema.set(i, column.with_type(pa.float32()))
    return _register(table.cast(schema) if schema is not table.schema else table, label, list(schema.names))


def _register(frame: Any, label: str, names: list[str]) -> Table:
    twins = {name for name in names if names.count(name) > 1}
    if twins:
        raise InputError(f"{label}: two columns are named {min(twins)!r}; rename one")
    if not names:
        raise InputError(f"{label}: it has no columns")
    connection = connect()
    with one_line_errors(label):
        connection.register("source", frame)
        return Table(connection, label, describe(connection, "FROM source"))


def _mapping_problem(source: Mapping[Any, Any]) -> str:
    if any(hasattr(split, "with_format") for split in source.values()):
        splits = [repr(split) for split in source]
        return f"a DatasetDict with the splits {', '.join(splits)}; give one, such as dataset[{splits[0]}]"
    return "a dict is not a table; give pandas.DataFrame(rows), or a 2-D array of rewards"
