"""A stand-in for servers of language models: a real HTTP server of a toy law, in the documented forms of real ones.

It is no server of language models. Its tokens come from a small known distribution, so that frequencies and
log-probabilities can be held against it, and its answers have the forms of vLLM, SGLang, llama.cpp's own server,
llama-cpp-python and ``transformers serve`` (``dialect``), each with that server's habits: what its log-probabilities
are of, which token ids it tells, whether the end token is among them, and what it does where a setting is not sent.
"""

from __future__ import annotations

import json
import math
import random
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

END = 0
WORDS = ("<end>", " a", " b", " é")
MODEL = "toy"
TEXTS = ("x", "y z", "zz")  # prompts that the tests use

# What a server does where a setting is not sent: its own defaults, or those that came with the model.
HABITS = {
    "vllm": {"temperature": 0.6, "top_p": 0.8, "top_k": 2, "min_p": 0.0, "repetition_penalty": 1.3},
    "sglang": {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0},
    "llamacpp": {"temperature": 0.8, "top_p": 0.95, "top_k": 2, "min_p": 0.05, "repeat_penalty": 1.1},
    "llama-cpp-python": {"temperature": 0.8, "top_p": 0.95, "top_k": 2, "min_p": 0.05, "repeat_penalty": 1.1},
    "transformers": {"temperature": 1.0, "top_p": 1.0, "top_k": 50},
}
OWNERS = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llamacpp", "llama-cpp-python": "me"}


@dataclass
class Reply:
    """What is answered instead: a status, a body, headers; or the connection is broken off half-way."""

    status: int = 200
    body: object = None
    headers: dict = field(default_factory=dict)
    broken: bool = False
    wait: float = 0.0


def logits(prompt: str, before: tuple[int, ...]) -> np.ndarray:
    """Of the next token, after a prompt and the tokens before."""
    last = before[-1] if before else 4
    key = (len(prompt) * 7 + last * 3) % 11
    return np.array([0.3 * (key % 5) - 0.5, 0.2 * key - 1.0, 1.0 - 0.35 * (key % 4), 0.5 * (key % 3) - 0.4])


def warped(values: np.ndarray, *, temperature=1.0, top_p=1.0, top_k=0, min_p=0.0) -> np.ndarray:
    """Log-probabilities after temperature, top-k, top-p and min-p."""
    out = values / temperature
    if top_k > 0:
        out = np.where(out >= np.sort(out)[-min(top_k, len(out))], out, -np.inf)
    law = np.exp(out - np.logaddexp.reduce(out))
    order = np.argsort(-law, kind="stable")
    law_before = np.cumsum(law[order]) - law[order]
    out[order[law_before >= top_p]] = -np.inf
    out = np.where(law >= min_p * law.max(), out, -np.inf)
    return out - np.logaddexp.reduce(out)


def law_of(prompt: str, length: int, **settings) -> dict[tuple[int, ...], float]:
    """Log-probability of every completion."""
    found, growing = {}, {(): 0.0}
    for step in range(length):
        longer = {}
        for before, total in growing.items():
            for token, value in enumerate(warped(logits(prompt, before), **settings)):
                if value > -np.inf:
                    ended = token == END or step == length - 1
                    (found if ended else longer)[(*before, token)] = total + float(value)
        growing = longer
    return found


def text_of(tokens: tuple[int, ...]) -> str:
    """The text of a completion, the end token left out."""
    return "".join(WORDS[token] for token in tokens if token != END)


