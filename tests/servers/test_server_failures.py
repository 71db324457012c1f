"""Servers that fail in the midst of a run: what passes is waited for, the rest is one line, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
import standin
from standin import Reply

import klimit
from klimit.errors import InputError
from klimit.models import server_http, server_pace

TRIALS = 6  # requests before the run


@pytest.fixture
def draw(texts, tmp_path):
    def run(server, name="out", **changed):
        output = tmp_path / f"{name}.parquet"
        settings = {"model": standin.MODEL, "prompts": texts, "output": output, "n": 10, "max_new_tokens": 3}
        klimit.sample(server=server.url, **{"concurrency": 4, **settings, **changed})
        return pl.read_parquet(output)

    return run


@pytest.fixture
def impatient(monkeypatch):
    """Little is waited for."""
    monkeypatch.setattr(server_http, "BUSY", 0.3)
    monkeypatch.setattr(server_http, "BROKEN", 0.3)
    monkeypatch.setattr(server_http, "ANSWER", 0.4)


def once(reply, *numbers):
    """A fault of some of the run's requests."""
    return lambda number, body: reply if number - TRIALS in numbers else None


def always(reply):
    return lambda number, body: reply if number >= TRIALS else None


PASSING = {
    "busy": Reply(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.2"}),
    "loading": Reply(503, {"error": {"message": "Loading model"}}),
    "gateway": Reply(502, b"<html>Bad Gateway</html>"),
    "error": Reply(500, {"error": "internal"}),
    "broken": Reply(200, b'{"choices": [', broken=True),
    "garbage": Reply(200, b"<html>maintenance</html>"),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_waited_for(name, serve, draw):
    expected = draw(serve())
    assert draw(serve(fault=once(PASSING[name], 3, 4)), "again").equals(expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("busy", r"prompt .*: http.*: is too busy \(HTTP 429: slow down\); ask for less at once"),
        ("loading", r"is too busy \(HTTP 503: Loading model\)"),
        ("gateway", r"is too busy \(HTTP 502: <html>Bad Gateway</html>\)"),
        ("error", r"fails \(HTTP 500: internal\)"),
        ("broken", "broke the connection off"),
        ("garbage", r"answers what is no JSON \('<html>maintenance</html>'\)"),
    ],
)
def test_what_does_not_pass_is_one_line_and_a_rerun_goes_on(name, message, serve, draw, impatient, tmp_path):
    failing = serve(fault=lambda number, body: PASSING[name] if number >= TRIALS + 12 else None)
    with pytest.raises(InputError, match=message) as failed:
        draw(failing, batch_size=4)
    assert "\n" not in str(failed.value)
    assert not (tmp_path / "out.parquet").exists()
    said = []
    server = serve()
    assert draw(server, batch_size=4, say=said.append).equals(draw(serve(), "whole"))
    kept = int(said[0].split()[0])
    assert said[0] == f"{kept} of 30 completions are there already"
    assert 4 <= kept <= 12
    assert len(server.bodies) == TRIALS + 30 - kept


def test_a_server_that_wants_to_be_left_alone_for_long_is_not_waited_for(serve, draw):
    begun = time.monotonic()
    with pytest.raises(InputError, match="HTTP 429"):
        draw(serve(fault=always(Reply(429, {}, {"Retry-After": "86400"}))))
    assert time.monotonic() - begun < 5


def test_a_retry_after_may_be_a_date():
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    assert 90 < server_http._after(later) < 101
    assert server_http._after("3") == 3
    assert server_http._after("soon") is None
    assert server_http._after(None) is None


def test_a_server_that_takes_few_at_once_is_asked_for_few_at_once(serve, draw):
    server = serve(at_once=2, wait=0.02)
    assert draw(server, concurrency=16).equals(draw(serve(), "whole"))
    refused = len(server.bodies) - TRIALS - 30
    assert 0 < refused < 60


def test_the_pace_falls_by_halves_and_rises_slowly():
    pace = server_pace.Pace(16)
    pace.slower(0.0)
    pace.slower(0.0)  # of the same moment
    assert pace.limit == 8
    for _ in range(8):
        pace.faster()
    assert pace.limit in (8, 9)
    for _ in range(1000):
        pace.faster()
    assert pace.limit == 16


def test_no_more_are_in_flight_than_were_asked_for(serve, draw):
    server = serve(wait=0.02)
    draw(server, concurrency=3)
    assert server.most == 3


def test_a_server_that_is_slow(serve, draw, impatient):
    with pytest.raises(InputError, match=r"no answer within 0 s; ask for less at once \(--concurrency\)"):
        draw(serve(fault=always(Reply(wait=3.0))))


def test_a_server_that_goes_down_in_the_midst(serve, draw, impatient):
    server = serve()

    def down(number, body):
        if number == TRIALS + 8:
            server.http.shutdown()
            server.http.socket.close()
        return Reply(broken=True) if number >= TRIALS + 8 else None

    server.fault = down
    with pytest.raises(InputError, match=r"cannot be reached|broke the connection off"):
        draw(server, batch_size=4)
    assert len(draw(serve())) == 30


def changed(**fields):
    """An answer whose choice is changed, after the trials."""
    seen = []

    def change(answer):
        seen.append(answer)
        if len(seen) > TRIALS:
            answer["choices"][0] |= fields
        return answer

    return change


def with_logprob(value):
    def change(answer):
        answer["choices"][0]["logprobs"]["token_logprobs"][0] = value
        return answer

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(finish_reason="content_filter"), "ended the completion by 'content_filter', which no policy does"),
        (changed(finish_reason=None), "'finish_reason' is no text"),
        (changed(text=None), "'text' is no text"),
        (changed(text=5), "'text' is no text"),
        (changed(logprobs=None), "prompt .*: the server gives no log-probabilities"),
        (changed(logprobs=[]), "'logprobs' is no object"),
        (changed(logprobs={"tokens": ["a"], "token_logprobs": []}), "are not two lists of one length"),
        (changed(token_ids=[1]), "token ids of 1; their sum is not that|tells log-probabilities"),
        (changed(token_ids=None), "tells the token ids of some completions only"),
        (changed(token_ids=["a"]), "token ids are no list of whole numbers"),
        (with_logprob(float("nan")), "a log-probability is no number, or above 0"),
        (with_logprob(None), "a log-probability is no number"),
        (with_logprob(0.5), "or above 0"),
        (with_logprob(-9999.0), "sampled a token that it gives no probability"),
        (lambda answer: {**answer, "choices": []}, "'choices' does not hold one completion"),
        (lambda answer: {**answer, "choices": answer["choices"] * 3}, "'choices' does not hold one completion"),
        (lambda answer: {"object": "error"}, "'choices' does not hold one completion"),
        (lambda answer: [answer], "is it an OpenAI-compatible server"),
        (lambda answer: {**answer, "usage": None}, "does not say how many tokens it sampled"),
        (lambda answer: {**answer, "usage": {"completion_tokens": 9}}, "sampled 9 tokens and tells .* of [123]"),
    ],
)  # fmt: skip
def test_answers_that_cannot_be_used(change, message, serve, draw, tmp_path):
    with pytest.raises(InputError, match=message) as refused:
        draw(serve(change=change))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("aside", ["reasoning_content", "reasoning", "tool_calls", "refusal"])
