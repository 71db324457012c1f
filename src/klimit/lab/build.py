"""Building a world in a folder: prompts, base model, reward models, and the tables of its completions.

The folder then holds ``train.jsonl`` and ``held_out.jsonl``, ``base/``, a folder a reward model, ``base.npy`` (the base
model's log-probabilities of all completions) and ``rewards.npz`` (gold and proxies of all views, by name), and
``world.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from klimit.lab import enumeration, networks, training
from klimit.lab.choice import Choice, as_prompt, choose, features_of
from klimit.lab.demonstrator import demonstrate
from klimit.lab.preferences import prefer
from klimit.lab.recipe import ProxyRecipe, Recipe, engines
from klimit.lab.task import Request, Task
from klimit.lab.tasks import task_named
from klimit.lab.tree import Tree
from klimit.models.tokens import prompt_ids

Say = Callable[[str], None]
_PAIRS = 64  # preferences at a step


def build(recipe: Recipe, folder: Path, say: Say) -> None:
    """Build the world of a recipe in an empty folder, on one thread."""
    with training.settled(recipe.seed):
        _build(recipe, folder, say)


def _build(recipe: Recipe, folder: Path, say: Say) -> None:
    started = perf_counter()
    task = task_named(recipe.task)
    choice = choose(task, recipe)
    tree = Tree(len(task.words), recipe.length)
    _write_prompts(task, choice, folder)
    say(f"{recipe.task}: training the base model on {recipe.demonstrations:,} demonstrations")
    _base_model(task, recipe, choice, folder / "base")
    rewards = {"gold": gold_rewards(task, choice.enumerated, tree)}
    for number, proxy in enumerate(recipe.proxies):
        say(f"{recipe.task}: training {proxy.name} on {proxy.pairs:,} preferences")
        rewards[proxy.name] = _proxy(task, recipe, choice, tree, number, folder)
    say(f"{recipe.task}: enumerating {tree.n_leaves * len(choice.enumerated):,} completions")
    np.savez(folder / "rewards.npz", **rewards)  # type: ignore[arg-type]  # numpy's stub takes allow_pickle for an array
    np.save(folder / "base.npy", _enumerate_base(task, choice, tree, folder / "base"))
    made = {
        "recipe": recipe.to_dict(),
        "engines": engines(),
        "seconds": round(perf_counter() - started, 1),
    }
    (folder / "world.json").write_text(json.dumps(made, indent=1), encoding="utf-8")


def _write_prompts(task: Task, choice: Choice, folder: Path) -> None:
    start = 0
    for name, requests in (("train", choice.train), ("held_out", choice.held_out)):
        prompts = [as_prompt(task, request, start + i) for i, request in enumerate(requests)]
        lines = [
            json.dumps({"prompt_id": p.prompt_id, "prompt": p.messages() if p.is_chat else p.prompt})
            for p in prompts
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        start += len(requests)


def _base_model(task: Task, recipe: Recipe, choice: Choice, folder: Path) -> None:
    """Train the base model on the demonstrator's completions."""
    rng = np.random.default_rng([recipe.seed, 2])
    asked = rng.integers(len(choice.shown), size=recipe.demonstrations)
    written = demonstrate(task, features_of(choice.shown)[asked], recipe.length, rng)
    tokenizer, tokens = networks.policy_tokenizer(task), networks.open_tokens(task)
    prompts = [prompt_ids(tokenizer, as_prompt(task, r, i)) for i, r in enumerate(choice.shown)]
    with training.settled(recipe.seed):
        model = networks.policy_network(task, width=recipe.width, layers=recipe.layers)
        training.fit_policy(
            model,
            [prompts[i] for i in asked],
            [completion_ids(words, tokens, recipe.length) for words in written],
            steps=recipe.steps,
            batch=recipe.batch,
            rng=rng,
        )
    networks.save(model, tokenizer, folder)


def completion_ids(words: Sequence[int], tokens: Sequence[int], length: int) -> list[int]:
    """Token ids of a completion given by its words, -1 from its end on; the end is a token, the cut none."""
    said = [tokens[word] for word in words if word >= 0]
    return said if len(said) == length else [*said, tokens[-1]]


def _proxy(
    task: Task, recipe: Recipe, choice: Choice, tree: Tree, number: int, folder: Path
) -> enumeration.Array:
    """Train a reward model, save it, and give its rewards of all views."""
    rng = np.random.default_rng([recipe.seed, 3, number])
    proxy: ProxyRecipe = recipe.proxies[number]
    pairs = prefer(task, recipe, choice, proxy, folder / "base", rng)
    tokenizer = networks.proxy_tokenizer(task, recipe.length)

    def judged(texts: Sequence[str]) -> list[list[int]]:
        pairs_of = zip(pairs.requests, texts, strict=True)
        return [networks.judged_ids(tokenizer, as_prompt(task, r, 0), text) for r, text in pairs_of]

    with training.settled(int(rng.integers(2**31))):
        model = networks.proxy_network(task, width=recipe.proxy_width)
        training.fit_proxy(
            model,
            judged(pairs.preferred),
            judged(pairs.rejected),
            steps=proxy.steps,
            batch=_PAIRS,
            rng=rng,
            what=proxy.name,
        )
    networks.save(model, tokenizer, folder / proxy.name)
    known = networks.vocabulary(task)
    prompts = [networks.judged_ids(tokenizer, as_prompt(task, r, 0), "") for r in choice.enumerated]
    return enumeration.view_rewards(
        model, prompts, tree, [known[word] for word in task.words], known[networks.CUT]
    )


def gold_rewards(task: Task, requests: Sequence[Request], tree: Tree) -> enumeration.Array:
    """The rule's rewards of all views of each request, ``(P, n_views)``."""
    words, ended = tree.views
    points = [
        task.points(np.broadcast_to(r.features, (tree.n_views, len(r.features))), words, ended)
        for r in requests
    ]
    return np.asarray(np.stack(points) * task.unit)


def _enumerate_base(task: Task, choice: Choice, tree: Tree, folder: Path) -> enumeration.Array:
    from klimit.models.loading import load_causal

    loaded = load_causal(str(folder), device="cpu")
    prompts = [prompt_ids(loaded.tokenizer, as_prompt(task, r, i)) for i, r in enumerate(choice.enumerated)]
    return enumeration.leaf_logprobs(
        loaded.model, prompts, tree, networks.open_tokens(task), name="base model"
    )
