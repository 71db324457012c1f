"""Training: left out as a whole where the extra for it is not installed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever downloaded
torch = pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("trl", reason="needs the extra train")

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import tiny  # noqa: E402

REWARDS = """
def more_a(completions, **_):
    texts = [each if isinstance(each, str) else each[0]["content"] for each in completions]
    return [float(text.split().count("a") - 0.5 * text.split().count("b")) for text in texts]
"""


@pytest.fixture(scope="session", autouse=True)
def _quiet_models():
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Rewards that a command can name lie in the current folder."""
    (tmp_path / "few_rewards.py").write_text(REWARDS)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def base_model(tmp_path_factory):
    """A base model whose completions of two tokens can be enumerated."""
    return tiny.causal(tmp_path_factory.mktemp("models") / "base", seed=1, sharpness=15.0)


@pytest.fixture(scope="session")
def reward_model(tmp_path_factory):
    """A reward model."""
    return tiny.classifier(tmp_path_factory.mktemp("models") / "reward", seed=3, pad="own")


@pytest.fixture(scope="session")
def prompts_file(tmp_path_factory):
    """Six prompts of different lengths."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    texts = ("a b", "c", "b b a c", "a", "b c", "c c")
    path.write_text("\n".join(json.dumps({"prompt": text}) for text in texts))
    return path
