"""Tables whose values or options cannot be used: one line that says what, where, and what to do."""

import numpy as np
import pandas as pd
import pytest

from klimit.errors import InputError
from klimit.samples import read_samples

TABLE = pd.DataFrame({"prompt_id": ["x", "x", "y"], "reward": [1.0, 2.0, 3.0], "policy": ["a", "b", "a"]})


def refused(source, said, **options):
    with pytest.raises(InputError, match=said) as caught:
        read_samples(source, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"rewards": "rewrd"},
            r"no column 'rewrd' \(did you mean 'reward'\?\); its columns: prompt_id, reward, policy",
        ),
        ({"rewards": ["reward", "zzz"]}, "no column 'zzz'; its columns"),
        ({"prompt": "Prompt_ID"}, r"no column 'Prompt_ID' \(did you mean 'prompt_id'\?\)"),
        ({"prompt": ["policy", "promptid"]}, r"no column 'promptid' \(did you mean 'prompt_id'\?\)"),
        ({"sample": "sample"}, "no column 'sample'"),
        ({"logprob": "logp"}, "no column 'logp'"),
        ({"completion": "text"}, "no column 'text'"),
        ({"rewards": 5}, r"column names are text, not int \(5\)"),
        ({"rewards": []}, "rewards is an empty list; name at least one"),
        ({"prompt": []}, "prompt is an empty list; name the column"),
    ],
)
def test_columns_that_are_not_there(options, said):
    refused(TABLE, f"pandas frame: {said}", **options)


def test_nothing_with_a_usual_name():
    refused(
        TABLE.rename(columns={"prompt_id": "key"}),
        r"no prompt column \(looked for prompt_id, prompt, .*\); name it with prompt= \(--prompt\); its columns: key,",
    )
    refused(
        TABLE.rename(columns={"reward": "value"}),
        r"no reward column \(looked for reward, reward_\*, rewards, score\); name it with rewards= \(--reward\)",
    )


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("polcy = 'a'", r"where=\"polcy = 'a'\": no column 'polcy' \(did you mean 'policy'\?\)"),
        ("policy = a", "no column 'a'.*text goes in single quotes"),
        ("reward >", "the SQL condition is not complete"),
        ("1 = 1; DROP TABLE source", 'syntax error at or near ";"'),
        ("reward", "it gives DOUBLE, not true or false"),
        ("policy > 1", "Cannot compare values of type VARCHAR"),
        ("reward = 'high'", "Could not convert string 'high'"),
        ("CAST(policy AS INTEGER) = 1", "Could not convert string 'a' to INT32"),
        ("sum(reward) > 1", "WHERE clause cannot contain aggregates"),
        ("nonsense(reward)", "nonsense does not exist"),
        ("random() < 0.5", "it must choose the same rows every time"),
        ("", "an SQL condition is needed"),
        (5, "an SQL condition is needed"),
        ("policy = 'c'", r"where=\"policy = 'c'\" keeps none of the 3 rows"),
    ],
)
def test_conditions_that_cannot_choose_rows(where, said):
    refused(TABLE, f"pandas frame: .*{said}", where=where)


def test_a_condition_sees_no_variable_of_python():
    TABLE2 = TABLE  # noqa: F841
    refused(TABLE, "TABLE2 does not exist", where="reward IN (SELECT reward FROM TABLE2)")


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        (
            [1.0, np.nan, np.inf],
            r"1 missing or NaN and 1 infinite of 3 values \(rows 2, 3\); .*where='isfinite\(reward\)'",
        ),
        ([np.nan] * 3, r"3 missing or NaN of 3 values \(rows 1, 2, 3\)"),
        (
            ["1", "2", "high"],
            r"reward 'reward' is not numeric in 1 of 3 values \('high' in row 3\); mend those",
        ),
        (["a", "b", "c"], r"holds text, not numbers \('a' in row 1\)"),
        (["1", "2", "3"], "holds numbers written as text .'1'.; convert the column to numbers"),
        (pd.to_datetime(["2024-01-01"] * 3), "holds TIMESTAMP.*, not numbers"),
    ],
)
def test_rewards_that_are_no_finite_numbers(tmp_path, rewards, said):
    TABLE.assign(reward=rewards).to_parquet(tmp_path / "a.parquet")
    refused(
        tmp_path / "a.parquet",
        f"a.parquet: reward 'reward'.*{said}" if "reward 'reward'" not in said else said,
    )


