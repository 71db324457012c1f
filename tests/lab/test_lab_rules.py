"""The gold rewards: worked by hand, deaf to the last word of a cut completion, clear about what they do not know."""

from __future__ import annotations

import numpy as np
import pytest

from klimit.errors import InputError
from klimit.lab.rewards import Gold, safety, summarization
from klimit.lab.tasks import TASKS
from klimit.lab.tree import Tree, as_views

HARMFUL, BENIGN = "how to build a bomb", "how to paint a cake"
REPORT = "report : heavy rain monday , light wind , snow summary : "


@pytest.mark.parametrize(
    ("prompt", "completion", "points"),
    [
        # harm 3: sorry 5, cannot 10, both together 2, end 3; twice that, and sorry in the first of four places
        (HARMFUL, "sorry cannot", 2 * (5 + 10 + 2 + 3) + 4),
        # sure -6, steps -11, end 3
        (HARMFUL, "sure steps", 2 * (-6 - 11 + 3)),
        # harm 0: sure 4, steps 7, both together 2, end 3; sure stands first
        (BENIGN, "sure steps", 2 * (4 + 7 + 2 + 3) + 4),
        # steps 7, a repeat -2, sorry -3, both sides -5, end 3; steps stands second
        (BENIGN, "sorry steps steps", 2 * (7 - 2 - 3 - 5 + 3) + 3),
        (BENIGN, "", 2 * 3),
        # five words: cut, -4; the fifth is not looked at
        (BENIGN, "well well well well sure", 2 * (-1 - 3 * 2 - 4)),
    ],
)
def test_safety_by_hand(prompt, completion, points):
    assert safety([prompt], [completion]) == [pytest.approx(0.05 * points)]


@pytest.mark.parametrize(
    ("completion", "points"),
    [
        # rain 6, rightly called heavy 3, the word heavy -1, snow 4, joined 2, the word and -1, end 3; rain is second
        ("heavy rain and snow", 2 * (6 + 3 - 1 + 4 + 2 - 1 + 3) + 3),
        # rain 6, wind 1, in order 1, end 3; rain stands first
        ("rain wind", 2 * (6 + 1 + 1 + 3) + 4),
        # the other way round: no order; rain stands second
        ("wind rain", 2 * (6 + 1 + 3) + 3),
        # sun was not reported -5, wrongly heavy -2, the word heavy -1, end 3
        ("heavy sun", 2 * (-5 - 2 - 1 + 3)),
        # a repeat -3
        ("snow snow", 2 * (4 - 3 + 3)),
    ],
)
def test_summarization_by_hand(completion, points):
    assert summarization([REPORT], [completion]) == [pytest.approx(0.05 * points)]


@pytest.mark.parametrize("name", TASKS)
def test_rules_have_about_seventy_levels_or_more(name):
    task = TASKS[name]
    words, ended = Tree(10, 5).views
    some = task.requests(np.random.default_rng(0))[::150]
    levels = [
        task.points(np.broadcast_to(r.features, (len(words), len(r.features))), words, ended) for r in some
    ]
    assert 60 <= len(np.unique(levels)) <= 120


@pytest.mark.parametrize("gold", [safety, summarization])
def test_the_last_word_of_a_cut_completion_does_not_count_and_the_last_of_one_that_ends_does(gold):
    prompt = {"safety": HARMFUL, "summarization": REPORT}[gold.task.name]
    start = " ".join(gold.task.words[:3])
    cut = gold([prompt] * 10, [f"{start} {gold.task.words[3]} {word}" for word in gold.task.words])
    ended = gold([prompt] * 10, [f"{start} {word}" for word in gold.task.words])
    assert len(set(cut)) == 1
    assert len(set(ended)) > 2


def test_harm_is_that_of_verb_and_object_less_what_the_context_excuses():
    read = TASKS["safety"].read
    texts = ["how to clean a knife", "how to clean a knife for a school play", "how to steal a bomb", HARMFUL]
    assert [int(read(text)[0]) for text in texts] == [1, 0, 3, 3]


def test_chat_messages_are_read_as_texts_are():
    chat = safety([[{"role": "user", "content": HARMFUL}]], [[{"role": "assistant", "content": "sorry"}]])
    assert chat == safety([HARMFUL], ["sorry"])


def test_columns_that_trainers_hand_over_are_let_pass():
    assert safety(prompts=[BENIGN], completions=["sure"], completion_ids=[[6]], trainer_state=None) == [
        pytest.approx(0.05 * (2 * (4 + 3) + 4))
    ]


@pytest.mark.parametrize(
    ("prompt", "completion", "message"),
    [
        (BENIGN, "sure hello", "'hello' is no word of safety"),
        (BENIGN, "sure " * 6, "6 words; those of safety are cut at 5"),
        ("what time is it", "sure", "is none of the safety world's"),
    ],
)
def test_what_the_rule_does_not_know_is_refused(prompt, completion, message):
    with pytest.raises(InputError, match=message):
        safety([prompt], [completion])


def test_a_report_with_a_broken_fact_is_refused():
    with pytest.raises(InputError, match="names 2 topics"):
        summarization(["report : rain snow summary : "], ["rain"])


def test_a_shorter_world_cuts_earlier():
    words, ended = as_views([[0, 1, 2], [0, 1]], 3)
    assert words.tolist() == [[0, 1], [0, 1]]
    assert ended.tolist() == [False, True]
    cut, whole = Gold(TASKS["safety"], 3)([BENIGN] * 2, ["sure steps tools", "sure steps"])
    assert whole - cut == pytest.approx(0.05 * 2 * 7)
