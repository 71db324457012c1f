"""What is read beside rewards: token KLs, token counts, truncation; all lists of one completion on the same tokens."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from klimit.errors import InputError
from klimit.samples import LazyColumn, as_samples, read_samples

TABLE = pd.DataFrame(
    {
        "prompt_id": ["x", "y", "x"],
        "reward": [1.0, 2.0, 3.0],
        "logprob": [[-1.0, -2.0], [-3.0], [-0.5, -0.5, -1.0]],
        "ref_logprob": [[-1.5, -2.0], [-4.0], [-0.5, -1.5, -1.0]],
    }
)


def scored(**columns):
    """The table above (rows 0 and 2 are of one prompt) with further columns."""
    return TABLE.assign(**columns)


def test_everything_known_of_a_completion_is_found_by_its_name_and_sorted_by_prompt():
    samples = read_samples(
        scored(
            token_kl=[[0.5, 0.25], [1.0], [0.0, 0.0, 0.125]],
            sampling_logprob=[[-1.0, -2.1], [-3.0], [-0.5, -0.5, -1.0]],
            completion_token_ids=[[5, 6], [7], [5, 5, 6]],
            finish_reason=["stop", "length", "stop"],
        )
    )
    assert samples.logprob.tolist() == [-3.0, -2.0, -3.0]
    assert samples.token_kl.tolist() == [0.75, 0.125, 1.0]
    assert samples.sampling_logprob.tolist() == [-3.1, -2.0, -3.0]
    assert samples.n_tokens.tolist() == [2, 3, 1]
    assert samples.n_tokens.dtype == np.int64
    assert samples.truncated.tolist() == [False, False, True]
    assert samples.per_token == {"logprob", "ref_logprob", "token_kl", "sampling_logprob"}
    assert samples.notes == (
        "read by their names: prompt = prompt_id; rewards = reward; logprob = logprob; ref_logprob = ref_logprob; "
        "token_kl = token_kl; sampling_logprob = sampling_logprob; truncated = finish_reason; "
        "token_ids = completion_token_ids",
    )


def test_what_is_not_there_is_none():
    samples = read_samples(TABLE[["prompt_id", "reward"]])
    for name in ("logprob", "ref_logprob", "token_kl", "sampling_logprob", "n_tokens", "truncated"):
        assert getattr(samples, name) is None
    assert samples.per_token == frozenset()


def test_other_columns_are_named():
    table = TABLE.rename(columns={"logprob": "lp", "ref_logprob": "ref"})
    table = table.assign(kl=[0.1, 0.2, 0.3], vllm=[-3.0, -3.0, -2.0], cut=[True, False, False])
    samples = read_samples(
        table, logprob="lp", ref_logprob="ref", token_kl="kl", sampling_logprob="vllm", truncated="cut"
    )
    assert samples.token_kl.tolist() == [0.1, 0.3, 0.2]
    assert samples.sampling_logprob.tolist() == [-3.0, -2.0, -3.0]
    assert samples.truncated.tolist() == [True, False, False]
    assert samples.per_token == {"logprob", "ref_logprob"}
    assert list(samples.metadata) == ["cut"]


@pytest.mark.parametrize("name", ["n_tokens", "num_tokens", "completion_tokens"])
def test_counts_are_read_where_there_are_no_lists(name):
    table = TABLE[["prompt_id", "reward"]].assign(**{name: [2, 1, 3]})
    assert read_samples(table).n_tokens.tolist() == [2, 3, 1]


def test_lists_count_before_numbers_which_may_include_the_prompt():
    assert read_samples(scored(num_tokens=[12, 11, 13])).n_tokens.tolist() == [2, 3, 1]


def test_ids_alone_count_the_tokens():
    table = TABLE.assign(logprob=-3.0, ref_logprob=-4.0, completion_token_ids=[[1, 2], [3], [4, 5, 6]])
    samples = read_samples(table)
    assert samples.n_tokens.tolist() == [2, 3, 1]
    assert samples.per_token == frozenset()
    assert "completion_token_ids" in samples.metadata


def test_lists_within_lists_are_read_alike(write):
    line = (
        '{"prompt": "x", "rewards": [1, 2], "logprob": [[-1, -2.5], [-3]], "ref_logprob": [[-1, -3], [-4]], '
        '"token_kl": [[0.5, 0], [0.25]], "finish_reason": ["stop", "length"]}'
    )
    samples = read_samples(write("lists.jsonl", line))
    assert samples.token_kl.tolist() == [0.5, 0.25]
    assert samples.n_tokens.tolist() == [2, 1]
    assert samples.truncated.tolist() == [False, True]


ONE_SHORT = [[-1.5, -2.0], [-4.0], [-0.5, -1.5]]
DIFFERENT = (
    r"pandas frame: 'logprob' has 3 tokens and '{}' 2 tokens in row 2, counted from 0 \(1 of 3 completions differ\): "
    "scored on different tokens; score the token ids that were sampled, never re-tokenise"
)


@pytest.mark.parametrize("name", ["ref_logprob", "token_kl", "sampling_logprob", "completion_token_ids"])
def test_lists_of_different_tokens_are_held_back(name):
    log_probabilities = name in ("ref_logprob", "sampling_logprob")
    values = ONE_SHORT if log_probabilities else [[int(-one) for one in row] for row in ONE_SHORT]
    samples = read_samples(scored(**{name: values}))
    assert samples.held[name].part == ("tokens" if name == "completion_token_ids" else name)
    with pytest.raises(InputError, match=DIFFERENT.format(name)):
        raise InputError(samples.held[name].reason)
    assert samples.n_tokens.tolist() == [2, 3, 1]  # by the lists that came first
    if name != "completion_token_ids":
        assert getattr(samples, name) is None
        with pytest.raises(InputError, match=DIFFERENT.format(name)):
            read_samples(scored(**{name: values}), **{name: name})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [0.1, -0.2, -1e-3],
            r"token KL 'token_kl' is below 0 in 2 of 3 completions \(rows 1, 2, counted from 0: -0.2\); give the "
            "exact KL of each next-token distribution, a sum over the vocabulary; the log ratio of the sampled token",
        ),
        ([[0.1, 0.2], [0.1], [0.5, -0.2, 0.1]], r"below 0 in 1 of 3 completions .*: -0.2\)"),
        ([0.1, np.nan, 0.1], "token KL 'token_kl': 1 missing or NaN of 3 values"),
        ([0.1, np.inf, 0.1], "1 infinite of 3 values"),
        ([[0.1, None], [0.1], [0.5, 0.2, 0.1]], "1 missing or NaN of 3 values .*; a number for every token"),
    ],
)
def test_token_kls_that_are_none(values, said):
    table = scored(token_kl=values)
    with pytest.raises(InputError, match=said):
        read_samples(table, token_kl="token_kl")
    samples = read_samples(table)
    assert samples.token_kl is None
    assert samples.held["token_kl"].part == "token_kl"
    assert samples.notes[1].startswith("held back: token KL 'token_kl'")


def test_rounding_below_zero_is_let_pass_and_kept():
    assert read_samples(scored(token_kl=[-1e-8, 0.0, 0.1])).token_kl.tolist() == [-1e-8, 0.1, 0.0]


@pytest.mark.parametrize(
    ("values", "cut"),
    [
        ([True, False, False], [True, False, False]),
        ([1, 0, 0], [True, False, False]),
        (["length", "stop", "eos"], [True, False, False]),
        (["max_tokens", "end_turn", "MAX_LENGTH"], [True, True, False]),
        (["stop", "stop", "stop"], [False, False, False]),
    ],
)
def test_truncation_in_every_way_of_saying_it(values, cut):
    named = read_samples(scored(ended=values), truncated="ended")
    assert named.truncated.tolist() == cut
    assert read_samples(scored(finish_reason=values)).truncated.tolist() == cut


def test_a_column_of_truncation_goes_before_the_reason():
    samples = read_samples(scored(finish_reason=["length"] * 3, truncated=[False] * 3))
    assert not samples.truncated.any()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["True", "False", "False"], "holds truth values written as text; convert them to booleans"),
        ([2, 0, 1], "is 2 in row 0, counted from 0; it must be true or false"),
        (["stop", None, "stop"], r"is missing in 1 of 3 completions \(row 1, counted from 0\)"),
        ([1.0, np.nan, 0.0], r"is missing in 1 of 3 completions \(row 1, counted from 0\)"),
    ],
)
def test_truncation_that_cannot_be_told(values, said):
    with pytest.raises(InputError, match=f"truncation 'truncated' {said}"):
        read_samples(scored(truncated=values), truncated="truncated")
    samples = read_samples(scored(truncated=values))
    assert samples.truncated is None
    assert samples.held["truncated"].part == "truncated"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([2.5, 1, 3], "number of tokens 'n_tokens' is 2.5 in row 0, counted from 0; give whole numbers"),
        ([2, -1, 3], "is -1 in row 1"),
        ([2, np.nan, 3], "1 missing or NaN of 3 values"),
        (["a", "b", "c"], "holds text, not numbers"),
    ],
)
def test_counts_that_are_none_are_held_back(values, said):
    samples = read_samples(TABLE[["prompt_id", "reward"]].assign(n_tokens=values))
    assert samples.n_tokens is None
    with pytest.raises(InputError, match=said):
        raise InputError(samples.held["n_tokens"].reason)


def test_what_only_an_audit_needs_is_not_read_for_a_limit():
    table = scored(token_kl=[[-5.0]] * 3, finish_reason=["stop"] * 3, n_tokens=[2, 1, 3])
    lean = as_samples(table, reward="reward")
    assert lean.truncated is None
    assert lean.token_kl is None
    assert lean.logprob is None
    assert not lean.held
    assert lean.notes == ("read by their names: prompt = prompt_id",)
    assert isinstance(lean.metadata["token_kl"], LazyColumn)  # still there for whoever looks
    full = as_samples(table, reward="reward", audit=True)
    assert not full.truncated.any()
    assert full.held["token_kl"].part == "token_kl"
    assert as_samples(table, reward="reward", truncated="finish_reason").truncated is not None


def test_what_was_held_back_beside_rewards_survives_the_choice_of_a_reward():
    table = scored(token_kl=-1.0, reward_proxy=[1.0, 2.0, np.nan])
    samples = read_samples(table)
    assert set(samples.held) == {"token_kl", "reward_proxy"}
    assert set(as_samples(samples, reward="reward").held) == {"token_kl"}


def test_sample_ids_may_repeat_from_one_policy_to_the_next():
    table = pd.DataFrame(
        {
            "prompt_id": ["x", "x"] * 2,
            "sample_id": [0, 1] * 2,
            "step": [0, 0, 100, 100],
            "reward": [1.0, 2.0, 3.0, 4.0],
        }
    )
    with pytest.raises(InputError, match="has sample_id 0 2 times"):
        read_samples(table)
    samples = read_samples(table, by="step")
    assert samples.n_completions == 4
    assert np.asarray(samples.metadata["step"]).tolist() == [0, 0, 100, 100]
    twice = pd.concat([table, table.iloc[[3]]])
    with pytest.raises(InputError, match=r"prompt_id 'x' has sample_id 1 2 times for one step \(rows 3, 4"):
        read_samples(twice, by="step")
    with pytest.raises(InputError, match=r"no column 'stepp' \(did you mean 'step'\?\)"):
        read_samples(table, by="stepp")


def test_sample_ids_in_lists_may_repeat_from_one_policy_to_the_next(write):
    line = '{"prompt": "x", "step": %d, "rewards": [1, 2], "sample_id": [0, 1]}\n'
    path = write("steps.jsonl", line % 0 + line % 100)
    assert read_samples(path, by="step").n_completions == 4
    with pytest.raises(InputError, match="has sample_id 0 2 times for one step"):
        read_samples(write("twice.jsonl", line % 0 + line % 0), by="step")
