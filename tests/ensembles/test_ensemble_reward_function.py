"""The ensemble as a reward in training: the same numbers as the column, from functions of prompts and completions."""

import pickle

import numpy as np
import pandas as pd
import pytest

from klimit.ensembles import ensemble
from klimit.errors import InputError
from klimit.samples import read_samples

pytestmark = pytest.mark.filterwarnings("ignore::klimit.errors.KlimitWarning")


def length(prompts, completions, **columns):
    return [float(len(text)) for text in completions]


def vowels(prompts, completions, **columns):
    return [10.0 * sum(letter in "aeiou" for letter in text) for text in completions]


def late(prompts, completions, **columns):
    return [sum(map(ord, text)) / len(text) for text in completions]


MEMBERS = {"length": length, "vowels": vowels, "late": late}


def table(key=lambda i: f"prompt {i}", n_prompts=24, n=12):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n_prompts):
        for _ in range(n):
            text = "".join(rng.choice(list("abcdefgh"), rng.integers(1, 9)))
            rows.append({"prompt_id": i, "prompt": key(i), "completion": text})
    frame = pd.DataFrame(rows)
    for name, function in MEMBERS.items():
        frame[f"reward_{name}"] = function(frame["prompt"], frame["completion"])
    return frame


def made(frame, aggregate="mean", **more):
    proxies = [f"reward_{name}" for name in MEMBERS]
    return ensemble(read_samples(frame), proxies=proxies, aggregate=aggregate, **more)


def functions(**replaced):
    return {f"reward_{name}": replaced.get(name, function) for name, function in MEMBERS.items()}


@pytest.mark.parametrize("aggregate", ["mean", "min", "uwo:0.3", "soft-min:0.5"])
def test_on_the_base_samples_it_is_the_column(aggregate):
    frame = table()
    found = made(frame, aggregate)
    reward = found.reward_function(functions())
    given = reward(prompts=list(frame["prompt"]), completions=list(frame["completion"]))
    assert isinstance(given, list)
    assert all(type(one) is float for one in given)
    np.testing.assert_allclose(given, found.reward, rtol=1e-9, atol=1e-12)


def test_new_completions_are_measured_by_the_base_samples():
    frame = table()
    found = made(frame)
    (given,) = found.reward_function(functions())(prompts=["prompt 3"], completions=["aeiouaeiou"])
    base = frame[frame["prompt_id"] == 3]
    expected = np.mean(
        [
            (function(None, ["aeiouaeiou"])[0] - base[f"reward_{name}"].mean())
            / base[f"reward_{name}"].std(ddof=1)
            for name, function in MEMBERS.items()
        ]
    )
    assert given == pytest.approx(expected, rel=1e-12)


def test_a_member_constant_within_a_prompt_s_base_samples_is_0_there():
    frame = table()
    frame.loc[frame["prompt_id"] == 3, "reward_length"] = 4.0
    found = made(frame)
    assert found.constant_prompts.tolist() == [1, 0, 0]
    reward = found.reward_function(functions())
    kept = found.reward_function(
        functions(length=lambda prompts, completions, **columns: [1e6] * len(completions))
    )
    one = {"prompts": ["prompt 3"], "completions": ["abc"]}
    assert reward(**one) == kept(**one)


def test_prompts_can_be_told_by_a_column_of_the_training_data():
    frame = table()
    found = made(frame)
    reward = found.reward_function(functions(), prompt_column="prompt_id")
    given = reward(
        prompts=["any"] * len(frame),
        completions=list(frame["completion"]),
        prompt_id=list(frame["prompt_id"]),
    )
    np.testing.assert_allclose(given, found.reward, rtol=1e-9, atol=1e-12)


def test_chat_prompts_are_told_by_their_messages_however_written():
    frame = table(key=lambda i: [{"role": "user", "content": f"prompt {i}"}])
    found = made(frame.drop(columns="prompt_id"))
    reward = found.reward_function(functions())
    prompts = [[{"content": messages[0]["content"], "role": "user"}] for messages in frame["prompt"]]
    np.testing.assert_allclose(
        reward(prompts=prompts, completions=list(frame["completion"])), found.reward, atol=1e-9
    )


