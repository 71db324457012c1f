"""What a world is made from: a recipe, the same world each time, and the name that its parts are kept by."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from klimit.errors import InputError
from klimit.lab.tasks import task_named

_ENGINES = ("numpy", "torch", "transformers", "tokenizers")
_LEAVES = 200_000  # of a prompt: what enumeration and tables are made for


@dataclass(frozen=True)
class ProxyRecipe:
    """A reward model.

    Attributes:
        name: of the reward.
        pairs: preferences that it learns from, each of two completions of the base model.
        noise: reward that a preference is blurred by: the one with more by d is preferred with odds exp(d / noise).
        steps: of training.
    """

    name: str
    pairs: int = 1500
    noise: float = 0.5
    steps: int = 120


PROXIES = (
    ProxyRecipe("rm_a"),
    ProxyRecipe("rm_b"),
    ProxyRecipe("rm_c"),
    ProxyRecipe("rm_weak", pairs=200, noise=1.0, steps=25),
)


@dataclass(frozen=True)
class Recipe:
    """All that a world depends on.

    Attributes:
        task: ``"safety"`` or ``"summarization"``.
        seed: of everything.
        length: words after which a completion is cut.
        train: prompts to train on.
        held_out: prompts kept out of every training: of the demonstrator's, the proxies' and the policies'.
        others: further prompts, that only demonstrations and preferences are of.
        demonstrations: that the base model learns from.
        steps: of its training.
        batch: demonstrations at a step.
        width: of the base model.
        layers: of the base model.
        proxy_width: of the reward models, which have one layer.
        proxies: the reward models.
    """

    task: str
    seed: int = 0
    length: int = 5
    train: int = 32
    held_out: int = 16
    others: int = 200
    demonstrations: int = 24_000
    steps: int = 400
    batch: int = 256
    width: int = 48
    layers: int = 2
    proxy_width: int = 16
    proxies: tuple[ProxyRecipe, ...] = PROXIES

    def __post_init__(self) -> None:
        """Refuse what no world can be made from.

        Raises:
            InputError: one line names the setting and what it may be.
        """
        words = len(task_named(self.task).words)
        for name in ("train", "held_out", "demonstrations", "steps", "batch", "layers"):
            _check_whole(name, getattr(self, name), least=1)
        _check_whole("others", self.others, least=0)
        _check_whole("seed", self.seed, least=0)
        _check_whole("length", self.length, least=2)
        leaves = sum(words**d for d in range(self.length + 1))
        if leaves > _LEAVES:
            raise InputError(
                f"length is {self.length}: {leaves:,} completions a prompt; enumeration takes at most {_LEAVES:,}"
            )
        for name in ("width", "proxy_width"):
            if getattr(self, name) % 8 or getattr(self, name) < 8:
                raise InputError(f"{name} is {getattr(self, name)!r}; it must be a multiple of 8")
        names = [proxy.name for proxy in self.proxies]
        if (
            len(set(names)) < len(names)
            or {"gold", "base"} & set(names)
            or not all(map(str.isidentifier, names))
        ):
            raise InputError(
                f"proxies are named {', '.join(names)}; each needs a name of its own (letters, digits, _), other than "
                "gold and base"
            )

    def to_dict(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    @property
    def key(self) -> str:
        """What its world is kept by: of the recipe, the code that makes worlds, and the engines' versions."""
        made = {"recipe": self.to_dict(), "engines": engines(), "code": _code()}
        return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


def engines() -> dict[str, str]:
    """Versions of what makes the numbers."""
    return {name: version(name) for name in _ENGINES}


# The modules that a world's files depend on.
_MAKERS = (
    "build",
    "choice",
    "demonstrator",
    "enumeration",
    "networks",
    "preferences",
    "safety",
    "summarization",
    "task",
    "training",
    "tree",
)


def _code() -> str:
    digest = hashlib.sha256()
    for name in _MAKERS:
        digest.update(files("klimit.lab").joinpath(f"{name}.py").read_bytes())
    return digest.hexdigest()


def _check_whole(name: str, value: Any, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number, {least} or more")
