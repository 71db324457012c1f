"""Worlds: the enumeration is the model's own law, tables are what the models score, and nothing held out was seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from lab_worlds import small
from scipy.stats import chisquare

import klimit
from klimit.errors import InputError
from klimit.lab import open_world
from klimit.lab.choice import choose
from klimit.lab.demonstrator import demonstrate
from klimit.limit import exact
from klimit.models.loading import load_causal

N = 2000


def leaf_of(world, ids):
    """Where a completion given by its token ids stands in the tables."""
    known = load_tokens(world)
    return world.tree.leaf([known[token] for token in ids if token in known])


def load_tokens(world):
    from klimit.lab.networks import open_tokens

    return {token: word for word, token in enumerate(open_tokens(world.task)[:-1])}


@pytest.fixture(scope="module")
def sampled(world, tmp_path_factory):
    """Completions of the base model for the held-out prompts, scored by all of the world's rewards."""
    path = tmp_path_factory.mktemp("samples") / f"{world.task.name}.parquet"
    klimit.sample(
        model=str(world.base_model),
        prompts=world.prompt_file("held_out"),
        output=path,
        n=N,
        max_new_tokens=world.recipe.length,
        seed=3,
    )
    klimit.logprob(model=str(world.base_model), ref_model=str(world.base_model), input=path)
    named = {"gold": world.gold, **{name: str(folder) for name, folder in world.proxies.items()}}
    klimit.score(reward=named, input=path)
    return pl.read_parquet(path)


def changed(world, by=0.3):
    """The base model with a changed head."""
    loaded = load_causal(str(world.base_model))
    torch.manual_seed(1)
    with torch.no_grad():
        weight = loaded.model.lm_head.weight
        weight += by * torch.randn(weight.shape) * (weight != 0)
    return loaded


# The law.


def test_probabilities_sum_to_one(world):
    np.testing.assert_allclose(np.exp(world.base.logprob).sum(axis=1), 1.0, atol=1e-6)
    assert world.base.logprob.shape == (6, 1111)


def test_the_enumeration_equals_teacher_forcing(world, sampled):
    rows = sampled["prompt_id"].to_numpy()
    leaves = [leaf_of(world, ids) for ids in sampled["completion_token_ids"].to_list()]
    np.testing.assert_allclose(sampled["logprob"].to_numpy(), world.base.logprob[rows, leaves], atol=3e-6)
    assert len(set(leaves)) > 100


def p_values(world, frame, law):
    """Of each prompt's frequencies against a law."""
    found = []
    for (row,), rows in frame.group_by(["prompt_id"], maintain_order=True):
        counts = Counter(leaf_of(world, ids) for ids in rows["completion_token_ids"].to_list())
        expected = np.exp(law.logprob[row]) * rows.height
        seen = np.array([counts[leaf] for leaf in range(len(expected))])
        often = expected >= 5
        seen, expected = ([*x[often], x[~often].sum()] for x in (seen, expected))
        found.append(chisquare(seen, np.array(expected) * sum(seen) / sum(expected)).pvalue)
    return found


def test_sampled_completions_are_as_frequent_as_enumerated(world, sampled):
    assert min(p_values(world, sampled, world.base)) > 1e-3


def test_the_check_of_frequencies_finds_out_another_model(world, sampled):
    assert min(p_values(world, sampled, world.enumerate(changed(world).model))) < 1e-6


def test_a_checkpoint_is_enumerated_from_its_folder_as_from_memory_and_left_as_it_was(world, tmp_path):
    loaded = changed(world)
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    loaded.model.train()
    law = world.enumerate(loaded.model)
    assert loaded.model.training
    np.testing.assert_array_equal(law.logprob, world.enumerate(tmp_path).logprob)
    assert np.abs(law.logprob - world.base.logprob).max() > 0.1


def test_a_model_that_gives_other_tokens_probability_is_refused(safety):
    loaded = changed(safety)
    with torch.no_grad():
        loaded.model.lm_head.bias[0] = -8.0
    with pytest.raises(InputError, match="to tokens that no completion has, more than 1e-06"):
        safety.enumerate(loaded.model)


def test_a_model_whose_weights_are_no_numbers_is_refused(safety):
    loaded = changed(safety)
    with torch.no_grad():
        loaded.model.lm_head.weight[10] = float("nan")
    with pytest.raises(InputError, match="its probabilities are no numbers"):
        safety.enumerate(loaded.model)


def test_a_model_of_another_world_is_refused(safety, cache):
    other = open_world(small("summarization"), cache=cache)
    with pytest.raises(InputError, match="another vocabulary than the base model of safety"):
        safety.enumerate(other.base_model)


# The rewards.


@pytest.mark.parametrize("name", ["gold", "first", "second"])
def test_tables_of_rewards_are_what_score_gives(world, sampled, name):
    rows = sampled["prompt_id"].to_numpy()
    views = world.tree.view_of_leaf[
        [leaf_of(world, ids) for ids in sampled["completion_token_ids"].to_list()]
    ]
    found = world.rewards(name)[rows, views]
    np.testing.assert_allclose(sampled[f"reward_{name}"].to_numpy(), found, atol=1e-5)
    assert found.std() > 0.05


