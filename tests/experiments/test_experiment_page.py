"""What the page on experiments says of recipes is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from klimit.experiments.keys import PROMPTS, TOP, TRAINING
from klimit.experiments.read import as_recipe
from klimit.experiments.recipe import Recipe
from klimit.experiments.shipped import shipped

PAGE = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text()
TABLE = PAGE.partition("## All keys")[2].partition("\n## ")[0]


def test_its_examples_are_recipes():
    shortest, rewards, trainers = (
        tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    )
    assert as_recipe(shortest, name="mine", source="page").betas == (1.0, 0.3)
    assert as_recipe({**shortest, **rewards}, name="mine", source="page").proxies == ("rm", "small")
    assert (
        as_recipe({**shortest, **trainers}, name="mine", source="page").training["ppo"]["learning_rate"]
        == 3e-6
    )


def test_it_has_every_key_and_no_other():
    named = set(re.findall(r"`\[?([a-z]\w*)\]?`", TABLE))
    assert {*TOP, *PROMPTS, *TRAINING} <= named
    values = {
        "beavertails",
        "tldr",
        "safety",
        "summarization",
        "task",
        "grpo",
        "rloo",
        "ppo",
        "true",
        "false",
    }
    assert named - {*TOP, *PROMPTS, *TRAINING} - values == set()


def test_its_defaults_are_those():
    recipe = as_recipe({"model": "m", "prompts": "p", "reward": "r", "beta": 1}, name="mine", source="page")
    assert isinstance(recipe, Recipe)
    told = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", TABLE, re.M))
    assert told["n"] == str(recipe.n)
    assert told["max_new_tokens"] == str(recipe.max_new_tokens)
    assert told["level"] == str(recipe.level)
    assert told["seed"] == str(recipe.seed)
    assert told["trainers"].replace('"', "'") == f"`{list(recipe.trainers)}`"
    assert told["seeds"] == f"`{list(recipe.seeds)}`"
    assert recipe.best_of_n == (2, 4, 8, 16, 32)
    assert recipe.n_policy == recipe.n


def test_it_names_all_recipes():
    told = PAGE.partition("## What comes with klimit")[2].partition("\n## ")[0]
    assert set(shipped()) <= set(re.findall(r"`([\w-]+)`", told))
