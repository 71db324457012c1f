"""Packages that only some steps need: imported when used, and named with their extra where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from klimit.errors import InputError

# What installs each package.
_EXTRA = {
    "torch": "lm",
    "transformers": "lm",
    "transformers.trainer_callback": "lm",
    "datasets": "lm",
    "huggingface_hub.utils.logging": "lm",
    "pyarrow": "server",
    "pyarrow.parquet": "server",
    "filelock": "server",
    "tqdm.auto": "server",
    "httpx": "server",
    "tenacity": "server",
    "trl": "train",
    "accelerate": "train",
}


def needed(module: str) -> Any:
    """Import a package of an extra.

    Raises:
        InputError: it is not installed; the message names the extra.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        extra = _EXTRA[module]
        raise InputError(
            f"{module.partition('.')[0]} is not installed; this step needs the extra {extra}: "
            f"pip install 'klimit[{extra}]'"
        ) from None
