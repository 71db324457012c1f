"""Experiments with tiny models: left out as a whole where the extra for training is not installed."""

from __future__ import annotations

import json
import os
import sys
from itertools import product
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever downloaded
torch = pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("trl", reason="needs the extra train")

for folder in ("models", "lab"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

import tiny  # noqa: E402

REWARDS = """
def _texts(completions):
    return [each if isinstance(each, str) else each[0]["content"] for each in completions]


def more_a(completions, **_):
    return [float(text.split().count("a") - 0.5 * text.split().count("b")) for text in _texts(completions)]


def meant(completions, **_):
    return [float(text.split().count("a") - 0.5 * text.split().count("c")) for text in _texts(completions)]


def fewer_c(completions, **_):
    return [-float(text.split().count("c")) for text in _texts(completions)]
"""


@pytest.fixture(scope="session", autouse=True)
def _quiet_models():
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base_model(tmp_path_factory):
    """A base model of a handful of words."""
    return tiny.causal(tmp_path_factory.mktemp("models") / "base", seed=1, sharpness=15.0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with rewards and prompts, which is the current one."""
    (tmp_path / "few_rewards.py").write_text(REWARDS)
    texts = [" ".join(words) for length in (1, 2) for words in product("abc", repeat=length)]
    lines = [json.dumps({"prompt": text}) for text in texts]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def recipe(here, base_model):
    """A small experiment: two betas, one trainer, gold and a proxy that is trained on."""
    return {
        "model": str(base_model),
        "prompts": "prompts.jsonl",
        "rewards": {"proxy": "few_rewards:more_a", "meant": "few_rewards:meant"},
        "reward": "proxy",
        "gold": "meant",
        "beta": [2.0, 0.5],
        "trainers": ["rloo"],
        "n": 64,
        "n_policy": 32,
        "best_of_n": [2, 4],
        "max_new_tokens": 3,
        "training": {"steps": 3, "batch_size": 16, "generations": 4, "learning_rate": 0.003, "save_every": 1},
    }
