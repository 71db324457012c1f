"""Leaving out prompts with few completions: never silent, everything else in step."""

from __future__ import annotations

import numpy as np
import pytest

from klimit.errors import InputError
from klimit.samples import read_samples


@pytest.fixture
def samples(tmp_path):
    path = tmp_path / "ragged.csv"
    rows = [
        ("a", 1.0, "x"),
        ("b", 2.0, "y"),
        ("a", 3.0, "z"),
        ("c", 4.0, "u"),
        ("c", 5.0, "v"),
        ("c", 6.0, "w"),
    ]
    path.write_text("prompt_id,reward,note\n" + "".join(f"{p},{r},{n}\n" for p, r, n in rows))
    return read_samples(path)


def test_short_prompts_are_left_out_and_counted(samples):
    kept = samples.at_least(2)
    assert list(kept.prompt_ids) == ["a", "c"]
    assert list(kept.rewards["reward"]) == [1.0, 3.0, 4.0, 5.0, 6.0]
    assert list(kept.counts) == [2, 3]
    assert list(np.asarray(kept.metadata["note"])) == ["x", "z", "u", "v", "w"]
    assert kept.notes[-1] == "left out 1 of 3 prompts with fewer than 2 completions"


def test_nothing_to_leave_out_changes_nothing(samples):
    assert samples.at_least(1) is samples


def test_leaving_out_all_is_refused(samples):
    with pytest.raises(InputError, match="no prompt has 4 completions; the most are 3"):
        samples.at_least(4)
