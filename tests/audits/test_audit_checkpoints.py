"""Which policies are audited, and under what names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from klimit.audits.checkpoints import named_policies, split
from klimit.errors import InputError
from klimit.samples import Samples, read_samples


def run(steps, **columns) -> Samples:
    """Two completions of prompt x for each step, then one of prompt y for the first alone."""
    keys = [*steps, *steps, steps[0]]
    prompts = ["x"] * (2 * len(steps)) + ["y"]
    table = pd.DataFrame({"prompt_id": prompts, "step": keys, "reward": np.arange(float(len(keys)))})
    return read_samples(table.assign(**columns), by="step")


def test_checkpoints_come_in_the_order_of_their_numbers():
    parts = split(run([100, 20, 3]), "step")
    assert list(parts) == ["step=3", "step=20", "step=100"]
    assert parts["step=20"].reward().tolist() == [1, 4]
    assert parts["step=20"].notes[-1] == "left out 1 of 2 prompts: no completion chosen"
    assert parts["step=100"].reward().tolist() == [0, 3, 6]
    assert parts["step=100"].n_prompts == 2
    assert parts["step=3"].source == "pandas frame [step=3]"


@pytest.mark.parametrize(
    ("steps", "names"),
    [
        ([2.0, 1.0], ["step=1", "step=2"]),
        ([0.5, 0.25], ["step=0.25", "step=0.5"]),
        (["10", "9"], ["step=9", "step=10"]),
        (["late", "early"], ["step=late", "step=early"]),
        ([True, False], ["step=False", "step=True"]),
        ([10**12, 7], ["step=7", "step=1000000000000"]),
    ],
)
def test_names_by_value_in_numeric_order_or_that_of_appearance(steps, names):
    assert list(split(run(steps), "step")) == names


def test_one_checkpoint_is_one_policy():
    (part,) = split(run([5]), "step").values()
    assert part.n_completions == 3


def test_columns_that_tell_no_policies_apart():
    samples = run([1, 2], note="n")
    with pytest.raises(
        InputError, match=r"no column 'stepp' .* \(did you mean 'step'\?\); its columns: step, note"
    ):
        split(samples, "stepp")
    with pytest.raises(InputError, match=r"no column 'step' .*; its columns: none besides those read"):
        split(Samples.from_array(np.ones((2, 2))), "step")
    with pytest.raises(InputError, match="'step' is missing in 2 of 5 completions; each needs its policy"):
        split(run([1.0, np.nan]), "step")
    with pytest.raises(InputError, match="'step' is missing in 2 of 5 completions"):
        split(run(["a", None]), "step")
    with pytest.raises(InputError, match="'step' has 1,001 values; name a column with one value a policy"):
        split(run(list(range(1001))), "step")


ONE = Samples.from_array(np.ones((2, 3)))
FRAME = pd.DataFrame({"prompt_id": [1], "reward": [0.5]})


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("runs/grpo-b0.04.parquet", "grpo-b0.04"),
        ("runs/grpo.jsonl.gz", "grpo"),
        (Path("runs") / "grpo.csv", "grpo"),
        ("runs/step-100/*.parquet", "step-100"),
        ("best=runs/grpo.parquet", "best"),
        (ONE, "policy"),
        (FRAME, "policy"),
        (np.ones((2, 3)), "policy"),
        ([[1.0, 2.0], [3.0, 4.0]], "policy"),
    ],
)
def test_one_policy_and_its_name(given, name):
    found = named_policies(given)
    assert list(found) == [name]
    source = found[name]
    assert source is given or source == "runs/grpo.parquet"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["runs/ppo.parquet", "runs/grpo.parquet"], ["ppo", "grpo"]),
        (["a/final.csv", "b/final.csv", "b/best.csv"], ["a/final", "b/final", "best"]),
        (["x/a/final.csv", "y/a/final.csv"], ["a/final", "a/final-2"]),
        (["final=b.csv", "a/final.csv"], ["final", "a/final"]),
        (["a/final=b.csv", "a/final.csv", "final=c.csv"], ["final=b", "a/final", "final"]),
        ([ONE, FRAME], ["policy-1", "policy-2"]),
        ((ONE, "runs/ppo.csv"), ["policy-1", "ppo"]),
        ([["runs/ppo-1.csv", "runs/ppo-2.csv"], "runs/grpo.csv"], ["ppo-1", "grpo"]),
        ([np.ones((2, 3)), np.ones((2, 3))], ["policy-1", "policy-2"]),
        ([ONE], ["policy-1"]),
    ],
)
def test_several_policies_and_their_names(given, names):
    assert list(named_policies(given)) == names


def test_a_mapping_gives_its_own_names():
    assert named_policies({"ppo": "runs/a.csv", "grpo": ONE}) == {"ppo": "runs/a.csv", "grpo": ONE}


def test_a_file_whose_own_name_holds_the_sign_is_that_file(tmp_path, monkeypatch):
    (tmp_path / "step=100.csv").write_text("prompt_id,reward\nx,1\n")
    monkeypatch.chdir(tmp_path)
    assert named_policies(["step=100.csv", "late=step=100.csv"]) == {
        "step=100": "step=100.csv",
        "late": "step=100.csv",
    }
    assert named_policies("step=*.csv") == {"step": "step=*.csv"}
    # A folder before the sign: no name holds one.
    assert named_policies("runs/step=200.csv") == {"step=200": "runs/step=200.csv"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no policy to audit: the list is empty"),
        ({}, "no policy to audit: the mapping is empty"),
        ({1: ONE}, "policies need names; 1 is none: give text"),
        ({"": ONE}, "policies need names; '' is none"),
        (["a=x.csv", "a=y.csv"], "two policies are named 'a'; give each its own name"),
        ("=x.csv", "'=x.csv': no such file, and as NAME=FILE it lacks the name"),
        (["a="], "'a=': no such file, and as NAME=FILE it lacks the file"),
    ],
)
def test_policies_that_cannot_be_named(given, said):
    with pytest.raises(InputError, match=said):
        named_policies(given)
