"""What is left of a run: the policy as a model that anything can load, and the run's log."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from klimit.models.extras import needed
from klimit.models.loading import Loaded
from klimit.training.run import policy_of


def write(whole: Path, trainer: Any, base: Loaded) -> None:
    """Write policy, tokenizer and log into a folder."""
    policy = policy_of(trainer)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):  # trainers align these with the tokenizer
        setattr(policy.config, name, getattr(base.model.config, name, None))
    policy.generation_config = base.model.generation_config
    policy.save_pretrained(whole)
    base.tokenizer.save_pretrained(whole)
    lines = (json.dumps(entry) for entry in trainer.state.log_history)
    (whole / "log.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def versions() -> dict[str, str]:
    """Of what trained."""
    known = {name: needed(name).__version__ for name in ("accelerate", "torch", "transformers", "trl")}
    return {"python": platform.python_version(), **known}
