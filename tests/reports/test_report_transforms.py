"""Reports of transformed rewards: the transform is named, odd samples are told, a known limit is told as known."""

import json
import re
import warnings

import numpy as np
import pytest
from report_findings import ARRAYS

import klimit
from klimit.reports.frontier.figure import draw
from klimit.reports.frontier.findings import gather
from klimit.reports.frontier.payload import payload, to_json
from klimit.reports.frontier.text import header, legend, report
from klimit.reports.frontier.verdict import verdict

TRANSFORMS = ["standardised", "rank", "log-sigmoid-centred", "clipped:0,1"]


def findings_of(rewards, transform, *, kl=None):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        limit = klimit.frontier(rewards, kl=kl, transform=transform)
        best = klimit.best_of_n(limit.samples, limit=limit, transform=transform)
    return gather(limit, best, kl=kl, warnings=[str(warning.message) for warning in said])


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ARRAYS)
def test_every_report_can_be_written_drawn_and_read_back(name, transform):
    findings = findings_of(ARRAYS[name], transform)
    text = report(findings)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("\nNext: ") == 1
    assert "nan" not in text.lower()
    assert transform in header(findings)
    assert "Rewards are transformed, " in " ".join(legend(findings))
    written = json.loads(to_json(payload(findings, options={})))
    assert written["transform"] == written["best_of_n"]["transform"] == transform
    assert transform in draw(findings).axes[0].get_ylabel()


def test_the_raw_reward_goes_by_its_own_name():
    findings = findings_of(ARRAYS["gaussian"], "identity")
    assert "reward (" in header(findings)
    assert not any("transformed" in line for line in legend(findings))
    assert payload(findings, options={})["transform"] == "identity"


class TestRanksWithoutTies:
    def test_the_verdict_is_given_where_the_limit_is_as_good_as_reached(self):
        findings = findings_of(ARRAYS["gaussian"], "rank")
        assert verdict(findings)[0] == "At 6 nats any method can reach at most 0.999 (+0.499 [0.499, 0.499])."
        assert findings.limit.horizon > 100
        assert max(point.kl for point in findings.points) < 20
        assert draw(findings).axes[0].get_xlim()[1] < 20

    def test_the_legend_says_that_nothing_is_estimated(self):
        lines = " ".join(legend(findings_of(ARRAYS["gaussian"], "rank")))
        assert "No horizon: without ties the limit of ranks is known, at every KL." in lines
        assert "closed form" in lines
        assert "dual" not in lines
        # Negative control: with ties it is.
        lines = " ".join(legend(findings_of(ARRAYS["binary"], "rank")))
        assert "extrapolated dual" in lines
        assert "closed form" not in lines

    def test_budgets_asked_for_are_all_answered(self):
        findings = findings_of(ARRAYS["gaussian"], "rank", kl=[0.5, 40.0])
        assert [point.status for point in findings.points] == ["estimate", "estimate"]
        assert re.search(r"40.00 +\+0.500", report(findings))


def test_a_largest_reward_is_asked_for_only_where_it_would_help():
    asked = "--reward-max"
    few = np.random.default_rng(0).normal(size=(60, 16)).round(1)
    assert asked in report(findings_of(few, "identity"))
    for transform in ("clipped:-1,9", "standardised", "rank"):
        assert asked not in report(findings_of(few, transform))