class StandIn:
    """A server of the toy law.

    Args:
        dialect: whose forms and habits it has.
        processed: whether vLLM was started with ``--logprobs-mode processed_logprobs``.
        seeded: whether it repeats a completion for the same seed.
        fixed: whether it gives the same completion whatever the seed.
        unknown: parameters that it refuses.
        fault: gives a :class:`Reply` for the number of a request, and its body, or None to go on.
        ids: whether it knows the parameter that asks for token ids.
        wait: seconds until an answer.
        at_once: requests that it takes at once; it answers others that it is busy.
    """

    def __init__(self, dialect, *, processed=False, seeded=True, fixed=False, unknown=(), fault=None, ids=True,
                 wait=0.0, at_once=10**9, change=None, max_logprobs=20, key=None):  # fmt: skip
        self.dialect, self.processed, self.seeded, self.fixed = dialect, processed, seeded, fixed
        self.own = random.Random(7)  # of a server that heeds no seed
        self.unknown, self.fault, self.ids, self.wait, self.at_once = unknown, fault, ids, wait, at_once
        self.change, self.max_logprobs, self.key = change, max_logprobs, key
        self.bodies, self.headers, self.queries, self.in_flight, self.most = [], [], [], 0, 0
        self.lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"owner": self}))
        self.http.daemon_threads, self.http.block_on_close = True, False
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def told(self, path: str) -> object:
        """What is told about itself."""
        if path == "/v1/models":
            return {
                "object": "list",
                "data": [{"id": MODEL, "object": "model", "owned_by": OWNERS.get(self.dialect, "x")}],
            }
        version = {"vllm": "/version", "sglang": "/get_server_info", "llamacpp": "/props"}.get(self.dialect)
        if path == version:
            return {"version": "9.9", "build_info": "b9-99"}
        return None

    def answer(self, path: str, body: dict) -> tuple[int, object]:
        """A completion, or a refusal."""
        if path in ("/tokenize", "/apply-template"):
            return (
                self.tokenized(path, body) if self.dialect == "llamacpp" else (404, {"detail": "Not Found"})
            )
        refused = [name for name in self.unknown if name in body]
        if refused:
            return 400, {
                "error": {"message": f"Unrecognized request argument supplied: {refused[0]}", "code": 400}
            }
        if body["model"] != MODEL:
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist.", "code": 404}}
        if self.dialect == "sglang" and body["top_k"] == 0:
            return 400, {
                "object": "error",
                "message": "top_k must be -1 (disable) or at least 1, got 0.",
                "code": 400,
            }
        if self.dialect == "llama-cpp-python" and body["top_k"] < 0:
            detail = {
                "type": "greater_than_equal",
                "loc": ["body", "top_k"],
                "msg": "Input should be at least 0",
            }
            return 422, {"detail": [detail]}
        chat = path.endswith("/chat/completions")
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        if len(prompt) + body["max_tokens"] > 60:
            return 400, {
                "error": {"message": "This model's maximum context length is 60 tokens.", "code": 400}
            }
        top = (body.get("top_logprobs") if body.get("logprobs") else None) if chat else body.get("logprobs")
        made = self.drawn(prompt, body, top)
        return 200, self.put(made, prompt, body, chat, top)

    def tokenized(self, path: str, body: dict) -> tuple[int, object]:
        """Paths of llama.cpp's own: a chat template that adds nothing, and one token a letter."""
        if path == "/apply-template":
            return 200, {"prompt": body["messages"][-1]["content"]}
        return 200, {"tokens": [ord(c) for c in body["content"]]}

    def drawn(self, prompt: str, body: dict, top: int | None) -> list[tuple[int, np.ndarray]]:
        """Tokens, each with the log-probabilities that this server tells in its place."""
        s = {
            **HABITS[self.dialect],
            **{name: body[name] for name in ("temperature", "top_p", "top_k", "min_p") if name in body},
        }
        s = {name: value for name, value in s.items() if name in ("temperature", "top_p", "top_k", "min_p")}
        seed = 1 if self.fixed else body["seed"] if self.seeded else self.own.getrandbits(40)
        draws = np.random.default_rng([seed, len(prompt)])
        made, before = [], ()
        while len(before) < body["max_tokens"] and END not in before:
            values = logits(prompt, before)
            law = warped(values, **s)
            token = int(draws.choice(len(WORDS), p=np.exp(law)))
            made.append((token, self.shown(values, law, s["temperature"], body)))
            before = (*before, token)
        return made

    def shown(self, values, law, temperature, body) -> np.ndarray:
        after = {
            "vllm": self.processed,
            "llamacpp": body.get("post_sampling_probs", False),
        }.get(self.dialect, False)
        if after:
            return law
        return warped(values, temperature=temperature if self.dialect == "sglang" else 1.0)

    def put(self, made, prompt, body, chat, top) -> dict:
        """The answer in this server's form."""
        tokens = tuple(token for token, _ in made)
        ended = tokens[-1] == END
        choice = {"index": 0, "finish_reason": "stop" if ended else "length"}
        text = text_of(tokens)
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        found = {"id": "1", "model": MODEL, "choices": [choice]}
        if self.dialect == "llama-cpp-python" and ended:
            made = made[:-1]
        found["usage"] = {"completion_tokens": len(made), "prompt_tokens": len(prompt)}
        if self.dialect != "transformers" and top is not None:
            choice["logprobs"] = self.logprobs(made, chat, top, body)
        if self.ids and body.get("return_token_ids") and self.dialect in ("vllm", "sglang"):
            choice["token_ids"] = list(tokens)
            holder = found if chat and self.dialect == "vllm" else choice
            holder["prompt_token_ids"] = [ord(c) for c in prompt]
        if self.dialect == "sglang":
            choice["matched_stop"] = END if ended else None
        return self.change(found) if self.change else found

    def logprobs(self, made, chat, top, body) -> object:
        if self.dialect == "llamacpp":
            if not top:
                return None
            post = body.get("post_sampling_probs", False)
            name, value = ("prob", math.exp) if post else ("logprob", float)
            return {
                "content": [
                    {
                        "id": token, "token": piece(token), "bytes": list(piece(token).encode()),
                        name: value(law[token]),
                        "top_probs" if post else "top_logprobs": [
                            {"id": t, "token": piece(t), name: value(law[t])}
                            for t in np.argsort(-law)[:top].tolist() if law[t] > -np.inf
                        ],
                    }
                    for token, law in made
                ]
            }  # fmt: skip
        tops = [{t: max(float(law[t]), -9999.0) for t in np.argsort(-law)[:top].tolist()} for _, law in made]
        values = [max(float(law[token]), -9999.0) for token, law in made]
        if chat:
            return {
                "content": [
                    {
                        "token": WORDS[token], "logprob": value,
                        "top_logprobs": [{"token": WORDS[t], "logprob": v} for t, v in each.items()],
                    }
                    for (token, _), value, each in zip(made, values, tops, strict=True)
                ]
            }  # fmt: skip
        return {
            "tokens": [WORDS[token] for token, _ in made],
            "token_logprobs": values,
            "top_logprobs": [{WORDS[t]: v for t, v in each.items()} for each in tops],
            "text_offset": [0] * len(made),
        }