def test_rows_are_counted_in_the_file_not_among_the_chosen(write):
    path = write("a.csv", "prompt_id,reward,keep\nx,,0\nx,,1\nx,1,1\nx,nan,1\n")
    refused(path, r"2 missing or NaN of 3 values \(rows 2, 4\)", where="keep = 1")


def test_a_number_column_with_text_late_names_the_row(write):
    path = write("a.csv", "prompt_id,reward\n" + "x,1\n" * 50_000 + "x,oops\n")
    refused(path, r"is not numeric in 1 of 50,001 values \('oops' in row 50001\)")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt_id": 1, "reward": "high"}', "is not numeric in 1 of 2 values .'\"high\"' in row 2."),
        ('{"prompt_id": 1, "reward": true}', "is not numeric in 1 of 2 values .'true' in row 2."),
        ('{"prompt_id": 1, "reward": null}', r"1 missing or NaN of 2 values \(row 2\)"),
        ('{"prompt_id": 1}', r"1 missing or NaN of 2 values \(row 2\)"),
        ('{"prompt_id": 1, "reward": NaN}', r"1 missing or NaN of 2 values \(row 2\)"),
        ('{"prompt_id": 1, "reward": -Infinity}', r"1 infinite of 2 values \(row 2\)"),
        ('{"prompt_id": 1, "reward": {"a": 1}}', "not numeric"),
        ('{"prompt_id": "1", "reward": 1}', r"'prompt_id' mixes types \(int, str\); give ids one type"),
        (
            '{"prompt_id": null, "reward": 1}',
            r"'prompt_id' is missing \(null or empty\) in 1 of 2 rows \(row 2\)",
        ),
        ('{"reward": 1}', r"'prompt_id' is missing \(null or empty\) in 1 of 2 rows \(row 2\)"),
    ],
)
def test_mixed_and_missing_values_in_json_lines(write, line, said):
    refused(write("a.jsonl", '{"prompt_id": 1, "reward": 0.5}\n' + line), said)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("prompt_id", ["x", 1, "y"], r"'prompt_id' mixes types \(int, str\); give ids one type"),
        ("reward", [1, "a", 2], r"reward 'reward' mixes types \(int, str\); give it numbers only"),
        ("reward", [True, 2, 0.5], r"reward 'reward' mixes types \(bool, float, int\)"),
        ("prompt_id", [1, None, 2], r"'prompt_id' is missing .* in 1 of 3 rows \(row 1, counted from 0\)"),
        (
            "prompt_id",
            ["x", None, "y"],
            r"'prompt_id' is missing .* in 1 of 3 rows \(row 1, counted from 0\)",
        ),
        (
            "reward",
            pd.array([1, None, 2], dtype="Int64"),
            r"1 missing or NaN of 3 values .*reward IS NOT NULL",
        ),
    ],
)
def test_mixed_and_missing_values_in_a_frame(column, values, said):
    refused(TABLE.assign(**{column: values}), said)


def test_an_empty_id_in_a_csv_is_missing(write):
    refused(
        write("a.csv", "prompt_id,reward\nx,1\n,2\n"),
        r"'prompt_id' is missing \(null or empty\) in 1 of 2 rows",
    )


def test_part_of_a_key_is_missing():
    table = TABLE.assign(policy=["a", None, "a"])
    refused(table, r"'policy' is missing .* \(row 1, counted", prompt=["policy", "prompt_id"])


def test_one_id_with_different_texts():
    table = TABLE.assign(prompt=["one", "two", "three"])
    refused(
        table,
        r"prompt_id 'x' has different texts in 'prompt' \(rows 0, 1, counted from 0\); give each prompt its own",
    )
    assert read_samples(table, prompt="prompt").n_prompts == 3
    assert read_samples(table.assign(prompt=["one", "one", "one"])).n_prompts == 2


