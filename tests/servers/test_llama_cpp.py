"""llama.cpp's own server, as it is, with a tiny model: what it samples and tells is held against the exact law.

Left out where it is not installed: ``pip install xllamacpp gguf`` (Python bindings that hold that server).
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest

for name in ("torch", "transformers", "gguf"):
    pytest.importorskip(name, reason="needs torch, transformers and gguf")

import torch  # noqa: E402
from scipy.stats import chisquare  # noqa: E402

import klimit  # noqa: E402
from klimit.errors import InputError  # noqa: E402
from klimit.models.loading import load_causal  # noqa: E402
from klimit.models.parts import read_metadata  # noqa: E402
from klimit.models.server_http import Talk  # noqa: E402
from klimit.models.server_request import OFF, Form  # noqa: E402

if importlib.util.find_spec("xllamacpp") is None:  # only ever loaded in a process of its own
    pytest.skip("needs xllamacpp", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
try:
    import enumeration
    import tiny
    from gguf_model import write_gguf
finally:
    sys.path.pop(0)

HERE = Path(__file__).parent
TEXTS, CHATS = (" a b", " c"), ("a b", "c")
CHAT = (
    "{% for m in messages %} {{ m['role'] }} {{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %} assistant{% endif %}"
)
START, END = 2, 0  # ids of tokens
N, LENGTH = 300, 3


class Served:
    """A running server, and the model that it has."""

    def __init__(self, folder, words, *, exact=True):
        made = tiny.causal(folder / "model", words=words, chat=True)
        path = write_gguf(made, folder / "model.gguf", start="<start>", template=CHAT)
        self.folder, self.log = made, folder / "server.log"
        self.model = load_causal(str(made)).model
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    str(HERE / "run_llama_cpp.py"),
                    str(path),
                    "4",
                    "exact" if exact else "usual",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.log.read_text()

    def law(self, prompt_ids, warp=lambda logits: logits):
        return enumeration.law(self.model, prompt_ids, LENGTH, END, warp)

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Start servers, one for each kind; they end with the module."""
    started = {}

    def start(words=("<start>", *tiny.WORDS), **options):
        key = (words, *options.items())
        if key not in started:
            started[key] = Served(tmp_path_factory.mktemp("served"), words, **options)
        return started[key]

    torch.set_num_threads(1)
    yield start
    for server in started.values():
        server.close()


