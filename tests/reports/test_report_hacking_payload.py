"""A proxy as JSON: everything of the Python result, under its names, strict."""

import json
from dataclasses import fields

import numpy as np
import pytest
from report_proxies import HACKED, hacked

from klimit.proxies.result import Hacking
from klimit.reports.frontier.payload import to_json
from klimit.reports.hacking.payload import hacking_payload
from klimit.values import Value


def written(name):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(to_json(hacking_payload(hacked(name), options={"seed": 0})), parse_constant=refuse)


@pytest.mark.parametrize("name", HACKED)
def test_every_quantity_and_array_is_there(name):
    content, found = written(name), hacked(name).found
    for field in fields(Hacking):
        value = getattr(found, field.name)
        if isinstance(value, Value):
            known = value.estimate if np.isfinite(value.estimate) else None
            assert content[field.name]["estimate"] == known, field.name
        elif isinstance(value, np.ndarray):
            assert content[field.name] == [x if np.isfinite(x) else None for x in value.tolist()], field.name
    assert content["best_of_n"]["setting"] == found.best_of_n.setting.tolist()
    assert content["labels_needed"] == found.labels_needed
    assert content["options"] == {"seed": 0}
    assert content["verdict"]
    assert content["action"]


def test_the_gap_is_that_at_the_best_beta_with_its_identities():
    gap, found = written("heavy_error")["gap"], hacked("heavy_error").found
    exact = found.gap(beta=found.best.setting.estimate)
    assert gap["gap"]["estimate"] == exact.gap.estimate
    assert gap["plug_in_regret"] == pytest.approx(gap["path_regret"], rel=1e-8)
    assert written("labelled")["gap"] is None
