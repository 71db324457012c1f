"""Reward models score every completion as if it were alone: by their own template, untouched by padding."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest
import tiny
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    LlamaForSequenceClassification,
)

import klimit
from klimit.cli.entry import run
from klimit.errors import InputError
from klimit.models.classifiers import ClassifierReward
from klimit.models.engine import OutOfMemory
from klimit.models.parts import read_metadata

PROMPTS = ["a b", "c", "b b a c", "a"]
# Some end in the end token, one is nothing but that, one has it inside.
COMPLETIONS = ["a", "b c a b c a <end>", "", "<end>", "a <end> b", "c c c c c c c c c c c c"]
PAIRS = [(prompt, completion) for prompt in PROMPTS for completion in COMPLETIONS]


def user(text):
    return [{"role": "user", "content": text}]


def samples(path, pairs=PAIRS, *, chat=False):
    """A file of completions."""
    prompts = [user(prompt) if chat else f"{prompt} " for prompt, _ in pairs]
    pl.DataFrame({"prompt": prompts, "completion": [each for _, each in pairs]}).write_parquet(path)
    return path


def alone(model, *, chat=False, pairs=PAIRS):
    """Every pair by itself, without padding, through transformers only."""
    loaded = AutoModelForSequenceClassification.from_pretrained(model).eval()
    found = []
    for prompt, completion in pairs:
        text = f"user {prompt} assistant {completion} " if chat else f"{prompt} {completion}"
        ids = torch.tensor([ids_of(model, text)])
        with torch.inference_mode():
            found.append(float(loaded(input_ids=ids).logits[0, 0]))
    return np.array(found)


def ids_of(model, text):
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    return [vocabulary[word] for word in text.split()]


def scored(model, path, **settings):
    return pl.read_parquet(klimit.score(reward={"r": str(model)}, input=path, **settings))[
        "reward_r"
    ].to_numpy()


@pytest.fixture
def base(tmp_path):
    return samples(tmp_path / "base.parquet")


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A reward model."""
    return tiny.classifier(tmp_path_factory.mktemp("models") / "judge", seed=2, pad="end")


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("pad", [None, "end", "own"])
def test_a_batch_gives_what_each_row_gives_alone(pad, chat, tmp_path):
    model = tiny.classifier(tmp_path / "judge", seed=2, pad=pad, chat=chat)
    base = samples(tmp_path / "base.parquet", chat=chat)
    truth = alone(model, chat=chat)
    assert truth.std() > 1e-3
    for size in (1, 5, None):
        found = scored(model, base, output=tmp_path / f"{size}.parquet", batch_size=size)
        np.testing.assert_allclose(found, truth, atol=1e-5)


def test_padding_with_the_end_token_as_is_often_done_would_not(tmp_path):
    model = tiny.classifier(tmp_path / "judge", seed=2, pad=None)
    loaded = AutoModelForSequenceClassification.from_pretrained(model, pad_token_id=0).eval()
    rows = [ids_of(model, f"{prompt} {completion}") for prompt, completion in PAIRS]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    with torch.inference_mode():
        naive = loaded(input_ids=ids, attention_mask=mask).logits[:, 0].numpy()
    wrong = np.abs(naive - alone(model)) > 1e-3
    ends = np.array([completion.endswith("<end>") for _, completion in PAIRS])
    assert wrong[ends].all()
    assert not wrong[~ends].any()


