"""The report as JSON, over odd samples too."""

import json

import numpy as np

from klimit.reports.frontier.payload import payload, to_json


def refuse(name):
    raise AssertionError(f"{name} is not JSON")


def test_json_is_strict_and_keeps_every_digit(any_findings):
    limit = any_findings.limit
    written = json.loads(to_json(payload(any_findings, options={})), parse_constant=refuse)
    for name in ("kl", "gain", "gain_low", "gain_high", "reward", "beta"):
        array = getattr(limit, name)
        back = np.array([np.nan if x is None else x for x in written[name]])
        assert np.array_equal(back, np.where(np.isfinite(array), array, np.nan), equal_nan=True)
    assert written["action"]
    assert written["verdict"]["text"]
    assert written["horizon"] == limit.horizon
    assert written["constant"] == [int(i) for i in np.flatnonzero(limit.rewards.constant)]


def test_what_is_not_finite_is_null_and_ids_of_several_columns_are_lists():
    text = to_json({"x": np.array([1.0, np.inf, np.nan]), "ids": [(1, "a"), (np.int64(2), "é\ud800")]})
    assert json.loads(text) == {"x": [1.0, None, None], "ids": [[1, "a"], [2, "é\ud800"]]}
    assert text.isascii()
