"""One row a completion or one row a prompt, and which column plays which part."""

import pickle

import numpy as np
import pandas as pd
import pytest

from klimit.errors import InputError
from klimit.samples import as_samples, read_samples

ROWS = pd.DataFrame(
    {
        "policy": ["io", "io", "io", "cot", "cot", "cot"],
        "prompt_id": [8, 5, 8, 5, 5, 8],
        "sample_id": [0, 0, 1, 0, 1, 0],
        "reward": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "completion": ["a", "b", "c", "d", "e", "f"],
        "length": [1, 2, 3, 4, 5, 6],
    }
)
IO = "policy = 'io'"


def json_lines(write, *lines):
    return write("a.jsonl", "\n".join(lines))


def test_rows_are_grouped_stably():
    samples = read_samples(ROWS.drop(columns="sample_id"))
    assert samples.prompt_ids.tolist() == [8, 5]
    assert samples.reward().tolist() == [1, 3, 6, 2, 4, 5]
    assert samples.offsets.tolist() == [0, 3, 6]
    assert list(samples.completions) == ["a", "c", "f", "b", "d", "e"]
    assert samples.metadata["length"][:3].tolist() == [1, 3, 6]
    assert list(samples.metadata["policy"]) == ["io", "io", "cot", "io", "cot", "cot"]


def test_a_key_of_several_columns_gives_tuples():
    samples = read_samples(ROWS, prompt=["policy", "prompt_id"])
    assert samples.prompt_ids.tolist() == [("io", 8), ("io", 5), ("cot", 5), ("cot", 8)]
    assert samples.counts.tolist() == [2, 1, 2, 1]


def test_where_chooses_rows():
    samples = read_samples(ROWS, where=IO)
    assert samples.reward().tolist() == [1, 3, 2]
    assert read_samples(ROWS, where=IO + " -- a comment").n_completions == 3
    assert (
        read_samples(ROWS, where="policy = 'io' OR reward > 4", prompt=["policy", "prompt_id"]).n_completions
        == 5
    )


def test_identical_completions_are_data():
    rows = pd.DataFrame({"prompt": ["x"] * 3, "reward": [1.0] * 3, "completion": ["same"] * 3})
    assert read_samples(rows).n_completions == 3


def test_the_guesses_are_told_in_one_line():
    told: list[str] = []
    samples = read_samples(ROWS, where=IO, notify=told.append)
    assert told == list(samples.notes)
    assert told == [
        "read by their names: prompt = prompt_id; rewards = reward; sample = sample_id; completion = completion"
    ]
    everything = {
        "prompt": "prompt_id",
        "rewards": "reward",
        "sample": "sample_id",
        "completion": "completion",
    }
    assert read_samples(ROWS, where=IO, **everything).notes == ()


def test_what_is_read_is_quiet_by_default(capfd):
    read_samples(ROWS, where=IO)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("columns", "prompt", "rewards"),
    [
        (["prompt", "prompt_id", "reward"], "prompt_id", ["reward"]),
        (["problem_id", "prompt", "score"], "prompt", ["score"]),
        (["task_id", "Reward", "score"], "task_id", ["Reward"]),
        (
            ["question_id", "reward_b", "reward", "reward_a", "score"],
            "question_id",
            ["reward_b", "reward", "reward_a"],
        ),
        (["problem_id", "rewards"], "problem_id", ["rewards"]),
    ],
)
def test_columns_are_found_by_their_usual_names(columns, prompt, rewards):
    samples = read_samples(pd.DataFrame([[7.0] * len(columns)], columns=columns))
    assert list(samples.rewards) == rewards
    assert samples.notes[0] == f"read by their names: prompt = {prompt}; rewards = {', '.join(rewards)}"


def test_one_row_a_prompt_with_lists(write):
    path = json_lines(
        write,
        '{"prompt": "x", "rewards": [1, 2], "completions": ["a", "b"], "logprob": [-1, -2], "topic": "t"}',
        '{"prompt": "y", "rewards": [3.5], "completions": ["c"], "logprob": [-3], "topic": "u"}',
        '{"prompt": "x", "rewards": [4], "completions": ["d"], "logprob": [-4], "topic": "t"}',
    )
    samples = read_samples(path)
    assert samples.prompt_ids.tolist() == ["x", "y"]
    assert samples.reward().tolist() == [1, 2, 4, 3.5]
    assert samples.logprob.tolist() == [-1, -2, -4, -3]
    assert list(samples.completions) == ["a", "b", "d", "c"]
    assert list(samples.metadata["topic"]) == ["t", "t", "t", "u"]


def test_lists_of_fixed_length_and_float32(tmp_path):
    rewards = np.arange(6, dtype=np.float32).reshape(2, 3)
    frame = pd.DataFrame({"prompt_id": [1, 2], "rewards": list(rewards)})
    frame.to_parquet(tmp_path / "a.parquet")
    reward = read_samples(tmp_path / "a.parquet").reward()
    assert reward.dtype == np.float32
    assert reward.tolist() == [0, 1, 2, 3, 4, 5]


