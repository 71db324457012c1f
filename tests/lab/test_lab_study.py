"""``klimit lab`` with training: runs done once and gone on with, exact rows beside estimates, and the command."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("trl", reason="needs the extra train")

import numpy as np

from klimit.cli import lab as commands
from klimit.cli.entry import run as run_command
from klimit.errors import InputError
from klimit.lab import Recipe
from klimit.lab import study as studies
from klimit.lab.findings import PARTS, QUANTITIES, Drawn
from klimit.lab.methods import METHODS, Plan, plans
from klimit.lab.objective import Convergence, objective_share
from klimit.lab.proxies import proxy_rows
from klimit.lab.runs import folder_at, folder_of, is_done, kept_steps, train_run
from klimit.lab.study import study
from klimit.lab.world import Law
from klimit.models.loading import load_causal
from klimit.testsystems import PolicyTables


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    """Small batches, checkpoints every second step, convergence over two."""
    for module in ("runs", "study"):
        monkeypatch.setattr(f"klimit.lab.{module}.LOOKED_BACK", 2)
    monkeypatch.setattr("klimit.lab.runs.FIRST", 1)
    monkeypatch.setattr("klimit.lab.runs.BATCH", 32)
    monkeypatch.setattr("klimit.lab.runs._SAVED", 2)


def one(world, method="rloo", **changes) -> Plan:
    """A plan of a few steps."""
    (plan,) = plans(world, **{"methods": [method], "betas": [0.3], "steps": 4, **changes})
    return plan


def weights(folder) -> str:
    return load_causal(str(folder)).fingerprint


# Plans.


def test_betas_are_multiples_of_the_spread_within_training_prompts(world):
    made = plans(world, methods=["grpo", "ppo"], betas=[1.0, 0.1], seeds=2)
    spread = float(world.limit("gold", "train").variance) ** 0.5
    assert len(made) == 8
    assert [plan.beta for plan in made[:4]] == pytest.approx([spread] * 4)
    assert {plan.seed for plan in made} == {0, 1}
    assert made[-1].beta == pytest.approx(0.1 * spread)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["dpo"]}, "no method 'dpo'; known are grpo, ppo, rloo, grpo-trl, ppo-lambda"),
        ({"betas": [0.3, 0.0]}, "beta 0: it must be above 0 and finite"),
        ({"betas": [float("nan")]}, "beta nan: it must be above 0 and finite"),
        ({"steps": 0}, "steps is 0; it must be a whole number, 1 or more"),
        ({"seeds": 0}, "seeds is 0; it must be a whole number, 1 or more"),
        ({"betas": []}, "give a method and a beta"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(safety, changes, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        plans(safety, **changes)


# The objective.


def test_the_best_policy_has_all_of_the_objective_and_the_base_model_none(world):
    plan = one(world)
    base = world.base.probabilities()
    rewards = world.rewards()[:, world.tree.view_of_leaf]
    best = Law(world.tree, np.log(PolicyTables.tilted(base, rewards, plan.beta).policy))
    colder = Law(world.tree, np.log(PolicyTables.tilted(base, rewards, 2 * plan.beta).policy))
    assert objective_share(world, best, plan) == pytest.approx(1.0, rel=1e-6)
    assert objective_share(world, world.base, plan) == pytest.approx(0.0, abs=1e-9)
    assert 0.5 < objective_share(world, colder, plan) < 0.999


def test_a_run_has_settled_where_its_objective_hardly_changed_and_it_was_long_enough():
    assert Convergence(0.95, 0.945, 100, long_enough=True).settled
    assert not Convergence(0.95, 0.93, 100, long_enough=True).settled
    assert not Convergence(0.95, 0.945, 100, long_enough=False).settled


# Runs.


def test_a_run_that_is_done_is_not_done_again(safety, monkeypatch):
    plan = one(safety)
    first = train_run(safety, plan, print)
    assert is_done(safety, plan)
    assert kept_steps(plan.steps) == (1, 2, 4)
    known = [weights(folder_at(safety, plan, step)) for step in (1, 2, 4)]
    assert len({weights(safety.base_model), *known}) == 4
    monkeypatch.setattr("klimit.lab.runs.load_causal", lambda *_, **__: pytest.fail("trained again"))
    assert train_run(safety, plan, print) == first


def test_runs_that_differ_in_anything_lie_in_folders_of_their_own(safety):
    some = [
        one(safety),
        one(safety, steps=5),
        one(safety, betas=[0.2]),
        one(safety, method="grpo"),
        one(safety, method="grpo-trl"),
        one(safety, rewards=["first"]),
        plans(safety, methods=["rloo"], betas=[0.3], steps=4, seeds=2)[1],
    ]
    assert len({folder_of(safety, plan) for plan in some}) == len(some)


@pytest.mark.parametrize("method", ["rloo", "ppo"])
def test_an_interrupted_run_goes_on_and_ends_where_one_that_was_not_would(safety, method, monkeypatch):
    plan = one(safety, method, steps=5)
    whole = weights(train_run(safety, plan, print))
    folder_of(safety, plan).rename(folder_of(safety, plan).with_name(f"{method}-aside"))
    scored, calls = type(safety.gold).__call__, []

    def stopped(self, prompts, completions, **columns):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return scored(self, prompts, completions, **columns)

    monkeypatch.setattr(type(safety.gold), "__call__", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_run(safety, plan, print)
    assert not is_done(safety, plan)
    lines = []
    again = train_run(safety, plan, lines.append)
    assert weights(again) == whole
    assert lines == [f"{plan.name}: going on from step 2 of 5"]


def test_the_trainers_own_defaults_change_the_trainer_and_not_the_others(safety):
    own, ours = one(safety, "grpo-trl"), one(safety, "grpo")
    assert weights(train_run(safety, own, print)) != weights(train_run(safety, ours, print))
    assert METHODS["grpo"].change is None


# The study.


def test_a_policy_has_exact_rows_on_both_kinds_of_prompts_and_they_are_kept(safety, monkeypatch):
    plan, lines = one(safety), []
    drawn = Drawn(n_prompts=60, n_completions=16)
    (found,) = study(safety, [plan], drawn=drawn, say=lines.append)
    law = safety.enumerate(folder_of(safety, plan))
    for which in ("held_out", "train"):
        row, truth = found.rows[which], safety.audit(law, prompts=which)
        for name in QUANTITIES:
            assert row.exact[name] == pytest.approx(float(getattr(truth, name)))
        for part in PARTS:
            assert row.parts[part] == pytest.approx(getattr(truth, part), rel=1e-6, abs=1e-9)
        assert sum(row.parts.values()) == pytest.approx(row.exact["kl"], rel=1e-6)
        assert (row.kind, row.beta, row.seed) == ("rloo", plan.beta, 0)
    assert found.convergence.share == pytest.approx(objective_share(safety, law, plan))
    monkeypatch.setattr(studies, "checkpoint_row", lambda *_, **__: pytest.fail("audited again"))
    (again,) = study(safety, [plan], drawn=drawn)
    assert again.rows == found.rows
    assert again.convergence == found.convergence


def test_a_run_is_followed_along_its_way_and_no_step_is_enumerated_twice(safety, monkeypatch):
    plan, other = plans(safety, methods=["rloo"], betas=[0.3], steps=4, seeds=2)
    drawn = Drawn(n_prompts=60, n_completions=16)
    found, unfollowed = study(safety, [plan, other], drawn=drawn, curves=True)
    assert [point.step for point in found.points] == [1, 2, 4]
    assert [point.step for point in unfollowed.points] == [2, 4]
    assert [point.samples for point in found.points] == [32, 64, 128]
    for point in found.points:
        law = safety.enumerate(folder_at(safety, plan, point.step))
        assert point.share == pytest.approx(objective_share(safety, law, plan))
        for which in ("held_out", "train"):
            truth = safety.audit(law, prompts=which)
            assert point.exact[which]["efficiency"] == pytest.approx(truth.efficiency)
            assert point.exact[which]["limit_gain"] == pytest.approx(truth.limit_gain)
            assert sum(point.parts[which].values()) == pytest.approx(truth.kl, rel=1e-6)
    assert found.convergence.earlier == found.points[-2].share
    monkeypatch.setattr(type(safety), "enumerate", lambda *_: pytest.fail("enumerated again"))
    again = study(safety, [plan, other], drawn=drawn, curves=True)
    assert [each.points for each in again] == [found.points, unfollowed.points]


def test_time_left_is_told_before_every_run_that_is_not_done(safety):
    wanted = [one(safety, betas=[2.0]), one(safety), one(safety, betas=[3.0])]
    train_run(safety, wanted[1], print)
    lines = []
    study(safety, wanted, drawn=Drawn(n_prompts=30, n_completions=8), say=lines.append)
    runs = [line for line in lines if line.startswith("run ")]
    assert [line.split(":")[0] for line in runs] == ["run 1 of 3", "run 3 of 3"]
    assert all(line.endswith("of training left") for line in runs)


# Proxies.


def test_gold_gained_by_a_proxy_is_below_the_limit_and_a_perfect_one_loses_nothing(world, monkeypatch):
    for row in proxy_rows(world, betas=[1.0, 0.3]):
        assert abs(row.correlation) < 1
        for at in row.at_kl.values():
            assert at["gain"] <= at["limit"] + 1e-9
        for at in row.at_beta.values():
            assert at["regret"] >= -1e-9
    gold = type(world).rewards
    monkeypatch.setattr(
        type(world), "rewards", lambda self, name="gold", prompts="all": gold(self, "gold", prompts)
    )
    (perfect, *_) = proxy_rows(world, betas=[0.3])
    assert perfect.correlation == pytest.approx(1.0)
    assert perfect.error_sd == pytest.approx(0.0, abs=1e-6)
    assert perfect.at_beta["0.3"]["gap"] == pytest.approx(0.0, abs=1e-6)
    assert perfect.peak_kl is None


# The command.


@pytest.fixture
def lab(safety, monkeypatch, capsys):
    """The command on the shrunken world; its status, stdout and stderr."""
    monkeypatch.setattr("klimit.lab.open_world", lambda recipe, **options: safety)

    def run(*arguments):
        status = run_command(["lab", *map(str, arguments)])
        return (status, *capsys.readouterr())

    return run


def test_the_command_trains_and_says_first_how_much_of_the_limit_was_got(lab, tmp_path):
    files = {name: tmp_path / f"lab.{name}" for name in ("json", "png")}
    status, out, err = lab(
        "safety", "--steps", 4, "--betas", "0.25", "--json", files["json"], "--plot", files["png"]
    )
    assert status == 0
    assert out.startswith("Of the exact limit at its own KL, on held-out prompts: grpo ")
    assert "ppo " in out.splitlines()[0] + out.splitlines()[1]
    assert out.index("on held-out prompts") < out.index("on the prompts trained on")
    assert "run 1 of 2: grpo, beta 0." in err
    assert files["png"].read_bytes()[:4] == b"\x89PNG"
    found = json.loads(files["json"].read_text())
    rows = {row["kind"]: row for row in found["policies"]}
    assert {"best-of-n", "grpo", "ppo"} == set(rows)
    for kind in ("grpo", "ppo"):
        row = rows[kind]
        assert {"name", "kind", "beta", "seed", "kl", "gain", "efficiency", "parts"} <= row.keys()
        assert row["on_training_prompts"].keys() == {"kl", "gain", "efficiency", "parts", "estimates"}
        assert row["training"]["steps"] == 4
        assert row["objective"]["steps"] == 2
    assert [row["name"] for row in found["proxies"]] == ["first", "second", "first+second"]
    assert "first+second" in out
    assert found["limit"][0].keys() >= {"kl", "gain"}


def test_the_full_study_follows_all_methods_with_several_seeds_and_trains_on_proxies(
    lab, safety, tmp_path, monkeypatch
):
    assert set(commands._FULL_PROXIES) < {proxy.name for proxy in Recipe("safety").proxies}
    assert len(commands._FULL_BETAS) >= 4
    assert commands._FULL_SEEDS >= 3
    for name, less in (("_FULL_BETAS", (0.3,)), ("_FULL_SEEDS", 2), ("_FULL_PROXIES", ("first",))):
        monkeypatch.setattr(commands, name, less)
    files = {name: tmp_path / f"lab.{name}" for name in ("json", "png", "svg")}
    status, out, _ = lab(
        "safety", "--full", "--steps", 4, "--json", files["json"], "--plot", files["png"], "--plot-curves", files["svg"]
    )  # fmt: skip
    assert status == 0
    found = json.loads(files["json"].read_text())
    runs = [(row["kind"], row["seed"]) for row in found["policies"] if row["kind"] != "best-of-n"]
    methods = ("grpo", "grpo-trl", "rloo", "ppo")
    assert sorted(runs) == sorted(
        [(method, seed) for method in methods for seed in (0, 1)]
        + [("grpo on first", 0), ("ppo on first", 0)]
    )
    for curve in found["curves"]:
        followed = curve["seed"] == 0 and curve["kind"] in methods
        assert [point["step"] for point in curve["points"]] == ([1, 2, 4] if followed else [2, 4])
        for point in curve["points"]:
            for which in ("held_out", "train"):
                assert point[which]["missing_reward"] >= -1e-9
    ends = {curve["name"]: curve["points"][-1]["held_out"] for curve in found["curves"]}
    for row in found["policies"][len(found["policies"]) - len(runs) :]:
        assert ends[row["name"]]["gain"] == row["gain"]
        assert row["gain"] + ends[row["name"]]["missing_reward"] == pytest.approx(row["limit_gain"])
    assert "ppo on first" in out
    drawn = files["svg"].read_text()
    assert "<svg" in drawn
    assert files["png"].read_bytes()[:4] == b"\x89PNG"


def test_curves_need_training(lab):
    for option in (["--curves"], ["--full"], ["--plot-curves", "curves.png"]):
        status, out, err = lab("safety", "--no-train", *option)
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
        assert "leave out --no-train" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "sft"], "no method 'sft'; known are grpo, ppo, rloo, grpo-trl, ppo-lambda"),
        (["--betas", "-1"], "beta -1: it must be above 0 and finite"),
        (["--betas", "low"], "--betas 'low': give numbers parted by commas, such as 1,0.3,0.1"),
        (["--steps", "0"], "steps is 0; it must be a whole number, 1 or more"),
        (["--plot", "lab.jpg"], "--plot lab.jpg: the name must end in .png, .svg, .pdf"),
    ],
)
def test_what_the_command_cannot_train_is_one_clear_line(lab, arguments, message):
    status, out, err = lab("safety", *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err


def test_ppo_with_another_trl_is_refused_before_a_world_is_built(lab, monkeypatch):
    monkeypatch.setattr("trl.__version__", "1.16.0")
    monkeypatch.setattr("klimit.lab.open_world", lambda *_, **__: pytest.fail("built"))
    status, out, err = lab("safety")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "trl 1.16.0 is installed; pip install 'klimit[ppo]'" in err


def test_a_stopped_study_is_gone_on_with_by_the_same_command(lab, safety, monkeypatch):
    scored, calls = type(safety.gold).__call__, []

    def stopped(self, prompts, completions, **columns):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return scored(self, prompts, completions, **columns)

    command = ("safety", "--methods", "rloo", "--betas", "0.7", "--steps", 4)
    monkeypatch.setattr(type(safety.gold), "__call__", stopped)
    status, out, err = lab(*command)
    assert (status, out) == (130, "")
    assert err.splitlines()[-1] == "klimit: interrupted"
    status, out, err = lab(*command)
    assert status == 0
    assert "going on from step 2 of 4" in err


def test_an_unknown_world_is_refused_before_training():
    assert run_command(["lab", "poetry"]) == 2
