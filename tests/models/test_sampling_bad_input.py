"""Models, prompts and settings that cannot be used: one line says what, where, and how to mend it."""

from __future__ import annotations

import json
import shutil
import sys

import polars as pl
import pytest
import tiny
import torch
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

import klimit
from klimit.errors import InputError


@pytest.fixture
def draw(tiny_model, prompts_file, tmp_path):
    def run(**changed):
        settings = {"model": str(tiny_model), "prompts": prompts_file, "output": tmp_path / "out.parquet"}
        return klimit.sample(**{"n": 2, "max_new_tokens": 4, **settings, **changed})

    return run


def prompts(tmp_path, *rows):
    path = tmp_path / "given.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n is 0; it must be a whole number, 1 or more"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": 0.0}, "temperature is 0; it must be above 0 and finite"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0; it must be above 0"),
        ({"top_p": 1.5}, r"top_p is 1\.5"),
        ({"top_k": -1}, "top_k is -1"),
        ({"dtype": "int8"}, "dtype is 'int8'; known are auto, float32"),
        ({"device": "nonsense"}, "device 'nonsense' cannot be used here"),
        ({"output": "/no/such/folder/out.parquet"}, "out.parquet: cannot be written"),
    ],
)
def test_settings(settings, message, draw):
    with pytest.raises(InputError, match=message):
        draw(**settings)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no prompts"),
        (["{"], "line 1: is no JSON"),
        (["[1]"], "line 1: is no object"),
        ([{"text": "a"}], "line 1: no field 'prompt'; its fields: text"),
        ([{"prompt": "a"}, {"prompt": ""}], "line 2: the prompt is empty"),
        ([{"prompt": None}], "line 1: the prompt is missing"),
        ([{"prompt": 3}], "line 1: the prompt is int 3"),
        ([{"prompt": "a", "prompt_id": 1.5}], "line 1: prompt_id is 1.5"),
        (
            [{"prompt": "a", "prompt_id": 1}, {"prompt": "b", "prompt_id": 1}],
            "line 2: prompt_id 1 stands there twice",
        ),
        (
            [{"prompt": "a", "prompt_id": 1}, {"prompt": "b", "prompt_id": "1"}],
            "a number in some rows and a text",
        ),
        (
            [{"prompt": "a"}, {"prompt": [{"role": "user", "content": "a"}]}],
            "line 2: the prompts before are texts",
        ),
        ([{"prompt": [{"role": "user"}]}], "needs 'role' and 'content'"),
        ([{"prompt": [{"role": "robot", "content": "a"}]}], "role is 'robot'"),
        ([{"prompt": [{"role": "user", "content": ["a"]}]}], "only text is supported"),
    ],
)
def test_prompt_files(rows, message, draw, tmp_path):
    with pytest.raises(InputError, match=message):
        draw(prompts=prompts(tmp_path, *rows))


def test_a_prompt_file_that_is_not_there_or_no_table(draw, tmp_path):
    with pytest.raises(InputError, match="no such file of prompts"):
        draw(prompts=tmp_path / "none.jsonl")
    (tmp_path / "p.parquet").write_text("x")
    with pytest.raises(InputError, match=r"is neither JSON lines .* nor Parquet"):
        draw(prompts=tmp_path / "p.parquet")
    (tmp_path / "latin.jsonl").write_bytes('{"prompt": "é"}'.encode("latin-1"))
    with pytest.raises(InputError, match="is no UTF-8 text"):
        draw(prompts=tmp_path / "latin.jsonl")


def test_parquet_prompts_are_read_with_their_ids(draw, tmp_path):
    pl.DataFrame({"prompt_id": ["x", "y"], "prompt": ["a", "b c"]}).write_parquet(tmp_path / "p.parquet")
    assert pl.read_parquet(draw(prompts=tmp_path / "p.parquet"))["prompt_id"].to_list() == [
        "x",
        "x",
        "y",
        "y",
    ]


def test_a_prompt_beyond_the_context(draw, tmp_path):
    long = prompts(tmp_path, {"prompt": "a"}, {"prompt": "b " * 61, "prompt_id": 1})
    with pytest.raises(
        InputError, match="prompt 1: 61 tokens and 4 new ones are more than the model's context of 64"
    ):
        draw(prompts=long)


