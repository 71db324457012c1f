"""The whole chain with a tiny model: what it makes, numbers that are those of the steps alone, and how it goes on."""

from __future__ import annotations

import json
import shutil

import pytest

import klimit
from klimit.errors import InputError
from klimit.experiments import run as running
from klimit.experiments import work
from klimit.models.loading import load_causal
from klimit.models.prompts import read_prompts

POLICIES = ("rloo-beta2-seed0", "rloo-beta0.5-seed0")


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """Where the first experiment of the session is kept for the other tests."""
    return tmp_path_factory.mktemp("kept") / "out"


@pytest.fixture
def done(recipe, here, kept):
    """The experiment, done; a copy that a test may change."""
    if not kept.exists():
        klimit.experiment(recipe, here / "out")
        shutil.copytree(here / "out", kept)
    elif not (here / "out").exists():
        shutil.copytree(kept, here / "out")
    return here / "out"


@pytest.fixture
def again(recipe, done):
    """Runs the experiment again, with some changes; the steps that were done."""

    def again(**changes):
        lines = []
        klimit.experiment({**recipe, **changes}, done, say=lines.append)
        steps = [line.partition(": ")[2].partition(" (")[0] for line in lines if line.startswith("step ")]
        return [step.partition(" on the held-out")[0] for step in steps]

    return again


def numbers(folder):
    return json.loads((folder / "results.json").read_text())


def test_everything_lies_there_under_readable_names(done):
    made = {path.relative_to(done).as_posix() for path in done.rglob("*") if path.is_file()}
    assert {"report.html", "results.json", "steps.json", "samples/base.parquet"} <= made
    for name in POLICIES:
        assert {f"policies/{name}/model.safetensors", f"samples/{name}.parquet"} <= made
    assert not [name for name in made if ".parts" in name or name.startswith("earlier")]
    page = (done / "report.html").read_text()
    assert "rloo beta 0.5" in page
    assert "Share of the limit of meant at the same KL" in page


def test_no_held_out_prompt_was_trained_on(done, here):
    train, held_out = (read_prompts(done / "prompts" / f"{name}.jsonl") for name in ("train", "held_out"))
    assert (len(train), len(held_out)) == (8, 4)
    assert {each.prompt for each in train}.isdisjoint({each.prompt for each in held_out})
    assert (
        len({each.prompt for each in [*train, *held_out]}) == len(read_prompts(here / "prompts.jsonl")) == 12
    )


@pytest.mark.filterwarnings("ignore::klimit.KlimitWarning")
def test_the_numbers_are_those_of_the_steps_alone(done):
    found = numbers(done)
    assert found["prompts"] == {"train": 8, "held_out": 4}
    assert [row["trainer"] for row in found["policies"]] == ["rloo", "rloo"]
    assert [row["beta"] for row in found["policies"]] == [2.0, 0.5]
    files = {row["name"]: str(done / row["samples"]) for row in found["policies"]}
    for key, reward in (("", "reward_meant"), ("by_trained_reward", "reward_proxy")):
        audits = klimit.audit(files, str(done / "samples" / "base.parquet"), reward=reward)
        for row, audit in zip(found["policies"], audits, strict=True):
            account = row[key] if key else row
            for name in ("kl", "gain", "efficiency", "missing_reward"):
                value = getattr(audit, name)
                assert account[name]["low"] == pytest.approx(value.low, nan_ok=True), name
                if value.known:
                    assert account[name]["estimate"] == pytest.approx(value.estimate), name
            assert account["parts"]["necessary"]["low"] == pytest.approx(audit.parts.necessary.low)
    best = klimit.best_of_n(str(done / "samples" / "base.parquet"), reward="reward_meant", n=[2, 4])
    assert [row["gain"]["estimate"] for row in found["best_of_n"]] == pytest.approx(best.gain.tolist())
    assert [each["proxy_name"] for each in found["page"]["hackings"]] == ["reward_proxy"]


