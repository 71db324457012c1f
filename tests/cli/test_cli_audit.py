"""``klimit audit``: what it prints and writes is what Python gives."""

import csv
import io
import json
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from cli_audits import base_table, by_token, policy_table

import klimit

QUANTITIES = ("base_reward", "reward", "gain", "win_rate", "least_kl", "kl", "efficiency", "missing_reward",
              "wasted_kl", "distance", "noise_floor", "base_mass", "truncated", "base_truncated")  # fmt: skip


def strict(text):
    """Parse JSON that knows no NaN or Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def audited(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", klimit.KlimitWarning)
        return klimit.audit(*arguments, **options)


def same(written, value):
    if value is None:
        return written is None
    numbers = [value.estimate, value.low, value.high]
    return written == dict(
        zip(("estimate", "low", "high"), [x if np.isfinite(x) else None for x in numbers], strict=True)
    )


@pytest.fixture
def files(tmp_path):
    """A policy's file and the base policy's."""
    policy_table().to_parquet(tmp_path / "grpo.parquet")
    base_table().to_parquet(tmp_path / "base.parquet")
    return tmp_path / "grpo.parquet", tmp_path / "base.parquet"


@pytest.fixture
def steps(tmp_path):
    """Four checkpoints of one run in one file, whose sample ids repeat from one to the next."""
    settings = [(0.1, 1.5), (0.3, 0.5), (1.2, 0.5), (2.0, 0.5)]
    tables = [
        policy_table(strength=strength, beta=beta).assign(step=100 * (i + 1))
        for i, (strength, beta) in enumerate(settings)
    ]
    pd.concat(tables[::-1]).to_parquet(tmp_path / "run.parquet")
    return tmp_path / "run.parquet"


def test_the_verdict_comes_first_and_one_action_last(run, files):
    done = run("audit", files[0], "--base", files[1])
    lines = done.out.splitlines()
    assert done.status == 0
    assert re.match(r"grpo: KL \d\.\d+ \[\d\.\d+, \d\.\d+\] nats per completion \(k\d\)", lines[0])
    assert re.match(
        r"Gain \+0\.\d+ \[0\.\d+, 0\.\d+\]: \d+% \[\d+, \d+\] of the limit at that KL\.", lines[1]
    )
    assert done.out.count("\nNext: ") == 1
    assert [line for line in lines if line and not line.startswith(" ")][-1].startswith("Next: ")
    assert max(map(len, lines)) <= 80


def test_the_verdict_says_the_numbers_of_python(run, files):
    (done, found) = run("audit", files[0], "--base", files[1]), audited([files[0]], files[1])[0]
    text = " ".join(done.out.split())
    kl, gain = found.kl, found.gain
    assert f"KL {kl.estimate:.3f} [{kl.low:.3f}, {kl.high:.3f}]" in text
    assert f"+{gain.estimate:.3f} [{gain.low:.3f}, {gain.high:.3f}]" in text
    assert f"needs only {found.least_kl.estimate:.3f} nats" in text
    parts = found.parts
    assert f"| shape {parts.shape.estimate:.3f} | off-reward {parts.off_reward.estimate:.3f}" in text


def test_json_is_the_python_result_to_the_last_digit(run, files):
    done = run(
        "audit", f"grpo-b0.5={files[0]}", "--base", files[1], "--level", "0.9", "--seed", "3", "--json", "-"
    )
    written = strict(done.out)
    found = audited({"grpo-b0.5": files[0]}, files[1], level=0.9, seed=3)[0]
    (policy,) = written["policies"]
    for name in QUANTITIES:
        assert same(policy[name], getattr(found, name)), name
    for name in ("necessary", "allocation", "shape", "off_reward"):
        assert same(policy["parts"][name], getattr(found.parts, name)), name
    for name in ("slope", "implied_beta", "r_squared"):
        assert same(policy["regression"][name], getattr(found.regression, name)), name
    assert policy["kl_estimates"].keys() == {"k1", "k2", "k3"}
    assert policy["name"] == "grpo-b0.5"
    assert (policy["kl_estimator"], policy["status"]) == (found.kl_estimator, found.status)
    assert policy["idle"]["prompt_ids"] == found.policy.prompt_ids[found.prompts.idle].tolist()


def test_json_holds_the_limit_and_best_of_n_once_and_how_it_was_made(run, files):
    done = run("audit", files[0], f"again={files[0]}", "--base", files[1], "--json", "-")
    written = strict(done.out)
    limit = klimit.frontier(files[1])
    assert written["limit"]["horizon"] == limit.horizon
    assert written["limit"]["gain"][0] == limit.gain[0]
    assert written["best_of_n"]["n"] == [1, 2, 4, 8, 16, 32]
    assert "limit" not in written["policies"][0]
    assert written["kl_unit"] == "nats per completion"
    assert written["kl_direction"] == "KL(policy || base)"
    assert written["version"] == klimit.__version__
    assert written["options"]["policies"] == [str(files[0]), f"again={files[0]}"]
    assert written["options"]["seed"] == 0
    assert written["verdict"].startswith("Best of 2 policies: ")
    assert "Best of 2 policies: " in done.err
    assert done.err.split("Next: ")[1].split() == written["action"].split()


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "tokens.jsonl", "tokens.parquet"])
def test_every_format_gives_the_same_audit(run, files, tmp_path, kind):
    table = policy_table()
    policy = tmp_path / f"policy.{kind}"
    if kind.startswith("tokens"):
        table = by_token(table)
    if kind.endswith("parquet"):
        table.to_parquet(policy)
    elif kind.endswith("csv"):
        table.to_csv(policy, index=False)
    else:
        policy.write_text("\n".join(json.dumps(row) for row in table.to_dict("records")))
    base = tmp_path / "other-base.csv"
    base_table().to_csv(base, index=False)
    plain = strict(run("audit", files[0], "--base", files[1], "--json", "-").out)["policies"][0]
    read = strict(run("audit", policy, "--base", base, "--json", "-").out)["policies"][0]
    for name in ("kl", "gain", "efficiency", "wasted_kl"):
        assert read[name] == pytest.approx(plain[name], rel=1e-9), name


def test_token_means_are_multiplied_by_the_number_of_tokens(run, files, tmp_path):
    table = policy_table()
    tokens = np.random.default_rng(0).integers(3, 30, size=len(table))
    means = table.assign(
        logprob=table["logprob"] / tokens, ref_logprob=table["ref_logprob"] / tokens, n_tokens=tokens
    )
    means.to_parquet(tmp_path / "means.parquet")
    plain = strict(run("audit", files[0], "--base", files[1], "--json", "-").out)["policies"][0]
    read = run("audit", tmp_path / "means.parquet", "--base", files[1], "--token-means", "--json", "-")
    assert strict(read.out)["policies"][0]["kl"] == pytest.approx(plain["kl"], rel=1e-9)


def test_checkpoints_in_one_file_come_in_order_with_what_the_last_ones_bought(run, steps, files):
    done = run("audit", steps, "--by", "step", "--base", files[1], "--json", "-")
    written = strict(done.out)
    assert [policy["name"] for policy in written["policies"]] == [
        "step=100",
        "step=200",
        "step=300",
        "step=400",
    ]
    assert written["verdict"].startswith("Best of 4 checkpoints: step=200, gain +")
    assert re.search(
        r"After step=200, \S+ \[\S+, \S+\] more nats bought \S+ \[\S+, \S+\] until step=400",
        written["verdict"],
    )
    assert written["action"].startswith("stop at step=200: the ")
    words = [line for line in done.err.splitlines() if not line.startswith("klimit: ")]
    assert max(map(len, words)) <= 80


def test_several_files_are_several_policies_told_in_one_table(run, files, tmp_path):
    policy_table(strength=0.0).to_parquet(tmp_path / "tilted.parquet")
    done = run("audit", files[0], f"clean={tmp_path / 'tilted.parquet'}", "--base", files[1])
    assert done.status == 0
    assert done.out.startswith("Best of 2 policies: ")
    rows = re.findall(r"^(grpo|clean) +(\d\.\d+) \[\d\.\d+, \d\.\d+\] +\+0\.\d+", done.out, re.M)
    assert [name for name, _ in rows] == ["grpo", "clean"]
    assert max(map(len, done.out.splitlines())) <= 80


def test_without_log_probabilities_only_the_gain_and_its_least_kl_are_said(run, files, tmp_path):
    policy_table().drop(columns=["logprob", "ref_logprob"]).to_parquet(tmp_path / "bare.parquet")
    done = run("audit", tmp_path / "bare.parquet", "--base", files[1], "--json", "-")
    (policy,) = strict(done.out)["policies"]
    assert policy["status"] == "no log-probabilities"
    assert policy["kl"] is policy["efficiency"] is policy["parts"] is policy["regression"] is None
    assert policy["gain"]["low"] > 0
    assert policy["least_kl"]["estimate"] > 0
    assert "KL unknown, for want of log-probabilities" in policy["verdict"]
    assert "logprob and ref_logprob" in policy["action"]
    assert "Traceback" not in done.err


def test_a_policy_equal_to_its_reference_has_kl_0_and_no_efficiency(run, files, tmp_path):
    table = base_table()
    noise = -np.random.default_rng(0).exponential(size=len(table)) - 5
    table.assign(logprob=noise, ref_logprob=noise).to_parquet(tmp_path / "same.parquet")
    done = run("audit", tmp_path / "same.parquet", "--base", files[1], "--json", "-")
    (policy,) = strict(done.out)["policies"]
    assert policy["kl"]["estimate"] == 0
    assert policy["efficiency"] is None
    assert "KL 0: every completion is as likely" in policy["verdict"]
    assert any("efficiency is undefined" in line for line in policy["warnings"])


def test_beyond_the_horizon_the_efficiency_is_a_range(run, files, tmp_path):
    base = base_table()
    base[base["sample_id"] < 24].to_parquet(tmp_path / "short.parquet")
    policy_table(strength=4.0, beta=0.05).to_parquet(tmp_path / "far.parquet")
    done = run("audit", tmp_path / "far.parquet", "--base", tmp_path / "short.parquet", "--json", "-")
    (policy,) = strict(done.out)["policies"]
    assert policy["status"] == "bracket"
    assert policy["efficiency"]["estimate"] is None
    assert 0 < policy["efficiency"]["low"] < 1
    assert re.search(r"(\d+-\d+%|at least \d+%) of the limit", policy["verdict"])
    assert any("beyond the horizon" in line for line in policy["warnings"])


def test_options_reach_the_audit(run, files, tmp_path):
    def read(*arguments):
        return strict(run("audit", files[0], "--base", files[1], *arguments, "--json", "-").out)

    plain = read()
    ranked = read("--transform", "rank")
    assert ranked["transform"] == "rank"
    assert ranked["policies"][0]["base_reward"]["estimate"] == pytest.approx(0.5)
    assert read("--kl-estimator", "k2")["policies"][0]["kl_estimator"] == "k2"
    some = read("--where", "prompt_id < 30", "--base-where", "prompt_id < 30")
    assert some["policies"][0]["n_prompts"] == 30
    shared = read("--where", "prompt_id < 40", "--shared-prompts")
    assert shared["policies"][0]["n_prompts"] == 40
    assert any("left out 20 of 60 prompts" in note for note in shared["notes"])
    cost = read("--lower-is-better")["policies"][0]
    assert cost["gain"]["estimate"] == pytest.approx(-plain["policies"][0]["gain"]["estimate"])
    assert read("--reward-max", "20")["limit"]["reward_max"] == 20
    wide, narrow = plain["policies"][0]["kl"], read("--level", "0.5")["policies"][0]["kl"]
    assert wide["high"] - wide["low"] > 1.5 * (narrow["high"] - narrow["low"])


def test_columns_of_other_names(run, files, tmp_path):
    names = {"logprob": "lp", "ref_logprob": "lp0", "prompt_id": "task", "reward": "passed"}
    policy_table().rename(columns=names).to_parquet(tmp_path / "named.parquet")
    base_table().rename(columns=names).to_parquet(tmp_path / "named-base.parquet")
    done = run("audit", tmp_path / "named.parquet", "--base", tmp_path / "named-base.parquet", "--reward", "passed",
               "--prompt", "task", "--logprob", "lp", "--ref-logprob", "lp0", "--json", "-")  # fmt: skip
    plain = strict(run("audit", files[0], "--base", files[1], "--json", "-").out)
    assert strict(done.out)["policies"][0]["kl"] == plain["policies"][0]["kl"]


def test_truncation_and_the_noise_floor_are_told(run, files, tmp_path):
    table = policy_table()
    rng = np.random.default_rng(0)
    engine = table["logprob"] - rng.exponential(0.1, size=len(table))
    table.assign(truncated=rng.random(len(table)) < 0.3, sampling_logprob=engine).to_parquet(
        tmp_path / "t.parquet"
    )
    done = run("audit", tmp_path / "t.parquet", "--base", files[1])
    text = " ".join(done.out.split())
    assert re.search(r"noise floor 0\.0\d+\)", text)
    assert re.search(r"(29|30|31)% of completions truncated", text)
    assert "cut at the token limit: their KL stops there as well" in text


def test_prompts_as_csv_are_those_of_python(run, files, tmp_path):
    path = tmp_path / "prompts.csv"
    run("audit", files[0], "--base", files[1], "--prompts-csv", path)
    found = audited([files[0]], files[1])[0].prompts
    read = pd.read_csv(path)
    assert list(read["policy"]) == ["grpo"] * 60
    assert list(read["prompt_id"]) == list(found.prompt_id)
    for name in ("gain", "gain_error", "kl", "kl_error", "least_kl", "idle"):
        assert np.array_equal(read[name], getattr(found, name), equal_nan=name != "idle"), name
    assert read["truncated"].isna().all()


def test_prompts_csv_on_stdout_holds_every_policy(run, files):
    done = run("audit", files[0], f"again={files[0]}", "--base", files[1], "--prompts-csv", "-")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["policy"] for row in rows] == ["grpo"] * 60 + ["again"] * 60
    assert "Best of 2 policies" in done.err


def test_prompt_keys_of_several_columns_are_lists(run, tmp_path):
    for table, name in ((policy_table(), "p"), (base_table(), "b")):
        table.assign(group="a").to_parquet(tmp_path / f"{name}.parquet")
    done = run("audit", tmp_path / "p.parquet", "--base", tmp_path / "b.parquet", "--prompt", "prompt_id",
               "--prompt", "group", "--prompts-csv", "-")  # fmt: skip
    first = next(csv.DictReader(io.StringIO(done.out)))
    assert json.loads(first["prompt_id"])[1] == "a"


@pytest.mark.parametrize(("name", "first"), [("l.png", b"\x89PNG"), ("l.SVG", b"<?xml"), ("l.pdf", b"%PDF")])
def test_figures_are_written_in_the_format_of_their_name(run, files, tmp_path, name, first):
    done = run(
        "audit",
        files[0],
        "--base",
        files[1],
        "--plot",
        tmp_path / name,
        "--plot-parts",
        tmp_path / f"p{name}",
    )
    assert done.status == 0
    assert (tmp_path / name).read_bytes().startswith(first)
    assert (tmp_path / f"p{name}").read_bytes().startswith(first)
    assert f"klimit: wrote {tmp_path / name}" in done.err


def test_the_same_command_gives_the_same_output(run, files, tmp_path):
    first = run("audit", files[0], "--base", files[1], "--json", "-", "--plot", tmp_path / "a.svg")
    again = run("audit", files[0], "--base", files[1], "--json", "-", "--plot", tmp_path / "b.svg")
    assert first.out == again.out
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_guesses_are_said_on_stderr(run, files):
    done = run("audit", files[0], "--base", files[1])
    assert "klimit: read by their names: " in done.err
    assert "logprob = logprob" in done.err


def test_help_has_examples(run):
    done = run("audit", "--help")
    assert done.status == 0
    assert "Examples:" in done.out
    assert "klimit audit" in run("--help").out


def test_an_audit_without_a_figure_loads_nothing_heavy(files, tmp_path):
    code = (
        "import sys\n"
        "from klimit.cli.entry import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "heavy = {'matplotlib', 'pandas', 'arviz_stats', 'pyarrow', 'scipy.stats'} & set(sys.modules)\n"
        "sys.exit(str(sorted(heavy)) if heavy else 0)\n"
    )
    arguments = ["audit", files[0], "--base", files[1], "--json", "-", "--prompts-csv", tmp_path / "p.csv"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