def test_token_log_probabilities_are_summed_in_both_layouts(write):
    flat = json_lines(
        write,
        '{"prompt": "x", "reward": 1, "logprob": [-1, -2.5], "ref_logprob": -1}',
        '{"prompt": "x", "reward": 2, "logprob": [-3], "ref_logprob": -2}',
    )
    samples = read_samples(flat)
    assert samples.logprob.tolist() == [-3.5, -3]
    assert samples.ref_logprob.tolist() == [-1, -2]
    nested = json_lines(write, '{"prompt": "x", "rewards": [1, 2], "logprob": [[-1, -2.5], [-3]]}')
    assert read_samples(nested).logprob.tolist() == [-3.5, -3]


def test_sums_over_many_tokens_keep_float64():
    tokens = [np.full(10_000, -0.1, dtype=np.float32)]
    samples = read_samples(pd.DataFrame({"prompt": ["x"], "reward": [1.0], "logprob": tokens}))
    assert samples.logprob[0] == pytest.approx(10_000 * float(np.float32(-0.1)), rel=1e-12)


def test_rounding_above_zero_is_let_pass_and_kept():
    samples = read_samples(pd.DataFrame({"prompt": ["x"], "reward": [1.0], "logprob": [1e-8]}))
    assert samples.logprob.tolist() == [1e-8]


def test_prompt_texts_stand_beside_ids():
    frame = pd.DataFrame({"prompt_id": [2, 1, 2], "prompt": ["two", "one", "two"], "reward": [1.0, 2.0, 3.0]})
    samples = read_samples(frame)
    assert samples.prompt_ids.tolist() == [2, 1]
    assert list(samples.prompts) == ["two", "one"]
    assert list(read_samples(frame, prompt="prompt").prompts) == ["two", "one"]


def test_chat_completions_are_json_text():
    frame = pd.DataFrame(
        {"prompt": ["x"], "reward": [1.0], "completion": [[{"role": "assistant", "content": "é"}]]}
    )
    assert list(read_samples(frame).completions) == ['[{"role":"assistant","content":"é"}]']


def test_texts_are_read_when_looked_at_and_pickle():
    samples = read_samples(ROWS, where=IO)
    assert samples.completions.shape == (3,)
    assert "f" not in np.asarray(samples.completions)
    copy = pickle.loads(pickle.dumps(samples))
    assert list(copy.completions) == ["a", "c", "b"]
    assert copy.reward().tolist() == samples.reward().tolist()


def test_a_missing_text_is_none_and_no_question_mark():
    frame = pd.DataFrame({"prompt": ["x", "x"], "reward": [0.0, 1.0], "note": ["?", None]})
    assert list(read_samples(frame).metadata["note"]) == ["?", None]


def test_incomplete_rewards_are_held_back_until_asked_for():
    frame = pd.DataFrame({"prompt": ["x", "x"], "reward_gold": [0.0, 1.0], "reward_proxy": [0.5, np.nan]})
    samples = read_samples(frame)
    assert list(samples.rewards) == ["reward_gold"]
    assert samples.notes[1].startswith("held back: reward_proxy has missing or infinite values")
    where = r"\(row 1, counted from 0\); .*isfinite\(reward_proxy\)"
    missing = rf"reward 'reward_proxy': 1 missing or NaN of 2 values {where}"
    with pytest.raises(InputError, match=missing):
        samples.reward("reward_proxy")
    with pytest.raises(InputError, match=missing):
        as_samples(frame, reward="reward_proxy")
    # It might be the one that was meant, so it still counts.
    with pytest.raises(
        InputError, match=r"2 rewards; .*reward_gold \(with missing or infinite values: reward_proxy\)"
    ):
        samples.reward()
    assert as_samples(frame, reward="reward_gold").reward().tolist() == [0, 1]
    assert list(read_samples(frame, where="isfinite(reward_proxy)").rewards) == [
        "reward_gold",
        "reward_proxy",
    ]


def test_text_with_a_rewards_name_is_no_rival():
    frame = pd.DataFrame({"prompt": ["x"], "reward_model": ["armo"], "reward": [1.0]})
    samples = read_samples(frame)
    assert samples.reward_name() == "reward"
    assert samples.notes[1] == "not read as rewards: reward_model (ask for one to see why)"
    with pytest.raises(InputError, match=r"reward 'reward_model' holds text, not numbers .'armo' in row 0"):
        samples.reward("reward_model")


def test_bad_log_probabilities_that_nobody_asked_for_are_held_back():
    frame = pd.DataFrame({"prompt": ["x"], "reward": [1.0], "logprob": [0.5]})
    samples = read_samples(frame)
    assert samples.logprob is None
    assert samples.reward().tolist() == [1]
    assert samples.notes[1].startswith("held back: log-probability 'logprob' is above 0")
    with pytest.raises(InputError, match="above 0 in 1 of 1 completion"):
        read_samples(frame, logprob="logprob")


def test_one_number_a_prompt_is_no_reward_where_the_rewards_are_lists():
    frame = pd.DataFrame({"prompt": ["x"], "rewards": [[1.0, 2.0]], "reward_mean": [1.5]})
    assert list(read_samples(frame).rewards) == ["rewards"]
    with pytest.raises(
        InputError, match="reward 'reward_mean' has one value a prompt where the rewards are lists"
    ):
        read_samples(frame, rewards=["rewards", "reward_mean"])
