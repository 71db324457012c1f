"""Steps with language models: left out as a whole where their extra is not installed."""

from __future__ import annotations

import json
import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever downloaded
torch = pytest.importorskip("torch", reason="needs the extra lm")
pytest.importorskip("transformers", reason="needs the extra lm")

import tiny  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _quiet_models():
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A base model."""
    return tiny.causal(tmp_path_factory.mktemp("models") / "base", seed=0)


@pytest.fixture(scope="session")
def other_tiny_model(tmp_path_factory):
    """Another model with the same tokens."""
    return tiny.causal(tmp_path_factory.mktemp("models") / "other", seed=5)


@pytest.fixture(scope="session")
def prompts_file(tmp_path_factory):
    """Three prompts of different lengths."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in ("a b", "c", "b b a c")))
    return path