def test_the_policies_are_those_that_training_alone_makes(done, recipe, here):
    alone = klimit.train(
        "rloo", model=recipe["model"], reward="few_rewards:more_a", prompts=done / "prompts" / "train.jsonl",
        beta=0.5, output=here / "alone", max_new_tokens=3, **recipe["training"],
    )  # fmt: skip
    weights = [load_causal(str(folder)).fingerprint for folder in (alone, done / "policies" / POLICIES[1])]
    assert weights[0] == weights[1] != load_causal(recipe["model"]).fingerprint


def test_a_second_run_does_nothing_and_says_the_same(done, again, recipe):
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*") if path.is_file()}
    assert again() == []
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert klimit.experiment(recipe, done).summary == numbers(done)["summary"]


def test_a_further_beta_trains_one_policy_and_the_page_has_it(done, again):
    others = numbers(done)["policies"]
    assert again(beta=[2.0, 0.5, 1.0]) == [
        "train rloo beta 1",
        "sample rloo beta 1",
        "log-probabilities of rloo beta 1 under policy and base model",
        "score rloo beta 1 by proxy, meant",
        "audit all policies; write report.html and results.json",
    ]
    rows = {row["beta"]: row for row in numbers(done)["policies"]}
    assert [rows[2.0], rows[0.5]] == others
    assert again() == ["audit all policies; write report.html and results.json"]
    assert len(numbers(done)["policies"]) == 2


