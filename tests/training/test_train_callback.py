"""``FrontierCallback``: what it logs is true, it reaches a real tracker, and training goes on as without it."""

from __future__ import annotations

import json
import random

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from enumeration import kl, law
from runs import more_a, short, weights
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer

import klimit
from klimit.errors import InputError
from klimit.models.prompts import read_prompts
from klimit.training import FrontierCallback

LENGTH = 3
NAMES = {"klimit/kl", "klimit/gain", "klimit/limit_gain", "klimit/efficiency"}
quiet = pytest.mark.filterwarnings(
    "ignore:::trl", "ignore:::transformers", "ignore:::torch", "ignore:::accelerate"
)


def sampled(model, prompts, path, **settings):
    """Samples of the base model with their rewards."""
    klimit.sample(model=str(model), prompts=prompts, output=path, n=200, max_new_tokens=LENGTH, **settings)
    return klimit.score(reward=more_a, input=path)


@pytest.fixture(scope="module")
def base_samples(base_model, prompts_file, tmp_path_factory):
    return sampled(base_model, prompts_file, tmp_path_factory.mktemp("samples") / "base.parquet")


def trl_trainer(model, prompts, folder, *, steps=4, beta=0.0, rewards=more_a, **more):
    """A user's own GRPO trainer."""
    import trl
    from datasets import Dataset

    args = trl.GRPOConfig(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=16,
        num_generations=4,
        max_completion_length=LENGTH,
        learning_rate=1e-2,
        beta=beta,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        logging_steps=2,
        save_strategy="no",
        report_to="tensorboard",
        disable_tqdm=True,
        **more,
    )
    rows = [each.prompt for each in read_prompts(prompts)]
    return trl.GRPOTrainer(
        model=str(model), reward_funcs=rewards, args=args, train_dataset=Dataset.from_dict({"prompt": rows})
    )