def test_a_model_that_is_not_there(draw, tmp_path):
    with pytest.raises(InputError, match="no such folder; give a folder with a model"):
        draw(model=str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"holds no config\.json"):
        draw(model=str(tmp_path))
    with pytest.raises(InputError, match="is no folder here, and the hub cannot be reached"):
        draw(model="some/model")


@pytest.mark.filterwarnings("ignore")  # of the libraries, on models this small
def test_a_model_that_is_no_causal_language_model(draw, tmp_path, tiny_model):
    encoder = tmp_path / "encoder"
    BertModel(
        BertConfig(
            vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
        )
    ).save_pretrained(encoder)
    with pytest.raises(InputError, match="is a BertModel, not a causal language model"):
        draw(model=str(encoder))
    both = tmp_path / "both"
    T5ForConditionalGeneration(
        T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0)
    ).save_pretrained(both)
    with pytest.raises(InputError, match="is an encoder-decoder"):
        draw(model=str(both))
    with pytest.raises(InputError, match="is a LlamaForSequenceClassification, not a causal"):
        draw(model=str(tiny.classifier(tmp_path / "classifier")))


def test_pickled_weights_are_loaded_only_when_asked(draw, tmp_path, tiny_model):
    pickled = tmp_path / "pickled"
    shutil.copytree(tiny_model, pickled)
    from safetensors.torch import load_file

    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no safetensors weights; .* give --allow-pickle"):
        draw(model=str(pickled))
    assert draw(model=str(pickled), allow_pickle=True).exists()


def test_code_of_a_repository_runs_only_when_asked(draw, tmp_path, tiny_model, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    hostile = tmp_path / "hostile"
    shutil.copytree(tiny_model, hostile)
    config = json.loads((hostile / "config.json").read_text())
    config["model_type"] = "hostile"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (hostile / "config.json").write_text(json.dumps(config))
    (hostile / "code.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\nraise RuntimeError('ran')\n"
    )
    with pytest.raises(InputError, match=r"comes with code of its own; .* give --trust-remote-code"):
        draw(model=str(hostile))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InputError, match="ran"):
        draw(model=str(hostile), trust_remote_code=True)
    assert (tmp_path / "ran").exists()


def test_a_model_without_an_end_token(draw, tmp_path, tiny_model):
    endless = tmp_path / "endless"
    shutil.copytree(tiny_model, endless)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        known = json.loads((endless / name).read_text())
        known |= {name: None for name in ("eos_token_id", "eos_token") if name in known}
        (endless / name).write_text(json.dumps(known))
    with pytest.raises(InputError, match="has no end token"):
        draw(model=str(endless))


@pytest.mark.parametrize("pad", [None, "end", "own"])
def test_no_pad_token_or_one_that_is_the_end_token_changes_nothing(pad, draw, tmp_path):
    words = ("a", "b", "c")
    model = tiny.causal(tmp_path / "model", pad=pad, words=words)
    frame = pl.read_parquet(draw(model=str(model), n=50))
    assert all(ids.count(0) <= 1 for ids in frame["completion_token_ids"].to_list())
    ends = frame.filter(pl.col("finish_reason") == "stop")["completion_token_ids"].to_list()
    assert ends
    assert all(ids[-1] == 0 for ids in ends)


def test_a_model_whose_probabilities_are_no_numbers(draw, tmp_path, tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        model.lm_head.weight[:] = float("nan")
    model.save_pretrained(tmp_path / "nan")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "nan")
    with pytest.raises(InputError, match=r"prompt 2: the model's probabilities are no numbers in float32"):
        draw(model=str(tmp_path / "nan"))


def test_chat_prompts_need_a_chat_template(draw, tmp_path):
    chat = prompts(tmp_path, {"prompt": [{"role": "user", "content": "a b"}]})
    with pytest.raises(InputError, match=r"prompt 0: is a list of chat messages, and .* no chat template"):
        draw(prompts=chat)
    model = tiny.causal(tmp_path / "chat", chat=True)
    frame = pl.read_parquet(draw(model=str(model), prompts=chat))
    known = tiny.tokenizer(chat=True)
    assert known.decode(frame["prompt_token_ids"][0].to_list()) == "user a b assistant"
    assert frame["prompt"].to_list()[0] == [{"role": "user", "content": "a b"}]


def test_a_missing_extra_is_named(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"torch is not installed; .*pip install 'klimit\[lm\]'"):
        draw()
