"""A world that stands ready: its models, prompts and rewards, and the exact truth about any checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from klimit.errors import InputError
from klimit.lab.cache import cache_folder, kept
from klimit.lab.recipe import Recipe
from klimit.lab.rewards import Gold
from klimit.lab.task import Task
from klimit.lab.tasks import task_named
from klimit.lab.tree import Tree, by_level
from klimit.models.extras import needed
from klimit.models.prompts import Prompt, read_prompts
from klimit.testsystems import PolicyTables, ProxyTables, Tables

Array = NDArray[np.float64]
Which = Literal["train", "held_out", "all"]


@dataclass(frozen=True)
class Prompts:
    """A world's prompts.

    Attributes:
        train: to train on.
        held_out: that no model of the world was trained on, nor is to be.
    """

    train: tuple[Prompt, ...]
    held_out: tuple[Prompt, ...]

    @property
    def all(self) -> tuple[Prompt, ...]:
        """``train``, then ``held_out``: the order of all tables."""
        return self.train + self.held_out

    def rows(self, which: Which) -> slice:
        """Where prompts stand in tables.

        Raises:
            InputError: unknown ones.
        """
        if which not in get_args(Which):
            raise InputError(f"prompts {which!r}: choose one of {', '.join(get_args(Which))}")
        start = len(self.train) if which == "held_out" else 0
        return slice(start, len(self.train) if which == "train" else len(self.train) + len(self.held_out))


@dataclass(frozen=True, eq=False)
class Law:
    """Exactly how a model completes a world's prompts.

    Attributes:
        tree: of completions.
        logprob: of all of them, ``(P, n_leaves)``, nats; rows are the world's prompts, train before held-out.
    """

    tree: Tree
    logprob: Array

    def probabilities(self, rows: slice = slice(None)) -> Array:
        """Of all completions; the mass on others, below 1e-6, is shared out."""
        p = np.exp(self.logprob[rows])
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def views(self, rows: slice = slice(None)) -> Array:
        """Probabilities of what rewards tell apart, ``(P, n_views)``."""
        return self.tree.by_view(self.probabilities(rows))


@dataclass(frozen=True, eq=False)
class World:
    """A small world whose truth is known; see :func:`open_world`.

    Attributes:
        recipe: what it was made from.
        folder: where its files are.
    """

    recipe: Recipe
    folder: Path

    @property
    def task(self) -> Task:
        """Words and rule."""
        return task_named(self.recipe.task)

    @cached_property
    def tree(self) -> Tree:
        """The completions, in the order of all tables."""
        return Tree(len(self.task.words), self.recipe.length)

    @property
    def base_model(self) -> Path:
        """Folder of the base model."""
        return self.folder / "base"

    @property
    def proxies(self) -> dict[str, Path]:
        """Folders of the reward models, by the reward's name."""
        return {proxy.name: self.folder / proxy.name for proxy in self.recipe.proxies}

    @property
    def gold(self) -> Gold:
        """The rule, as a reward function."""
        return Gold(self.task, self.recipe.length)

    @cached_property
    def prompts(self) -> Prompts:
        """Those enumerated."""
        return Prompts(*(tuple(read_prompts(self.prompt_file(name))) for name in ("train", "held_out")))

    def prompt_file(self, which: Literal["train", "held_out"]) -> Path:
        """The file of prompts, as :func:`klimit.sample` reads it."""
        return self.folder / f"{which}.jsonl"

    # Laws.

    @cached_property
    def base(self) -> Law:
        """The base model's law."""
        return Law(self.tree, np.load(self.folder / "base.npy"))

    def enumerate(self, model: Any) -> Law:
        """The law of any model with the world's vocabulary: every completion of every prompt.

        Args:
            model: folder of a causal language model, or one that is loaded.

        Raises:
            InputError: another vocabulary, or a model that gives other tokens probability, or no numbers.
        """
        from klimit.lab import blocks, networks
        from klimit.models.loading import load_causal
        from klimit.models.tokens import prompt_ids

        name = str(model) if isinstance(model, str | Path) else "the model"
        tokenizer: Any = networks.policy_tokenizer(self.task)
        if isinstance(model, str | Path):
            loaded = load_causal(name, dtype="float32")
            if loaded.tokenizer.get_vocab() != tokenizer.get_vocab():
                raise InputError(f"{name}: has another vocabulary than the base model of {self.task.name}")
            model = loaded.model
        if model.get_output_embeddings().weight.shape[0] != len(tokenizer):
            raise InputError(f"{name}: has another vocabulary than the base model of {self.task.name}")
        ids = [prompt_ids(tokenizer, prompt) for prompt in self.prompts.all]
        tokens = networks.open_tokens(self.task)
        return Law(self.tree, blocks.leaf_logprobs(model, ids, self.tree, tokens, name=name))

    # Rewards.

    @cached_property
    def _rewards(self) -> dict[str, Array]:
        with np.load(self.folder / "rewards.npz") as file:
            return dict(file)

    def rewards(self, name: str = "gold", prompts: Which = "all") -> Array:
        """A reward of all views, ``(P, n_views)``.

        Args:
            name: ``"gold"``, or a proxy's.
            prompts: which.

        Raises:
            InputError: no such reward or prompts.
        """
        if name not in self._rewards:
            raise InputError(f"no reward {name!r}; {self.task.name} has {', '.join(self._rewards)}")
        return self._rewards[name][self.prompts.rows(prompts)]

    # The truth.

    def limit(self, reward: str = "gold", prompts: Which = "held_out") -> Tables:
        """The exact limit and best-of-N of the base model: ``.frontier(kl)``, ``.best_of_n(n)`` and so on.

        Raises:
            InputError: no such reward or prompts.
        """
        rows = self.prompts.rows(prompts)
        return Tables(*by_level(self.base.views(rows), self.rewards(reward, prompts)))

    def audit(self, policy: Law, reward: str = "gold", prompts: Which = "held_out") -> PolicyTables:
        """The exact numbers of a policy's audit against the base model: ``.kl``, ``.gain``, ``.efficiency``, parts.

        Raises:
            InputError: no such reward or prompts.
        """
        rows = self.prompts.rows(prompts)
        rewards = self.rewards(reward, prompts)[:, self.tree.view_of_leaf]
        return PolicyTables(self.base.probabilities(rows), policy.probabilities(rows), rewards)

    def hacking(self, proxy: str, prompts: Which = "held_out") -> ProxyTables:
        """The exact numbers of optimising a proxy: the tilt's path, thresholds, best-of-N, gap and regret.

        Raises:
            InputError: no such reward or prompts.
        """
        rows = self.prompts.rows(prompts)
        return ProxyTables(self.base.views(rows), self.rewards("gold", prompts), self.rewards(proxy, prompts))


def open_world(
    recipe: Recipe | str,
    *,
    cache: str | Path | None = None,
    say: Callable[[str], None] | None = None,
) -> World:
    """The world of a recipe, built if it is not kept already (some minutes on one core).

    >>> world = open_world("safety")
    >>> world.limit().frontier([0.5, 1.0])  # the most gold for so much KL, on held-out prompts
    >>> law = world.enumerate("my-checkpoint")
    >>> world.audit(law).efficiency

    Args:
        recipe: or ``"safety"``, ``"summarization"``.
        cache: folder that worlds are kept in; by default that of the environment variable ``KLIMIT_CACHE``, else
            ``klimit`` in the user's cache folder.
        say: takes lines for the user, while it is built.

    Raises:
        InputError: no such world, the extra ``lm`` is missing, or the folder cannot be written.
    """
    for module in ("torch", "transformers", "filelock"):
        needed(module)
    made = Recipe(recipe) if isinstance(recipe, str) else recipe
    folder = cache_folder(cache) / "lab" / f"{made.task}-{made.key}"

    def build_it(target: Path) -> None:
        from klimit.lab.build import build

        build(made, target, say or (lambda line: None))

    return World(made, kept(folder, build_it))
