"""Completions are drawn from the model's own distribution, with the log-probabilities of what was sampled."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from enumeration import law
from scipy.stats import chisquare

import klimit
from klimit.models.loading import load_causal

PROMPTS = ("a b", "c", "b b a c")
N = 3000
LENGTH = 4


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_causal(str(tiny_model))


def top_k(k):
    def warp(logits):
        return np.where(logits >= np.sort(logits)[-k], logits, -np.inf)

    return warp


def top_p(p):
    def warp(logits):
        order = np.argsort(-logits)
        probabilities = np.exp(logits[order] - np.logaddexp.reduce(logits))
        kept = order[np.cumsum(probabilities) - probabilities < p]
        out = np.full_like(logits, -np.inf)
        out[kept] = logits[kept]
        return out

    return warp


def draw(tiny_model, prompts_file, folder, **settings):
    output = folder / "samples.parquet"
    options = {"n": N, "max_new_tokens": LENGTH, "seed": 1, **settings}
    klimit.sample(model=str(tiny_model), prompts=prompts_file, output=output, **options)
    return pl.read_parquet(output)


def p_values(frame, model, warp):
    """Of each prompt's frequencies against the enumerated law."""
    found = []
    for (_, prompt), rows in frame.group_by(["prompt_id", "prompt"], maintain_order=True):
        ids = model.tokenizer(prompt)["input_ids"]
        exact = law(model.model, ids, LENGTH, model.tokenizer.eos_token_id, warp)
        counts = Counter(map(tuple, rows["completion_token_ids"].to_list()))
        assert set(counts) <= set(exact), "a completion that the distribution does not have"
        often = [c for c, logprob in exact.items() if np.exp(logprob) * N >= 5]
        seen = [counts[c] for c in often]
        expected = [np.exp(exact[c]) * N for c in often]
        if N - sum(expected) >= 1:
            seen, expected = [*seen, N - sum(seen)], [*expected, N - sum(expected)]
        if len(seen) == 1:  # one completion has all the mass: the support has said all there is to say
            continue
        found.append(float(chisquare(seen, np.array(expected) * sum(seen) / sum(expected)).pvalue))
    assert found, "no prompt whose completions have frequencies to compare"
    return found


@pytest.mark.parametrize(
    ("settings", "warp"),
    [
        ({}, lambda logits: logits),
        ({"temperature": 0.5}, lambda logits: logits / 0.5),
        ({"top_k": 2}, top_k(2)),
        ({"top_p": 0.7}, top_p(0.7)),
        ({"temperature": 1.5, "top_k": 3}, lambda logits: top_k(3)(logits / 1.5)),
    ],
    ids=["plain", "temperature", "top_k", "top_p", "both"],
)
def test_frequencies_and_logprobs_are_those_of_the_distribution_asked_for(
    settings, warp, tiny_model, prompts_file, tmp_path, model
):
    frame = draw(tiny_model, prompts_file, tmp_path, **settings)
    assert min(p_values(frame, model, warp)) > 1e-3
    for (_, prompt), rows in frame.group_by(["prompt_id", "prompt"], maintain_order=True):
        ids = model.tokenizer(prompt)["input_ids"]
        exact = law(model.model, ids, LENGTH, model.tokenizer.eos_token_id, warp)
        expected = [exact[tuple(tokens)] for tokens in rows["completion_token_ids"].to_list()]
        np.testing.assert_allclose(rows["logprob"].to_numpy(), expected, atol=1e-5)


def test_the_check_of_frequencies_finds_out_another_temperature(tiny_model, prompts_file, tmp_path, model):
    frame = draw(tiny_model, prompts_file, tmp_path, temperature=0.8)
    assert min(p_values(frame, model, lambda logits: logits)) < 1e-6


def test_a_completion_ends_at_the_end_token_or_is_cut(tiny_model, prompts_file, tmp_path, model):
    frame = draw(tiny_model, prompts_file, tmp_path, n=200)
    end = model.tokenizer.eos_token_id
    for ids, reason in frame.select("completion_token_ids", "finish_reason").iter_rows():
        assert end not in ids[:-1]
        assert (ids[-1] == end) == (reason == "stop")
        assert reason == "stop" or len(ids) == LENGTH
    assert set(frame["finish_reason"]) == {"stop", "length"}


def test_a_completion_does_not_depend_on_its_batch(tiny_model, prompts_file, tmp_path):
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    one = draw(tiny_model, prompts_file, tmp_path / "one", n=20, batch_size=1)
    many = draw(tiny_model, prompts_file, tmp_path / "many", n=20, batch_size=33)
    assert one.drop("logprob").equals(many.drop("logprob"))
    np.testing.assert_allclose(one["logprob"], many["logprob"], atol=1e-5)


def test_seeds_and_models_draw_independently(tiny_model, other_tiny_model, prompts_file, tmp_path):
    drawn = []
    for name, source, seed in (("a", tiny_model, 1), ("b", tiny_model, 2), ("c", other_tiny_model, 1)):
        (tmp_path / name).mkdir()
        drawn.append(draw(source, prompts_file, tmp_path / name, n=100, seed=seed)["completion"])
    assert not drawn[0].equals(drawn[1])
    assert not drawn[0].equals(drawn[2])


def test_what_the_repository_would_do_to_the_distribution_is_left_out(
    tiny_model, prompts_file, tmp_path, model
):
    import shutil

    from transformers import GenerationConfig

    stubborn = tmp_path / "stubborn"
    shutil.copytree(tiny_model, stubborn)
    GenerationConfig(
        eos_token_id=model.tokenizer.eos_token_id,
        do_sample=True,
        temperature=0.1,
        repetition_penalty=5.0,
        top_k=1,
    ).save_pretrained(stubborn)
    frame = draw(stubborn, prompts_file, tmp_path)
    assert min(p_values(frame, model, lambda logits: logits)) > 1e-3


def test_rows_stand_in_the_order_of_the_prompts(tiny_model, prompts_file, tmp_path):
    frame = draw(tiny_model, prompts_file, tmp_path, n=3)
    assert frame["prompt_id"].to_list() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert frame["sample_id"].to_list() == [0, 1, 2] * 3
    assert frame["prompt"].unique(maintain_order=True).to_list() == list(PROMPTS)


def test_the_metadata_say_how_the_samples_were_made(tiny_model, prompts_file, tmp_path):
    from klimit.models.parts import read_metadata

    draw(tiny_model, prompts_file, tmp_path, n=2, temperature=0.5)
    made = read_metadata(tmp_path / "samples.parquet")["sample"]
    assert made["temperature"] == 0.5
    assert made["seed"] == 1
    assert made["dtype"] == "float32"
    assert made["model"] == tiny_model.name
    assert str(tiny_model.parent) not in str(made)
    assert f"torch {torch.__version__}" in made["engine"]
