"""``klimit lab``: exact numbers beside estimates, for the limit, best-of-N and checkpoints."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from klimit.cli.entry import run as run_command
from klimit.errors import InputError
from klimit.lab.findings import PARTS, QUANTITIES, Drawn, checkpoint_row, find
from klimit.models.loading import load_causal
from klimit.reports.lab.payload import policy_row
from klimit.reports.lab.text import held, misses
from klimit.values import Value


@pytest.fixture(scope="module")
def findings(world):
    return find(world, kl=[0.1, 0.5, 1.0, 6.0], sizes=[2, 8], drawn=Drawn(seed=1))


def test_estimates_of_the_limit_cover_the_exact_one(findings):
    for row in findings.limit:
        assert row.gain in row.estimate
    known = [row.estimate.known for row in findings.limit]
    assert known[0]
    assert not known[-1]


def test_exact_rows_are_those_of_the_world(world, findings):
    truth = world.limit()
    np.testing.assert_allclose([row.gain for row in findings.limit], truth.frontier([0.1, 0.5, 1.0, 6.0]))
    for n, row in zip((2, 8), findings.policies, strict=True):
        curve = truth.best_of_n(n)
        assert row.exact["kl"] == pytest.approx(float(curve.kl), rel=1e-8)
        assert row.exact["gain"] == pytest.approx(float(curve.gain), rel=1e-8)
        assert row.exact["efficiency"] == pytest.approx(curve.gain / truth.frontier(curve.kl), rel=1e-6)
        assert row.parts["off_reward"] == pytest.approx(0.0, abs=1e-12)


def test_estimates_of_best_of_n_cover_the_exact_one(findings):
    assert misses(findings.policies) == []


@pytest.fixture(scope="module")
def checkpoint(world):
    loaded = load_causal(str(world.base_model))
    torch.manual_seed(1)
    with torch.no_grad():
        weight = loaded.model.lm_head.weight
        weight += 0.3 * torch.randn(weight.shape) * (weight != 0)
    law = world.enumerate(loaded.model)
    return checkpoint_row(world, law, name="changed", kind="changed", beta=0.5, seed=1)


def test_a_checkpoint_has_its_audit_exact_and_estimated(world, checkpoint):
    assert sum(checkpoint.parts.values()) == pytest.approx(checkpoint.exact["kl"], rel=1e-6)
    assert set(checkpoint.estimates) == set(QUANTITIES)
    assert set(checkpoint.part_estimates) == set(PARTS)
    for name in ("kl", "gain"):
        assert checkpoint.exact[name] in checkpoint.estimates[name]


def test_a_number_outside_its_interval_is_named(checkpoint):
    wrong = type(checkpoint)(
        **{**vars(checkpoint), "exact": {**checkpoint.exact, "kl": checkpoint.exact["kl"] + 1.0}}
    )
    assert "changed kl" in misses([wrong])
    assert held(2.0, Value(1.0, 0.5, 1.5)) == "misses"


def test_a_row_names_all_that_is_asked_of_it(checkpoint):
    row = policy_row(checkpoint)
    assert (row["name"], row["kind"], row["beta"], row["seed"]) == ("changed", "changed", 0.5, 1)
    assert {"kl", "gain", "efficiency", "parts"} <= row.keys()
    for name in QUANTITIES:
        assert set(row["estimates"][name]) == {"estimate", "low", "high"}
    assert set(row["estimates"]["parts"]) == set(row["parts"]) == set(PARTS)


def test_best_of_more_than_were_drawn_is_refused(world):
    with pytest.raises(InputError, match="N is 128: best-of-N is estimated from 64 completions"):
        find(world, sizes=[128])


# The command.


@pytest.fixture
def lab(safety, monkeypatch, capsys):
    """The command on the shrunken world; its status, stdout and stderr."""
    monkeypatch.setattr("klimit.lab.open_world", lambda recipe, **options: safety)

    def run(*arguments):
        status = run_command(["lab", *map(str, arguments), "--no-train"])
        return (status, *capsys.readouterr())

    return run


def test_the_command_shows_exact_numbers_beside_estimates(lab, tmp_path):
    status, out, err = lab("safety", "--json", tmp_path / "lab.json")
    assert status == 0
    assert "safety: 2 held-out prompts, 1,111 completions each" in out
    assert out.count("covers") >= 6
    assert max(map(len, out.splitlines())) <= 80
    assert err == f"klimit: wrote {tmp_path / 'lab.json'}\n"
    found = json.loads((tmp_path / "lab.json").read_text())
    assert found["world"] == "safety"
    assert [row["name"] for row in found["policies"]][:2] == ["best-of-2", "best-of-4"]
    assert {"kl", "gain", "gain_estimate", "status"} <= found["limit"][0].keys()


def test_the_command_takes_training_prompts_and_writes_json_to_stdout(lab):
    status, out, err = lab("safety", "--prompts", "train", "--json", "-")
    assert status == 0
    assert json.loads(out)["n_prompts"] == 4
    assert "4 training prompts" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["poetry"], "no world 'poetry'; there are safety, summarization"),
        (["safety", "--prompts", "test"], "--prompts test: choose one of held-out, train, all"),
        (["safety", "--seed", "-1"], "seed is -1; it must be a whole number, 0 or more"),
    ],
)
def test_what_the_command_cannot_do_is_one_clear_line(lab, arguments, message):
    status, out, err = lab(*arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
