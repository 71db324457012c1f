"""Policy and reference score the ids that were sampled: exact log-probabilities, and the exact KL of every token."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars as pl
import pytest
import tiny
from enumeration import kl, law

import klimit
from klimit.errors import InputError
from klimit.models import forward
from klimit.models.loading import load_causal
from klimit.models.parts import read_metadata

LENGTH, N = 4, 2000


def sampled(model, prompts, output, **settings):
    return klimit.sample(
        model=str(model), prompts=prompts, output=output, **{"n": N, "max_new_tokens": LENGTH, **settings}
    )


@pytest.fixture(scope="module")
def policy_file(other_tiny_model, prompts_file, tmp_path_factory):
    return sampled(other_tiny_model, prompts_file, tmp_path_factory.mktemp("policy") / "policy.parquet")


@pytest.fixture
def policy(policy_file, tmp_path):
    return shutil.copy(policy_file, tmp_path / "policy.parquet")


@pytest.fixture
def scored(other_tiny_model, tiny_model):
    def run(path, **settings):
        given = {"model": str(other_tiny_model), "ref_model": str(tiny_model), "input": path, **settings}
        return pl.read_parquet(klimit.logprob(**given))

    return run


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_they_are_those_of_an_enumeration(
    temperature, scored, other_tiny_model, tiny_model, prompts_file, tmp_path
):
    path = sampled(other_tiny_model, prompts_file, tmp_path / "p.parquet", temperature=temperature)
    frame = scored(path)
    models = [load_causal(str(each)) for each in (other_tiny_model, tiny_model)]
    end = models[0].tokenizer.eos_token_id
    for _, rows in frame.group_by("prompt_id", maintain_order=True):
        ids = rows["prompt_token_ids"][0].to_list()
        p, q = (law(each.model, ids, LENGTH, end, lambda logits: logits / temperature) for each in models)
        completions = [tuple(tokens) for tokens in rows["completion_token_ids"].to_list()]
        np.testing.assert_allclose(rows["logprob"], [p[each] for each in completions], atol=1e-5)
        np.testing.assert_allclose(rows["ref_logprob"], [q[each] for each in completions], atol=1e-5)
        np.testing.assert_allclose(rows["sampling_logprob"], rows["logprob"], atol=1e-5)
        # Both estimates are unbiased for the exact KL, and the one of exact token KLs is the surer.
        exact = kl(p, q)
        ratios = (rows["logprob"] - rows["ref_logprob"]).to_numpy()
        for estimate in (ratios, rows["token_kl"].to_numpy()):
            assert abs(estimate.mean() - exact) < 4 * estimate.std() / np.sqrt(len(estimate)) + 1e-5
        assert rows["token_kl"].min() >= -1e-6


def test_the_check_finds_out_another_reference(scored, policy, other_tiny_model, tmp_path):
    right = scored(policy, output=tmp_path / "right.parquet")
    wrong = scored(
        policy, output=tmp_path / "wrong.parquet", ref_model=str(tiny.causal(tmp_path / "third", seed=9))
    )
    assert (right["ref_logprob"] - wrong["ref_logprob"]).abs().max() > 0.1
    assert right["logprob"].equals(wrong["logprob"])


def test_padding_and_batches_change_nothing(scored, policy, tmp_path):
    short = pl.read_parquet(policy).group_by("prompt_id", maintain_order=True).head(10)
    short.write_parquet(tmp_path / "short.parquet")
    one = scored(tmp_path / "short.parquet", output=tmp_path / "one.parquet", batch_size=1)
    many = scored(tmp_path / "short.parquet", output=tmp_path / "many.parquet", batch_size=30)
    for name in ("logprob", "ref_logprob", "token_kl"):
        np.testing.assert_allclose(one[name], many[name], atol=1e-5)


def test_rows_and_other_columns_stay_as_they_are(scored, policy):
    before = pl.read_parquet(policy)
    after = scored(policy)
    assert after.columns == [
        *("sampling_logprob" if name == "logprob" else name for name in before.columns),
        "logprob",
        "ref_logprob",
        "token_kl",
    ]
    assert after.select(set(before.columns) - {"logprob"}).equals(
        before.select(set(before.columns) - {"logprob"})
    )
    assert after["sampling_logprob"].equals(before["logprob"].alias("sampling_logprob"))
    made = read_metadata(policy)
    assert made["sample"]["n"] == N
    assert made["logprob"]["ref_model"] == "base"


def test_a_second_run_finds_it_complete(scored, policy):
    said = []
    scored(policy)
    scored(policy, say=said.append)
    assert said == [f"{policy} is complete already"]


def test_interrupted_it_goes_on(scored, policy, monkeypatch, tmp_path):
    whole = scored(policy, output=tmp_path / "whole.parquet", batch_size=500)
    score, calls = forward.score, []

    def stop(*given):
        calls.append(given)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return score(*given)

    with monkeypatch.context() as patched:
        patched.setattr(forward, "score", stop)
        with pytest.raises(KeyboardInterrupt):
            scored(policy, batch_size=500)
    assert "ref_logprob" not in pl.read_parquet(policy).columns
    said = []
    assert scored(policy, batch_size=500, say=said.append).equals(whole)
    assert said[0] == "2,000 of 6,000 completions are there already"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("completion_token_ids", "no column 'completion_token_ids'; .* never of text tokenised again"),
        ("prompt_token_ids", "no column 'prompt_token_ids'"),
    ],
)
def test_without_token_ids_it_refuses_by_name(column, message, scored, policy, tmp_path):
    pl.read_parquet(policy).drop(column).write_parquet(tmp_path / "text.parquet")
    with pytest.raises(InputError, match=message):
        scored(tmp_path / "text.parquet")


def test_missing_empty_or_foreign_ids_are_named_by_row(scored, policy, tmp_path):
    frame = pl.read_parquet(policy).head(3)
    for ids, message in (
        ([[2], None, [2]], r"row 2: completion_token_ids is missing \(1 rows\)"),
        ([[2], [2], []], "row 3: completion_token_ids is empty"),
        ([[99], [2], [2]], r"row 1: token id 99 is not in the vocabulary of .* \(5 tokens\)"),
        ([[2] * 80, [2], [2]], "row 1: 82 tokens are more than the context"),
    ):
        changed = frame.with_columns(pl.Series("completion_token_ids", ids, dtype=pl.List(pl.Int32)))
        changed.write_parquet(tmp_path / "bad.parquet")
        with pytest.raises(InputError, match=message):
            scored(tmp_path / "bad.parquet")


def test_samples_under_top_p_are_refused(scored, other_tiny_model, prompts_file, tmp_path):
    path = sampled(other_tiny_model, prompts_file, tmp_path / "p.parquet", n=4, top_p=0.9)
    with pytest.raises(
        InputError, match=r"was sampled with temperature 1, top_p 0\.9, .* sample again with top_p 1"
    ):
        scored(path)


def test_another_temperature_than_the_samples_have_is_refused(scored, policy):
    with pytest.raises(InputError, match=r"was sampled at temperature 1, not 0\.5"):
        scored(policy, temperature=0.5)


def test_a_model_that_did_not_sample_is_refused(scored, policy, tiny_model):
    with pytest.raises(InputError, match="is not the model that sampled"):
        scored(policy, model=str(tiny_model))


def test_models_with_other_tokens_are_refused(scored, policy, tmp_path):
    longer = tiny.causal(tmp_path / "longer", words=("a", "b", "c", "d"))
    with pytest.raises(InputError, match="have different vocabularies"):
        scored(policy, ref_model=str(longer))


def test_one_model_twice_is_said(scored, policy, other_tiny_model):
    said = []
    frame = scored(policy, ref_model=str(other_tiny_model), say=said.append)
    assert said[0] == "policy and reference have the same weights: every KL will be 0"
    assert frame["token_kl"].abs().max() < 1e-5


def test_columns_of_the_same_name_are_kept_unless_asked(scored, policy, tmp_path):
    scored(policy)
    third = tiny.causal(tmp_path / "third", seed=9)
    with pytest.raises(InputError, match="has logprob, ref_logprob, token_kl already; give --overwrite"):
        scored(policy, ref_model=str(third))
    assert scored(policy, ref_model=str(third), overwrite=True).columns.count("ref_logprob") == 1


def test_an_engine_that_disagrees_is_told(scored, policy, tmp_path):
    frame = pl.read_parquet(policy).with_columns(pl.col("logprob") - 1)
    frame.write_parquet(tmp_path / "off.parquet")  # without metadata, as from elsewhere
    said = []
    scored(tmp_path / "off.parquet", say=said.append)
    assert "differ by" in said[-1]
    assert json.dumps(said)