def test_global_scales_serve_prompts_without_base_samples_and_differ():
    frame = table()
    found = made(frame)
    reward = found.reward_function(functions(), scales="global")
    given = reward(prompts=["never seen"] * len(frame), completions=list(frame["completion"]))
    rewards = frame[[f"reward_{name}" for name in MEMBERS]]
    by_prompt = rewards.groupby(frame["prompt_id"])
    scaled = (rewards - by_prompt.mean().mean()) / np.sqrt(by_prompt.var(ddof=1).mean())
    np.testing.assert_allclose(given, scaled.mean(axis=1), rtol=1e-9, atol=1e-12)
    assert np.abs(np.array(given) - found.reward).max() > 0.1


def test_columns_reach_every_member():
    seen = {}

    def watcher(prompts, completions, *, answer, **columns):
        seen.update(prompts=prompts, answer=answer, **columns)
        return [0.0] * len(completions)

    frame = table()
    reward = made(frame).reward_function(functions(late=watcher))
    reward(prompts=["prompt 1"], completions=["a"], answer=["42"], completion_ids=[[5]])
    assert seen == {"prompts": ["prompt 1"], "answer": ["42"], "completion_ids": [[5]]}


def test_trainers_find_a_name_and_can_send_it_to_other_processes():
    reward = made(table(), name="panel").reward_function(functions())
    assert reward.__name__ == "panel"
    there = pickle.loads(pickle.dumps(reward))
    one = {"prompts": ["prompt 1"], "completions": ["ace"]}
    assert there(**one) == reward(**one)
    assert there.__name__ == "panel"


def test_nothing_gives_nothing():
    assert made(table()).reward_function(functions())(prompts=[], completions=[]) == []


class TestRefusals:
    def reward(self, **replaced):
        return made(table()).reward_function(functions(**replaced))

    def test_a_prompt_without_base_samples(self):
        with pytest.raises(InputError, match=r"'prompt 99' is not among the 24 prompts.*scales='global'"):
            self.reward()(prompts=["prompt 99"], completions=["a"])

    @pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
    def test_a_completion_that_a_member_did_not_score(self, value):
        reward = self.reward(vowels=lambda prompts, completions, **columns: [1.0, value])
        with pytest.raises(InputError, match=r"member 'reward_vowels' gave .* for completion 1"):
            reward(prompts=["prompt 1"] * 2, completions=["a", "b"])

    def test_too_few_rewards(self):
        reward = self.reward(late=lambda prompts, completions, **columns: [1.0])
        with pytest.raises(InputError, match="gave 1 rewards for 2 completions"):
            reward(prompts=["prompt 1"] * 2, completions=["a", "b"])

    def test_a_column_that_did_not_come(self):
        reward = made(table()).reward_function(functions(), prompt_column="prompt_id")
        with pytest.raises(InputError, match="no column 'prompt_id' came"):
            reward(prompts=["prompt 1"], completions=["a"])

    def test_prompts_and_completions_that_do_not_match(self):
        with pytest.raises(InputError, match="2 prompts for 1 completions"):
            self.reward()(prompts=["prompt 1"] * 2, completions=["a"])

    def test_a_proxy_without_a_function_and_a_function_without_a_proxy(self):
        found = made(table())
        with pytest.raises(InputError, match="no function for reward_late"):
            found.reward_function({"reward_length": length, "reward_vowels": vowels})
        with pytest.raises(InputError, match="did you mean 'reward_late'"):
            found.reward_function({**functions(), "reward_latte": late})

    def test_prompts_known_by_id_only(self):
        frame = table().drop(columns="prompt")
        with pytest.raises(InputError, match="known by id only"):
            made(frame).reward_function(functions())

    def test_scales_are_one_of_two(self):
        with pytest.raises(InputError, match="choose 'per-prompt' or 'global'"):
            made(table()).reward_function(functions(), scales="both")
