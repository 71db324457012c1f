"""Audits as JSON and CSV hold what Python holds, null where it is not known."""

import csv
import io
import json

import numpy as np
import pytest
from report_audits import NAMES, audit_of, audits_of, run_of

from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.payload import audits_payload
from klimit.reports.audit.prompts import prompts_csv
from klimit.reports.frontier.findings import gather
from klimit.reports.frontier.payload import payload, to_json


def written(audits):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(to_json(audits_payload(audits, options={"seed": 0})), parse_constant=refuse)


@pytest.mark.parametrize("name", NAMES)
def test_every_audit_is_strict_json_with_a_verdict_and_an_action(name):
    content = written(audits_of(name))
    (policy,) = content["policies"]
    for part in (content, policy):
        assert part["verdict"]
        assert part["action"]
        assert "\ue000" not in part["verdict"]
    assert policy["name"] == "grpo"
    assert content["options"] == {"seed": 0}


@pytest.mark.parametrize("name", NAMES)
def test_every_quantity_of_the_result_is_there(name):
    audit = audits_of(name)[0]
    (policy,) = written(audits_of(name))["policies"]
    flat = {**policy, **(policy["parts"] or {}), **(policy["regression"] or {})}
    for quantity, value in audit.values.items():
        ends = {"estimate": value.estimate, "low": value.low, "high": value.high}
        assert flat[quantity] == {key: x if np.isfinite(x) else None for key, x in ends.items()}, quantity
    for quantity in ("kl", "efficiency", "noise_floor", "distance"):
        assert (policy[quantity] is None) == (getattr(audit, quantity) is None)


def test_parts_say_whether_they_are_resolved_and_their_sum():
    (policy,) = written(audits_of("continuous"))["policies"]
    both = AuditFindings(audit_of("continuous")).beside_the_point
    assert policy["parts"]["resolved"] is False
    assert policy["parts"]["shape_and_off_reward"]["estimate"] == both.estimate


def test_the_limit_is_that_of_a_report_on_it_alone():
    audits = run_of()
    content = written(audits)
    alone = json.loads(to_json(payload(gather(audits.limit, audits.best_of_n), options={})))
    for name in ("kl", "gain", "gain_low", "gain_high", "horizon", "saturation", "n_prompts"):
        assert content["limit"][name] == alone[name], name
    assert content["best_of_n"] == alone["best_of_n"]
    assert "verdict" not in content["limit"]
    assert len(content["policies"]) == 4


def test_rivals_are_named_with_what_they_get():
    (policy,) = written(audits_of("noisy"))["policies"]
    rival = AuditFindings(audit_of("noisy")).rival
    assert policy["rival"] == {"n": rival.n, "kl": rival.kl, "gain": rival.gain, "better": rival.better}
    assert written(audits_of("tilted"))["policies"][0]["rival"] is None


def test_idle_prompts_are_listed_with_their_share_of_the_kl():
    audit = audit_of("noisy")
    (policy,) = written(audits_of("noisy"))["policies"]
    idle = audit.prompts.idle
    assert policy["idle"]["prompt_ids"] == audit.prompts.prompt_id[idle].tolist()
    assert policy["idle"]["share_of_kl"] == pytest.approx(
        audit.prompts.kl[idle].sum() / audit.prompts.kl.sum()
    )


def test_csv_leaves_unknown_cells_empty_and_holds_infinite_ones():
    audits = audits_of("without log-probabilities")
    rows = list(csv.DictReader(io.StringIO(prompts_csv(audits))))
    table = audits[0].prompts
    assert len(rows) == audits[0].n_prompts
    assert {row["kl"] for row in rows} == {""}
    assert [float(row["gain"]) for row in rows] == table.gain.tolist()
    assert [float(row["least_kl"]) for row in rows] == table.least_kl.tolist()
    assert {row["idle"] for row in rows} == {"false"}
