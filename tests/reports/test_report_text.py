"""The report in words: its order, and that its words follow from its numbers."""

import re

import numpy as np
import pytest
from report_findings import ARRAYS, findings_of

from klimit.reports.frontier.findings import round_down
from klimit.reports.frontier.text import report
from klimit.reports.frontier.verdict import action, title, verdict


def test_every_report_fits_80_columns_and_ends_with_one_action(any_findings):
    text = report(any_findings)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.count("[") == line.count("]") for line in lines)
    assert text.count("\nNext: ") == 1
    assert [line for line in lines if not line.startswith("  ")][-1].startswith("Next: ")
    assert "nan" not in text.lower()
    assert "inf" not in re.findall(r"\w+", text.lower())


def test_the_verdict_precedes_the_tables(any_findings):
    text = report(any_findings)
    assert text.index(verdict(any_findings)[0][:20]) < text.index("\nKL, nats")


def test_a_verdict_within_the_horizon_bounds_any_method_and_credits_best_of_n():
    findings = findings_of(ARRAYS["gaussian"])
    limit, best, i = findings.limit, findings.best, findings.pick
    first, second = verdict(findings)
    assert findings.main.kl == round_down(limit.horizon) <= limit.horizon
    assert "any method can reach at most" in first
    assert best.kl[i] <= limit.horizon
    assert i == len(best) - 1 or best.kl[i + 1] > limit.horizon
    assert second.startswith(f"Best-of-{best.n[i]} gets +{best.gain[i]:.2f}")
    assert "of the limit there" in second


def test_without_a_horizon_the_verdict_says_what_best_of_n_shows():
    findings = findings_of(ARRAYS["few completions"])
    assert findings.limit.horizon == 0
    assert "is at least" in verdict(findings)[0]
    assert "too few for an estimate at any KL" in verdict(findings)[0]
    assert "or more" in title(findings)
    assert action(findings) == "sample at least 16 completions for every prompt (the fewest now: 3)."


def test_a_largest_reward_closes_the_bounds():
    findings = findings_of(np.clip(ARRAYS["few completions"], 0, 1), reward_max=1.0)
    assert re.search(r"lies between 0\.\d+ and 1\.\d+", verdict(findings)[0])


def test_constant_rewards_say_so_and_ask_to_check_the_reward():
    findings = findings_of(ARRAYS["constant"])
    assert "the same reward" in verdict(findings)[0]
    assert action(findings).startswith("check the reward")


def test_few_prompts_ask_for_prompts():
    assert action(findings_of(ARRAYS["one prompt"])) == "sample more prompts, 20 at least (1 now)."


def test_a_budget_beyond_the_horizon_asks_for_completions():
    findings = findings_of(ARRAYS["gaussian"], kl=[0.5, 1.5])
    assert findings.main.kl == 0.5
    assert re.match(r"sample about \d+ times as many completions a prompt \(\d+\)", action(findings))
    assert action(findings).endswith("to see the limit at 1.5 nats.")


def test_a_budget_out_of_reach_is_not_promised():
    assert action(findings_of(ARRAYS["gaussian"], kl=[20.0])).startswith("ask for budgets near")


def test_efficient_best_of_n_is_recommended_and_inefficient_is_not():
    assert action(findings_of(ARRAYS["small"])).startswith("use best-of-N")
    findings = findings_of(ARRAYS["exponential"])
    assert findings.best.efficiency[findings.pick] < 0.9
    assert action(findings).startswith("training may pay")


def test_prompts_that_never_and_always_pass_are_counted():
    rewards = ARRAYS["binary"].copy()
    rewards[rewards.mean(axis=1).argsort()[-2:]] = 1
    findings = findings_of(rewards)
    rewards = rewards.mean(axis=1)
    never = (rewards == 0).sum()
    assert never > 1
    assert f"; {never} prompts never pass, 2 prompts always pass" in " ".join(report(findings).split())
    assert list(findings.below_max) == list(np.flatnonzero(rewards == 0))
    assert f"! {never} of 60 prompts never pass" in report(findings)


def test_prompts_that_never_vary_are_counted():
    rewards = ARRAYS["gaussian"].copy()
    rewards[:3] = 0.5
    assert "3 prompts never vary" in " ".join(report(findings_of(rewards)).split())


def test_a_per_prompt_budget_is_named():
    findings = findings_of(ARRAYS["gaussian"], budget="per-prompt")
    assert "on every prompt any method" in verdict(findings)[0]
    assert "per completion, on every prompt" in report(findings)


def test_intervals_name_their_level_and_target():
    text = report(findings_of(ARRAYS["gaussian"], level=0.9, target="these-prompts"))
    assert "limit gain [90%]" in text
    assert "[90%] intervals: for these prompts" in text


def test_rows_of_best_of_n_are_thinned_to_seven_with_the_largest_and_the_one_spoken_of():
    findings = findings_of(np.random.default_rng(0).normal(size=(30, 4096)))
    sizes = [int(n) for n in re.findall(r"^(\d+) +[\d.]+ +\+", report(findings).split("N   ")[-1], re.M)]
    assert len(sizes) <= 7
    assert sizes[-1] == 4096
    assert findings.best.n[findings.pick] in sizes


@pytest.mark.parametrize(("kl", "budget"), [(1.73, 1.5), (1.0, 1.0), (0.27, 0.25), (0.004, 0.004), (40, 32)])
def test_budgets_are_rounded_down(kl, budget):
    assert round_down(kl) == budget
