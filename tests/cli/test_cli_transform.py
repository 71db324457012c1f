"""``klimit frontier --transform``: the Python result under its name; what is no transform is refused in one line."""

import json
import warnings

import numpy as np
import pytest
from cli_samples import table

import klimit


@pytest.fixture
def wide(tmp_path):
    path = tmp_path / "wide.parquet"
    table(60, 64).to_parquet(path)
    return path


@pytest.mark.parametrize("transform", ["rank", "standardised", "log-sigmoid-centred:0.85", "clipped:-1,2"])
@pytest.mark.parametrize("reward", ["reward", "correct"])
def test_json_is_the_python_result(run, wide, transform, reward):
    done = run(
        "frontier", wide, "--reward", reward, "--transform", transform, "--kl", "0.1,0.3", "--json", "-"
    )
    assert done.status == 0
    written = json.loads(done.out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", klimit.KlimitWarning)  # the command takes them down
        limit = klimit.frontier(wide, reward=reward, transform=transform, kl=[0.1, 0.3])
    assert written["options"]["transform"] == written["transform"] == limit.transform == transform
    for name in ("gain", "gain_low", "gain_high"):
        array = getattr(limit, name)
        assert written[name] == [x if np.isfinite(x) else None for x in array.tolist()]
    assert f"{reward}, {transform} (" in " ".join(done.err.split())
    assert written["best_of_n"]["transform"] == transform


def test_per_prompt_budgets_take_them_too(run, wide):
    done = run("frontier", wide, "--reward", "reward", "--transform", "rank", "--budget", "per-prompt")
    assert done.status == 0
    assert "on every prompt" in done.out


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        ("ranks", "transform='ranks': there is no such transform (did you mean 'rank'?)"),
        ("clipped", "give both bounds, clipped:LOW,HIGH"),
        ("clipped:3,1", "the lower bound must be below the upper one"),
        ("log-sigmoid-centred:2", "give a quantile between 0 and 1"),
    ],
)
def test_what_is_no_transform_is_refused_in_one_line(run, wide, transform, said):
    done = run("frontier", wide, "--transform", transform)
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("klimit: error: ")
    assert done.err.count("\n") == 1
    assert said in done.err


def test_a_largest_reward_beside_ranks_is_refused(run, wide):
    done = run("frontier", wide, "--reward", "correct", "--transform", "rank", "--reward-max", "1")
    assert done.status == 2
    assert "it has no use with transform='rank'" in done.err


def test_the_help_names_the_transforms(run):
    said = " ".join(run("frontier", "--help").out.split())
    assert "--transform" in said
    assert "rank" in said