def tracked(folder):
    """What the tracker wrote: values by tag and step."""
    (file,) = folder.glob("runs/*/events*")
    events = EventAccumulator(str(file)).Reload()
    return {tag: {each.step: each.value for each in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def exact(model, base, prompts):
    """KL and gain of a trained model, summed over all its completions."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    reference = AutoModelForCausalLM.from_pretrained(base)
    kls, gains = [], []
    for each in read_prompts(prompts):
        ids = tokenizer(each.prompt)["input_ids"]
        p, q = (law(m, ids, LENGTH, tokenizer.eos_token_id) for m in (model, reference))
        rewards = dict(
            zip(q, more_a([tokenizer.decode(y, skip_special_tokens=True) for y in q]), strict=True)
        )
        kls.append(kl(p, q))
        gains.append(sum((np.exp(p[y]) - np.exp(q[y])) * rewards[y] for y in q))
    return np.mean(kls), np.mean(gains)


@quiet
def test_a_grpo_run_of_trl_with_beta_0_is_tracked_beside_its_own_metrics(
    base_model, prompts_file, base_samples, tmp_path
):
    trainer = trl_trainer(base_model, prompts_file, tmp_path / "run")
    callback = FrontierCallback(trainer, base=base_samples, every=2, n=200)
    trainer.add_callback(callback)
    trainer.train()
    found = tracked(tmp_path / "run")
    assert {f"train/{name}" for name in ("klimit/kl", "klimit/kl_low", "klimit/gain_high", "reward")} <= set(
        found
    )
    assert {*found["train/klimit/kl"]} == {*found["train/reward"]} == {2, 4}
    true_kl, true_gain = exact(trainer.model.eval(), base_model, prompts_file)
    assert true_kl > 0.2
    assert found["train/klimit/kl"][4] == pytest.approx(true_kl, rel=0.1)
    assert found["train/klimit/gain"][4] == pytest.approx(true_gain, abs=0.15)
    audited = callback.last
    assert audited.kl.estimate == pytest.approx(found["train/klimit/kl"][4], rel=1e-6)
    assert audited.kl_estimator == "rao-blackwellised"
    efficiency = found.get("train/klimit/efficiency", {}).get(4)
    if efficiency is not None:
        assert efficiency == pytest.approx(
            audited.gain.estimate / found["train/klimit/limit_gain"][4], rel=1e-5
        )
    assert found["train/klimit/limit_gain_low"][4] <= found["train/klimit/limit_gain_high"][4]


@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "ppo"])
def test_training_ends_with_the_same_weights_as_without(
    algorithm, base_model, prompts_file, base_samples, tmp_path
):
    alone = short(algorithm, base_model, prompts_file, tmp_path / "alone")
    watched = short(
        algorithm, base_model, prompts_file, tmp_path / "watched", base=base_samples, audit_every=1, audit_n=2,
        report_to=["tensorboard"],
    )  # fmt: skip
    assert weights(watched) == weights(alone)
    logs = {}
    for folder in (alone, watched):
        entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        logs[folder] = [entry for entry in entries if "klimit/kl" not in entry]
    own = "reward" if algorithm != "ppo" else "objective/scores"
    assert [e.get(own) for e in logs[watched]] == [e.get(own) for e in logs[alone]]
    assert [*tracked(watched)["train/klimit/kl"]] == [1, 2, 3, 4]


@quiet
def test_random_numbers_that_a_reward_draws_in_an_audit_are_given_back(
    base_model, prompts_file, base_samples, tmp_path
):
    def drawing(completions, **_):
        random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
        return more_a(completions)

    trainer = trl_trainer(base_model, prompts_file, tmp_path / "run", rewards=drawing)
    torch.manual_seed(0)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
    callback = FrontierCallback(trainer, base=base_samples, every=1, n=2)
    callback.on_step_end(trainer.args, trainer.state, trainer.control)
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
    assert callback.last is not None
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


@quiet
def test_a_log_that_is_due_is_still_written(base_model, prompts_file, base_samples, tmp_path):
    trainer = trl_trainer(base_model, prompts_file, tmp_path / "run")
    callback = FrontierCallback(trainer, base=base_samples, every=1, n=2)
    trainer.control.should_log = True
    callback.on_step_end(trainer.args, trainer.state, trainer.control)
    assert trainer.control.should_log


@quiet
def test_rewards_are_weighted_as_the_trainer_weighs_them(base_model, prompts_file, base_samples, tmp_path):
    """Two rewards, one of them a model: base samples scored by their weighted sum are taken, others refused."""

    def length(completion_ids, trainer_state, log_metric, **_):
        log_metric("length", 0.0)
        return [float(len(ids)) for ids in completion_ids]

    both = {"rewards": [more_a, length], "reward_weights": [1.0, 0.5]}
    trainer = trl_trainer(base_model, prompts_file, tmp_path / "run", **both)
    with pytest.raises(InputError, match=r"row 1: its reward_more_a is .*, and the run's reward gives it"):
        FrontierCallback(trainer, base=base_samples)
    frame = pl.read_parquet(base_samples)
    total = pl.col("reward_more_a") + 0.5 * pl.col("completion_token_ids").list.len()
    path = tmp_path / "both.parquet"
    frame.with_columns(reward_both=total).drop("reward_more_a").write_parquet(path)
    assert FrontierCallback(trainer, base=path)
    assert FrontierCallback(trainer, base=base_samples, reward=more_a)


@quiet
def test_what_does_not_belong_together_is_refused_in_one_line(
    base_model, prompts_file, base_samples, tmp_path
):
    trainer = trl_trainer(base_model, prompts_file, tmp_path / "run")
    other = tiny.causal(tmp_path / "other", seed=9)
    callback = FrontierCallback(trainer, base=base_samples, ref_model=str(other))
    with pytest.raises(InputError, match=r"was sampled from base with weights \w+, and .*other has weights"):
        callback.on_train_begin(trainer.args, trainer.state, trainer.control)
    hot = sampled(base_model, prompts_file, tmp_path / "hot.parquet", temperature=1.5)
    with pytest.raises(
        InputError, match=r"was sampled with temperature 1.5, .* and the trainer samples with"
    ):
        FrontierCallback(trainer, base=hot)
    with pytest.raises(InputError, match="every is 0; it must be a whole number"):
        FrontierCallback(trainer, base=base_samples, every=0)

    def asks(completions, answer):
        return [0.0 for _ in completions]

    asking = trl_trainer(base_model, prompts_file, tmp_path / "run", rewards=asks)
    with pytest.raises(
        InputError, match=r"asks: asks for 'answer', .*give reward= what scored the base samples"
    ):
        FrontierCallback(asking, base=base_samples)
    cutting = trl_trainer(base_model, prompts_file, tmp_path / "run", top_k=2)
    with pytest.raises(
        InputError, match="the trainer samples with top_p, top_k, min_p or a repetition penalty"
    ):
        FrontierCallback(cutting, base=base_samples)


@quiet
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:.*experimental")
def test_a_ppo_run_of_trl_with_a_reward_model_is_tracked(reward_model, prompts_file, tmp_path):
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    model = tiny.causal(tmp_path / "padded", seed=1, pad="own", sharpness=15.0)
    base = sampled(model, prompts_file, tmp_path / "base.parquet")
    klimit.score(reward=str(reward_model), input=base)
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    args = PPOConfig(
        output_dir=str(tmp_path / "run"), total_episodes=24, per_device_train_batch_size=6, learning_rate=1e-2,
        response_length=LENGTH, stop_token="eos", temperature=1.0, num_sample_generations=0, use_cpu=True, bf16=False,
        gradient_checkpointing=False, dataloader_pin_memory=False, save_strategy="no", report_to="tensorboard",
        disable_tqdm=True,
    )  # fmt: skip
    rows = [{"input_ids": tokenizer(each.prompt)["input_ids"]} for each in read_prompts(prompts_file)]
    policy, reference = (AutoModelForCausalLM.from_pretrained(model) for _ in range(2))
    critics = (AutoModelForSequenceClassification.from_pretrained(reward_model) for _ in range(2))
    trainer = PPOTrainer(
        args, tokenizer, policy, reference, next(critics), Dataset.from_list(rows), next(critics)
    )
    with pytest.raises(InputError, match=r"reads token ids with the end token, .*: give reward= what scored"):
        FrontierCallback(trainer, base=base, reward_name="reward_reward")
    trainer.add_callback(
        FrontierCallback(
            trainer, base=base, every=2, n=100, reward=str(reward_model), reward_name="reward_reward"
        )
    )
    trainer.train()
    found = tracked(tmp_path / "run")
    assert [*found["train/klimit/kl"]] == [2, 4]
    true_kl, _ = exact(policy.eval(), model, prompts_file)
    assert found["train/klimit/kl"][4] == pytest.approx(true_kl, rel=0.15)
    assert "train/objective/kl" in found
