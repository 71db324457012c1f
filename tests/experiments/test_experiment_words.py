"""What is said of an experiment: what is known, what is bounded, and what went where."""

from __future__ import annotations

import pytest

import klimit
from klimit.experiments.read import as_recipe
from klimit.experiments.results import Found
from klimit.experiments.words import lead
from klimit.testsystems import PolicyTables, random_tables

pytestmark = pytest.mark.filterwarnings("ignore::klimit.KlimitWarning")


def found(policies, *, completions=64, trained=False):
    """An experiment that came to some policies, by name of the trainer."""
    samples = {name: system.sample(60, 48, completions, seed=3) for name, system in policies.items()}
    base = next(iter(samples.values()))[1]
    recipe = as_recipe(
        {
            "model": "m",
            "prompts": "p",
            "beta": 0.4,
            "trainers": list(policies),
            "rewards": {"rm": "x", "meant": "y"},
            "reward": "rm" if trained else "meant",
            "gold": "meant",
        },
        name="mine",
        source="mine.toml",
    )
    audits = klimit.audit({name: own for name, (own, _) in samples.items()}, base, reward="reward")
    best = klimit.best_of_n(base, n=[2, 4], reward="reward", limit=audits.limit)
    return Found(recipe, None, audits, audits if trained else None, best)


@pytest.fixture(scope="module")
def tables():
    return random_tables(200, 24, n_levels=6, seed=1)


def test_each_method_is_told_by_its_share_with_the_ends_of_its_intervals(tables):
    base, reward = tables
    done = found(
        {
            "rloo": PolicyTables.tilted(base, reward, 0.4),
            "grpo": PolicyTables.noisy(base, reward, 0.4, 1.5, seed=1),
        }
    )
    first, legend, spent = lead(done)
    assert legend == "On 60 held-out prompts; in brackets the ends of the 95% intervals."
    rloo, grpo = (audit.efficiency for audit in done.audits)
    assert first.startswith("Share of the limit of meant at the same KL: best-of-2 to 4: 8")
    for name, value in (("rloo", rloo), ("grpo", grpo)):
        assert f"{name}: {value.estimate:.0%} [{100 * value.low:.0f}, {100 * value.high:.0f}]" in first
    assert "what the reward does not see (" in spent
    assert (
        f"grpo: {done.audits[1].parts.off_reward.estimate / done.audits[1].kl.estimate:.0%} of its KL"
        in spent
    )


def test_kl_on_the_wrong_prompts_is_told_as_that(tables):
    import numpy as np

    base, reward = tables
    spread = np.exp(np.random.default_rng(0).normal(-0.7, 1.2, 200))
    (*_, spent) = lead(found({"ppo": PolicyTables.misallocated(base, reward, spread)}))
    assert spent.startswith("KL that their gain did not need went mostly on the wrong prompts (ppo: ")


def test_beyond_the_horizon_there_are_bounds_and_no_share(tables):
    base, reward = tables
    lines = lead(found({"rloo": PolicyTables.tilted(base, reward, 0.02)}, completions=32))
    assert lines[0].startswith("Share of the limit")
    assert "rloo" not in lines[0]
    assert any(line.startswith("Beyond ") and "only: rloo at least " in line for line in lines)


def test_samples_without_a_horizon_are_said_to_have_none(tables):
    base, reward = tables
    lines = lead(found({"rloo": PolicyTables.tilted(base, reward, 0.02)}, completions=8))
    assert lines[0].startswith("With these samples there are bounds only: best-of-2 to 4 ")


def test_where_kl_went_is_not_told_where_none_was_wasted_for_certain(tables):
    base, reward = tables
    lines = lead(found({"rloo": PolicyTables.tilted(base, reward, 0.4)}))
    assert len(lines) == 2


def test_the_reward_that_was_trained_on_has_a_sentence_of_its_own(tables):
    base, reward = tables
    lines = lead(found({"rloo": PolicyTables.tilted(base, reward, 0.4)}, trained=True))
    share = lines[0].partition("rloo")[2]
    assert lines[-1] == f"Of the limit of rm, which they were trained on: rloo{share}"
