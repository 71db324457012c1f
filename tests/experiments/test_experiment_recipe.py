"""Recipes: what a file may say, and the one line that it is refused with."""

from __future__ import annotations

import pytest

from klimit.errors import InputError
from klimit.experiments.inputs import check_inputs
from klimit.experiments.read import read_recipe
from klimit.experiments.recipe import PromptSource

SHORTEST = """
model = "./base"
prompts = "prompts.jsonl"
reward = "few_rewards:more_a"
beta = 0.5
"""


@pytest.fixture
def read(here):
    """Reads a recipe of some text."""

    def read(text):
        (here / "mine.toml").write_text(text)
        return read_recipe("mine.toml")

    return read


def test_four_keys_make_an_experiment(read):
    recipe = read(SHORTEST)
    assert recipe.name == "mine"
    assert recipe.rewards == {"more_a": "few_rewards:more_a"}
    assert (recipe.reward, recipe.limit_reward, recipe.gold, recipe.proxies) == ("more_a", "more_a", None, ())
    assert (recipe.betas, recipe.in_spreads, recipe.trainers, recipe.seeds) == (
        (0.5,),
        False,
        ("rloo",),
        (0,),
    )
    assert recipe.held_out == pytest.approx(1 / 3)
    assert [run.slug for run in recipe.runs] == ["rloo-beta0.5-seed0"]


def test_every_key_can_be_given(read):
    recipe = read(
        """
        title = "Mine"
        model = "org/model"
        reward = "safe"
        gold = "human"
        beta_in_spreads = [0.3, 1]
        trainers = ["grpo", "ppo"]
        seeds = [0, 3]
        n = 128
        n_policy = 16
        best_of_n = [16, 4]
        max_new_tokens = 32
        seed = 7
        level = 0.9
        dtype = "float32"
        device = "cpu"
        trust_remote_code = true
        allow_pickle = true
        [rewards]
        safe = "org/reward"
        human = "few_rewards:meant"
        other = "few_rewards:fewer_c"
        [prompts]
        name = "tldr"
        split = "train"
        limit = 100
        [held_out_prompts]
        name = "prompts.jsonl"
        column = "question"
        chat = true
        [training]
        steps = 10
        learning_rate = 1e-5
        [training.ppo]
        learning_rate = 3e-5
        ppo_lambda = 0.95
        """
    )
    assert (recipe.reward, recipe.limit_reward, recipe.proxies) == ("safe", "human", ("safe", "other"))
    assert recipe.prompts == PromptSource("tldr", split="train", limit=100)
    assert recipe.held_out == PromptSource("prompts.jsonl", column="question", chat=True)
    assert recipe.training == {
        "grpo": {"steps": 10, "learning_rate": 1e-5},
        "ppo": {"steps": 10, "learning_rate": 3e-5, "ppo_lambda": 0.95},
    }
    assert recipe.best_of_n == (4, 16)
    assert [run.slug for run in recipe.runs][:3] == [
        "grpo-beta1spread-seed0",
        "grpo-beta1spread-seed3",
        "ppo-beta1spread-seed0",
    ]
    assert (recipe.title, recipe.seed, recipe.level, recipe.max_new_tokens) == ("Mine", 7, 0.9, 32)
    assert recipe.trust_remote_code
    assert recipe.allow_pickle


def test_rewards_can_be_named_where_they_are_used(read):
    recipe = read(
        'model = "m"\nprompts = "p"\nbeta = 1\nreward = "rm=./reward"\ngold = "few_rewards:meant"\n'
        'proxies = ["few_rewards:fewer_c"]'
    )
    assert recipe.rewards == {
        "rm": "./reward",
        "meant": "few_rewards:meant",
        "fewer_c": "few_rewards:fewer_c",
    }
    assert (recipe.reward, recipe.gold, recipe.proxies) == ("rm", "meant", ("rm", "fewer_c"))


