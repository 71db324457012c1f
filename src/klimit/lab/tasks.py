"""The tasks there are, by name."""

from __future__ import annotations

from klimit.errors import InputError
from klimit.lab.safety import Safety
from klimit.lab.summarization import Summarization
from klimit.lab.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (Safety(), Summarization())}


def task_named(name: str) -> Task:
    """The task by its name.

    Raises:
        InputError: there is none.
    """
    if name not in TASKS:
        raise InputError(f"no world {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]
