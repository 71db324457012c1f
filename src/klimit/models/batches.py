"""Working through rows in batches: the largest that fits, resumed where it stopped, with progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.models.engine import OutOfMemory
from klimit.models.extras import needed
from klimit.models.parts import Parts

Rows = NDArray[np.int64]
Say = Callable[[str], None]

BATCH_SIZE = "batch_size"


def work_through(
    parts: Parts,
    order: Rows,
    batch_size: int,
    work: Callable[[Rows], Mapping[str, Any]],
    *,
    what: str,
    say: Say,
    fixed: bool = False,
) -> None:
    """Do every row that is not there yet.

    Batches are cut in ``order``, so that a rerun cuts them where the first run did. One that does not fit is halved,
    and so are all after it.

    Args:
        parts: opened.
        order: all rows, those first that need most memory.
        batch_size: to begin with; what fitted before is remembered instead.
        work: columns of the rows it is given.
        what: is counted, for the progress line.
        say: takes a line for the user.
        fixed: whether the batch size was asked for: it is then used as it is.

    Raises:
        InputError: a single row does not fit in memory.
    """
    size = batch_size if fixed else int(parts.recall().get(BATCH_SIZE, batch_size))
    there = parts.done()
    left = order[~there[order]]
    if 0 < len(left) < len(order):
        say(f"{len(order) - len(left):,} of {len(order):,} {what} are there already")
    with progress_bar(total=len(order), done=len(order) - len(left), unit=what) as bar:
        while len(left):
            batch = left[:size]
            try:
                columns = work(batch)
            except OutOfMemory:
                size = _halved(len(batch), what)
                parts.remember(**{BATCH_SIZE: size})
                say(f"out of memory at {len(batch):,} {what} at once; going on with {size:,}")
                continue
            parts.write(batch, columns)
            left = left[size:]
            bar.update(len(batch))


def progress_bar(*, total: int, done: int, unit: str) -> Any:
    """A bar with the time left, on a terminal only."""
    return needed("tqdm.auto").tqdm(
        total=total,
        initial=done,
        unit=f" {unit}",
        disable=None,
        dynamic_ncols=True,
        smoothing=0.1,
        leave=False,
    )


def _halved(size: int, what: str) -> int:
    if size == 1:
        raise InputError(
            f"out of memory with one of the {what} at once: use a smaller model, a shorter limit, or a larger machine"
        )
    return size // 2
