"""An audit in words: their order, and that they say no more than the numbers."""

import re
from dataclasses import replace

import numpy as np
import pytest
from report_audits import NAMES, audit_of, audit_quietly, audits_of, near, run_of, samples_of

from klimit.audits.result import Audits
from klimit.reports.audit.action import action
from klimit.reports.audit.findings import AuditFindings
from klimit.reports.audit.report import Report
from klimit.reports.audit.several import SeveralFindings, number_in, runs
from klimit.reports.audit.text import audit_report, cautions
from klimit.reports.audit.verdict import verdict
from klimit.reports.numbers import RewardFormat
from klimit.reports.values import Unit, share
from klimit.values import Value

NAN, INF = float("nan"), float("inf")


def said(audit):
    return " ".join(" ".join(verdict(AuditFindings(audit))).split())


def advice(audit):
    return action(AuditFindings(audit))


@pytest.mark.parametrize("name", NAMES)
def test_every_report_fits_80_columns_with_the_verdict_first_and_one_action_last(name):
    report = Report.of(audits_of(name))
    lines = report.text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("grpo: KL ")
    assert report.text.count("\nNext: ") == 1
    assert [line for line in lines if not line.startswith("  ")][-1].startswith("Next: ")
    assert all(line.count("[") == line.count("]") for line in lines)
    words = re.findall(r"\w+", report.text.lower())
    assert "nan" not in words
    assert "inf" not in words
    assert "none" not in words


def test_the_verdict_tells_kl_gain_parts_and_rival_in_this_order():
    audit = audit_of(
        "noisy", kl=near(3.1, 0.2), kl_estimator="rao-blackwellised", noise_floor=near(0.1), gain=near(0.31, 0.03),
        least_kl=near(0.5), wasted_kl=near(2.6), efficiency=Value(NAN, 0.46, 0.69), status="bracket",
        truncated=near(0.02), parts=None,
    )  # fmt: skip
    lines = verdict(AuditFindings(audit))
    assert lines[0] == "grpo: KL 3.10 [2.90, 3.30] nats per completion (Rao-Blackwellised; noise floor 0.10)"
    assert lines[1] == "Gain +0.310 [0.280, 0.340]: 46-69% of the limit. The same gain needs only 0.50 nats."
    assert lines[2] == "2% of completions truncated."
    assert re.fullmatch(r"Best-of-\d+ does better: \+0\.\d+ at \d\.\d+ nats\.", lines[3])


def test_parts_are_told_as_far_as_the_samples_tell_them_apart():
    resolved, unresolved = audit_of("noisy"), audit_of("continuous")
    assert resolved.parts.resolved
    assert not unresolved.parts.resolved
    assert re.search(r"\| shape [\d.]+ \| off-reward [\d.]+", said(resolved))
    assert "| shape + off-reward " in said(unresolved)
    table = audit_report(AuditFindings(unresolved))
    assert re.search(r"^  shape \(\?\) +", table, re.M)
    assert not re.search(r"^  shape \(\?\) +", audit_report(AuditFindings(resolved)), re.M)


def test_shape_and_off_reward_together_lie_within_what_kl_and_gain_leave():
    audit = audit_of("continuous")
    both = AuditFindings(audit).beside_the_point
    assert both.low <= both.estimate <= both.high
    assert both.estimate == pytest.approx(audit.parts.shape.estimate + audit.parts.off_reward.estimate)
    assert (
        both.high <= audit.wasted_kl.high - audit.parts.allocation.low + 1e-12 or both.high == both.estimate
    )


def test_a_part_that_was_not_seen_is_told_by_what_it_may_be():
    unit = Unit(RewardFormat(2))
    assert unit.part(Value(-0.04, -0.04, 0.12)) == "< 0.12"
    assert unit.part(Value(0.0, 0.0, 0.0)) == "0.00"
    assert unit.part(Value(0.04, 0.0, 0.12)) == "0.04"
    assert unit.part(Value(NAN, 0.1, 0.3)) == "0.10 to 0.30"
    assert unit.part(Value(-0.04, -0.04, INF)) == "unknown"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(0.58, 0.54, 0.62), "58% [54, 62]"),
        (Value(NAN, 0.46, 0.69), "46-69%"),
        (Value(NAN, 0.46, 1.0), "at least 46%"),
        (Value(NAN, -0.2, 0.3), "at most 30%"),
        (Value(NAN, 0.0, 1.0), "unknown"),
        (Value(0.9, -INF, INF), "90%, no interval"),
        (None, "-"),
    ],
)
def test_shares_say_what_is_known_of_them(value, text):
    assert share(value) == text


