"""Completions of a server: drawn from the distribution asked for, with the log-probabilities of what was sampled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import polars as pl
import pytest
import standin
from scipy.stats import chisquare
from standin import TEXTS

import klimit
from klimit.errors import InputError
from klimit.models.parts import read_metadata
from klimit.models.server_request import OFF, Form

N = 100
LENGTH = 3
GOOD = ("vllm", "sglang", "llamacpp")


def draw(server, prompts, folder, **settings):
    output = folder / f"{server.dialect}.parquet"
    given = {"n": N, "max_new_tokens": LENGTH, "seed": 1, "concurrency": 8, "batch_size": 400, **settings}
    klimit.sample(model=standin.MODEL, server=server.url, prompts=prompts, output=output, **given)
    return pl.read_parquet(output)


def p_values(frame, **settings):
    """Of each prompt's frequencies against the enumerated law."""
    found = []
    for text, (_, rows) in zip(TEXTS, frame.group_by("prompt_id", maintain_order=True), strict=True):
        law = standin.law_of(text, LENGTH, **settings)
        counts = Counter(zip(rows["completion"], rows["finish_reason"], strict=True))
        exact = Counter()
        for tokens, logprob in law.items():
            ended = "stop" if tokens[-1] == standin.END else "length"
            exact[standin.text_of(tokens), ended] += np.exp(logprob)
        assert set(counts) <= set(exact), "a completion that the distribution does not have"
        often = [c for c, p in exact.items() if p * N >= 5]
        seen, expected = [counts[c] for c in often], [exact[c] * N for c in often]
        if N - sum(expected) >= 1:
            seen, expected = [*seen, N - sum(seen)], [*expected, N - sum(expected)]
        found.append(float(chisquare(seen, np.array(expected) * sum(seen) / sum(expected)).pvalue))
    return found


def true_logprobs(frame, **settings):
    """Of the completions, by their token ids."""
    laws = [standin.law_of(text, LENGTH, **settings) for text in TEXTS]
    return [
        laws[key][tuple(ids)] for key, ids in frame.select("prompt_id", "completion_token_ids").iter_rows()
    ]


@pytest.mark.parametrize("dialect", GOOD)
def test_frequencies_and_logprobs_are_those_of_the_model(dialect, serve, texts, tmp_path):
    frame = draw(serve(dialect), texts, tmp_path)
    assert min(p_values(frame)) > 1e-3
    np.testing.assert_allclose(frame["logprob"], true_logprobs(frame), atol=1e-9)
    assert frame["prompt_id"].to_list() == [key for key in range(3) for _ in range(N)]
    assert frame["sample_id"].to_list() == [*range(N)] * 3


@pytest.mark.parametrize(
    ("dialect", "options", "settings"),
    [
        ("vllm", {"processed": True}, {"temperature": 0.5}),
        ("vllm", {"processed": True}, {"top_k": 2}),
        ("vllm", {"processed": True}, {"temperature": 1.5, "top_p": 0.7}),
        ("sglang", {}, {"temperature": 0.8}),
        ("llamacpp", {}, {"temperature": 1.3, "top_k": 3, "top_p": 0.8}),
    ],
)
def test_so_they_are_at_another_temperature_and_under_a_limit(
    dialect, options, settings, serve, texts, tmp_path
):
    frame = draw(serve(dialect, **options), texts, tmp_path, **settings)
    assert min(p_values(frame, **settings)) > 1e-3
    np.testing.assert_allclose(frame["logprob"], true_logprobs(frame, **settings), atol=1e-9)


def test_the_check_of_frequencies_finds_out_another_temperature(serve, texts, tmp_path):
    frame = draw(serve("sglang"), texts, tmp_path, temperature=0.3)
    assert min(p_values(frame)) < 1e-6


@pytest.mark.parametrize("dialect", ["vllm", "llamacpp"])
def test_a_setting_that_is_not_sent_is_the_servers_own(dialect, serve, texts, tmp_path, monkeypatch):
    """The stand-ins have the habits that make it necessary to send all settings, and the check sees them."""
    body = Form.body

    def careless(self, *arguments, **options):
        sent = body(self, *arguments, **options)
        return {name: value for name, value in sent.items() if name not in ("top_k", "min_p", *OFF)}

    monkeypatch.setattr(Form, "body", careless)
    frame = draw(serve(dialect), texts, tmp_path)
    assert min(p_values(frame)) < 1e-6


