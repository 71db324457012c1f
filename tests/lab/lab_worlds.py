"""Worlds small enough to be built in a second."""

from __future__ import annotations

from klimit.lab.recipe import ProxyRecipe, Recipe


def small(task: str, **changes) -> Recipe:
    """A recipe with completions of up to three words: 1,111 for each of six prompts."""
    settings = {
        "length": 3,
        "train": 4,
        "held_out": 2,
        "others": 12,
        "demonstrations": 2000,
        "steps": 60,
        "batch": 64,
        "width": 16,
        "proxies": (ProxyRecipe("first", pairs=150, steps=15), ProxyRecipe("second", pairs=150, steps=15)),
    }
    return Recipe(task, **{**settings, **changes})
