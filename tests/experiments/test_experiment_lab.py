"""The lab's worlds through the same chain, beside what is exact there."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from lab_worlds import small

import klimit
from klimit.lab import Recipe, open_world


@pytest.fixture(scope="session")
def found(tmp_path_factory):
    """An experiment in a shrunken world, and the world."""
    made = small("safety", train=6, held_out=12)
    cache = tmp_path_factory.mktemp("cache")
    usual = asdict(Recipe("safety"))
    changed = {name: value for name, value in asdict(made).items() if value != usual[name] or name == "task"}
    changed["proxies"] = [
        {"name": each.name, "pairs": each.pairs, "steps": each.steps} for each in made.proxies
    ]
    recipe = {
        "world": changed,
        "beta_in_spreads": 0.5,
        "trainers": ["grpo"],
        "n": 256,
        "n_policy": 128,
        "best_of_n": [2, 8],
        "device": "cpu",
        "training": {"steps": 20, "batch_size": 64, "generations": 8, "learning_rate": 1e-2},
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KLIMIT_CACHE", str(cache))
        done = klimit.experiment(recipe, tmp_path_factory.mktemp("lab") / "out")
    return done, open_world(made, cache=cache)


def test_the_spread_is_that_of_gold_on_prompts_to_train_on(found):
    done, world = found
    assert done.results["spread"] == pytest.approx(
        float(world.limit("gold", "train").variance) ** 0.5, rel=0.1
    )
    assert done.results["prompts"] == {"train": 6, "held_out": 12}


def test_the_policy_and_best_of_n_are_told_as_they_are(found):
    """Estimates from samples hold what enumeration says is exact, for the very policy that was trained."""
    done, world = found
    (row,) = done.results["policies"]
    exact = world.audit(world.enumerate(done.folder / row["folder"]))
    assert exact.gain > 0.1, "it has learnt something"
    for name in ("kl", "gain", "efficiency"):
        value = row[name]
        # The interval is about other prompts too; these prompts' own number lies well within.
        assert value["low"] <= float(getattr(exact, name)) <= value["high"], name
    assert row["kl"]["estimate"] == pytest.approx(float(exact.kl), rel=0.1)
    best = world.limit().best_of_n([2, 8])
    assert [each["kl"]["estimate"] for each in done.results["best_of_n"]] == pytest.approx(
        best.kl.tolist(), rel=0.1
    )
    assert [each["gain"]["estimate"] for each in done.results["best_of_n"]] == pytest.approx(
        best.gain.tolist(), rel=0.1
    )


def test_each_proxy_is_held_against_gold(found):
    done, world = found
    assert [each["proxy_name"] for each in done.results["page"]["hackings"]] == [
        "reward_first",
        "reward_second",
    ]
    assert set(world.proxies) == {"first", "second"}


def test_the_summary_says_how_near_each_came(found):
    done, _ = found
    assert done.summary.startswith("Share of the limit of gold at the same KL: best-of-2")
    assert "\nOn 12 held-out prompts; in brackets" in done.summary
    assert "grpo beta" in done.summary
    assert "In short" in done.page.read_text()
