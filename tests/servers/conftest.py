"""Sampling by a server: left out as a whole where its extra is not installed. Needs no torch."""

from __future__ import annotations

import json

import pytest

for name in ("httpx", "tenacity", "pyarrow", "filelock", "tqdm"):
    pytest.importorskip(name, reason="needs the extra server")

from standin import TEXTS, StandIn  # noqa: E402


@pytest.fixture(autouse=True)
def _no_key_of_the_user(monkeypatch):
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def serve():
    """Start stand-in servers; they end with the test."""
    started = []

    def start(dialect="vllm", **options):
        started.append(StandIn(dialect, **options))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def texts(tmp_path):
    """A file of three prompts that are texts."""
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": text}) for text in TEXTS))
    return path


@pytest.fixture
def chats(tmp_path):
    """A file of three prompts that are chat messages."""
    path = tmp_path / "chats.jsonl"
    rows = [{"prompt": [{"role": "user", "content": text}]} for text in TEXTS]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path
