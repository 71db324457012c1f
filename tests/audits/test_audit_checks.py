"""What an audit refuses or doubts: every check with data that must fail it and data that must pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from klimit.audits.checks import (
    check_order,
    check_policy,
    check_rewards,
    check_scores,
    doubt_base,
    doubt_mass,
    doubt_token_kl,
)
from klimit.audits.settings import check_settings
from klimit.errors import InputError
from klimit.samples import Samples, read_samples


def world(kl=1.0, n_prompts=50, n_completions=16, seed=0, drawn_from="policy"):
    """Samples of a policy tilted from a base policy over 40 outputs a prompt, with both log-probabilities."""
    rng = np.random.default_rng(seed)
    log_base = np.log(rng.dirichlet(np.ones(40), size=n_prompts))
    rewards = rng.standard_normal((n_prompts, 40))
    log_policy = log_base + np.sqrt(2 * kl) * rewards
    log_policy -= np.log(np.exp(log_policy).sum(axis=1, keepdims=True))
    weights = np.exp(log_policy if drawn_from == "policy" else log_base)
    drawn = np.stack([rng.choice(40, size=n_completions, p=one / one.sum()) for one in weights])
    taken = np.take_along_axis
    return replace(
        Samples.from_array(taken(rewards, drawn, axis=1)),
        logprob=taken(log_policy, drawn, axis=1).ravel(),
        ref_logprob=taken(log_base, drawn, axis=1).ravel(),
        token_kl=np.repeat((np.exp(log_policy) * (log_policy - log_base)).sum(axis=1), n_completions),
        per_token=frozenset({"token_kl"}),
        source="grpo.parquet",
    )


def base_samples(policy: Samples, **changes) -> Samples:
    return replace(
        policy, logprob=None, ref_logprob=None, token_kl=None, source="base.parquet", held={}, **changes
    )


def refused(policy, said, base=None, **options):
    with pytest.raises(InputError, match=said) as caught:
        check_policy(
            policy, base_samples(policy) if base is None else base, reward="reward", name="grpo", **options
        )
    assert "\n" not in str(caught.value)


POLICY = world()


def test_good_samples_pass_without_a_word():
    for kl in (0.0, 0.01, 0.3, 3.0):
        policy = world(kl)
        found = check_policy(policy, base_samples(policy), reward="reward", name="grpo")
        assert found.has_logprobs
        assert found.warnings == ()


def test_no_log_probabilities_are_no_error():
    policy = base_samples(POLICY)
    found = check_policy(policy, policy, reward="reward", name="grpo")
    assert not found.has_logprobs
    assert found.warnings == ()


def test_columns_that_may_hold_log_probabilities_are_named():
    policy = base_samples(POLICY, metadata={"policy_logps": POLICY.logprob, "note": POLICY.logprob})
    (line,) = check_policy(policy, policy, reward="reward", name="grpo").warnings
    assert line.startswith(
        "grpo has no columns logprob and ref_logprob; name them with logprob= and ref_logprob="
    )
    assert line.endswith("its columns with such names: 'policy_logps'")


# Log-probabilities that are not there, or cannot be used.


def test_one_log_probability_alone():
    refused(
        replace(POLICY, ref_logprob=None, metadata={"old_log_probs": POLICY.logprob}),
        r"grpo.parquet: there is logprob but no ref_logprob: a KL needs both; score the same token ids under the "
        r"reference, or name the column with ref_logprob= \(--ref-logprob\); its columns with such names: 'old_log_pro",
    )
    refused(
        replace(POLICY, logprob=None),
        "there is ref_logprob but no logprob: .* under the policy, or .* logprob=",
    )


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"logprob": [0.5, -1.0]}, "log-probability 'logprob' is above 0 in 1 of 2 completions"),
        ({"ref_logprob": [-0.5, np.nan]}, "log-probability 'ref_logprob': 1 missing or NaN of 2 values"),
        ({"logprob": [0.5, -1.0], "ref_logprob": [np.nan, -1.0]}, "'logprob' is above 0"),
        ({"token_kl": [-0.5, 1.0]}, "token KL 'token_kl' is below 0"),
        ({"sampling_logprob": [-0.5, -np.inf]}, "'sampling_logprob': 1 infinite"),
        (
            {"logprob": [[-1.0], [-1.0, -2.0]], "completion_token_ids": [[5], [5]]},
            "'logprob' has 2 tokens and 'completion_token_ids' 1 token in row 1.*never re-tokenise",
        ),
    ],
)
def test_what_reading_held_back_is_an_error_here(columns, said):
    table = pd.DataFrame({"prompt_id": ["x", "y"], "reward": [0.0, 1.0]})
    good = {"logprob": [-1.0, -3.0], "ref_logprob": [-1.5, -3.5]}
    policy = read_samples(table.assign(**{**good, **columns}))
    refused(policy, f"pandas frame: .*{said}" if said[0] == "l" else said, base=read_samples(table))
    assert check_scores(read_samples(table.assign(**good)))


def test_what_reading_held_back_and_no_audit_of_kl_needs_is_none():
    table = pd.DataFrame(
        {"prompt_id": ["x", "y"], "reward": [0.0, 1.0], "logprob": -1.0, "ref_logprob": -1.0}
    )
    policy = read_samples(table.assign(n_tokens=[0.5, 1.0], finish_reason=["stop", None]))
    assert set(policy.held) == {"n_tokens", "finish_reason"}
    assert check_scores(policy)


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("logprob", 0.1, "it must be finite and the log of a probability, at most 0"),
        ("ref_logprob", np.nan, "it must be finite"),
        ("sampling_logprob", -np.inf, "it must be finite"),
        ("token_kl", -0.1, "it must be finite and at least 0"),
    ],
)
def test_bad_scores_of_samples_made_by_hand(part, value, said):
    values = np.array(POLICY.token_kl if part == "token_kl" else POLICY.logprob)
    values[19] = value
    where = f"{part} is {value:.6g} in completion 3 of prompt 1 .and 0 more of 800"
    refused(replace(POLICY, **{part: values}), f"grpo.parquet: {where}.*{said}")
    refused(
        replace(POLICY, **{part: values[:-1]}),
        rf"{part} has shape \(799,\); one value a completion is \(800,\)",
    )


# Columns that are swapped, or completions of another policy.


@pytest.mark.parametrize(
    ("kl", "n_prompts", "n_completions"),
    [(0.05, 300, 16), (1.0, 50, 4), (1.0, 3, 16), (1.0, 1, 64), (1.0, 60, 1)],
)
def test_swapped_columns(kl, n_prompts, n_completions):
    policy = world(kl, n_prompts, n_completions)
    check_order(policy)
    swapped = replace(policy, logprob=policy.ref_logprob, ref_logprob=policy.logprob)
    refused(
        replace(swapped, token_kl=None),
        r"grpo.parquet: logprob - ref_logprob is -\S+ \+- \S+ nats on average over \d+ prompts?, but a KL cannot be "
        "negative: the two columns are swapped .*, or the completions were drawn from the reference, not the policy",
    )


def test_completions_of_the_reference():
    refused(world(1.0, 50, 16, drawn_from="base"), "a KL cannot be negative")


def test_a_policy_near_its_reference_is_not_swapped():
    for seed in range(200):
        check_order(world(1e-4, 5, 2, seed=seed))
        check_order(world(0.3, 10, 2, seed=seed))


def test_a_rare_event_not_drawn_is_no_swap():
    # One completion in ten of the policy is new; it was not drawn, so every log ratio seen is log 0.9.
    ratio = np.full(40, np.log(0.9))
    policy = replace(
        Samples.from_array(np.zeros((10, 4))),
        ref_logprob=np.full(40, -5.0),
        logprob=np.full(40, -5.0) + ratio,
    )
    check_order(policy)


# Log-probabilities that contradict each other.


def test_two_engines_whose_base_mass_exceeds_one():
    assert doubt_mass(POLICY) == ()
    (line,) = doubt_mass(replace(POLICY, ref_logprob=POLICY.ref_logprob + 0.5))
    assert line.startswith("the mean of pi0/pi over the policy's completions is 1.")
    assert "cannot exceed 1: log-probabilities of two engines, temperatures or tokenisations" in line


def test_base_mass_of_good_samples_seldom_alarms():
    assert not any(doubt_mass(world(1.0, 20, 8, seed=seed)) for seed in range(200))


def test_base_mass_beyond_every_number():
    values = np.array(POLICY.logprob)
    values[5] = -2000.0
    (line,) = doubt_mass(replace(POLICY, logprob=values))
    assert "pi0/pi over the policy's completions is beyond every number" in line


def test_token_kls_that_contradict_the_log_ratio():
    assert doubt_token_kl(POLICY) == ()
    assert doubt_token_kl(replace(POLICY, token_kl=None)) == ()
    (line,) = doubt_token_kl(replace(POLICY, token_kl=2.0 * POLICY.token_kl))
    assert "nats on average where the log ratio is" in line
    (line,) = doubt_token_kl(replace(POLICY, token_kl=0.1 * POLICY.token_kl))  # a list: no mean, but wrong
    assert "both estimate the same KL" in line


def test_token_kls_that_are_means():
    refused(
        replace(POLICY, token_kl=POLICY.token_kl / 100.0, per_token=frozenset()),
        r"grpo.parquet: token_kl is 0.00\d+ nats on average where the log ratio is \S+: it looks like a mean over "
        "tokens; give its sum over the completion's tokens, or the list",
    )


def test_base_samples_of_another_policy():
    for kl in (0.0, 0.02):
        assert doubt_base(world(kl)) == ()
    assert doubt_base(base_samples(POLICY)) == ()
    (line,) = doubt_base(POLICY)
    assert line.startswith(
        "the base samples were not drawn from the reference: their own log-probabilities show a KL"
    )
    found = check_policy(POLICY, replace(POLICY, source="base.parquet"), reward="reward", name="grpo")
    assert found.warnings == (line,)


# Rewards that are not one quantity.


def test_a_reward_that_one_side_lacks():
    base = base_samples(POLICY)
    other = replace(base, rewards={"gold": base.reward(), "proxy": base.reward()})
    both = (
        r"its rewards: 'gold', 'proxy'; those of grpo.parquet: 'reward'; name one that both have with reward="
    )
    refused(POLICY, f"base.parquet: no reward 'reward'; {both}", base=other)
    with pytest.raises(
        InputError, match=r"grpo.parquet: no reward 'gold'; its rewards: 'reward'; those of base"
    ):
        check_rewards(POLICY, other, "gold")


def test_a_reward_with_gaps_on_one_side():
    table = pd.DataFrame({"prompt_id": ["x", "y"], "reward_a": [0.0, 1.0], "reward_b": [0.0, np.nan]})
    with pytest.raises(InputError, match="reward 'reward_b': 1 missing or NaN of 2 values"):
        check_rewards(read_samples(table), read_samples(table.assign(reward_b=1.0)), "reward_b")


def with_rewards(values, source="grpo.parquet"):
    return replace(Samples.from_array(np.asarray(values, dtype=float).reshape(-1, 10)), source=source)


def test_a_verdict_here_and_a_score_there():
    rng = np.random.default_rng(0)
    verdicts = with_rewards(rng.integers(2, size=200), "base.parquet")
    scores = with_rewards(np.round(rng.normal(size=200), 2))
    said = r"reward 'reward' is 0 or 1 in base.parquet and \S+ \(and the like\) in \d+ of 200 completions in grpo.*"
    with pytest.raises(InputError, match=f"{said}: two rewards of one name"):
        check_rewards(scores, verdicts, "reward")
    with pytest.raises(InputError, match=r"is 0 or 1 in base.parquet"):
        check_rewards(verdicts, scores, "reward")
    check_rewards(verdicts, verdicts, "reward")
    check_rewards(scores, scores, "reward")


def test_rewards_that_only_look_like_verdicts():
    rng = np.random.default_rng(0)
    verdicts = with_rewards(rng.integers(2, size=200))
    few = np.array(verdicts.reward())
    few[:10] = 0.5  # partial credit, now and then
    check_rewards(with_rewards(few), verdicts, "reward")
    never = with_rewards(np.zeros(200))  # a share of tests passed that is 0 throughout
    check_rewards(with_rewards(rng.random(200)), never, "reward")


# Settings.


def table(n=40, **columns):
    frame = pd.DataFrame({"prompt_id": np.repeat(np.arange(n // 4), 4), "reward": np.arange(float(n))})
    return read_samples(frame.assign(**columns))


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        (
            "temperature",
            [0.7, 1.0, 1.0, 1.0] * 10,
            r'1.0 in 30 completions, 0.7 in 10 completions; choose one, where="te',
        ),
        (
            "Top_P",
            [0.9] * 39 + [1.0],
            r"""0.9 in 39 completions, 1.0 in 1 completion; .*where=""Top_P" = 0.9" """,
        ),
        (
            "model",
            ["a"] * 30 + ["b"] * 10,
            r"""'a' in 30 .*, 'b' in 10 .*; choose one, where="model = 'a'" \(--where\)""",
        ),
        ("engine", list("abcdefgh") * 5, "and 4 more; choose one"),
        ("dtype", ["bfloat16", "float32"] * 20, "'bfloat16' in 20"),
        ("ref_model", ["a"] * 20 + ["b"] * 20, "'a' in 20"),
        ("reference", ["a", "b"] * 20, "'a' in 20"),
        ("top_k", [50, -1] * 20, "in 20"),
    ],
)
def test_samples_of_several_settings(column, values, said):
    mixed = table(**{column: values})
    with pytest.raises(
        InputError, match=f"pandas frame: mixed settings: {column} is .*{said.strip()}"
    ) as caught:
        check_settings(mixed, table())
    assert str(caught.value).endswith(f"or audit each by itself with by={column!r} (--by {column})")
    with pytest.raises(InputError, match=f"mixed settings: {column} is") as caught:
        check_settings(table(), mixed)
    assert str(caught.value).endswith("(--where)")


@pytest.mark.parametrize(
    "columns",
    [
        {"temperature": 0.7, "model": "a", "dtype": "bfloat16"},
        {"reference": np.repeat(list("abcdefghij"), 4)},  # the answer to each prompt
        {"engine": np.arange(400)},  # too many values for a setting
        {"temperature": [0.7, np.nan] * 20, "model": ["a", None] * 20},
        {"seed": np.arange(40), "temperatures": [0.7, 1.0] * 20},
    ],
)
def test_settings_that_are_one(columns):
    n = max(np.size(values) for values in columns.values())
    check_settings(table(max(n, 40), **columns), table())


@pytest.mark.parametrize(
    ("column", "here", "there"),
    [("temperature", 0.7, 1.0), ("top_p", 0.9, 1), ("top_k", 50, -1), ("top_k", "50", 40)],
)
def test_policy_and_base_sampled_at_different_settings(column, here, there):
    with pytest.raises(
        InputError, match=f"{column} is {here} in pandas frame and {there} in .*: the reference policy"
    ):
        check_settings(table(**{column: here}), table(**{column: there}))


def test_what_may_differ_between_policy_and_base():
    check_settings(
        table(model="tuned", engine="a", temperature="1"), table(model="start", engine="b", temperature=1.0)
    )
    check_settings(table(temperature=0.7), table())


def test_columns_that_are_no_settings_stay_unread():
    samples = table(temperature=1.0, text="long")
    check_settings(samples, samples)
    assert samples.metadata["text"]._values is None
    assert samples.metadata["temperature"]._values is not None
