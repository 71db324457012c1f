"""How samples are read: whole into memory, or in parts that are summed up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from klimit.errors import InputError
from klimit.limit.options import ENGINES, EngineName
from klimit.samples import as_samples
from klimit.samples.container import Samples
from klimit.samples.paths import find_files
from klimit.samples.sources import Names, as_paths, open_source
from klimit.streams.summarise import Progress, summarise

_A_ROW = 64  # bytes that reading whole takes, at its peak
_SHARE = 0.5  # of what memory is free
_SMALL = 1 << 26  # bytes of files that fit anywhere


def open_samples(
    source: Any,
    *,
    engine: EngineName = "auto",
    reward: str | None = None,
    prompt: Names | None = None,
    where: str | None = None,
    lower_is_better: bool = False,
    n: ArrayLike | None = None,
    seed: int = 0,
    whole: str | None = None,
    progress: Progress | None = None,
) -> Samples:
    """Samples for the limit and best-of-N, read by an engine.

    Args:
        source: as for :func:`klimit.read_samples`.
        engine: ``"memory"``, ``"stream"`` (see :func:`klimit.summarise`), or ``"auto"``: in parts where the files are
            Parquet and reading them whole would take more than half of the free memory; the samples' notes say so.
        reward: the reward column.
        prompt: columns that identify a prompt.
        where: SQL condition that chooses rows.
        lower_is_better: the rewards are costs.
        n: the N of best-of-N that are wanted.
        seed: of the random blocks.
        whole: what it is that a summary cannot give and that is wanted, if anything.
        progress: see :func:`klimit.summarise`.

    Raises:
        InputError: no such engine, one that cannot do what is wanted, or samples that cannot be used.
    """
    if engine not in ENGINES:
        raise InputError(f"engine={engine!r}: choose one of {', '.join(map(repr, ENGINES))}")
    chosen: dict[str, Any] = {"prompt": prompt, "where": where, "lower_is_better": lower_is_better}
    why = None if engine == "memory" or whole is not None else too_large(source)
    if engine == "stream":
        if whole is not None:
            raise InputError(
                f"engine='stream' cannot give {whole}, which needs the rewards themselves; use engine='memory' "
                "(--engine memory)"
            )
        return summarise(source, reward=reward, n=n, seed=seed, progress=progress, **chosen)
    if why is None:
        return as_samples(source, reward=reward, **chosen)
    samples = summarise(source, reward=reward, n=n, seed=seed, progress=progress, **chosen)
    return replace(samples, notes=(*samples.notes, why))


def too_large(source: Any) -> str | None:
    """Why Parquet files had better be read in parts; None where they need not, or are none."""
    paths, free = as_paths(source), free_memory()
    if paths is None or free is None:
        return None
    files, kind, _ = find_files(paths)
    if kind != "parquet" or sum(file.stat().st_size for file in files) <= _SMALL:
        return None
    table = open_source(source, prompt=None, sample=None)
    if table is None:
        return None
    n_rows, share = sum(table.row_counts), _SHARE * free
    if n_rows * _A_ROW <= share:
        return None
    return (
        f"read in parts (engine 'stream'): {n_rows:,} rows take about {_gigabytes(n_rows * _A_ROW)} whole, and "
        f"{_gigabytes(free)} are free; engine='memory' (--engine memory) reads them whole"
    )


def free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
