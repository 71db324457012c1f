"""Small worlds: left out as a whole where the extra for language models is not installed."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever downloaded
torch = pytest.importorskip("torch", reason="needs the extra lm")
pytest.importorskip("transformers", reason="needs the extra lm")

from lab_worlds import small  # noqa: E402

from klimit.lab import open_world  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _quiet_models():
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Where the session keeps its worlds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session", params=["safety", "summarization"])
def world(request, cache):
    """A shrunken world of each task."""
    return open_world(small(request.param), cache=cache)


@pytest.fixture(scope="session")
def safety(cache):
    """The shrunken safety world."""
    return open_world(small("safety"), cache=cache)
