"""What a run is refused for before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from klimit.errors import InputError
from klimit.models.extras import needed
from klimit.training.run import Run


def trainer_of(algorithm: str) -> Callable[[Run, Path | None], Any]:
    """What trains by an algorithm.

    Raises:
        InputError: its packages are not installed, or others; the message names the extra.
    """
    needed("trl")
    needed("accelerate")
    if algorithm == "ppo":
        from klimit.training.ppo import check_trl, train_ppo

        check_trl()
        return train_ppo
    from klimit.training.groups import train_groups

    return train_groups


def check_every(**every: Any) -> None:
    """Refuse what is no number of steps."""
    for name, value in every.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} is {value!r}; it must be a whole number of steps, 1 or more")


def check_place(device: str) -> None:
    """Refuse devices and processes that a run cannot use.

    Raises:
        InputError: naming what to do instead.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(
            f"device is {device!r}; training takes cpu, cuda or auto: choose among GPUs with CUDA_VISIBLE_DEVICES"
        )
    several = device != "cpu" and needed("torch").cuda.device_count() > 1
    if several or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "klimit train uses one process and one GPU; set CUDA_VISIBLE_DEVICES to one, or write a script of your own "
            "with TRL and klimit.training.FrontierCallback"
        )