def test_where_every_token_ends_some_row_they_are_scored_one_by_one(tmp_path):
    model = tiny.classifier(tmp_path / "judge", seed=2, pad=None)
    pairs = [("a", completion) for completion in ("a", "b b", "c", "<end>", "a a <unknown>")]
    assert {ids_of(model, completion)[-1] for _, completion in pairs} == set(range(5))
    found = scored(model, samples(tmp_path / "base.parquet", pairs))
    np.testing.assert_allclose(found, alone(model, pairs=pairs), atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of the libraries, on models this small
def test_a_reward_model_that_reads_its_first_token_is_scored_as_well(tmp_path):
    torch.manual_seed(3)
    known = tiny.tokenizer(pad="own")
    config = BertConfig(
        vocab_size=len(known), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, num_labels=1, pad_token_id=known.pad_token_id, initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path / "judge")
    known.save_pretrained(tmp_path / "judge")
    found = scored(tmp_path / "judge", samples(tmp_path / "base.parquet"))
    np.testing.assert_allclose(found, alone(tmp_path / "judge"), atol=1e-5)


def test_a_model_that_takes_padding_for_text_is_found_out(judge, base, monkeypatch):
    forward = LlamaForSequenceClassification.forward

    def careless(self, input_ids, attention_mask):
        self.config.pad_token_id = -1
        return forward(self, input_ids=input_ids, attention_mask=attention_mask)

    monkeypatch.setattr(LlamaForSequenceClassification, "forward", careless)
    with pytest.raises(InputError, match=r"alone and .* beside a longer one, .* give --batch-size 1"):
        scored(judge, base)
    assert len(scored(judge, base, batch_size=1)) == len(PAIRS)


def test_the_metadata_say_model_weights_dtype_engine_and_template(tmp_path):
    model = tiny.classifier(tmp_path / "judge", chat=True)
    for chat in (False, True):
        path = samples(tmp_path / f"{chat}.parquet", chat=chat)
        scored(model, path)
        about = read_metadata(path)["score reward_r"]
        assert (about["reward"], about["dtype"], about["columns"]) == ("judge", "float32", ["reward_r"])
        assert len(about["weights"]) == 16
        assert about["engine"].startswith("transformers ")
        assert (about["chat_template"] is not None) == chat


def test_models_and_functions_score_in_one_pass(judge, base, tmp_path):
    other = tiny.classifier(tmp_path / "other", seed=4)
    rewards = [f"one={judge}", f"two={other}", lambda completions: [float(len(each)) for each in completions]]
    found = pl.read_parquet(klimit.score(reward=rewards, input=base, batch_size=4))
    np.testing.assert_allclose(found["reward_one"], alone(judge), atol=1e-5)
    np.testing.assert_allclose(found["reward_two"], alone(other), atol=1e-5)
    assert found["reward_lambda"].to_list() == [float(len(completion)) for _, completion in PAIRS]
    assert found["completion"].to_list() == [completion for _, completion in PAIRS]


def test_interrupted_it_goes_on_and_ends_with_the_same_rewards(judge, base, monkeypatch):
    score, calls = ClassifierReward.score, []

    def stops(self, rows):
        calls.append(rows)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return score(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(ClassifierReward, "score", stops)
        with pytest.raises(KeyboardInterrupt):
            scored(judge, base, batch_size=3)
    assert "reward_r" not in pl.read_parquet(base).columns
    said = []
    found = scored(judge, base, batch_size=3, say=said.append)
    assert said[0] == "9 of 24 completions are there already"
    np.testing.assert_allclose(found, alone(judge), atol=1e-5)


def test_another_model_is_not_mixed_in(judge, base, tmp_path):
    scored(judge, base, output=tmp_path / "out.parquet")
    other = tiny.classifier(tmp_path / "other" / "judge", seed=4)
    with pytest.raises(InputError, match=r"is there already, made with other settings \(weights "):
        scored(other, base, output=tmp_path / "out.parquet")


def test_out_of_memory_halves_the_batch_and_says_so(judge, base, monkeypatch):
    forward = LlamaForSequenceClassification.forward

    def small(self, input_ids, **given):
        if len(input_ids) > 6:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, input_ids=input_ids, **given)

    monkeypatch.setattr(LlamaForSequenceClassification, "forward", small)
    said = []
    found = scored(judge, base, say=said.append)
    assert said[:2] == [
        "out of memory at 24 completions at once; going on with 12",
        "out of memory at 12 completions at once; going on with 6",
    ]
    np.testing.assert_allclose(found, alone(judge), atol=1e-5)


def test_a_check_of_padding_that_does_not_fit_is_left_to_the_run(judge, base, monkeypatch):
    def never(self, **given):
        raise OutOfMemory

    monkeypatch.setattr(LlamaForSequenceClassification, "forward", never)
    with pytest.raises(InputError, match="out of memory with one of the completions at once"):
        scored(judge, base)


# What cannot be used


def test_a_model_that_is_no_reward_model_is_told(base, tmp_path, tiny_model):
    with pytest.raises(InputError, match="is a LlamaForCausalLM, not a sequence classifier"):
        scored(tiny_model, base)
    two = tiny.classifier(tmp_path / "two", labels=2)
    with pytest.raises(InputError, match=r"has 2 labels \(LABEL_0, LABEL_1\); a reward model has one"):
        scored(two, base)
    with pytest.raises(InputError, match="is no folder here, and the hub cannot be reached"):
        scored("some/judge", base)
    with pytest.raises(InputError, match="no such folder"):
        scored("./none", base)


def test_texts_beyond_the_context_are_told_by_row_and_never_cut(tmp_path):
    base = samples(
        tmp_path / "base.parquet", [("a", "b"), ("a", "b " * 19), ("a", "b " * 20), ("a", "b " * 30)]
    )
    model = tiny.classifier(tmp_path / "judge", context=20)
    with pytest.raises(
        InputError,
        match=r"row 3: 21 tokens are more than the context of .* \(20\), as in 2 rows: nothing is cut",
    ):
        scored(model, base)
    settings = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 19}))
    with pytest.raises(InputError, match=r"row 2: 20 tokens .* \(19\), as in 3 rows"):
        scored(model, base)


