"""A proxy in words: their order, and that they follow from the numbers, no more than the intervals support."""

import re
from dataclasses import replace

import numpy as np
import pytest
from report_proxies import HACKED, by_hand, hacked, hacking_of, scored

from klimit.reports.hacking.action import action
from klimit.reports.hacking.findings import HackingFindings, rounded_up
from klimit.reports.hacking.text import hacking_report, tilt_table
from klimit.reports.hacking.verdict import title, turn_sentence, verdict
from klimit.values import Value

UNKNOWN = (np.nan, 1.62, np.inf)


@pytest.mark.parametrize("name", HACKED)
def test_every_report_fits_80_columns_and_ends_with_one_action(name):
    text = hacking_report(hacked(name))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.count("[") == line.count("]") for line in lines)
    assert text.count("\nNext: ") == 1
    assert [line for line in lines if line and not line.startswith(" ")][-1].startswith("Next: ")
    assert not {"nan", "inf"} & set(re.findall(r"\w+", text.lower()))


@pytest.mark.parametrize("name", HACKED)
def test_the_title_is_two_short_lines(name):
    assert len(title(hacked(name)).splitlines()) == 2
    assert max(map(len, title(hacked(name)).splitlines())) <= 48


def test_a_threshold_known_on_both_sides_is_told_with_its_interval():
    text = turn_sentence(by_hand(threshold=(0.9, 0.6, 1.3), worse_than_base=UNKNOWN))
    assert text == "Optimising proxy helps gold up to 0.9 nats [0.60, 1.30] (best-of-N: up to N = 8)."


def test_beyond_which_kl_it_is_worse_than_the_base_model_is_certain_or_seems_so():
    known = {"threshold": (0.9, 0.6, 1.3), "worse_than_base": (1.4, 1.35, 1.5)}
    assert turn_sentence(by_hand(**known)).endswith(
        "; beyond 1.4 nats [1.35, 1.50] you are worse off than the base model."
    )
    known["worse_than_base"] = (1.4, 1.35, np.inf)
    assert turn_sentence(by_hand(**known)).endswith(
        "; beyond 1.4 nats you seem worse off than the base model."
    )


def test_a_threshold_without_an_upper_end_only_seems_to_be_there():
    text = turn_sentence(by_hand(threshold=(0.8, 0.46, np.inf), worse_than_base=UNKNOWN))
    assert "gold seems to turn down at 0.8 nats, not before 0.46" in text
    assert "do not show it for certain within" in text
    assert "helps gold up to" not in text
    again = turn_sentence(by_hand(threshold=(0.8, 0.0, np.inf), worse_than_base=UNKNOWN))
    assert "though it may from the start" in again


def test_without_a_threshold_the_horizon_is_what_is_known():
    horizon = hacked("heavy_error").found.horizon
    text = turn_sentence(by_hand(threshold=(np.nan, horizon, np.inf), worse_than_base=UNKNOWN))
    assert text == (
        f"Optimising proxy helps gold as far as the samples show: it does not turn down within {horizon:.2f} nats."
    )
    may = turn_sentence(by_hand(threshold=(np.nan, 0.7, np.inf), worse_than_base=UNKNOWN))
    assert may.endswith("by the estimate, but may from 0.7 nats on.")


@pytest.mark.parametrize("worlds", ["at_zero"])
def test_harm_from_the_start_is_certain_or_seems_so(worlds):
    assert turn_sentence(hacked(worlds)) == "Optimising proxy harms gold from the start."
    unsure = by_hand(worlds, threshold=(0.0, 0.0, 0.4))
    assert "seems to harm gold from the start; nothing shows that it helps" in turn_sentence(unsure)


def test_a_gain_that_cannot_be_told_from_0_is_no_help():
    found = hacked("heavy_error").found
    best = replace(found.best, gold_gain=Value(0.1, -0.1, 0.3))
    findings = HackingFindings(replace(found, gold_gain_low=np.full_like(found.kl, -1.0), best=best))
    assert not findings.helps
    assert verdict(findings)[0].startswith("Nothing shows that optimising proxy helps gold")
    assert action(findings).startswith("use best-of-8 by it, which does help")


def test_a_second_and_higher_peak_is_told():
    findings = hacked("two_peaks")
    assert findings.found.threshold.high < findings.found.best.kl.estimate
    assert "gold then rises again, to its highest at" in verdict(findings)[0]