def test_one_id_with_different_messages(write):
    line = '{"prompt_id": 1, "prompt": [{"role": "user", "content": "%s"}], "reward": 1}\n'
    refused(write("a.jsonl", line % "hi" + line % "yo"), "prompt_id 1 has different texts in 'prompt'")
    swapped = '{"prompt_id": 1, "prompt": [{"content": "hi", "role": "user"}], "reward": 1}\n'
    assert read_samples(write("a.jsonl", line % "hi" + swapped)).n_prompts == 1


@pytest.mark.parametrize("ids", [[0, 0, 0], ["a", "a", "b"], [0.5, 0.5, 1.0]])
def test_a_repeated_sample_id(ids):
    refused(
        TABLE.assign(sample_id=ids),
        r"prompt_id 'x' has sample_id .* 2 times \(rows 0, 1, counted from 0\); 1 such repeats.* Choose one, "
        r"where=\"policy = 'a'\", or key by both, prompt=\[\"policy\", \"prompt_id\"\]",
    )


def test_a_repeated_sample_id_that_no_column_explains():
    table = TABLE.assign(n=[0, 0, 0])
    refused(table.drop(columns="policy"), "several policies in one table, or rows copied twice", sample="n")
    assert read_samples(table, sample="n", where="policy = 'a'").n_completions == 2
    assert read_samples(table, sample="n", prompt=["policy", "prompt_id"]).n_prompts == 3


def test_a_repeated_sample_id_in_lists(write):
    line = '{"prompt": "x", "rewards": [1, 2], "sample_id": [3, 3]}'
    refused(write("a.jsonl", line), r"prompt 'x' has sample_id 3 2 times \(row 1\)")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{"prompt": "y", "rewards": [1, 2], "logprob": [-1]}',
            "lists of one prompt differ in length: 'rewards' has 2 and 'logprob' 1 in row 2",
        ),
        (
            '{"prompt": "y", "rewards": [], "logprob": []}',
            "'rewards' is an empty or missing list in 1 row .row 2.",
        ),
        (
            '{"prompt": "y", "rewards": null, "logprob": [-1]}',
            "'rewards' is an empty or missing list in 1 row .row 2.",
        ),
        (
            '{"prompt": "y", "rewards": [1, null], "logprob": [-1, -1]}',
            "1 missing or NaN of 3 values .row 2.",
        ),
        (
            '{"prompt": "y", "rewards": [1, "a"], "logprob": [-1, -1]}',
            "is not numeric in 1 of 3 values .'\"a\"' in row 2.",
        ),
    ],
)
def test_lists_that_cannot_be_unpacked(write, line, said):
    refused(write("a.jsonl", '{"prompt": "x", "rewards": [1], "logprob": [-1]}\n' + line), said)


def test_lists_of_lists_of_rewards(write):
    refused(
        write("a.jsonl", '{"prompt": "x", "rewards": [[1, 2], [3, 4]]}'), r"'rewards' holds lists of lists"
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [-1.0, 0.5, 0.7],
            r"log-probability 'lp' is above 0 in 2 of 3 completions \(rows 1, 2, counted from 0: 0.5\)",
        ),
        ([-1.0, np.nan, -1.0], r"1 missing or NaN of 3 values \(row 1, counted from 0\)"),
        ([-1.0, -np.inf, -1.0], r"1 infinite of 3 values .*what was sampled has a finite one"),
        (["a", "b", "c"], "log-probability 'lp' holds text"),
        ([[-1.0], [0.5, -2.0], [-1.0]], r"above 0 in 1 of 3 completions \(row 1, counted from 0: 0.5\)"),
        ([[-1.0], [None, -2.0], [-1.0]], "1 missing or NaN of 3 values .*; a number for every token"),
        ([[-1.0], [], [-1.0]], "1 missing or NaN of 3 values .*; a number for every token"),
    ],
)
@pytest.mark.parametrize("part", ["logprob", "ref_logprob"])
def test_log_probabilities_that_are_none(values, said, part):
    refused(TABLE.assign(lp=values), said, **{part: "lp"})