def test_messages_need_a_template_that_takes_them(judge, tmp_path):
    base = samples(tmp_path / "base.parquet", chat=True)
    with pytest.raises(InputError, match=r"has no chat template, and the prompts of .* are chat messages"):
        scored(judge, base)
    strict = shutil.copytree(judge, tmp_path / "strict")
    known = tiny.tokenizer(pad="end")
    known.chat_template = "{% if messages[0]['content'] == 'c' %}{{ raise_exception('no c') }}{% endif %}a"
    known.save_pretrained(strict)
    with pytest.raises(InputError, match=r"base.parquet, row 7: the chat template refuses it \(no c\)"):
        scored(strict, base)


def test_a_row_without_tokens_is_told(judge, tmp_path):
    pl.DataFrame({"prompt": ["a", " "], "completion": ["", ""]}).write_parquet(tmp_path / "base.parquet")
    with pytest.raises(InputError, match="row 2: has no tokens"):
        scored(judge, tmp_path / "base.parquet")


def test_rewards_that_are_no_numbers_are_told(judge, base, tmp_path):
    broken = AutoModelForSequenceClassification.from_pretrained(judge)
    with torch.no_grad():
        broken.score.weight[:] = float("nan")
    shutil.copytree(judge, tmp_path / "broken")
    broken.save_pretrained(tmp_path / "broken")
    with pytest.raises(InputError, match=r"row \d+: .* gives nan in float32"):
        scored(tmp_path / "broken", base)


def test_code_and_pickles_of_a_repository_need_their_flags(judge, base, tmp_path, monkeypatch):
    from safetensors.torch import load_file

    pickled = shutil.copytree(judge, tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"give --allow-pickle"):
        scored(pickled, base)
    np.testing.assert_allclose(scored(pickled, base, allow_pickle=True), alone(judge), atol=1e-5)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    hostile = shutil.copytree(judge, tmp_path / "hostile")
    config = json.loads((hostile / "config.json").read_text())
    config |= {"model_type": "hostile", "auto_map": {"AutoConfig": "code.Config"}}
    (hostile / "config.json").write_text(json.dumps(config))
    (hostile / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(InputError, match="give --trust-remote-code"):
        scored(hostile, base, output=tmp_path / "out.parquet")
    assert not (tmp_path / "ran").exists()


def test_the_command_scores_with_a_model_and_errors_are_one_line(judge, base, tiny_model, capsys):
    assert run(["score", "--reward", f"judge={judge}", "-i", str(base)]) == 0
    assert capsys.readouterr().err == f"klimit: wrote {base}\n"
    np.testing.assert_allclose(pl.read_parquet(base)["reward_judge"], alone(judge), atol=1e-5)
    assert run(["score", "--reward", str(tiny_model), "-i", str(base)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"klimit: error: {tiny_model}: is a LlamaForCausalLM")
    assert said.count("\n") == 1