def test_a_gain_that_may_be_0_is_no_gain():
    audit = audit_of("permuted")
    assert audit.gain.low < 0 < audit.gain.high
    assert "which cannot be told from 0" in said(audit)
    assert "The same gain needs" not in said(audit)


def test_a_loss_is_called_one_and_no_share_of_the_limit():
    audit = audit_of("lost")
    assert re.search(r"Loss -0\.\d+ \[-0\.\d+, -0\.\d+\]\. The same loss needs", said(audit))
    assert "of the limit" not in said(audit)
    assert advice(audit).startswith("go back to an earlier checkpoint")


def test_beyond_the_horizon_the_share_is_a_range_and_the_least_kl_a_bound():
    audit = audit_of("far")
    assert audit.status == "bracket"
    assert re.search(r"(\d+-\d+%|at least \d+%) of the limit\.", said(audit))
    assert not audit.least_kl.known
    assert "The same gain needs at least " in said(audit)


def test_best_of_n_does_better_only_beyond_both_intervals():
    audit = audit_of("noisy")
    best = audit.best_of_n
    beaten = AuditFindings(audit_of("noisy", kl=near(3.0), gain=near(0.2))).rival
    i = list(best.n).index(beaten.n)
    assert beaten.better
    assert best.gain_low[i] > 0.21
    assert best.kl_high[i] < 2.99
    assert not (best.gain_low[:i] > 0.21).any(), "a smaller N would do"
    as_well = AuditFindings(audit_of("noisy", kl=near(3.0), gain=Value(0.2, 0.0, 0.9))).rival
    assert not as_well.better
    assert AuditFindings(audit_of("noisy", kl=near(0.01, 0.001), gain=near(0.01, 0.001))).rival is None


def test_the_table_holds_every_quantity_with_its_interval():
    audit = audit_of("noisy")
    table = audit_report(AuditFindings(audit))
    names = ("KL, nats", "  necessary", "  allocation", "  shape", "  off-reward", "wasted KL, nats", "gain",
             "win rate", "efficiency", "missing reward", "slope", "implied beta", "R2", "distance, nats")  # fmt: skip
    for name in names:
        assert re.search(rf"^{name}  +\S+ \[\S+, \S+\]  ", table, re.M), name
    assert "[95%]" in table
    assert "Intervals are about the population of prompts" in table
    assert "not a mean over tokens" in table


def test_an_efficient_policy_is_kept():
    audit = audit_of("tilted")
    assert audit.efficiency.low >= 0.9
    assert advice(audit).startswith("keep it: at its KL no method gains more than +0.")


def test_a_policy_that_may_be_on_the_limit_is_not_faulted():
    audit = audit_of("tilted", efficiency=Value(0.93, 0.8, 1.02), missing_reward=Value(0.02, -0.01, 0.05))
    assert advice(audit).startswith("keep it, or audit more prompts to be sure")


def test_best_of_n_is_advised_where_it_does_better_and_its_draws_are_named():
    audit = audit_of("noisy", kl=near(3.0), gain=near(0.2), efficiency=near(0.3))
    rival = AuditFindings(audit).rival
    assert advice(audit).startswith(f"use best-of-{rival.n} of the base policy, or train on its choices: +0.")
    assert advice(audit).endswith(f"at {rival.n} draws an answer.")


def test_drift_off_the_reward_asks_for_less_kl():
    audit = replace(audit_of("noisy"), best_of_n=_without_rivals(audit_of("noisy")))
    assert audit.parts.off_reward.low > 0.2 * audit.kl.high
    assert re.match(
        r"bring the KL down, \d\.\d+ of \d\.\d+ nats go to what the reward does not see", advice(audit)
    )


def test_badly_shared_kl_asks_for_one_beta():
    audit = audit_of("misallocated")
    parts = replace(audit.parts, allocation=Value(0.5, 0.4, 0.6), shape=near(0.0), off_reward=near(0.0))
    changed = replace(
        audit, kl=near(1.0), parts=parts, best_of_n=_without_rivals(audit), efficiency=near(0.7)
    )
    assert "give all prompts one beta, 0.50 of 1.00 nats go to the wrong ones" in advice(changed)
    assert "GRPO" in advice(changed)