def piece(token: int) -> str:
    """As llama.cpp shows it: the end token as nothing."""
    return "" if token == END else WORDS[token]


class _Handler(BaseHTTPRequestHandler):
    owner: StandIn
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        found = self.owner.told(self.path.partition("?")[0])
        self.reply(200 if found is not None else 404, found if found is not None else {"detail": "Not Found"})

    def do_POST(self):
        owner = self.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with owner.lock:
            number = len(owner.bodies)
            owner.bodies.append(body)
            owner.headers.append(dict(self.headers))
            owner.queries.append(self.path.partition("?")[2])
            owner.in_flight += 1
            owner.most = max(owner.most, owner.in_flight)
            busy = owner.in_flight > owner.at_once
        try:
            if owner.key and self.headers.get("Authorization") != f"Bearer {owner.key}":
                return self.reply(401, {"error": "Unauthorized"})
            if busy:
                return self.reply(503, {"error": {"message": "too many requests in flight"}})
            instead = owner.fault(number, body) if owner.fault else None
            time.sleep(owner.wait if instead is None else instead.wait)
            if instead is None:
                return self.reply(*owner.answer(self.path.partition("?")[0], body))
            return self.reply(instead.status, instead.body, instead.headers, instead.broken)
        finally:
            with owner.lock:
                owner.in_flight -= 1

    def reply(self, status, found, headers=None, broken=False):
        data = found if isinstance(found, bytes) else json.dumps(found).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data) + 100 * broken))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            broken = True
        self.close_connection = broken
