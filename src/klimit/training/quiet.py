"""Training without the words that its libraries have for people who set it up by hand."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from klimit.models.extras import needed

_LOUD = ("trl", "accelerate")


@contextmanager
def quiet() -> Iterator[None]:
    """No advice of the libraries, no bars but our own."""
    talk = needed("transformers").utils.logging
    before, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    loggers = {name: logging.getLogger(name) for name in _LOUD}
    levels = {name: each.level for name, each in loggers.items()}
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    for each in loggers.values():
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for package in ("trl", "transformers", "accelerate", "torch"):
                warnings.filterwarnings("ignore", module=rf"{package}(\.|$)")
            yield
    finally:
        talk.set_verbosity(before)
        if bars:
            talk.enable_progress_bar()
        for name, each in loggers.items():
            each.setLevel(levels[name])
