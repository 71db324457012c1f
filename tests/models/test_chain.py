"""From models to limits: samples of a base model and of a changed copy give the numbers of an enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tiny
import torch
from enumeration import law

import klimit
from klimit.limit.exact import frontier_average
from klimit.models.loading import load_causal
from klimit.models.parts import read_metadata
from klimit.testsystems import PolicyTables

LENGTH, N = 3, 128


def reward(ids):
    """How many ``a`` a completion has, less a little for its length."""
    return ids.count(2) - 0.1 * len(ids)


def rewards(completion_ids, **kwargs):
    """The same as a reward function."""
    return [reward(ids) for ids in completion_ids]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Base and policy samples with rewards, and the exact tables of both."""
    folder = tmp_path_factory.mktemp("chain")
    base = tiny.causal(folder / "base", seed=0, sharpness=10.0)
    changed = load_causal(str(base))
    torch.manual_seed(1)
    with torch.no_grad():
        changed.model.lm_head.weight[2] += 0.2 * torch.randn(16)
    changed.model.save_pretrained(folder / "policy")
    changed.tokenizer.save_pretrained(folder / "policy")
    texts = [" ".join(words) for k in (1, 2, 3, 4) for words in itertools.product("abc", repeat=k)]
    (folder / "texts.csv").write_text("\n".join(["text", *texts, texts[0]]) + "\n")
    prompts = klimit.prompts(folder / "texts.csv", output=folder / "prompts.parquet", column="text")
    files = {}
    for name in ("base", "policy"):
        files[name] = klimit.sample(
            model=str(folder / name),
            prompts=prompts,
            output=folder / f"{name}.parquet",
            n=N,
            max_new_tokens=LENGTH,
            seed=4,
        )
        if name == "policy":
            klimit.logprob(model=str(folder / name), ref_model=str(folder / "base"), input=files[name])
        klimit.score(reward={"a": rewards}, input=files[name])
    models = [load_causal(str(folder / name)) for name in ("base", "policy")]
    tables = []
    for text in texts:
        ids = models[0].tokenizer(text)["input_ids"]
        laws = [law(each.model, ids, LENGTH, 0) for each in models]
        tables.append([[np.exp(each[c]) for c in laws[0]] for each in laws] + [[reward(c) for c in laws[0]]])
    p, q, r = np.array(tables).transpose(1, 0, 2)
    return files, PolicyTables(p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True), r)


def test_every_step_says_in_the_file_what_it_did(chain):
    files, _ = chain
    made = {name: list(read_metadata(path)) for name, path in files.items()}
    assert made == {"base": ["sample", "score reward_a"], "policy": ["sample", "logprob", "score reward_a"]}


def test_the_limit_of_the_base_samples_is_that_of_the_enumerated_model(chain):
    files, exact = chain
    limit = klimit.frontier(files["base"], kl=[0.05, 0.2, 0.5], reward="reward_a")
    truth, _ = frontier_average(exact.base, exact.rewards, limit.kl)
    assert (limit.gain_low <= truth).all()
    assert (truth <= limit.gain_high).all()
    np.testing.assert_allclose(limit.gain, truth, rtol=0.1)


@pytest.mark.parametrize("name", ["kl", "gain", "efficiency", "least_kl", "wasted_kl", "win_rate"])
def test_the_audit_of_the_changed_copy_is_that_of_the_enumerated_models(name, chain):
    files, exact = chain
    found = klimit.audit(files["policy"], base=files["base"], reward="reward_a")
    value = getattr(found, name)
    assert value.low <= getattr(exact, name) <= value.high


def test_an_audit_of_another_policy_is_found_out(chain):
    files, exact = chain
    other = PolicyTables.tilted(exact.base, exact.rewards, 0.5)
    found = klimit.audit(files["policy"], base=files["base"], reward="reward_a")
    assert not found.kl.low <= other.kl <= found.kl.high
