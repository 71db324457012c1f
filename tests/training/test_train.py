"""``klimit train``: what it writes, and how it goes on."""

from __future__ import annotations

import json
from functools import partial

import pytest
import tiny
from runs import more_a, short, weights
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import klimit
from klimit.cli.entry import run
from klimit.errors import InputError
from klimit.models.prompts import read_prompts
from klimit.training.order import prompt_order

ALGORITHMS = ("grpo", "rloo", "ppo")


class Interrupted:
    """A reward that is interrupted at one call, counting from 1."""

    __name__ = "more_a"

    def __init__(self, at):
        self.calls = 0
        self.at = at

    def __call__(self, completions, **_):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return more_a(completions)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_writes_a_model_that_everything_loads_with_what_made_it(
    algorithm, base_model, prompts_file, tmp_path
):
    output = short(algorithm, base_model, prompts_file, tmp_path / "out")
    assert weights(output) != weights(base_model)
    assert (
        AutoTokenizer.from_pretrained(output).get_vocab()
        == AutoTokenizer.from_pretrained(base_model).get_vocab()
    )
    for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
        values = {
            getattr(AutoModelForCausalLM.from_pretrained(path).config, name) for path in (output, base_model)
        }
        assert len(values) == 1
    known = json.loads((output / "klimit.json").read_text())
    assert known["settings"]["weights"] == weights(base_model)
    assert (known["settings"]["algorithm"], known["settings"]["beta"]) == (algorithm, 0.5)
    assert known["settings"]["reward"] == "more_a"
    assert known["versions"].keys() >= {"trl", "torch", "transformers"}
    log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log][:4] == [1, 2, 3, 4]
    assert not (tmp_path / "out.parts").exists()
    klimit.sample(
        model=str(output), prompts=prompts_file, output=tmp_path / "s.parquet", n=2, max_new_tokens=3
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_interrupted_run_goes_on_and_ends_with_the_weights_of_one_that_was_not(
    algorithm, base_model, prompts_file, tmp_path
):
    lines = []
    go = partial(short, algorithm, base_model, prompts_file, micro_batch_size=8)
    whole = go(tmp_path / "whole")
    reward = Interrupted(4)  # in the fourth step, after the checkpoint of the second
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "out", reward=reward)
    assert not (tmp_path / "out").exists()
    resumed = go(tmp_path / "out", reward=reward, say=lines.append)
    assert weights(resumed) == weights(whole)
    assert "going on from step 2 of 4" in lines
    assert reward.calls == 6
    steps = [json.loads(line)["step"] for line in (resumed / "log.jsonl").read_text().splitlines()]
    assert steps[:4] == [1, 2, 3, 4]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_that_had_done_all_steps_only_writes(
    algorithm, base_model, prompts_file, tmp_path, monkeypatch
):
    whole = short(algorithm, base_model, prompts_file, tmp_path / "whole")
    reward = Interrupted(0)
    with monkeypatch.context() as patched:
        patched.setattr(
            "klimit.training.carry.write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left"))
        )
        with pytest.raises(
            InputError, match=r"cannot be written \(No space left\); checkpoints are kept in "
        ):
            short(algorithm, base_model, prompts_file, tmp_path / "out", reward=reward)
    assert not (tmp_path / "out").exists()
    assert weights(short(algorithm, base_model, prompts_file, tmp_path / "out", reward=reward)) == weights(
        whole
    )
    assert reward.calls == 4


def test_a_checkpoint_that_is_not_whole_is_passed_over(base_model, prompts_file, tmp_path):
    lines = []
    reward = Interrupted(4)
    with pytest.raises(KeyboardInterrupt):
        short("rloo", base_model, prompts_file, tmp_path / "out", reward=reward)
    (tmp_path / "out.parts" / "run" / "checkpoint-3").mkdir()
    short("rloo", base_model, prompts_file, tmp_path / "out", reward=reward, say=lines.append)
    assert "going on from step 2 of 4" in lines