def test_proxies_learnt_something_of_gold_and_not_all(world):
    p, gold = world.base.views(), world.rewards("gold")
    for name in world.proxies:
        proxy = world.rewards(name)
        parts = [x - (p * x).sum(axis=1, keepdims=True) for x in (gold, proxy)]
        shared, of_gold, of_proxy = (
            (p * a * b).sum() for a, b in ((parts[0], parts[1]), *((x, x) for x in parts))
        )
        assert 0.1 < shared / np.sqrt(of_gold * of_proxy) < 0.95


def test_unknown_rewards_and_prompts_are_refused(safety):
    with pytest.raises(InputError, match="no reward 'silver'; safety has gold, first, second"):
        safety.rewards("silver")
    with pytest.raises(InputError, match="'test': choose one of train, held_out, all"):
        safety.limit(prompts="test")


# The truth.


def test_the_limit_by_levels_is_that_of_all_completions(world):
    rewards = world.rewards()[:, world.tree.view_of_leaf]
    p = world.base.probabilities()
    budgets = np.array([0.1, 0.5, 1.5])
    truth = world.limit(prompts="all").frontier(budgets)
    np.testing.assert_allclose(truth, exact.frontier_average(p, rewards, budgets)[0], rtol=1e-10)


def test_the_audit_is_that_of_the_laws_themselves(world):
    law = world.enumerate(changed(world).model)
    audit = world.audit(law, prompts="held_out")
    p, q = (np.exp(x.logprob[4:]) for x in (world.base, law))
    rewards = world.rewards("gold", "held_out")[:, world.tree.view_of_leaf]
    assert audit.kl == pytest.approx((q * np.log(q / p)).sum(axis=1).mean(), rel=1e-6)
    assert audit.gain == pytest.approx(((q - p) * rewards).sum(axis=1).mean(), abs=1e-6)
    parts = audit.necessary + audit.allocation + audit.shape + audit.off_reward
    assert parts == pytest.approx(audit.kl, rel=1e-6)
    assert audit.off_reward > 0


def test_the_base_model_has_no_kl_from_itself(world):
    assert world.audit(world.base, prompts="all").kl == 0.0


@pytest.mark.filterwarnings("ignore:.*6 prompts. interval and horizon of so few are rough")
def test_samples_of_enumerated_laws_are_covered_by_their_audit(world):
    exact_audit = world.audit(world.enumerate(changed(world).model), prompts="all")
    policy, base = exact_audit.sample(None, 400, seed=5, redraw_prompts=False)
    found = klimit.audit(policy, base=base)
    for name in ("kl", "gain", "efficiency"):
        value = getattr(found, name)
        assert value.low <= getattr(exact_audit, name) <= value.high


def test_hacking_is_of_the_base_models_law(world):
    tables = world.hacking("first", prompts="train")
    gold, proxy = world.rewards("gold", "train"), world.rewards("first", "train")
    p = np.exp(world.base.logprob[:4])
    q = world.tree.by_view(p) * np.exp(0.5 * proxy)
    q /= q.sum(axis=1, keepdims=True)
    gain = ((q - world.tree.by_view(p)) * gold).sum(axis=1).mean()
    assert tables.gold_gain(0.5) == pytest.approx(gain, abs=1e-6)


def test_best_of_n_of_the_exact_law_is_that_of_many_samples(world, sampled):
    gold = sampled.group_by("prompt_id", maintain_order=True).agg("reward_gold")["reward_gold"].to_list()
    best = np.mean(
        [np.max(np.reshape(rewards, (-1, 4)), axis=1).mean() - np.mean(rewards) for rewards in gold]
    )
    assert world.limit(prompts="held_out").best_of_n(4).gain == pytest.approx(best, abs=0.08)


# The prompts.


def test_a_third_is_held_out_of_all_training(world):
    choice = choose(world.task, world.recipe)
    held_out = {request.group for request in choice.held_out}
    assert len(world.prompts.held_out) * 2 == len(world.prompts.train)
    assert held_out.isdisjoint(request.group for request in choice.shown)
    assert len(choice.shown) == 16


def test_prompts_are_as_long_as_they_are_and_chat_in_one_world(world):
    chat = {"safety": True, "summarization": False}[world.task.name]
    assert {prompt.is_chat for prompt in world.prompts.all} == {chat}
    lengths = {len(str(prompt.messages()[0]["content"]).split()) for prompt in world.prompts.all}
    assert len(lengths) > 1


def test_the_base_model_learnt_from_a_demonstrator_that_is_not_perfect(world):
    requests = choose(world.task, world.recipe).enumerated
    rows = np.repeat(np.arange(6), 300)
    features = np.stack([requests[row].features for row in rows])
    shown = demonstrate(world.task, features, world.recipe.length, np.random.default_rng(9))
    leaves = [world.tree.leaf(words[words >= 0]) for words in shown]
    ends = (shown >= 0).sum(axis=1) < world.recipe.length
    blind = -np.log(11) * ((shown >= 0).sum(axis=1) + ends)
    assert world.base.logprob[rows, leaves].mean() > blind.mean() + 0.1
    gold = world.rewards("gold")
    assert gold[rows, world.tree.view_of_leaf[leaves]].mean() < gold.max(axis=1).mean() - 0.5