def test_changed_prompts_are_noticed_and_what_was_made_from_the_old_ones_is_kept(done, again, here):
    before = load_causal(str(done / "policies" / POLICIES[0])).fingerprint
    lines = (here / "prompts.jsonl").read_text().splitlines()
    (here / "prompts.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert len(again(beta=[2.0])) == 8
    assert load_causal(str(done / "policies" / POLICIES[0])).fingerprint != before
    (here / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    assert again(beta=[2.0]) == ["audit all policies; write report.html and results.json"]
    assert load_causal(str(done / "policies" / POLICIES[0])).fingerprint == before


def test_samples_that_somebody_touched_are_made_again(done, again):
    samples = done / "samples" / f"{POLICIES[0]}.parquet"
    before = samples.read_bytes()
    shutil.copyfile(done / "samples" / f"{POLICIES[1]}.parquet", samples)
    assert again() == [
        "sample rloo beta 2",
        "log-probabilities of rloo beta 2 under policy and base model",
        "score rloo beta 2 by proxy, meant",
    ]
    assert samples.read_bytes() == before
    assert len(list((done / "earlier" / "samples").iterdir())) == 1


STOPPING = """
from pathlib import Path

calls = []


def more_a(completions, **_):
    calls.append(1)
    if len(calls) == 3 and not Path("go").exists():
        raise KeyboardInterrupt
"""


class Stopped:
    """A step that is interrupted at its first call, before or after its work."""

    def __init__(self, step, *, after):
        self.step, self.after, self.calls = step, after, 0

    def __call__(self, *given, **more):
        self.calls += 1
        if self.calls == 1 and not self.after:
            raise KeyboardInterrupt
        self.step(*given, **more)
        if self.calls == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["train", "logprob", "score"])
def test_an_experiment_that_was_stopped_ends_with_the_numbers_of_one_that_was_not(
    done, recipe, here, monkeypatch, step, after
):
    stopped = Stopped(getattr(work, step), after=after)
    target = here / "stopped"
    shutil.copytree(done, target)
    changed = {**recipe, "beta": [0.5]}
    for name in ("policies", "samples"):
        shutil.rmtree(target / name)
    lines = []
    monkeypatch.setattr(work, step, stopped)
    with pytest.raises(KeyboardInterrupt):
        klimit.experiment(changed, target, say=lines.append)
    assert not list(target.rglob("*.tmp"))
    before = len([line for line in lines if line.startswith("step ")])
    found = klimit.experiment(changed, target, say=lines.append).results
    steps = [line for line in lines if line.startswith("step ")]
    assert len(steps) == 7 + 1, "one step, the one that was stopped, is said twice"
    assert steps[before - 1].partition(" (")[0] == steps[before].partition(" (")[0]
    assert found["policies"] == numbers(done)["policies"][1:]


def test_training_that_was_stopped_goes_on_from_its_checkpoint(done, recipe, here):
    source = here / "few_rewards.py"
    usual = source.read_text()
    target, lines = here / "stopped", []
    source.write_text(usual.replace("def more_a(completions, **_):\n", STOPPING))
    changed = {**recipe, "beta": 0.5, "reward": "meant", "gold": "proxy"}
    changed["rewards"] = {"proxy": "few_rewards:meant", "meant": "few_rewards:more_a"}
    with pytest.raises(KeyboardInterrupt):
        klimit.experiment(changed, target, say=lines.append)
    assert (target / "policies" / f"{POLICIES[1]}.parts").is_dir()
    (here / "go").touch()
    klimit.experiment(changed, target, say=lines.append)
    assert any(line.startswith("going on from step ") for line in lines)
    weights = [load_causal(str(folder / "policies" / POLICIES[1])).fingerprint for folder in (target, done)]
    assert weights[0] == weights[1]


def test_a_mistake_in_a_later_step_is_told_before_the_first(recipe, here, monkeypatch):
    recipe["rewards"]["far"] = "nobody/nothing"
    lines = []
    with pytest.raises(
        InputError, match=r"recipe: reward far: nobody/nothing: is no folder here, and the hub"
    ):
        klimit.experiment(recipe, here / "out", say=lines.append)
    assert lines == []
    assert not (here / "out").exists()


def test_ppo_with_another_trl_is_refused_before_the_first_step(recipe, here, monkeypatch):
    import trl

    monkeypatch.setattr(trl, "__version__", "1.16.0")
    with pytest.raises(InputError, match=r"klimit\[ppo\]"):
        klimit.experiment({**recipe, "trainers": ["rloo", "ppo"]}, here / "out")
    assert not (here / "out").exists()


def test_held_out_prompts_of_their_own_are_not_trained_on(recipe, here):
    (here / "apart.jsonl").write_text('{"prompt": "a b"}\n{"prompt": "c c c"}\n{"prompt": "b b b"}\n')
    lines = []
    place = running.placed({**recipe, "held_out_prompts": "apart.jsonl"}, here / "out", lines.append)
    steps, store = running.planned(place)
    with store.open():
        steps[0].do(["prompts"])
    train, held_out = (read_prompts(place.prompts(name)) for name in ("train", "held_out"))
    assert [each.prompt for each in held_out] == ["a b", "c c c", "b b b"]
    assert len(train) == 11
    assert "a b" not in {each.prompt for each in train}
    assert lines == ["1 of 12 prompts are held out as well; they are not trained on"]


def test_a_spread_is_what_betas_are_multiples_of(recipe, here):
    relative = {name: value for name, value in recipe.items() if name != "beta"}
    place = running.placed({**relative, "beta_in_spreads": 0.5}, here / "out")
    steps, store = running.planned(place)
    with store.open():
        for step in steps[:3]:
            store.prepare(step)
            step.do(list(step.keys))
    import pandas as pd

    samples = pd.read_parquet(place.folder / "samples" / "spread.parquet")
    within = samples.groupby("prompt_id")["reward_proxy"].var(ddof=1)
    assert work.spread_of(place) == pytest.approx(within.mean() ** 0.5)
    (run,) = place.recipe.runs
    assert work.beta_of(place, run) == pytest.approx(0.5 * within.mean() ** 0.5)
    assert set(samples["prompt_id"]) <= {each.prompt_id for each in read_prompts(place.prompts("train"))}
