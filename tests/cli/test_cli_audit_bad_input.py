"""What no audit can use ends the command with status 2 and one line on stderr; nothing is written."""

import numpy as np
import pytest
from cli_audits import base_table, by_token, policy_table


@pytest.fixture
def files(tmp_path):
    """A policy's file and the base policy's, good ones."""
    policy_table().to_parquet(tmp_path / "grpo.parquet")
    base_table().to_parquet(tmp_path / "base.parquet")
    return tmp_path / "grpo.parquet", tmp_path / "base.parquet"


@pytest.fixture
def refused(run, files, tmp_path):
    """Run with every output asked for: none may appear, and one line says why."""

    def check(table=None, *arguments, said, base=None):
        policy = files[0]
        if table is not None:
            policy = tmp_path / "bad.parquet"
            table.to_parquet(policy)
        if base is not None:
            base.to_parquet(files[1])
        before = sorted(tmp_path.iterdir())
        outputs = ["--json", tmp_path / "o.json", "--plot", tmp_path / "o.png", "--plot-parts", tmp_path / "p.png",
                   "--prompts-csv", tmp_path / "o.csv"]  # fmt: skip
        given = [] if any(str(one).startswith("--base=") for one in arguments) else ["--base", files[1]]
        done = run("audit", policy, *given, *outputs, *arguments)
        assert done.status == 2, done.err
        assert done.out == ""
        assert done.err.startswith("klimit: error: ")
        assert done.err.count("\n") == 1
        assert "Traceback" not in done.err
        for text in [said] if isinstance(said, str) else said:
            assert text in done.err
        assert sorted(tmp_path.iterdir()) == before

    return check


def test_prompts_that_only_one_side_has_are_named(refused):
    policy = policy_table()
    policy["prompt_id"] += 2
    refused(policy, said=["2 of the 60 prompts in", "(60, 61)", "(0, 1)", "--shared-prompts"])


def test_no_prompt_in_common(refused):
    refused(
        policy_table().assign(prompt_id=lambda table: table["prompt_id"].astype(str)), said="share no prompt"
    )


def test_log_probabilities_above_0(refused):
    policy = policy_table()
    policy.loc[5, "logprob"] = 0.7
    refused(policy, "--logprob", "logprob", said=["above 0", "0.7"])


def test_negated_log_probabilities(refused):
    policy = policy_table()
    refused(policy.assign(logprob=-policy["logprob"]), "--logprob", "logprob", said="negatives")


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_log_probabilities_that_are_missing_or_infinite(refused, value):
    policy = policy_table()
    policy.loc[7, "ref_logprob"] = value
    refused(policy, "--ref-logprob", "ref_logprob", said="ref_logprob")


def test_one_log_probability_without_the_other(refused):
    refused(policy_table().drop(columns="ref_logprob"), said="ref_logprob")


def test_swapped_columns(refused):
    names = {"logprob": "ref_logprob", "ref_logprob": "logprob"}
    refused(policy_table().rename(columns=names), said="swap")


def test_token_lists_of_different_lengths(refused):
    policy = by_token(policy_table())
    policy.at[3, "logprob"] = [*policy.at[3, "logprob"], -1.0]
    refused(policy, "--logprob", "logprob", said="never re-tokenise")


def test_what_looks_like_token_means_says_why(refused):
    rng = np.random.default_rng(1)
    policy = policy_table()
    tokens = rng.integers(20, 200, size=len(policy))
    means = policy.assign(
        logprob=(policy["logprob"] - 0.8 * tokens) / tokens,
        ref_logprob=(policy["ref_logprob"] - 0.8 * tokens) / tokens,
        n_tokens=tokens,
    )
    refused(means, said=["mean", "--token-means"])


def test_mixed_sampling_settings(refused):
    policy = policy_table()
    warm = np.where(np.arange(len(policy)) % 2, 0.7, 1.0)
    refused(policy.assign(temperature=warm), said="temperature")


def test_other_rewards(refused):
    refused(policy_table().rename(columns={"reward": "reward_model"}), said="reward")
    refused(
        policy_table().assign(reward=lambda table: (table["reward"] > 0).astype(float)), said="is 0 or 1 in"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kl-estimator", "k4"], "choose one of 'k1'"),
        (["--kl-estimator", "rao-blackwellised"], "token_kl"),
        (["--transform", "ranks"], "did you mean 'rank'?"),
        (["--transform", "clipped:1,0"], "clipped"),
        (["--level", "95"], "give a probability"),
        (["--seed", "-1"], "not negative"),
        (["--reward", "rewrd"], "did you mean 'reward'?"),
        (["--logprob", "logprobs"], "did you mean 'logprob'?"),
        (["--by", "steps"], "steps"),
        (["--where", "step >"], "where"),
        (["--where", "reward > 99"], "keeps none"),
        (["--base-where", "reward > 99"], "keeps none"),
        (["--no-such-option"], "--no-such-option"),
        (["--base=no-such.parquet"], "no such file"),
        (["grpo=nowhere.parquet"], "no such file"),
        (["=nowhere.parquet"], "lacks the name"),
        (["--json", "-", "--prompts-csv", "-"], "only one of them can go to stdout"),
    ],
)
def test_options_that_cannot_be(refused, arguments, said):
    refused(None, *arguments, said=said)


def test_the_base_policys_file_given_as_the_policys(refused, files):
    refused(None, f"base={files[1]}", said=["base.parquet: given as policy and as base", "--base-where"])
    refused(None, "--base", files[0], said="grpo.parquet: given as policy and as base")
    refused(base_table(), said="bad.parquet: its 2,880 completions are those of")


def test_two_policies_of_one_name(refused, files):
    refused(None, f"a={files[0]}", f"a={files[0]}", said="two policies are named 'a'")


def test_an_audit_without_a_base_is_a_usage_error(run, files):
    done = run("audit", files[0])
    assert done.status == 2
    assert "--base" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--json", "{folder}/none/out.json", "there is no folder"),
        ("--json", "{folder}/base.parquet", "would destroy it"),
        ("--prompts-csv", "{folder}/grpo.parquet", "would destroy it"),
        ("--prompts-csv", "{folder}", "is a folder"),
        ("--plot", "{folder}/o.jpeg", "--plot"),
        ("--plot-parts", "{folder}/o.jpeg", "--plot-parts"),
        ("--plot-parts", "{folder}/o.png", "named for two outputs"),
    ],
)
def test_an_output_path_that_cannot_be_written(refused, tmp_path, option, value, said):
    refused(None, option, value.format(folder=tmp_path), said=said)


def test_outputs_are_checked_before_the_samples_are_read(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("klimit.samples.as_samples", lambda *_, **__: pytest.fail("read too early"))
    refused(None, "--plot", tmp_path / "none" / "out.png", said="there is no folder")


def test_a_full_disk_leaves_nothing(run, files, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    before = sorted(tmp_path.iterdir())
    done = run(
        "audit",
        files[0],
        "--base",
        files[1],
        "--json",
        tmp_path / "o.json",
        "--prompts-csv",
        tmp_path / "o.csv",
    )
    assert (done.status, done.out) == (2, "")
    assert "nothing was written" in done.err
    assert sorted(tmp_path.iterdir()) == before