def test_another_law_of_the_reward_asks_to_look_at_it():
    audit = audit_of("noisy")
    parts = replace(audit.parts, allocation=near(0.0), shape=Value(0.5, 0.4, 0.6), off_reward=near(0.0))
    changed = replace(
        audit, kl=near(1.0), parts=parts, best_of_n=_without_rivals(audit), efficiency=near(0.7)
    )
    assert advice(changed).startswith("look at the rewards within a prompt, 0.50 of 1.00 nats")


def test_no_part_is_blamed_that_may_be_small():
    audit = audit_of("noisy")
    unsure = Value(0.5, 0.05, 0.95)
    parts = replace(audit.parts, allocation=unsure, shape=near(0.0), off_reward=near(0.0))
    changed = replace(
        audit, kl=near(1.0), parts=parts, best_of_n=_without_rivals(audit), efficiency=near(0.7)
    )
    assert "no one cause stands out" in advice(changed)


def test_a_range_that_decides_nothing_asks_for_base_completions():
    assert re.match(
        r"sample more completions of the base policy \(16 a prompt, say\)",
        advice(audit_of("few completions")),
    )


def test_kl_within_the_noise_of_engines_asks_for_one_engine():
    audit = audit_of("two engines", kl=Value(0.05, 0.03, 0.07), noise_floor=Value(0.06, 0.05, 0.07))
    assert advice(audit).startswith("score both log-probabilities with one engine and dtype")
    assert not advice(audit_of("two engines", noise_floor=near(0.001, 0.0005))).startswith("score both")


def test_kl_that_may_be_0_asks_for_more_samples():
    audit = audit_of("weak", gain=near(0.1), kl=Value(0.01, -0.01, 0.03))
    assert advice(audit).startswith("sample more completions or prompts: the KL")
    assert "which cannot be told from 0" in said(audit)


def test_spending_without_a_gain_asks_whether_the_reward_was_the_one_trained():
    audit = audit_of("permuted")
    assert audit.efficiency.high < 0.25
    assert "the reward that training maximised" in advice(audit)


def test_too_few_prompts_ask_for_prompts():
    assert advice(audit_of("few prompts")) == "audit more prompts, 20 at least (6 now)."
    assert advice(audit_of("one prompt")) == "audit more prompts, 20 at least (1 now)."


def test_missing_log_probabilities_are_asked_for():
    assert "(columns logprob and ref_logprob)" in advice(audit_of("without log-probabilities"))
    assert "KL unknown" in said(audit_of("without log-probabilities"))


def test_one_column_under_two_names_is_suspected():
    same = audit_of("same")
    assert same.efficiency is None
    assert "KL 0: every completion is as likely" in said(same)
    assert advice(same).startswith("audit a trained policy: this one is its reference")
    policy, base = samples_of("noisy")
    copied = audit_quietly({"grpo": replace(policy, ref_logprob=policy.logprob)}, base)[0]
    assert advice(copied).startswith("check the log-probabilities")


def test_a_constant_reward_asks_to_check_it():
    assert advice(audit_of("constant")).startswith("check the reward: it never varies")


def test_idle_prompts_are_cautioned_about_only_where_an_average_gain_would_show():
    audit = audit_of("binary")
    idle = np.zeros(audit.n_prompts, dtype=bool)
    idle[:30] = True
    kl = np.where(idle, 5.0, 0.1)
    prompts = replace(audit.prompts, idle=idle, kl=kl, gain_error=np.full(audit.n_prompts, 0.01))
    changed = replace(audit, prompts=prompts)
    assert any(
        "30 of 100 prompts took 96% of the KL and show no gain" in line
        for line in cautions(AuditFindings(changed))
    )
    blurred = replace(prompts, gain_error=np.full(audit.n_prompts, 1.0))
    assert not any(
        "show no gain" in line for line in cautions(AuditFindings(replace(audit, prompts=blurred)))
    )


def test_many_truncated_completions_are_cautioned_about():
    lines = cautions(AuditFindings(audit_of("truncated")))
    assert any("cut at the token limit" in line for line in lines)
    few = audit_of("truncated", truncated=near(0.02))
    assert not any("cut at the token limit" in line for line in cautions(AuditFindings(few)))
    as_base = audit_of("truncated", base_truncated=near(0.35))
    assert not any("cut at the token limit" in line for line in cautions(AuditFindings(as_base)))


def test_runs_are_names_that_differ_by_a_growing_number():
    assert runs(["step=100", "step=200", "step=1000"]) == [[0, 1, 2]]
    assert runs(["a-100", "b-100", "a-200", "b-50"]) == [[0, 2]]
    assert runs(["grpo", "dpo", "step=3"]) == []
    assert runs(["run 50", "run 100"]) == [[0, 1]]
    assert runs(["epoch 1", "epoch 2", "epoch 3"]) == [[0, 1, 2]]
    assert number_in("run-2, step=300") == "300"
    assert number_in("grpo") == "grpo"


