"""What training refuses: one clear line each, and nothing half-written."""

from __future__ import annotations

import importlib

import pytest
import tiny
import torch
import trl
from runs import more_a, short
from transformers import AutoModelForCausalLM

from klimit.cli.entry import run
from klimit.errors import InputError


@pytest.mark.parametrize(
    ("algorithm", "settings", "message"),
    [
        ("dpo", {}, "no trainer 'dpo'; known are grpo, rloo, ppo"),
        (
            "grpo",
            {"beta": 0},
            "beta is 0; it must be above 0: where a nat of KL costs nothing no KL is too much",
        ),
        ("rloo", {"beta": -1.0}, "beta is -1; it must be above 0"),
        ("rloo", {"beta": float("nan")}, "beta is nan; it must be a number above 0"),
        (
            "rloo",
            {"batch_size": 18},
            r"batch_size is 18, which is no multiple of generations, 4; give 4 times a",
        ),
        ("rloo", {"micro_batch_size": 5}, "batch_size is 16, which is no multiple of micro_batch_size, 5"),
        (
            "grpo",
            {"generations": 1},
            "generations is 1; grpo compares completions of one prompt: give 2 or more",
        ),
        ("grpo", {"steps": 0}, "steps is 0; it must be a whole number, 1 or more"),
        ("grpo", {"learning_rate": -1.0}, "learning_rate is -1; it must be above 0"),
        ("grpo", {"schedule": "steep"}, "schedule is 'steep'; known are linear, constant, cosine"),
        ("grpo", {"save_every": 0}, "save_every is 0; it must be a whole number of steps"),
        ("ppo", {"ppo_lambda": 2.0}, "ppo_lambda is 2; it must be from 0 to 1"),
        ("grpo", {"device": "cuda:1"}, "device is 'cuda:1'; training takes cpu, cuda or auto"),
        ("grpo", {"reward": ["m:a", "m:b"]}, "2 rewards were given, and training maximises one"),
        ("grpo", {"reward": "none:such"}, "none:such: no module 'none'"),
        ("grpo", {"reward": lambda answer: answer}, "asks for 'answer'"),
        ("grpo", {"max_new_tokens": 100}, "are more than the model's context of 64"),
    ],
)
def test_settings_that_mean_nothing(algorithm, settings, message, base_model, prompts_file, tmp_path):
    with pytest.raises(InputError, match=message) as raised:
        short(algorithm, base_model, prompts_file, tmp_path / "out", **settings)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_content_is_left_alone(base_model, prompts_file, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    for more in ({}, {"overwrite": True}):
        with pytest.raises(
            InputError, match=r"out: holds other content \(no klimit.json\); name another folder"
        ):
            short("rloo", base_model, prompts_file, tmp_path / "out", **more)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(InputError, match="is a file; name a folder"):
        short("rloo", base_model, prompts_file, tmp_path / "out" / "thesis.txt")


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "ppo"])
def test_a_reward_that_turns_to_nan_stops_the_run_and_keeps_its_checkpoint(
    algorithm, base_model, prompts_file, tmp_path
):
    calls = []

    def failing(completions, **_):
        calls.append(1)
        found = more_a(completions)
        if len(calls) == 4:
            found[2] = float("nan")
        return found

    message = (
        r"step 4, completion 3 \('.*'\): .*failing.* gave nan; a reward is a finite number; "
        r"the checkpoint of step 2 is kept: .*checkpoint-2$"
    )
    with pytest.raises(InputError, match=message):
        short(algorithm, base_model, prompts_file, tmp_path / "out", reward=failing)
    assert not (tmp_path / "out").exists()
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out.parts" / "run" / "checkpoint-2")


@pytest.mark.parametrize(("algorithm", "steps"), [("grpo", 3), ("rloo", 3), ("ppo", 3), ("ppo", 1)])
def test_a_policy_that_turns_to_nan_is_no_result(algorithm, steps, base_model, prompts_file, tmp_path):
    message = r"probabilities are no numbers; give a lower learning_rate than 1e\+30, .* --overwrite to begin again$"
    with pytest.raises(InputError, match=message):
        short(
            algorithm,
            base_model,
            prompts_file,
            tmp_path / "out",
            learning_rate=1e30,
            steps=steps,
            save_every=5,
        )
    assert not (tmp_path / "out").exists()


def test_a_base_model_that_never_ends_is_refused_unless_that_is_meant(prompts_file, tmp_path):
    model = tiny.causal(tmp_path / "endless", seed=1)
    loaded = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():  # whatever the state, one of two words has nearly all the probability
        loaded.lm_head.weight.zero_()
        loaded.lm_head.weight[2], loaded.lm_head.weight[3] = 1e4, -1e4
    loaded.save_pretrained(model)
    message = r"endless: never emits its end token within 3 new tokens \(64 of 64 draws were cut\), .*--allow-truncated"
    with pytest.raises(InputError, match=message):
        short("rloo", model, prompts_file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert short("rloo", model, prompts_file, tmp_path / "out", allow_truncated=True).is_dir()


def test_a_base_model_that_seldom_ends_is_spoken_of(base_model, prompts_file, tmp_path):
    lines = []
    short("rloo", base_model, prompts_file, tmp_path / "out", steps=1, say=lines.append)
    assert lines[0] == "46 of 64 draws of the base model were cut at 3 tokens"


def test_ppo_without_its_trl_names_the_extra(base_model, prompts_file, tmp_path, monkeypatch):
    monkeypatch.setattr(trl, "__version__", "1.16.0")
    with pytest.raises(InputError, match=r"trl 1.16.0 is installed; pip install 'klimit\[ppo\]'"):
        short("ppo", base_model, prompts_file, tmp_path / "out")


@pytest.mark.parametrize("package", ["trl", "accelerate"])
def test_a_missing_package_names_the_extra(package, base_model, prompts_file, tmp_path, monkeypatch):
    before = importlib.import_module

    def without(name, *more):
        if name == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return before(name, *more)

    monkeypatch.setattr("klimit.models.extras.import_module", without)
    with pytest.raises(InputError, match=rf"{package} is not installed; .* pip install 'klimit\[train\]'"):
        short("grpo", base_model, prompts_file, tmp_path / "out")


def test_several_processes_are_refused(base_model, prompts_file, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="uses one process and one GPU"):
        short("grpo", base_model, prompts_file, tmp_path / "out")


def test_the_command_says_it_in_one_line(base_model, prompts_file, capsys):
    arguments = ["train", "grpo", "--model", str(base_model), "--reward", "few_rewards:more_a", "-o", "out"]
    assert run([*arguments, "--prompts", str(prompts_file), "--beta", "0"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("klimit: error: beta is 0; it must be above 0")
    assert said.count("\n") == 1