def test_a_finished_folder_is_complete_with_its_settings_and_refused_with_others(
    base_model, prompts_file, tmp_path
):
    lines = []
    go = partial(short, "rloo", base_model, prompts_file, tmp_path / "out", say=lines.append)
    first = weights(go())
    go()
    assert lines[-1] == f"{tmp_path / 'out'} is complete already"
    with pytest.raises(
        InputError, match=r"trained with other settings \(beta 0.5 before, 0.7 now\); .*--overwrite"
    ):
        go(beta=0.7)
    assert weights(tmp_path / "out") == first
    assert weights(go(beta=0.7, overwrite=True)) != first


def test_prompts_and_rewards_reach_ppo_as_they_reach_rloo(reward_model, tmp_path):
    """Chat messages, a function that looks at all it may take, and a reward model: the same completions, one reward."""
    model = tiny.causal(tmp_path / "chat", seed=2, chat=True, sharpness=10.0)
    prompts = tmp_path / "chats.jsonl"
    chats = [[{"role": "user", "content": text}] for text in ("a b", "c")]
    prompts.write_text(
        "\n".join(json.dumps({"prompt_id": f"p{i}", "prompt": chat}) for i, chat in enumerate(chats))
    )
    seen = {}
    tokenizer = AutoTokenizer.from_pretrained(model)

    def reward(prompts, completions, completion_ids, prompt_id):
        for row in zip(prompts, completions, completion_ids, prompt_id, strict=True):
            assert row[0] == chats[int(row[3][1:])]
            assert row[1] == [
                {"role": "assistant", "content": tokenizer.decode(row[2], skip_special_tokens=True)}
            ]
            assert tokenizer.eos_token_id not in row[2][:-1]
            assert len(row[2]) == 3 or row[2][-1] == tokenizer.eos_token_id
        return more_a(completions)

    for algorithm in ("rloo", "ppo"):
        output = short(algorithm, model, prompts, tmp_path / algorithm, reward=reward, steps=2)
        seen[algorithm] = json.loads((output / "klimit.json").read_text())["settings"]["reward"]
    assert seen["rloo"] == seen["ppo"] == "reward"


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_a_reward_model_is_read_as_klimit_score_reads_it(
    algorithm, base_model, reward_model, prompts_file, tmp_path
):
    from klimit.training.rewards import Term

    seen = []
    score = Term.score

    def keeping(self, prompts, completions, ids, *, when):
        found = score(self, prompts, completions, ids, when=when)
        seen.extend(zip([p.prompt for p in prompts], completions, found, strict=True))
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Term, "score", keeping)
        short(algorithm, base_model, prompts_file, tmp_path / "out", reward=str(reward_model), steps=2)
    tokenizer = AutoTokenizer.from_pretrained(reward_model)
    model = AutoModelForSequenceClassification.from_pretrained(reward_model)
    assert len(seen) == 2 * 16
    assert {prompt for prompt, _, _ in seen} <= {each.prompt for each in read_prompts(prompts_file)}
    for prompt, completion, found in seen:
        alone = model(**tokenizer(f"{prompt}{completion}", return_tensors="pt")).logits.item()
        assert found == pytest.approx(alone, abs=1e-5)


def test_prompts_come_all_of_them_each_round_in_an_order_of_its_own():
    order = prompt_order(5, 12, seed=0)
    rounds = [order[:5].tolist(), order[5:10].tolist()]
    assert [sorted(each) for each in rounds] == [list(range(5))] * 2
    assert rounds[0] != rounds[1]
    assert len(order) == 12
    assert prompt_order(5, 12, seed=0).tolist() == order.tolist() != prompt_order(5, 12, seed=1).tolist()


def test_the_command_trains_and_says_where(base_model, prompts_file, tmp_path, capsys):
    arguments = [
        "train", "rloo", "--model", str(base_model), "--reward", "few_rewards:more_a", "--prompts", str(prompts_file),
        "--beta", "0.5", "-o", "out", "--steps", "2", "--batch-size", "16", "--generations", "4",
        "--learning-rate", "0.01", "--max-new-tokens", "3",
    ]  # fmt: skip
    assert run(arguments) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith("klimit: wrote out\n")
    reference = short("rloo", base_model, prompts_file, tmp_path / "again", steps=2)
    assert weights("out") == weights(reference)
