"""Recipes that come with klimit: they can be read, name what they should, and make the steps that they should."""

from __future__ import annotations

import pytest

from klimit.errors import InputError
from klimit.experiments.inputs import check_inputs
from klimit.experiments.plan import steps_of
from klimit.experiments.read import read_recipe
from klimit.experiments.run import experiment, placed
from klimit.experiments.shipped import about, shipped, text_of
from klimit.training.settings import settings_of

HUB = {
    "safety": (
        "Qwen/Qwen3-0.6B",
        "PKU-Alignment/BeaverTails",
        "Skywork/Skywork-Reward-V2-Qwen3-0.6B",
    ),
    "summarization": (
        "cleanrl/EleutherAI_pythia-1b-deduped__sft__tldr",
        "trl-lib/tldr",
        "cleanrl/EleutherAI_pythia-1b-deduped__reward__tldr",
    ),
}


def test_there_are_four():
    assert shipped() == ("lab-safety", "lab-summarization", "safety", "summarization")


@pytest.mark.parametrize("name", shipped())
def test_each_can_be_read_says_what_it_is_and_makes_its_steps(name):
    recipe = read_recipe(name)
    check_inputs(recipe)
    assert about(name)
    assert text_of(name).startswith(f"# {about(name)}\n")
    kinds = [step.kind for step in steps_of(placed(name, "out"))]
    runs = len(recipe.betas) * len(recipe.trainers) * len(recipe.seeds)
    assert kinds[:5] == ["prepare" if recipe.world is None else "build", "sample", "score", "sample", "score"]
    assert kinds[5:-1] == ["train", "sample", "logprob", "score"] * runs
    assert kinds[-1] == "report"
    for trainer in recipe.trainers:
        settings = {
            "generations": None,
            "micro_batch_size": None,
            "learning_rate": None,
            "schedule": "linear",
        }
        known = {
            key: value for key, value in recipe.training[trainer].items() if key != "gradient_checkpointing"
        }
        settings_of(
            trainer, beta=1.0, max_new_tokens=recipe.max_new_tokens, seed=0, ppo_epochs=4, ppo_lambda=1.0,
            **{**settings, **known},
        )  # fmt: skip


@pytest.mark.parametrize("name", HUB)
def test_those_of_the_hub_name_the_models_and_data_that_they_should(name):
    recipe = read_recipe(name)
    model, prompts, reward = HUB[name]
    assert recipe.model == model
    assert list(recipe.rewards.values()) == [reward]
    assert (recipe.prompts.name, recipe.held_out.name) == (prompts, prompts)
    assert recipe.prompts.split != recipe.held_out.split
    assert recipe.trainers == ("grpo", "ppo")
    assert recipe.world is None


@pytest.mark.parametrize("name", ["lab-safety", "lab-summarization"])
def test_those_of_the_lab_are_its_usual_worlds(name):
    from klimit.lab import Recipe

    recipe = read_recipe(name)
    assert recipe.world == Recipe(name.removeprefix("lab-"))
    assert recipe.device == "cpu"
    assert (recipe.reward, recipe.gold) == ("gold", "gold")


@pytest.mark.parametrize("name", HUB)
def test_without_the_hub_they_are_refused_in_one_line_before_anything_is_done(name, tmp_path):
    pytest.importorskip("trl.experimental.ppo", reason="needs the extra ppo")
    with pytest.raises(InputError, match=rf"^{name}: model: {HUB[name][0]}: is no folder here, and the hub"):
        experiment(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()