def test_without_a_horizon_nothing_is_said_along_the_tilt_but_best_of_n_is():
    findings = hacked("few labels")
    text = hacking_report(findings)
    assert findings.found.horizon == 0
    assert "these samples show nothing of gold" in verdict(findings)[0]
    assert "Along the tilt by the proxy:" not in text
    assert "Best-of-N by the proxy:" in text
    assert re.match(r"label say [\d,]+ completions", action(findings))


def test_labels_for_a_part_are_counted_with_what_would_settle_the_threshold():
    # Half of the interval is the threshold itself: four times too much, so it takes sixteen times the labels.
    told = " ".join(
        hacking_report(by_hand("labelled", threshold=(0.5, 0.0, 1.0), labels_needed=51_200)).split()
    )
    assert "gold is known for 3,200 of 12,800 completions (25%); about 52,000 labels would settle" in told
    assert "to a quarter either way, so more prompts as well." in told
    open_end = by_hand("labelled", threshold=(0.5, 0.25, np.inf), labels_needed=12_800)
    assert "at least 13,000 labels would settle the threshold" in " ".join(hacking_report(open_end).split())
    none = " ".join(hacking_report(by_hand("labelled", threshold=UNKNOWN, labels_needed=None)).split())
    assert "gold is known for 3,200 of 12,800 completions (25%)." in none


@pytest.mark.parametrize(("count", "told"), [(7, 7), (99, 99), (101, 110), (14_234, 15_000), (0.2, 1)])
def test_numbers_of_labels_are_rounded_up_to_two_digits(count, told):
    assert rounded_up(count) == told


def test_the_rows_are_the_result_at_the_budgets_shown():
    findings = hacked("heavy_error")
    budgets = [row.kl for row in findings.rows]
    exact = hacking_of(scored("heavy_error"), kl=budgets)
    for name in ("beta", "proxy_gain"):
        assert [getattr(row, name) for row in findings.rows] == pytest.approx(getattr(exact, name), rel=1e-3)
    for end, suffix in (("estimate", ""), ("low", "_low"), ("high", "_high")):
        shown = [getattr(row.gold_gain, end) for row in findings.rows]
        assert shown == pytest.approx(getattr(exact, f"gold_gain{suffix}"), rel=2e-2, abs=5e-3)
    asked = HackingFindings(exact, asked=True)
    assert [row.gold_gain.estimate for row in asked.rows] == exact.gold_gain.tolist()


def test_budgets_beyond_the_horizon_have_no_estimate():
    findings = HackingFindings(hacking_of(scored("heavy_error"), kl=[0.5, 9.0]), asked=True)
    assert tilt_table(findings)[-1].split()[:4] == ["9.00", "-", "-", "-"]


def test_actions_follow_what_is_certain():
    assert action(hacked("at_zero")).startswith(
        "do not optimise this proxy. If lower values of proxy are better"
    )
    assert action(hacked("never")).startswith("optimise up to ")
    assert action(hacked("few prompts")) == "score more prompts, 20 at least (6 now)."
    assert action(hacked("two_peaks")).startswith("use best-of-6 by proxy, or train on its rank")
    settled = by_hand("binary", threshold=(0.9, 0.8, 1.0))
    assert re.match(
        r"stop at 0\.9 nats \(beta 0\.\d+\) or at best-of-8 \(1\.\d+ nats\): beyond 1\.00 nats gold falls",
        action(settled),
    )
    unsettled = by_hand("binary", threshold=(0.9, 0.45, 1.35))
    assert action(unsettled).endswith("score about 400 prompts (100 now) to know the threshold to a quarter.")
    likely = by_hand("binary", threshold=(0.9, 0.45, np.inf))
    assert action(likely).startswith("stop at 0.45 nats")
    assert "score at least 400 prompts" in action(likely)


def test_a_copy_of_gold_is_noted():
    assert "'proxy' and 'gold' are equal on every labelled completion" in hacking_report(hacked("copy"))


@pytest.mark.parametrize("name", ["large", "small"])
def test_the_unit_of_the_rewards_changes_no_kl(name):
    plain = hacking_of(scored("ragged"))
    assert np.isfinite(plain.best_of_n.gold_gain).all()
    one, other = (hacked(which).found for which in ("large", "small"))
    assert one.threshold.low == pytest.approx(other.threshold.low)
    assert one.horizon == pytest.approx(other.horizon)
