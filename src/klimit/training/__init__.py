"""Training with the KL priced as the theory prices it, and watching a run against the limit while it trains.

Everything here needs the extra ``klimit[train]``; PPO needs ``klimit[ppo]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from klimit.training.callback import FrontierCallback as FrontierCallback

__all__ = ["FrontierCallback"]


def __getattr__(name: str) -> Any:
    if name == "FrontierCallback":
        from klimit.models.extras import needed

        needed("transformers")
        from klimit.training.callback import FrontierCallback

        return FrontierCallback
    raise AttributeError(f"module 'klimit.training' has no attribute {name!r}")