@pytest.fixture
def draw(tmp_path):
    """Sample completions; the frame."""

    def run(server, *, chat=False, name="out", **settings):
        prompts = CHATS if chat else TEXTS
        rows = [{"prompt": [{"role": "user", "content": text}] if chat else text} for text in prompts]
        (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
        given = {"n": N, "max_new_tokens": LENGTH, "seed": 1, "concurrency": 8, "batch_size": 600, **settings}
        output = tmp_path / f"{name}.parquet"
        klimit.sample(
            model="toy", server=server.url, prompts=tmp_path / "prompts.jsonl", output=output, **given
        )
        return pl.read_parquet(output)

    return run


def top_k(k):
    return lambda logits: np.where(logits >= np.sort(logits)[-k], logits, -np.inf)


def top_p(p):
    def warp(logits):
        order = np.argsort(-logits)
        law = np.exp(logits[order] - np.logaddexp.reduce(logits))
        out = np.full_like(logits, -np.inf)
        kept = order[np.cumsum(law) - law < p]
        out[kept] = logits[kept]
        return out

    return warp


def p_value(counts, exact):
    """Of counts against probabilities."""
    n = counts.total()
    assert set(counts) <= set(exact), "a completion that the distribution does not have"
    often = [c for c, p in exact.items() if p * n >= 5]
    seen, expected = [counts[c] for c in often], [exact[c] * n for c in often]
    if n - sum(expected) >= 1:
        seen, expected = [*seen, n - sum(seen)], [*expected, n - sum(expected)]
    return float(chisquare(seen, np.array(expected) * sum(seen) / sum(expected)).pvalue)


def p_values(frame, server, warp=lambda logits: logits):
    """Of each prompt's frequencies against the enumerated law."""
    found = []
    for _, rows in frame.group_by("prompt_id", maintain_order=True):
        law = server.law(rows["prompt_token_ids"][0].to_list(), warp)
        counts = Counter(map(tuple, rows["completion_token_ids"].to_list()))
        found.append(p_value(counts, {c: np.exp(logprob) for c, logprob in law.items()}))
    return found


def true_logprobs(frame, server, warp=lambda logits: logits):
    """Of the completions, by their token ids."""
    found = []
    for _, rows in frame.group_by("prompt_id", maintain_order=True):
        law = server.law(rows["prompt_token_ids"][0].to_list(), warp)
        found += [law[tuple(ids)] for ids in rows["completion_token_ids"].to_list()]
    return found


@pytest.mark.parametrize(
    ("settings", "warp"),
    [
        ({}, lambda logits: logits),
        ({"chat": True}, lambda logits: logits),
        ({"temperature": 0.7}, lambda logits: logits / 0.7),
        ({"top_k": 2}, top_k(2)),
        ({"top_p": 0.9}, top_p(0.9)),
        ({"temperature": 1.5, "top_k": 3}, lambda logits: top_k(3)(logits) / 1.5),
    ],
    ids=["plain", "chat", "temperature", "top_k", "top_p", "both"],
)
def test_frequencies_and_log_probabilities_are_those_of_the_model(settings, warp, serve, draw):
    server = serve()
    frame = draw(server, **settings)
    assert min(p_values(frame, server, warp)) > 1e-3
    np.testing.assert_allclose(frame["logprob"], true_logprobs(frame, server, warp), atol=1e-5)


def test_the_checks_find_out_another_temperature(serve, draw):
    server = serve()
    frame = draw(server, temperature=0.4)
    assert min(p_values(frame, server)) < 1e-6
    assert np.abs(frame["logprob"] - np.array(true_logprobs(frame, server))).max() > 0.1


def test_a_setting_that_is_not_sent_is_the_servers_own(serve, draw, monkeypatch):
    """Its min-p of 0.05 leaves tokens out; so all settings are always sent."""
    body = Form.body

    def careless(self, *arguments, **options):
        return {n: value for n, value in body(self, *arguments, **options).items() if n not in OFF}

    expected, seen = beyond_min_p(draw(serve(), name="whole"), serve())
    assert expected > 15
    assert abs(seen - expected) < 5 * np.sqrt(expected)
    monkeypatch.setattr(Form, "body", careless)
    assert beyond_min_p(draw(serve(), name="careless"), serve())[1] == 0


def beyond_min_p(frame, server):
    """Completions with a token that min-p 0.05 leaves out: as many as the model has, and as were seen."""
    expected = seen = 0.0
    for _, rows in frame.group_by("prompt_id", maintain_order=True):
        ids = rows["prompt_token_ids"][0].to_list()
        kept = server.law(ids, lambda row: np.where(row >= row.max() + np.log(0.05), row, -np.inf))
        expected += N * sum(np.exp(logprob) for c, logprob in server.law(ids).items() if c not in kept)
        seen += sum(tuple(c) not in kept for c in rows["completion_token_ids"].to_list())
    return expected, seen


def test_token_ids_are_those_of_the_model(serve, draw):
    server = serve()
    for chat, prompts in (
        (False, [[START, 3, 4], [START, 5]]),
        (True, [[START, 7, 3, 4, 8], [START, 7, 5, 8]]),
    ):
        frame = draw(server, chat=chat, n=40, overwrite=True)
        assert frame["prompt_token_ids"].to_list()[::40] == prompts
        for ids, reason in frame.select("completion_token_ids", "finish_reason").iter_rows():
            assert (ids[-1] == END) == (reason == "stop")
            assert END not in ids[:-1]


def test_klimit_logprob_of_the_same_model_agrees(serve, draw, tmp_path):
    server = serve()
    frame = draw(server, n=40)
    output, folder = tmp_path / "scored.parquet", str(server.folder)
    klimit.logprob(model=folder, ref_model=folder, input=tmp_path / "out.parquet", output=output)
    scored = pl.read_parquet(output)
    np.testing.assert_allclose(scored["logprob"], frame["logprob"], atol=1e-5)


def test_a_run_that_was_stopped_goes_on_with_the_same_rows(serve, draw):
    server = serve()
    whole = draw(server, n=40, batch_size=16)
    post, sent = Talk.post, []

    async def breaks_off(self, path, body):
        sent.append(body)
        if len(sent) == 50:
            raise InputError("broken off")
        return await post(self, path, body)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Talk, "post", breaks_off)
        with pytest.raises(InputError, match="broken off"):
            draw(server, n=40, batch_size=16, name="again")
    said = []
    again = draw(server, n=40, batch_size=16, name="again", say=said.append)
    assert any(re.match(r"[1-9]\d* of 80 completions are there already", line) for line in said)
    assert again.drop("logprob").equals(whole.drop("logprob"))
    np.testing.assert_allclose(again["logprob"], whole["logprob"], atol=1e-5)


def test_the_server_is_known_and_named(serve, draw, tmp_path):
    draw(serve(), n=2)
    assert read_metadata(tmp_path / "out.parquet")["sample"]["engine"].startswith("llama.cpp b")


def text_of(ids, words):
    """Of completions of bytes and words, as servers show it."""
    made = b""
    for each in ids:
        word = words[each - 2]
        made += (
            b"" if each <= START else bytes([int(word, 16)]) if word.startswith("0x") else f" {word}".encode()
        )
    return made.decode(errors="replace")


@pytest.mark.parametrize("chat", [False, True], ids=["texts", "chat"])
def test_completions_with_parts_of_characters_are_kept_without_log_probability(chat, serve, draw):
    words = ("<start>", *tiny.WORDS, "0xC3", "0xA9")
    server, said = serve(words), []
    frame = draw(server, chat=chat, say=said.append)
    assert said[0].startswith("the server tells no log-probability of a token that is a part of a character")
    parted = frame["logprob"].is_null()
    assert 0 < parted.sum() < len(frame)
    assert parted.equals(frame["completion_token_ids"].is_null())
    whole = frame.filter(~parted)
    np.testing.assert_allclose(whole["logprob"], true_logprobs(whole, server), atol=1e-5)
    for _, rows in frame.group_by("prompt_id", maintain_order=True):
        exact = Counter()
        for ids, logprob in server.law(rows["prompt_token_ids"][0].to_list()).items():
            exact[shown(text_of(ids, (*words, "system", "user", "assistant")))] += np.exp(logprob)
        assert p_value(Counter(map(shown, rows["completion"])), exact) > 1e-3


def shown(text):
    """Without what stands for a part of a character: servers put one or several, or none at the end."""
    return text.replace("\ufffd", "")


def test_with_the_usual_settings_log_probabilities_are_rounded(serve, draw):
    server = serve(exact=False)
    frame = draw(server)
    assert min(p_values(frame, server)) > 1e-3
    error = np.abs(frame["logprob"] - np.array(true_logprobs(frame, server))).max()
    assert 1e-5 < error < 5e-3
