"""The same samples from every format, and what each format could get wrong."""

import gzip
import json

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klimit.errors import InputError
from klimit.samples import read_samples

TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


def by_prompt(samples, name=None):
    rewards = samples.reward(name)
    return {
        key: rewards[a:b].tolist()
        for key, a, b in zip(samples.prompt_ids.tolist(), samples.offsets, samples.offsets[1:], strict=False)
    }


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    derandomize=True,
    max_examples=10,
)
@given(st.lists(st.tuples(TEXT, FINITE), min_size=1, max_size=12))
def test_every_format_gives_the_same_samples(tmp_path, rows):
    frame = pd.DataFrame(rows, columns=["prompt_id", "reward"])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv.gz", index=False, sep="\t")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True, double_precision=15)
    frame.to_json(tmp_path / "a.json", orient="records", double_precision=15)
    expected: dict[str, list[float]] = {}
    for prompt, reward in rows:
        expected.setdefault(prompt, []).append(reward)
    if all(prompt.isascii() and prompt.isdigit() and str(int(prompt)) == prompt for prompt in expected):
        in_csv = {int(prompt): rewards for prompt, rewards in expected.items()}
    else:
        in_csv = expected
    assert by_prompt(read_samples(frame)) == expected
    assert by_prompt(read_samples(pl.DataFrame(frame.to_dict("list")))) == expected
    assert by_prompt(read_samples(tmp_path / "a.parquet")) == expected
    assert by_prompt(read_samples(tmp_path / "a.csv")) == in_csv
    assert by_prompt(read_samples(tmp_path / "a.tsv.gz")) == in_csv
    for name in ("a.jsonl", "a.json"):
        found = by_prompt(read_samples(tmp_path / name))
        assert found.keys() == expected.keys()
        for prompt, rewards in found.items():
            assert rewards == pytest.approx(expected[prompt], rel=1e-13, abs=1e-13)


@settings(deadline=None, derandomize=True, max_examples=10)
@given(
    st.lists(st.tuples(st.integers(0, 4), FINITE), min_size=1, max_size=30), st.randoms(use_true_random=False)
)
def test_the_order_of_rows_does_not_matter_but_for_order(rows, random):
    frame = pd.DataFrame(rows, columns=["prompt_id", "reward"])
    shuffled = frame.iloc[random.sample(range(len(rows)), len(rows))]
    one, other = by_prompt(read_samples(frame)), by_prompt(read_samples(shuffled))
    assert list(other) == list(dict.fromkeys(shuffled["prompt_id"].tolist()))
    assert {key: sorted(values) for key, values in one.items()} == {k: sorted(v) for k, v in other.items()}


MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user"]), "content": TEXT}, optional={"name": TEXT}
    ),
    min_size=1,
    max_size=3,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    derandomize=True,
    max_examples=10,
)
@given(st.lists(MESSAGES, min_size=1, max_size=6))
def test_chat_messages_key_prompts_alike_in_parquet_and_json_lines(tmp_path, prompts):
    rows = [{"prompt": prompt, "reward": float(i)} for i, prompt in enumerate(prompts)]
    # The same messages with their keys in another order are the same prompt.
    rows += [{"reward": -1.0, "prompt": [dict(reversed(m.items())) for m in prompts[0]]}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pl.DataFrame(rows, schema_overrides={"reward": pl.Float64}).write_parquet(tmp_path / "a.parquet")
    one, other = read_samples(path), read_samples(tmp_path / "a.parquet")
    assert by_prompt(one) == by_prompt(other)
    assert one.n_prompts == len({json.dumps(prompt, sort_keys=True) for prompt in prompts})
    assert json.loads(one.prompt_ids[0]) == prompts[0]


def test_ids_in_a_csv_stay_apart_however_they_are_written(write):
    text = "prompt_id,reward\n007,1\n7,2\n1.10,3\n1.1,4\n"
    assert by_prompt(read_samples(write("a.csv", text))) == {"007": [1], "7": [2], "1.10": [3], "1.1": [4]}
    plain = read_samples(write("b.csv", "prompt_id,reward\n7,1\n-12,2\n"), where="prompt_id < 0")
    assert by_prompt(plain) == {-12: [2]}


def test_a_csv_with_quotes_newlines_and_another_delimiter(write):
    text = '\ufeffprompt;reward;completion\r\n"a;\n""b""";1;\r\nc;2;""\r\nc;3;"x\r\ny"\r\n'
    samples = read_samples(write("a.csv", text))
    assert by_prompt(samples) == {'a;\n"b"': [1], "c": [2, 3]}
    assert list(samples.completions) == ["", "", "x\r\ny"]


def test_booleans_and_integers_in_a_csv(write):
    samples = read_samples(write("a.csv", "prompt,reward_ok,reward_n\nx,true,3\nx,false,4\n"))
    assert samples.reward("reward_ok").tolist() == [1, 0]
    assert samples.reward("reward_n").tolist() == [3, 4]


def test_the_index_column_that_pandas_writes_is_no_trouble(write):
    samples = read_samples(write("a.csv", ",prompt_id,reward\n0,a,1\n1,a,2\n"))
    assert by_prompt(samples) == {"a": [1, 2]}


def test_texts_that_look_like_dates_or_uuids_stay_texts(write):
    lines = ['{"prompt": "2024-01-01", "reward": 1}', '{"prompt": "2024-01-01 00:00:00", "reward": 2}']
    assert by_prompt(read_samples(write("a.jsonl", "\n".join(lines)))) == {
        "2024-01-01": [1],
        "2024-01-01 00:00:00": [2],
    }


def test_ids_of_twenty_digits_stay_apart(write):
    lines = [f'{{"prompt_id": 12345678901234567890{i}, "reward": {i}}}' for i in range(3)]
    assert len(by_prompt(read_samples(write("a.jsonl", "\n".join(lines))))) == 3


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.ndjson", "a.JSONL"])
def test_json_lines_by_any_of_their_names(write, name):
    text = b'{"prompt_id": 1, "reward": 0.5}\n\n{"prompt_id": 1, "reward": 1}\n'
    path = write(name, gzip.compress(text) if name.endswith("gz") else text)
    assert by_prompt(read_samples(path)) == {1: [0.5, 1]}


def test_odd_column_names_need_no_care(write):
    name = 'my "reward" é\'s; DROP TABLE x --'
    frame = pd.DataFrame({"prompt [id]": ["a", "a"], name: [1.0, 2.0], "log prob": [-1.0, -2.0]})
    path = write("x.parquet", "")
    frame.to_parquet(path)
    samples = read_samples(
        path, prompt="prompt [id]", rewards=name, logprob="log prob", where='"log prob" < -1'
    )
    assert samples.reward(name).tolist() == [2.0]
    frame.to_csv(path.with_suffix(".csv"), index=False)
    samples = read_samples(path.with_suffix(".csv"), prompt="prompt [id]", rewards=name, logprob="log prob")
    assert samples.reward(name).tolist() == [1.0, 2.0]
    assert samples.logprob.tolist() == [-1, -2]


def test_several_files_and_globs_are_read_in_order(write):
    write("s/b.csv", "reward,prompt_id\n3,x\n")
    first = write("s/a.csv", "prompt_id,reward\nx,1\ny,2\n")
    for source in (str(first.parent / "*.csv"), [first, first.parent / "b.csv"]):
        samples = read_samples(source)
        assert by_prompt(samples) == {"x": [1, 3], "y": [2]}
        assert samples.source == f"{first} and 1 more file"


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_several_files_of_other_formats(tmp_path, kind):
    for name, offset in (("a", 0), ("b", 10)):
        frame = pd.DataFrame({"prompt_id": ["x", "y"], "reward": [offset + 1.0, offset + 2.5]})
        if kind == "parquet":
            frame.to_parquet(tmp_path / f"{name}.{kind}")
        else:
            frame.to_json(tmp_path / f"{name}.{kind}", orient="records", lines=True)
    assert by_prompt(read_samples(tmp_path / f"*.{kind}")) == {"x": [1, 11], "y": [2.5, 12.5]}


def test_brackets_in_a_path_that_exists_are_no_glob(write):
    literal = write("run[1].csv", "prompt_id,reward\nx,1\n")
    write("run1.csv", "prompt_id,reward\nx,2\n")
    assert by_prompt(read_samples(literal)) == {"x": [1]}
    assert by_prompt(read_samples(str(literal.parent / "run[12].csv"))) == {"x": [2]}


def test_a_folder_name_with_an_equals_sign_adds_no_column(tmp_path):
    folder = tmp_path / "policy=cot"
    folder.mkdir()
    pd.DataFrame({"prompt_id": [1], "reward": [2.0]}).to_parquet(folder / "a.parquet")
    assert list(read_samples(folder / "a.parquet").metadata) == []


@pytest.mark.parametrize(
    ("sql", "kept", "values"),
    [
        ("FLOAT", np.float32, [1, 2]),
        ("DOUBLE", np.float64, [1, 2]),
        ("TINYINT", np.float64, [1, 2]),
        ("UBIGINT", np.float64, [1, 2]),
        ("HUGEINT", np.float64, [1, 2]),
        ("DECIMAL(20, 4)", np.float64, [1, 2]),
        ("BOOLEAN", np.float64, [1, 1]),
    ],
)
def test_numbers_of_every_type(tmp_path, sql, kept, values):
    path = tmp_path / "a.parquet"
    duckdb.execute(
        f"COPY (SELECT 'x' AS prompt, CAST(n AS {sql}) AS reward FROM range(1, 3) t(n)) TO '{path}'"
    )
    reward = read_samples(path).reward()
    assert reward.dtype == kept
    assert reward.tolist() == values


def test_integers_beyond_float64_are_said_to_be_rounded():
    frame = pd.DataFrame({"prompt": ["x", "x"], "reward": [2**53 + 1, 1]})
    assert read_samples(frame).notes[-1].startswith("reward: integers above 2^53 are rounded to float64")
    assert len(read_samples(frame.assign(reward=[2**52, 1])).notes) == 1


def test_large_files_keep_their_order(tmp_path):
    path = tmp_path / "a.parquet"
    query = "SELECT n // 100 AS prompt_id, n::FLOAT AS reward, 'k' || n % 3 AS k FROM range(300000) t(n)"
    duckdb.execute(f"COPY ({query}) TO '{path}' (ROW_GROUP_SIZE 3000)")
    samples = read_samples(path, where="prompt_id % 2 = 1")
    expected = np.arange(300_000).reshape(3000, 100)[1::2].ravel()
    assert (samples.reward() == expected).all()
    assert (samples.metadata["k"][:3] == [f"k{n % 3}" for n in expected[:3]]).all()


def test_a_file_that_changes_is_not_read_on(write):
    path = write("a.csv", "prompt_id,reward,note\nx,1,one\n")
    samples = read_samples(path)
    path.write_text("prompt_id,reward,note\nx,2,changed\n")
    with pytest.raises(InputError, match="changed on disk since it was read; read it again"):
        list(samples.metadata["note"])