def test_a_world_gives_model_prompts_and_rewards(read):
    recipe = read(
        'beta_in_spreads = 0.3\nreward = "rm_a"\n[world]\ntask = "safety"\nlength = 3\nheld_out = 4'
    )
    assert (recipe.world.task, recipe.world.length, recipe.world.held_out) == ("safety", 3, 4)
    assert recipe.max_new_tokens == 3
    assert (recipe.reward, recipe.limit_reward) == ("rm_a", "gold")
    assert list(recipe.rewards) == ["gold", *recipe.proxies]
    assert read('world = "summarization"\nbeta = 1').world.task == "summarization"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modle = 1\n" + SHORTEST, r"mine.toml: no key 'modle'; did you mean 'model'\?"),
        ("whatever = 1\n" + SHORTEST, r"mine.toml: no key 'whatever'; known are title, world, model"),
        ("temperature = 0.7\n" + SHORTEST, "no key 'temperature': completions are drawn at temperature 1"),
        (
            "max_completion_length = 7\n" + SHORTEST,
            "'max_completion_length'; here it is called 'max_new_tokens'",
        ),
        ("learning_rate = 1\n" + SHORTEST, r"no key 'learning_rate'; it belongs to \[training\]"),
        (SHORTEST + "[training]\nlr = 1", r"\[training\]: no key 'lr'; here it is called 'learning_rate'"),
        (SHORTEST + "[training]\nlearning_rat = 1", r"\[training\]: .*did you mean 'learning_rate'\?"),
        (
            SHORTEST + "[training]\nseeds = [1]",
            r"\[training\]: no key 'seeds'; it belongs above all \[tables\]",
        ),
        (
            SHORTEST + "[training.ppo]\nsteps = 0",
            r"\[training.ppo\]: steps is 0; give a whole number, 1 or more",
        ),
        (SHORTEST + "[training]\ngrpo = 3", r"\[training\] grpo is 3; give a table \[training.grpo\]"),
        (SHORTEST + "[training]\nsteps = 1.5", r"steps is 1.5; give a whole number"),
        (SHORTEST + "[training]\nlearning_rate = -1", r"learning_rate is -1; it must be above 0"),
        (
            SHORTEST + "[training]\nbatch_size = 30\ngenerations = 4",
            r"mine.toml: \[training\] for rloo: batch_size is 30, which is no multiple of generations, 4",
        ),
        (SHORTEST + '[training]\nschedule = "step"', "for rloo: schedule is 'step'; known are linear"),
        (SHORTEST.replace("0.5", "0"), "mine.toml: beta is 0; it must be above 0"),
        (SHORTEST.replace("0.5", "[1, -0.1]"), r"mine.toml: beta is \[1, -0.1\]; it must be above 0"),
        (SHORTEST.replace("0.5", "[1, 1]"), "beta is .*; one of them stands there twice"),
        (SHORTEST.replace("0.5", "[]"), "beta is .*; the list is empty"),
        (SHORTEST.replace("0.5", "nan"), "beta is nan; give a number"),
        (SHORTEST.replace("0.5", '"0.5"'), "beta is '0.5'; give a number"),
        (SHORTEST.replace("0.5", "true"), "beta is true; give a number"),
        (SHORTEST.replace("beta = 0.5", ""), "mine.toml: beta is missing; give beta, .* or beta_in_spreads"),
        (SHORTEST + "beta_in_spreads = 1", "beta and beta_in_spreads are both there"),
        (SHORTEST.replace('model = "./base"', ""), "mine.toml: model is missing"),
        (SHORTEST.replace('reward = "few_rewards:more_a"', ""), "mine.toml: reward is missing"),
        (SHORTEST + 'trainers = ["grop"]', r"mine.toml: trainers: no trainer 'grop'; did you mean 'grpo'\?"),
        (SHORTEST + 'trainers = ["dpo"]', r"trainers: no trainer 'dpo'; did you mean 'ppo'\?"),
        (SHORTEST + "trust_remote_code = 1", "trust_remote_code is 1; give true or false, without quotes"),
        (SHORTEST + "n = 8\nbest_of_n = [16]", "best_of_n has 16, and n, .*, is 8; raise n"),
        (SHORTEST + "held_out = 1", "held_out is 1; give a number between 0 and 1"),
        (SHORTEST + 'held_out = 0.2\nheld_out_prompts = "x"', "held_out and held_out_prompts: .*not both"),
        (SHORTEST + '[held_out_prompts]\nsplit = "x"', r"\[held_out_prompts\] has no name"),
        (
            SHORTEST + '[held_out_prompts]\nnmae = "x"',
            r"\[held_out_prompts\]: no key 'nmae'; did you mean 'name'",
        ),
        (SHORTEST + "[rewards]", r"\[rewards\] is empty"),
        (
            SHORTEST + '[rewards]\nmore_b = "x"',
            r"reward: no reward in \[rewards\] 'few_rewards:more_a'; known",
        ),
        (SHORTEST + '[rewards]\n"a b" = "x"', "'a b' is no name"),
        (SHORTEST + "[rewards]\na = 3", r"\[rewards\] a is 3; give a folder or hub id"),
        (
            SHORTEST.replace("few_rewards:more_a", "one") + '[rewards]\none = "x"\ntwo = "y"',
            "one, two are rewards, and gold is missing",
        ),
        (SHORTEST + 'gold = "g"\nproxies = ["g"]', "proxies: g is gold, and no proxy of itself"),
        (SHORTEST + 'gold = "a/more_a"', "two rewards are named reward_more_a"),
        ('world = "safty"\nbeta = 1', "mine.toml: world: .*safty"),
        ('world = "safety"\nmodel = "m"\nbeta = 1', "model and world: the world gives it"),
        (
            'beta = 1\n[world]\ntask = "safety"\nlenght = 2',
            r"\[world\]: no key 'lenght'; did you mean 'length'\?",
        ),
        (
            'beta = 1\n[world]\ntask = "safety"\nlength = "2"',
            r"\[world\]: length is '2'; give a whole number",
        ),
        (
            'world = "safety"\nreward = "rm_x"\nbeta = 1',
            r"reward: no reward of this world 'rm_x'; did you mean",
        ),
        ("model = ", "mine.toml: is no TOML"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(read, text, said):
    with pytest.raises(InputError, match=said) as refused:
        read(text)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("mine.toml: ")


def test_a_recipe_that_is_not_there_is_refused_with_those_that_are(here):
    with pytest.raises(InputError, match=r"no recipe of that name; did you mean 'lab-safety'\?"):
        read_recipe("lab-safty")
    with pytest.raises(
        InputError, match=r"x.toml: no such file, .*; known are lab-safety, lab-summarization, "
    ):
        read_recipe("x.toml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"./base"', '"./bse"'), r"mine.toml: model: no folder './bse' here"),
        (('"./base"', '"a/b/c"'), r"mine.toml: model: no folder 'a/b/c' here"),
        (('"./base"', '"."'), r"mine.toml: model: . holds no config.json"),
        (
            ('"prompts.jsonl"', '"promts.jsonl"'),
            r"mine.toml: prompts: no file 'promts.jsonl' here, and no known set",
        ),
        (
            ('"prompts.jsonl"', '{name = "tldr", split = "trian"}'),
            r"prompts: trl-lib/tldr: has no split 'trian'",
        ),
        (('"prompts.jsonl"', '{name = "prompts.jsonl", split = "x"}'), "is a file, which has no splits"),
        (
            ("few_rewards:more_a", "few_rewards:mor_a"),
            r"mine.toml: reward mor_a: few_rewards:mor_a: .*no 'mor_a'",
        ),
        (("few_rewards:more_a", "nowhere:f"), "mine.toml: reward f: nowhere:f: no module 'nowhere'"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_runs(read, base_model, change, said):
    text = SHORTEST.replace(*change).replace('"./base"', f'"{base_model}"')
    with pytest.raises(InputError, match=said):
        check_inputs(read(text))


def test_what_is_there_is_not_refused(read, base_model):
    check_inputs(read(SHORTEST.replace("./base", str(base_model))))