def test_every_request_has_all_settings_and_a_seed_of_its_own(serve, texts, tmp_path):
    server = serve("vllm", processed=True)
    draw(server, texts, tmp_path, n=20, temperature=0.7, top_p=0.9, top_k=3)
    run = server.bodies[-60:]
    for body in run:
        assert body["n"] == 1
        assert (body["temperature"], body["top_p"], body["top_k"], body["max_tokens"]) == (
            0.7,
            0.9,
            3,
            LENGTH,
        )
        assert {name: body[name] for name in OFF} == OFF
    assert len({(body["prompt"], body["seed"]) for body in run}) == 60
    assert all(0 <= body["seed"] < 2**31 for body in run)


def test_chat_messages_go_to_the_chat_completions(serve, chats, tmp_path):
    for dialect in GOOD:
        frame = draw(serve(dialect), chats, tmp_path)
        assert min(p_values(frame)) > 1e-3
        np.testing.assert_allclose(frame["logprob"], true_logprobs(frame), atol=1e-9)
        assert frame["prompt"].to_list()[0] == [{"role": "user", "content": "x"}]
        assert frame["prompt_token_ids"].to_list()[-1] == [ord("z"), ord("z")]


def test_token_ids_are_what_the_server_tells(serve, texts, tmp_path):
    for dialect in GOOD:
        frame = draw(serve(dialect), texts, tmp_path, n=20)
        for text, ids, reason in frame.select(
            "completion", "completion_token_ids", "finish_reason"
        ).iter_rows():
            assert standin.text_of(tuple(ids)) == text
            assert (ids[-1] == standin.END) == (reason == "stop")
        assert [bytes(ids).decode() for ids in frame["prompt_token_ids"].to_list()[::20]] == list(TEXTS)


def test_without_ids_there_are_text_and_logprob_and_steps_that_need_ids_refuse(serve, texts, tmp_path):
    server, said = serve("vllm", ids=False), []
    frame = draw(server, texts, tmp_path, n=20, say=said.append)
    assert said[0] == (
        "the server gives no token ids: prompt_token_ids and completion_token_ids stay empty, and steps that need "
        "them refuse"
    )
    assert frame["prompt_token_ids"].null_count() == frame["completion_token_ids"].null_count() == 60
    assert frame["logprob"].is_finite().all()
    with pytest.raises(klimit.errors.InputError, match="prompt_token_ids is missing"):
        klimit.logprob(model="x", ref_model="y", input=tmp_path / "vllm.parquet")


def without_first(word):
    """An answer of llama.cpp that leaves the first of such tokens out, as it does with parts of a character."""

    def change(answer):
        content = answer["choices"][0]["logprobs"]["content"]
        part = next((entry for entry in content if entry["token"] == word), None)
        if part is not None and len(content) > 1:
            content.remove(part)
        return answer

    return change


def test_where_llama_cpp_leaves_out_parts_of_a_character_no_sum_is_made_up(serve, texts, tmp_path):
    whole, said = draw(serve("llamacpp"), texts, tmp_path, n=40), []
    (tmp_path / "parts").mkdir()
    server = serve("llamacpp", change=without_first(" é"))
    frame = draw(server, texts, tmp_path / "parts", n=40, say=said.append)
    assert said[0].startswith("the server tells no log-probability of a token that is a part of a character")
    assert frame["completion"].equals(whole["completion"])
    parted = frame["completion_token_ids"].is_null()
    assert frame["logprob"].is_null().equals(parted)
    assert 0 < parted.sum() < 120
    assert frame.filter(parted)["completion"].str.contains("é").all()
    assert frame.filter(~parted)["logprob"].equals(whole.filter(~parted)["logprob"])
    with pytest.raises(klimit.errors.InputError, match=r"tells log-probabilities of [12], token ids"):
        draw(serve("llamacpp", change=without_first(" a")), texts, tmp_path, n=41, overwrite=True)


