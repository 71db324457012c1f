"""What each step depends on: what a change of the recipe, or of what it names, makes anew, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from klimit.experiments.plan import steps_of
from klimit.experiments.run import placed

REPORT = ("report.html", "report")


@pytest.fixture
def keys(recipe):
    """The keys of all steps of the recipe with some changes, by target, kind and part."""

    def keys(**changes):
        changed = {name: value for name, value in {**recipe, **changes}.items() if value is not None}
        return {
            (step.target, step.kind, part): key
            for step in steps_of(placed(changed, "out"))
            for part, key in step.keys.items()
        }

    return keys


def anew(before, after):
    """The targets and kinds of what is there in both, and has to be made anew."""
    return {each[:2] for each in before.keys() & after.keys() if before[each] != after[each]}


def of_policies(keys, *kinds):
    """The steps of all policies."""
    return {each[:2] for each in keys if "rloo" in each[0] and (not kinds or each[1] in kinds)}


def test_the_steps_come_in_an_order_in_which_they_can_be_done(recipe):
    steps = [(step.kind, step.target) for step in steps_of(placed(recipe, "out"))]
    assert steps == [
        ("prepare", "prompts"),
        ("sample", "samples/base.parquet"),
        ("score", "samples/base.parquet"),
        ("train", "policies/rloo-beta2-seed0"),
        ("sample", "samples/rloo-beta2-seed0.parquet"),
        ("logprob", "samples/rloo-beta2-seed0.parquet"),
        ("score", "samples/rloo-beta2-seed0.parquet"),
        ("train", "policies/rloo-beta0.5-seed0"),
        ("sample", "samples/rloo-beta0.5-seed0.parquet"),
        ("logprob", "samples/rloo-beta0.5-seed0.parquet"),
        ("score", "samples/rloo-beta0.5-seed0.parquet"),
        ("report", "report.html"),
    ]


def test_the_same_recipe_has_the_same_keys(keys):
    assert keys() == keys()


@pytest.mark.parametrize(
    "change", [{"beta": [2.0, 0.5, 0.1]}, {"seeds": [0, 1]}, {"trainers": ["rloo", "grpo"]}]
)
def test_a_longer_list_leaves_all_but_the_report(keys, change):
    before, after = keys(), keys(**change)
    assert anew(before, after) == {REPORT}
    assert len(after) > len(before)


def test_the_order_of_a_list_is_all_one_but_to_the_report(keys):
    assert anew(keys(), keys(beta=[0.5, 2.0])) == set()


def test_another_beta_leaves_the_other_policy(keys):
    after = keys(beta=[2.0, 0.7])
    assert anew(keys(), after) == {REPORT}
    assert ("policies/rloo-beta0.7-seed0", "train") in {each[:2] for each in after}


def test_another_learning_rate_makes_policies_and_their_samples_anew(keys, recipe):
    training = {**recipe["training"], "learning_rate": 0.02}
    before = keys()
    assert anew(before, keys(training=training)) == {REPORT, *of_policies(before)}


@pytest.mark.parametrize("how", [{"save_every": 2}, {"log_every": 5}, {"gradient_checkpointing": True}])
def test_how_training_is_done_makes_nothing_anew(keys, recipe, how):
    assert anew(keys(), keys(training={**recipe["training"], **how})) == set()


def test_settings_of_a_trainer_make_only_its_policies_anew(keys, recipe):
    both = {"trainers": ["rloo", "grpo"]}
    training = {**recipe["training"], "grpo": {"learning_rate": 0.02}}
    before = keys(**both)
    changed = anew(before, keys(**both, training=training))
    assert changed == {REPORT, *(each[:2] for each in before if "grpo" in each[0])}


def test_more_completions_make_only_samples_anew(keys):
    before = keys()
    base = {("samples/base.parquet", "sample"), ("samples/base.parquet", "score")}
    assert anew(before, keys(n=128)) == {REPORT, *base}
    assert anew(before, keys(n_policy=16)) == {REPORT, *of_policies(before, "sample", "logprob", "score")}


def test_another_length_makes_all_but_prompts_anew(keys):
    before = keys()
    assert anew(before, keys(max_new_tokens=4)) == {each[:2] for each in before} - {("prompts", "prepare")}


def test_where_the_work_is_done_makes_nothing_anew(keys):
    assert anew(keys(), keys(device="cpu")) == set()


def test_a_further_proxy_is_scored_and_nothing_else(keys, recipe):
    before = keys()
    after = keys(rewards={**recipe["rewards"], "other": "few_rewards:fewer_c"})
    assert anew(before, after) == {REPORT}
    assert {each[1:] for each in after.keys() - before.keys()} == {("score", "other")}


def test_how_numbers_are_told_makes_only_the_report_anew(keys):
    for change in ({"level": 0.9}, {"title": "Mine"}, {"best_of_n": [8]}):
        assert anew(keys(), keys(**change)) == {REPORT}, change


def test_changed_prompts_are_noticed(keys, here):
    before = keys()
    with (here / "prompts.jsonl").open("a") as file:
        file.write('{"prompt": "c c c"}\n')
    assert anew(before, keys()) == {each[:2] for each in before}


def test_a_changed_model_is_noticed(keys, here, base_model):
    import shutil

    model = shutil.copytree(base_model, here / "copy")
    before = keys(model=str(model))
    assert anew(keys(), before) == set(), "the same content under another name"
    weights = next(Path(model).glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert anew(before, keys(model=str(model))) == {each[:2] for each in before} - {("prompts", "prepare")}


def test_a_changed_reward_is_noticed(keys, here):
    source = here / "few_rewards.py"
    before = keys()
    source.write_text(source.read_text().replace("0.5", "0.25"))
    scores = {each[:2] for each in before if each[1] == "score"}
    assert anew(before, keys()) == {REPORT, *scores, *of_policies(before)}


def test_beta_in_spreads_depends_on_the_samples_that_the_spread_is_from_and_not_on_the_evaluation(keys):
    relative = {"beta": None, "beta_in_spreads": [1.0]}
    before = keys(**relative)
    assert ("samples/spread.parquet", "score", "proxy") in before
    changed = anew(before, keys(**relative, n=128))
    assert not any(kind == "train" for _, kind in changed)
    assert ("policies/rloo-beta1spread-seed0", "train") in anew(before, keys(**relative, seed=1))
    assert not {each for each in keys() if "spread" in each[0]}
