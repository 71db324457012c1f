"""What ``beta`` means, against policies that are known exactly: all completions of two tokens are enumerated."""

from __future__ import annotations

import json

import pytest
from enumeration import kl
from runs import LENGTH, law_of, mean, rewards_of, short, tilted, token_tilted

PROMPT = "a b"
CLOSE = 0.01  # nats from the policy that it should tend to


@pytest.fixture(scope="module")
def world(base_model, tmp_path_factory):
    """One prompt, all its completions with their log-probabilities, and their rewards."""
    path = tmp_path_factory.mktemp("one") / "prompts.jsonl"
    path.write_text(json.dumps({"prompt": PROMPT}))
    base = law_of(base_model, PROMPT)
    return base_model, path, base, rewards_of(list(base), base_model)


def trained(world, algorithm, folder, **settings):
    model, prompts, _, _ = world
    return law_of(
        short(algorithm, model, prompts, folder, max_new_tokens=LENGTH, save_every=1000, **settings), PROMPT
    )


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_rloo_tends_to_the_tilted_policy_of_its_beta_and_of_no_other(beta, world, tmp_path):
    _, _, base, reward = world
    policy = trained(world, "rloo", tmp_path / "out", beta=beta, steps=60, batch_size=256, generations=64)
    best = tilted(base, reward, beta)
    assert kl(policy, best) < CLOSE
    assert mean(policy, reward) == pytest.approx(mean(best, reward), rel=0.03)
    assert kl(policy, base) == pytest.approx(kl(best, base), rel=0.05)
    for other in (0.75 * beta, 1.5 * beta):
        assert kl(policy, tilted(base, reward, other)) > 3 * CLOSE


def test_ppo_tends_to_the_tilted_policy_of_its_beta_and_of_no_other(world, tmp_path):
    _, _, base, reward = world
    policy = trained(world, "ppo", tmp_path / "out", beta=0.5, steps=60, batch_size=256)
    best = tilted(base, reward, 0.5)
    assert kl(policy, best) < CLOSE
    assert mean(policy, reward) == pytest.approx(mean(best, reward), rel=0.03)
    assert kl(policy, base) == pytest.approx(kl(best, base), rel=0.05)
    for other in (0.75 * 0.5, 1.5 * 0.5):
        assert kl(policy, tilted(base, reward, other)) > 3 * CLOSE


def test_grpo_tends_to_what_a_penalty_on_each_tokens_own_kl_leads_to_at_its_beta(world, tmp_path):
    """Groups of 4, where TRL's beta untranslated would price a nat at 4/3 of it."""
    _, _, base, reward = world
    policy = trained(world, "grpo", tmp_path / "out", beta=0.5, steps=100, batch_size=256, generations=4)
    assert kl(policy, token_tilted(base, reward, 0.5)) < 3 * CLOSE
    for other in (0.5 * 4 / 3, 0.5 * 3 / 4):
        assert kl(policy, token_tilted(base, reward, other)) > 6 * CLOSE


def test_what_grpo_tends_to_falls_short_of_the_optimum_as_the_page_says(world):
    _, _, base, reward = world
    start = mean(base, reward)

    def objective(policy):
        return mean(policy, reward) - 0.5 * kl(policy, base) - start

    best, own = (law(base, reward, 0.5) for law in (tilted, token_tilted))
    assert (mean(best, reward), kl(best, base)) == pytest.approx((1.2594, 1.4672), abs=5e-5)
    assert (mean(own, reward), kl(own, base)) == pytest.approx((1.3213, 1.6027), abs=5e-5)
    assert objective(own) / objective(best) == pytest.approx(0.990, abs=5e-4)
