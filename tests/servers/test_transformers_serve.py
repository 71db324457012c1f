"""A maintained server, as it is: ``transformers serve`` gives no log-probabilities, and is refused by one line.

Left out where it is not installed: ``pip install 'transformers[serving]'``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

for name in ("torch", "transformers", "fastapi", "uvicorn", "openai", "accelerate"):
    pytest.importorskip(name, reason="needs transformers[serving]")

import httpx  # noqa: E402

import klimit  # noqa: E402
from klimit.errors import InputError  # noqa: E402

START = 120.0  # seconds


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
    try:
        import tiny

        return tiny.causal(tmp_path_factory.mktemp("models") / "base", seed=0, chat=True)
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def url(model, tmp_path_factory):
    """Of a running server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "transformers.cli.transformers",
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    log = tmp_path_factory.mktemp("log") / "serve.log"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as written:
        server = subprocess.Popen([*command, str(model)], stdout=written, stderr=written, env=environment)
        try:
            begun = time.monotonic()
            while True:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() - begun < START, log.read_text()
                try:
                    httpx.get(f"http://127.0.0.1:{port}/v1/models", trust_env=False).raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def test_it_answers_and_gives_no_log_probabilities(url, model, texts, chats, tmp_path):
    for prompts in (texts, chats):
        with pytest.raises(InputError, match="the server gives no log-probabilities; vLLM, SGLang and"):
            klimit.sample(
                model=str(model),
                server=url,
                prompts=prompts,
                output=tmp_path / "out.parquet",
                n=2,
                max_new_tokens=4,
            )
    assert not (tmp_path / "out.parquet").exists()


def test_a_model_that_it_has_not(url, model, texts, tmp_path):
    with pytest.raises(InputError, match=f"has no model 'other'; .*{model.name}"):
        klimit.sample(model="other", server=url, prompts=texts, output=tmp_path / "out.parquet")
