"""Servers that cannot be used for what is asked: one line before the run says why, and how to mend it."""

from __future__ import annotations

import socket

import polars as pl
import pytest
import standin
from standin import Reply

import klimit
from klimit.errors import InputError
from klimit.models import server_http
from klimit.models.server_address import read_address


@pytest.fixture
def draw(texts, tmp_path):
    def run(server, **changed):
        settings = {"model": standin.MODEL, "prompts": texts, "output": tmp_path / "out.parquet"}
        klimit.sample(server=server.url, **{"n": 2, "max_new_tokens": 4, **settings, **changed})
        return pl.read_parquet(tmp_path / "out.parquet")

    return run


def test_a_server_that_is_down(texts, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=r"cannot be reached \(.*\); is the server up\?"):
            klimit.sample(model="toy", server=url, prompts=texts, output=tmp_path / "out.parquet")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("localhost:8000", "give it as http://host:port/v1"),
        ("ftp://host", "'ftp://host'; give it"),
        ("http://", "give it as"),
        ("http://host:x", "cannot be read; give it as"),
    ],
)
def test_an_address_that_is_none(given, message):
    with pytest.raises(InputError, match=message):
        read_address(given)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host:8000/v1/", "http://host:8000/v1"),
        ("https://host/openai/v1/chat/completions", "https://host/openai/v1"),
        ("https://user:word@host/v1?token=word", "https://host/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_an_address_is_read_as_users_write_it_and_shown_without_secrets(given, base):
    address = read_address(given)
    assert address.base == base
    assert "word" not in repr(address)


def test_user_password_and_parameters_of_the_address_are_sent(serve, draw):
    server = serve()
    server.secret = server.url.replace("http://", "http://user:word@") + "?token=a%2Fb"
    type(server).url, kept = property(lambda self: self.secret), type(server).url
    try:
        draw(server)
    finally:
        type(server).url = kept
    assert server.headers[-1]["Authorization"].startswith("Basic ")
    assert server.queries[-1] == "token=a%2Fb"


def test_a_model_that_the_server_has_not(serve, draw):
    with pytest.raises(InputError, match="has no model 'other'; give one of its own with --model: toy"):
        draw(serve(), model="other")


def test_a_key_that_is_missing_or_wrong(serve, draw, monkeypatch):
    with pytest.raises(InputError, match=r"wants another API key .*set OPENAI_API_KEY \(no key is in it\)"):
        draw(serve(key="sk-right"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong")
    with pytest.raises(InputError, match=r"set OPENAI_API_KEY \(the key in it is not taken\)") as refused:
        draw(serve(key="sk-right"))
    assert "sk-" not in str(refused.value)


def test_a_server_without_log_probabilities(serve, draw, chats):
    for more in ({}, {"prompts": chats}):
        with pytest.raises(InputError, match="the server gives no log-probabilities; vLLM, SGLang and"):
            draw(serve("transformers"), **more)


@pytest.mark.parametrize(
    ("dialect", "settings", "named"),
    [
        ("vllm", {"temperature": 0.5}, "temperature"),
        ("vllm", {"temperature": 1.1}, "temperature"),
        ("vllm", {"top_k": 3}, "top_k"),
        ("vllm", {"temperature": 0.5, "top_p": 0.9, "top_k": 3}, "temperature and top_p and top_k"),
        ("sglang", {"temperature": 0.5, "top_p": 0.9}, "top_p"),
        ("llama-cpp-python", {"top_k": 2}, "top_k"),
    ],
)
def test_log_probabilities_that_are_not_of_what_was_sampled(dialect, settings, named, serve, draw):
    message = f"its log-probabilities are those before {named}, not of what was sampled; .*processed_logprobs"
    with pytest.raises(InputError, match=message):
        draw(serve(dialect), **settings)


def test_whether_they_are_after_temperature_is_not_guessed(serve, draw, monkeypatch):
    monkeypatch.setattr(standin, "logits", lambda prompt, before: standin.np.zeros(4))
    with pytest.raises(InputError, match="cannot be told from the first prompts"):
        draw(serve(), temperature=0.5)
    assert len(draw(serve())) == 6  # at temperature 1 there is nothing to tell


def test_log_probabilities_without_the_end_token(serve, draw):
    with pytest.raises(InputError, match="leaves the end token out of its log-probabilities"):
        draw(serve("llama-cpp-python"), n=20)


def test_what_a_server_does_not_know_and_is_off_is_left_out_and_said(serve, draw):
    server, said = serve(unknown=("mirostat", "dry_multiplier", "top_k", "return_token_ids")), []
    assert len(draw(server, say=said.append)) == 6
    assert said[:3] == [
        f"the server does not know {name}, which is off; left out"
        for name in ("mirostat", "dry_multiplier", "top_k")
    ]
    assert not {"mirostat", "dry_multiplier", "top_k", "return_token_ids"} & server.bodies[-1].keys()
    assert {"min_p", "repetition_penalty", "temperature", "top_p", "seed"} <= server.bodies[-1].keys()


@pytest.mark.parametrize(
    ("name", "settings"), [("top_k", {"top_k": 2}), ("top_p", {}), ("seed", {}), ("temperature", {})]
)
def test_what_changes_the_distribution_is_never_left_out(name, settings, serve, draw):
    with pytest.raises(InputError, match=rf"refuses the request \(HTTP 400: Unrecognized .*: {name}\)"):
        draw(serve(unknown=(name,)), **settings)


def test_a_top_k_of_all_tokens_is_written_as_the_server_wants_it(serve, draw):
    for dialect, written in (("vllm", -1), ("sglang", -1), ("llama-cpp-python", 0)):
        server = serve(dialect, change=None if dialect != "llama-cpp-python" else _cut)
        draw(server, max_new_tokens=1, overwrite=True)
        assert server.bodies[-1]["top_k"] == written


def _cut(answer):
    """As if nothing ever ended, so that a missing end token does not matter."""
    if answer["choices"][0]["finish_reason"] == "stop":
        answer["choices"][0] |= {"finish_reason": "length", "text": " a"}
        answer["choices"][0]["logprobs"] = {
            "tokens": [" a"],
            "token_logprobs": [-1.0],
            "top_logprobs": [{" a": -1}],
        }
        answer["usage"]["completion_tokens"] = 1
    return answer


def test_a_server_that_gives_one_completion_for_all_seeds(serve, draw):
    with pytest.raises(InputError, match=r"gives the same completion .* for 4 different seeds"):
        draw(serve(fixed=True), max_new_tokens=16, prompts=[klimit.models.prompts.Prompt(0, "xxxx")])


def test_a_server_that_does_not_repeat_itself_is_told_of(serve, draw):
    said = []
    draw(serve(seeded=False), max_new_tokens=16, say=said.append)
    assert "does not repeat a completion for the same seed: a rerun keeps what is there" in said[0]


def test_a_path_that_is_not_there(serve, draw, chats):
    gone = Reply(404, {"detail": "Not Found"})
    with pytest.raises(
        InputError, match=r"/v1/completions: is not there \(HTTP 404: Not Found\); prompts .* texts"
    ):
        draw(serve(fault=lambda number, body: gone))
    with pytest.raises(InputError, match=r"/v1/chat/completions: is not there .* chat messages need it"):
        draw(serve(fault=lambda number, body: gone), prompts=chats)


def test_a_server_that_has_moved(serve, draw):
    moved = Reply(308, {}, {"Location": "http://127.0.0.1:1/elsewhere"})
    with pytest.raises(InputError, match=r"has moved \(HTTP 308\)"):
        draw(serve(fault=lambda number, body: moved))


@pytest.mark.parametrize("concurrency", [0, -1, True, 2.5])
def test_concurrency(concurrency, serve, draw):
    with pytest.raises(InputError, match=r"concurrency is .*; it must be a whole number, 1 or more"):
        draw(serve(), concurrency=concurrency)


def test_a_missing_extra_is_named(serve, draw, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(InputError, match=r"httpx is not installed; .*pip install 'klimit\[server\]'"):
        draw(serve())


def test_a_prompt_beyond_the_context_is_named_with_the_servers_words(serve, draw):
    long = [klimit.models.prompts.Prompt("a", "x"), klimit.models.prompts.Prompt("b", "x" * 80)]
    with pytest.raises(InputError, match=r"prompt 'b': .*maximum context length is 60 tokens"):
        draw(serve(), prompts=long)


def test_the_lines_are_lines(serve, draw):
    words = Reply(400, {"error": {"message": "two\nlines " + "x" * 1000}})
    with pytest.raises(InputError) as refused:
        draw(serve(fault=lambda number, body: words))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600
    assert server_http.ANSWER > 60