def without_all(answer):
    """An answer of llama.cpp that tells no token of a completion that is all parts of characters."""
    choice = answer["choices"][0]
    if set(choice["text"]) == {" ", "é"}:
        choice["logprobs"] = None
    return answer


def test_a_completion_that_is_all_parts_of_characters_is_kept(serve, texts, tmp_path):
    whole = draw(serve("llamacpp"), texts, tmp_path)
    (tmp_path / "parts").mkdir()
    frame = draw(serve("llamacpp", change=without_all), texts, tmp_path / "parts")
    assert frame["completion"].equals(whole["completion"])
    parted = frame["completion"].str.contains("^[ é]+$")
    assert 0 < parted.sum() < len(frame)
    assert frame["logprob"].is_null().equals(parted)
    assert frame.filter(~parted).equals(whole.filter(~parted))


def cut(answer, *, last=" é"):
    """An answer of llama.cpp to chat messages, cut in a character: its parts are not in the text either."""
    choice = answer["choices"][0]
    content = choice["logprobs"]["content"]
    if choice["finish_reason"] == "length" and content[-1]["token"] == last:
        content.pop()
        if last == " é":
            choice["message"]["content"] = choice["message"]["content"].removesuffix(last)
    return answer


def test_a_chat_that_is_cut_in_a_character_is_kept(serve, chats, tmp_path):
    whole = draw(serve("llamacpp"), chats, tmp_path)
    (tmp_path / "cut").mkdir()
    frame = draw(serve("llamacpp", change=cut), chats, tmp_path / "cut")
    parted = whole["completion"].str.ends_with(" é") & (whole["finish_reason"] == "length")
    assert 0 < parted.sum() < len(frame)
    assert frame["logprob"].is_null().equals(parted)
    with pytest.raises(InputError, match=r"sampled 3 tokens and tells log-probabilities of 2"):
        draw(
            serve("llamacpp", change=lambda answer: cut(answer, last=" a")),
            chats,
            tmp_path,
            overwrite=True,
            n=99,
        )


def test_tokens_that_look_alike_are_told_apart_by_their_ids(serve, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(standin, "piece", lambda token: "" if token in (0, 2) else standin.WORDS[token])
    settings = {"temperature": 1.3, "top_k": 2}
    frame = draw(serve("llamacpp"), texts, tmp_path, **settings)
    np.testing.assert_allclose(frame["logprob"], true_logprobs(frame, **settings), atol=1e-9)


def test_runs_of_other_seeds_and_models_are_other_draws(serve, texts, tmp_path):
    server = serve("vllm")
    first = draw(server, texts, tmp_path, n=20)["completion"]
    (tmp_path / "again").mkdir()
    again = draw(server, texts, tmp_path / "again", n=20, concurrency=3, batch_size=7)["completion"]
    (tmp_path / "other").mkdir()
    other = draw(server, texts, tmp_path / "other", n=20, seed=2)["completion"]
    assert first.equals(again)
    assert not first.equals(other)


def test_the_metadata_say_which_server_and_no_secret(serve, texts, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server = serve("vllm", key="sk-secret")
    draw(server, texts, tmp_path, n=2)
    made = read_metadata(tmp_path / "vllm.parquet")["sample"]
    assert (made["model"], made["engine"], made["seed"]) == (standin.MODEL, "vLLM 9.9", 1)
    assert "secret" not in json.dumps(made)
    assert "127.0.0.1" not in json.dumps(made)


@pytest.mark.parametrize(("dialect", "engine"), [("sglang", "SGLang 9.9"), ("llamacpp", "llama.cpp b9-99")])
def test_the_server_is_named_with_its_version(dialect, engine, serve, texts, tmp_path):
    draw(serve(dialect), texts, tmp_path, n=2)
    assert read_metadata(tmp_path / f"{dialect}.parquet")["sample"]["engine"] == engine


def test_neither_torch_nor_transformers_is_needed(serve, texts, tmp_path):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "import klimit\n"
        f"klimit.sample(model='toy', server={serve().url!r}, prompts={str(texts)!r}, n=2, max_new_tokens=3,\n"
        f"              output={str(tmp_path / 'out.parquet')!r})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(pl.read_parquet(tmp_path / "out.parquet")) == 6