def test_parts_of_an_answer_that_are_put_aside(aside, serve, draw, chats):
    def change(answer):
        answer["choices"][0]["message"][aside] = "thought"
        return answer

    with pytest.raises(
        InputError, match=rf"puts a part of the completion aside \({aside}\).*without parsers"
    ):
        draw(serve(change=change), prompts=chats)


def test_a_completion_that_is_cut_by_the_context(serve, draw):
    def change(answer):
        choice = answer["choices"][0]
        if choice["finish_reason"] == "length":
            for values in choice["logprobs"].values():
                values.pop()
            choice["token_ids"].pop()
            answer["usage"]["completion_tokens"] -= 1
        return answer

    with pytest.raises(InputError, match="cut the completion at 2 tokens, not at 3: its context is full"):
        draw(serve(change=change))


def test_tokens_of_a_draft_model_have_no_log_probability(serve, draw):
    def change(answer):
        answer["choices"][0]["logprobs"]["content"][0] |= {"logprob": 0.0, "top_logprobs": []}
        return answer

    with pytest.raises(InputError, match="without speculative decoding"):
        draw(serve("llamacpp", change=change))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_twenty_random_points_it_ends_with_the_same_rows(serve, draw, tmp_path):
    server = serve()
    settings = {"n": 20, "batch_size": 4}
    whole = draw(server, "whole", **settings)
    output, moments, longest, kills = tmp_path / "out.parquet", random.Random(0), 1.0, 0
    while kills < 20:
        child = os.fork()
        if child == 0:
            draw(server, **settings)
            os._exit(0)
        time.sleep(moments.uniform(0.0, longest))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if output.exists():  # it was done before it was killed: begin again, and be quicker
            assert pl.read_parquet(output).equals(whole)
            output.unlink()
            longest *= 0.8
        kills += os.WIFSIGNALED(status)
    assert draw(server, **settings).equals(whole)
    assert not output.with_name("out.parquet.parts").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_stops_it_at_once_though_answers_are_far_off(serve, texts, tmp_path):
    server = serve(fault=lambda number, body: Reply(wait=60.0) if number >= TRIALS + 8 else None)
    command = [
        sys.executable, "-c", "from klimit.cli import main; main()", "sample", "--server", server.url, "--model",
        standin.MODEL, "--prompts", str(texts), "-o", str(tmp_path / "out.parquet"), "-n", "10", "--max-new-tokens",
        "3", "--batch-size", "4", "--concurrency", "4",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as started:
        while len(server.bodies) < TRIALS + 12:
            assert started.poll() is None, started.stderr.read()
            time.sleep(0.05)
        pressed = time.monotonic()
        started.send_signal(signal.SIGINT)
        said = started.communicate(timeout=30)[1]
    assert time.monotonic() - pressed < 2
    assert started.returncode == 130
    assert said.splitlines() == [
        "klimit: what is done is kept; the same command goes on from there",
        "klimit: interrupted",
    ]
    server.fault = None
    again = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert again.startswith("klimit: 8 of 30 completions are there already")
