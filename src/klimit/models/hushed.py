"""Loading models without progress bars or advice."""

from __future__ import annotations

from typing import Any

from klimit.models.extras import needed


class Hushed:
    """No progress bars or advice of transformers and the hub while the block runs.

    Args:
        transformers: the package.
    """

    def __init__(self, transformers: Any) -> None:
        self.logging = transformers.utils.logging

    def __enter__(self) -> None:
        self.before = self.logging.get_verbosity()
        self.bars = self.logging.is_progress_bar_enabled()
        self.logging.set_verbosity_error()
        self.logging.disable_progress_bar()
        self.hub = needed("huggingface_hub.utils.logging")
        self.hub_before = self.hub.get_verbosity()
        self.hub.set_verbosity_error()

    def __exit__(self, *_: object) -> None:
        self.logging.set_verbosity(self.before)
        if self.bars:
            self.logging.enable_progress_bar()
        self.hub.set_verbosity(self.hub_before)