@pytest.mark.parametrize(
    "names",
    [
        ("grpo, beta 0.1", "grpo, beta 0.3"),
        ("ppo seed 10", "ppo seed 20"),
        ("judge_v1", "judge_v2"),
        ("qwen2", "qwen3"),
        ("best-of-10", "best-of-20"),
    ],
)
def test_policies_that_differ_by_a_setting_are_no_checkpoints_of_one_run(names):
    assert runs(names) == []


def test_the_best_checkpoint_is_the_cheapest_that_lacks_next_to_nothing():
    audits = run_of()
    findings = SeveralFindings(audits)
    assert findings.main.name == "step=200"
    assert findings.beyond is audits["step=400"]
    report = Report.of(audits)
    text = " ".join(report.text.split())
    assert report.text.startswith("Best of 4 checkpoints: step=200, gain +")
    assert re.search(
        r"After step=200, \S+ \[\S+, \S+\] more nats bought -?\S+ \[\S+, \S+\] until step=400\.", text
    )
    assert report.action.startswith("stop at step=200")
    assert max(map(len, report.text.splitlines())) <= 80


def test_a_trend_is_said_only_where_intervals_part():
    audits = run_of()
    first, last = (
        replace(audits[0], efficiency=near(0.9, 0.02)),
        replace(audits[3], efficiency=near(0.4, 0.02)),
    )
    told = Report.of(Audits((first, *audits[1:3], last))).verdict
    assert "Efficiency falls from 90% [88, 92] at step=100 to 40% [38, 42] at step=400." in told
    unsure = Report.of(Audits((replace(first, efficiency=near(0.9, 0.6)), *audits[1:3], last))).verdict
    assert not any(line.startswith("Efficiency") for line in unsure)


def test_what_later_checkpoints_bought_is_a_difference_prompt_by_prompt():
    audits = run_of()
    first, last = audits["step=200"], audits["step=400"]
    difference = np.mean(last.prompts.gain - first.prompts.gain)
    text = " ".join(Report.of(audits).text.split())
    assert f"more nats bought {difference:+.3f} [" in text.replace("−", "-")


def test_a_run_that_still_gains_is_not_stopped():
    audits = run_of()[:2]
    report = Report.of(audits)
    assert SeveralFindings(audits).main.name == "step=200"
    assert "stop" not in report.action
    assert "more nats bought" not in report.text


def test_policies_without_order_are_compared_with_the_one_of_most_gain():
    base = run_of()
    audits = Audits((replace(base["step=200"], name="small"), replace(base["step=300"], name="large")))
    report = Report.of(audits)
    assert report.text.startswith("Best of 2 policies: small")
    assert "Efficiency" not in report.text
    assert SeveralFindings(audits).run == []


def test_a_cheaper_policy_of_much_less_gain_is_not_the_best():
    audits = run_of()
    findings = SeveralFindings(Audits((audits["step=100"], audits["step=200"])))
    assert findings.main.name == "step=200"


def test_several_without_log_probabilities_are_told_by_gain_and_least_kl():
    policy, base = samples_of("noisy")
    bare = replace(policy, logprob=None, ref_logprob=None)
    report = Report.of(audit_quietly({"a": bare, "b": bare}, base))
    assert "KL unknown" in report.text
    assert re.search(r"^policy +gain \[95%\] +needs, nats$", report.text, re.M)
    assert "allocation" not in report.text


def test_cautions_of_several_are_said_once_with_their_policies():
    policy, base = samples_of("noisy")
    cut = replace(policy, truncated=np.random.default_rng(0).random(policy.n_completions) < 0.3)
    report = Report.of(audit_quietly({"cut": cut, "whole": policy, "cut-too": cut}, base))
    (line,) = [line for line in report.cautions if "token limit" in line]
    assert line.startswith("cut, cut-too: ")


def test_the_same_reports_come_out_of_lists_and_mappings():
    policy, base = samples_of("noisy")
    assert Report.of(audit_quietly({"grpo": policy}, base)).text == Report.of(audits_of("noisy")).text


def _without_rivals(audit):
    best = audit.best_of_n
    return replace(best, gain=best.gain - 9, gain_low=best.gain_low - 9, gain_high=best.gain_high - 9)
