"""Loading models and tokenizers: from a folder or the hub, never running their code or unpickling unasked."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from klimit.errors import InputError
from klimit.models.extras import needed
from klimit.models.hushed import Hushed

DTYPES = ("auto", "float32", "bfloat16", "float16")
_CAUSAL = ("AutoModelForCausalLM", "causal language model")
_CLASSIFIER = ("AutoModelForSequenceClassification", "sequence classifier")
_LOOKED_AT = 64  # values of each weight that go into the fingerprint


@dataclass(frozen=True)
class Trust:
    """What a model's repository may do here; nothing, unless asked for.

    Attributes:
        remote_code: run Python code that comes with the model.
        pickle: load weights by unpickling, which can run code.
    """

    remote_code: bool = False
    pickle: bool = False


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model, its tokenizer, and what they are.

    Attributes:
        model: in evaluation mode, on its device.
        tokenizer: of the model.
        name: path or hub id, as given.
        fingerprint: of the weights: names, shapes, and some values of each.
        dtype: of the weights, by name.
        device: by name.
    """

    model: Any
    tokenizer: Any
    name: str
    fingerprint: str
    dtype: str
    device: str

    @property
    def identity(self) -> dict[str, Any]:
        """For metadata: a folder's own name without the path to it."""
        torch, transformers = needed("torch"), needed("transformers")
        return {
            "model": Path(self.name).name if Path(self.name).is_dir() else self.name,
            "weights": self.fingerprint,
            "dtype": self.dtype,
            "engine": f"transformers {transformers.__version__}, torch {torch.__version__}",
        }

    @property
    def context(self) -> int | None:
        """Tokens that prompt and completion may have together; None where the model does not say."""
        config = self.model.config.get_text_config()
        for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
            limit = getattr(config, name, None)
            if isinstance(limit, int) and limit > 0:
                return limit
        return None


def load_causal(
    name: str, *, dtype: str = "auto", device: str = "auto", trust: Trust | None = None
) -> Loaded:
    """A causal language model with its tokenizer.

    Raises:
        InputError: there is none by that name, or it is no causal language model.
    """
    return _load(name, *_CAUSAL, dtype, device, trust or Trust())


def load_classifier(
    name: str, *, dtype: str = "auto", device: str = "auto", trust: Trust | None = None
) -> Loaded:
    """A sequence classifier (a reward model) with its tokenizer.

    Raises:
        InputError: there is none by that name, or it is no sequence classifier.
    """
    return _load(name, *_CLASSIFIER, dtype, device, trust or Trust())


def check_model(name: str, *, classifier: bool = False, trust: Trust | None = None) -> None:
    """See, by its configuration alone, that there is a model of that kind.

    Raises:
        InputError: there is none by that name, or it is another kind.
    """
    kind, said = _CLASSIFIER if classifier else _CAUSAL
    with Hushed(needed("transformers")):
        _config(name, kind, said, trust or Trust())


def _config(name: str, kind: str, said: str, trust: Trust) -> Any:
    transformers = needed("transformers")
    local = _looks_local(name)
    if local and not Path(name).is_dir():
        raise InputError(f"{name}: no such folder; give a folder with a model, or its id on the hub")
    if local and not (Path(name) / "config.json").is_file():
        raise InputError(f"{name}: holds no config.json, so it is no model's folder")
    code = {"trust_remote_code": trust.remote_code}
    config = _attempt(name, local, said, lambda: transformers.AutoConfig.from_pretrained(name, **code))
    _check_architecture(config, kind, name, said)
    return config


def _load(name: str, kind: str, said: str, dtype: str, device: str, trust: Trust) -> Loaded:
    torch, transformers = needed("torch"), needed("transformers")
    if dtype not in DTYPES:
        raise InputError(f"dtype is {dtype!r}; known are {', '.join(DTYPES)}")
    where = _device(torch, device)
    local = _looks_local(name)
    wanted = ("auto" if where != "cpu" else "float32") if dtype == "auto" else dtype
    code = {"trust_remote_code": trust.remote_code}
    with Hushed(transformers):
        config = _config(name, kind, said, trust)
        tokenizer = _attempt(
            name, local, "tokenizer", lambda: transformers.AutoTokenizer.from_pretrained(name, **code)
        )
        model, info = _attempt(
            name,
            local,
            said,
            lambda: getattr(transformers, kind).from_pretrained(
                name,
                config=config,
                dtype=wanted,
                use_safetensors=None if trust.pickle else True,
                output_loading_info=True,
                **code,
            ),
        )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise InputError(
            f"{name}: has no weights for {missing[0]} ({len(missing)} missing in all), so it is no trained {said}"
        )
    model = model.to(where).eval()
    return Loaded(
        model, tokenizer, name, fingerprint(model), str(model.dtype).removeprefix("torch."), str(where)
    )


def fingerprint(model: Any) -> str:
    """A short name for the weights: of their names, shapes and some values of each, evenly spread."""
    torch = needed("torch")
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        flat = weight.detach().reshape(-1)
        picked = flat[:: max(1, len(flat) // _LOOKED_AT)].to("cpu", torch.float32)
        digest.update(f"{name} {tuple(weight.shape)} ".encode())
        digest.update(picked.numpy().tobytes())
    return digest.hexdigest()[:16]


def _attempt(name: str, local: bool, said: str, load: Any) -> Any:
    try:
        return load()
    except MemoryError:
        raise InputError(f"{name}: does not fit in memory") from None
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, AttributeError) as error:
        raise InputError(_explained(name, local, said, error)) from None


def _explained(name: str, local: bool, said: str, error: Exception) -> str:
    text = str(error).strip()
    if "trust_remote_code" in text:
        return f"{name}: comes with code of its own; to run it, after reading it, give --trust-remote-code"
    if "safetensors" in text and (not local or list(Path(name).glob("*.bin"))):
        return (
            f"{name}: has no safetensors weights; pickled weights can run code when loaded: give --allow-pickle "
            "if you trust them"
        )
    if "safetensors" in text:
        return f"{name}: holds no weights (model.safetensors)"
    if not local and (_is_offline() or any(mark in text for mark in _OFFLINE)):
        return f"{name}: is no folder here, and the hub cannot be reached (offline?); give a folder, or go online"
    if not local and (
        "not a valid model identifier" in text or "404" in text or "Repository Not Found" in text
    ):
        return f"{name}: neither a folder here nor a model on the hub (or a private one: log in first)"
    first = text.splitlines()[0][:200] if text else type(error).__name__
    return f"{name}: cannot be loaded as a {said} ({first})"


_OFFLINE = (
    "couldn't connect",
    "We couldn't connect",
    "offline",
    "Connection",
    "resolve",
    "Max retries",
    "ConnectError",
)


def _check_architecture(config: Any, kind: str, name: str, said: str) -> None:
    marks = {
        "AutoModelForCausalLM": ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"),
        "AutoModelForSequenceClassification": ("ForSequenceClassification", "RewardModel"),
    }[kind]
    named = list(getattr(config, "architectures", None) or ())
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(f"{name}: is an encoder-decoder ({', '.join(named)}), not a {said}")
    if named and not any(mark in each for mark in marks for each in named):
        raise InputError(f"{name}: is a {', '.join(named)}, not a {said}")


def _looks_local(name: str) -> bool:
    if Path(name).exists():
        return True
    return name.startswith((".", "/", "~", os.sep)) or name.count("/") > 1 or "\\" in name


def _is_offline() -> bool:
    return any(
        os.environ.get(name, "") in ("1", "true", "TRUE")
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def _device(torch: Any, device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used here ({str(error).splitlines()[0]})") from None
    return device
