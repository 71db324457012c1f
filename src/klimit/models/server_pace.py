"""How fast a server is asked: as many requests in flight as it takes, stopped at once by Ctrl-C."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_LOOK = 0.05  # seconds between two looks for a place
_STOP = 1.0  # seconds that cancelled requests have to end


class Pace:
    """Requests in flight: half as many each time the server says that it is busy, slowly more where it answers.

    Attributes:
        most: requests in flight at most.
        answered: whether the server ever answered.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.answered = False
        self._limit = float(most)
        self._closed_until = 0.0
        self._in_flight = 0

    @property
    def limit(self) -> int:
        """Requests in flight at most, as the server is now."""
        return int(self._limit)

    def slower(self, after: float) -> None:
        """The server is busy, and wants to be left alone for some seconds."""
        now = time.monotonic()
        if now >= self._closed_until:  # those that were in flight at the first refusal count once
            self._limit = max(1.0, self._limit / 2)
        self._closed_until = max(self._closed_until, now + max(after, _LOOK))

    def faster(self) -> None:
        """The server answered."""
        self.answered = True
        self._limit = min(float(self.most), self._limit + 1 / self._limit)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in flight, waited for."""
        while self._in_flight >= self.limit or time.monotonic() < self._closed_until:
            await asyncio.sleep(_LOOK)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1


async def all_of(items: Sequence[T], work: Callable[[T], Awaitable[R]], at_once: int) -> list[R]:
    """Do all items, some at once; the first failure stops the rest.

    Args:
        items: all of them.
        work: one item.
        at_once: how many.

    Returns:
        What came of each, in their order.
    """
    left = deque(enumerate(items))
    done: dict[int, R] = {}

    async def worker() -> None:
        while left:
            i, item = left.popleft()
            done[i] = await work(item)

    tasks = [asyncio.ensure_future(worker()) for _ in range(min(at_once, len(items)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [done[i] for i in range(len(items))]


def in_thread(work: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run a coroutine to its end in a thread of its own: there may be a loop in this one already (a notebook).

    An interruption of the waiting thread cancels it.
    """
    found: list[R] = []
    failed: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        found.append(await work())

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.2)  # with a limit, so that Ctrl-C gets through on every system
    except BaseException:
        for loop, task in running:
            loop.call_soon_threadsafe(task.cancel)
        thread.join(_STOP)
        raise
    if failed:
        raise failed[0]
    return found[0]
