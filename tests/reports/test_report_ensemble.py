"""An ensemble in words, figure and JSON: no more than the intervals support."""

import json
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from report_proxies import MEMBERS, members

import klimit
from klimit.errors import InputError
from klimit.reports.axes import figure_bytes
from klimit.reports.ensemble.figure import draw_ensemble, plot_ensemble
from klimit.reports.ensemble.findings import EnsembleFindings
from klimit.reports.ensemble.members import plot_members, plot_thresholds
from klimit.reports.ensemble.payload import ensemble_payload
from klimit.reports.ensemble.text import ensemble_report, hacking_table
from klimit.reports.ensemble.verdict import action, shared_sentence, title, verdict, worth_sentence
from klimit.reports.frontier.payload import to_json
from klimit.samples import Samples
from klimit.values import Value

pytestmark = pytest.mark.filterwarnings("ignore::klimit.errors.KlimitWarning")


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def judged(findings, **values):
    """The same findings with some values put in by hand."""
    other = EnsembleFindings(findings.found, findings.hacked)
    for name, value in values.items():
        other.__dict__[name] = Value(*value) if isinstance(value, tuple) else value
    return other


@pytest.mark.parametrize("name", MEMBERS)
def test_every_report_fits_80_columns_and_ends_with_one_action(name):
    text = ensemble_report(members(name))
    rows = text.splitlines()
    assert max(map(len, rows)) <= 80
    assert text.count("\nNext: ") == 1
    assert [line for line in rows if line and not line.startswith(" ")][-1].startswith("Next: ")
    assert not {"nan", "inf"} & set(re.findall(r"\w+", text.lower()))


def test_long_names_are_cut_only_where_the_table_needs_it():
    found = members("without subsets").found
    names = {name: f"reward_model_of_a_rather_long_name_{name}" for name in found.proxies}
    rewards = {names.get(name, name): values for name, values in found.samples.rewards.items()}
    samples = replace(found.samples, rewards=rewards)
    text = ensemble_report(EnsembleFindings(replace(found, proxies=tuple(names.values()), samples=samples)))
    table = text.split("\n\n")[1].splitlines()
    assert max(map(len, table)) <= 80
    assert table[1].startswith("reward_mod...")
    assert "+0.0" in table[1]


def test_worth_is_told_only_where_the_paired_difference_is_certain():
    surely = worth_sentence(judged(members("shared"), advantage=(0.1, 0.02, 0.2)))
    assert re.match(
        r"The mean of 4 proxies is worth 1\.\d+ of the best one: correlation with gold 0\.\d\d \[", surely
    )
    worse = worth_sentence(judged(members("shared"), advantage=(-0.1, -0.2, -0.02)))
    assert "is worth only" in worse
    unsure = worth_sentence(judged(members("shared"), advantage=(0.1, -0.02, 0.2)))
    assert "cannot be told from the best one" in unsure


def test_the_paired_difference_is_that_of_the_columns_themselves():
    findings = members("shared")
    found, gold = findings.found, findings.found.samples.rewards["gold"]
    prompts = np.repeat(np.arange(found.samples.n_prompts), found.samples.counts)

    def pooled(column):
        both = np.stack([column, gold])
        means = np.stack([np.bincount(prompts, weights=one) for one in both]) / np.bincount(prompts)
        covariance = np.cov(both - means[:, prompts])
        return covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])

    best = max(range(4), key=lambda k: found.errors.correlation[k].estimate)
    difference = pooled(found.reward) - pooled(found.standardised[best])
    assert findings.advantage.estimate == pytest.approx(difference, abs=1e-9)
    assert findings.best_member == best


def test_a_member_far_better_than_the_rest_is_better_alone():
    findings = members("unequal")
    assert findings.advantage.high < 0
    assert action(findings) == "use proxy_1 alone: the others take from it more than they give."


def test_the_shared_part_of_the_mean_follows_from_floor_and_rest():
    findings = members("shared")
    errors = findings.found.errors
    floor, rest = errors.floor.estimate, errors.rest.estimate
    assert findings.shared.estimate == pytest.approx(floor / (floor + rest / 4))
    low = errors.shared.low
    assert findings.shared.low == pytest.approx(low / (low + (1 - low) / 4))
    text = shared_sentence(findings)
    assert f"by at most {100 * (1 - findings.shared.low):.0f}%" in text
    assert f"{100 * findings.shared.estimate:.0f}% [" in text


def test_independent_errors_are_not_said_to_be_shared():
    findings = members("independent")
    assert not findings.shares
    assert not findings.blind
    assert "Nothing shows that they share an error" in " ".join(verdict(findings))
    assert "shared" not in title(findings)
    assert action(findings).startswith("add members of this kind")


def test_shared_errors_are_said_to_be_and_that_agreement_hides_them():
    findings = members("shared")
    agreed, raw = findings.found.collocation.mean_correlation, findings.raw_correlation
    assert agreed.low > raw.high
    assert f"would claim a correlation of {agreed.estimate:.2f}" in " ".join(verdict(findings))
    assert action(findings).startswith("add a proxy of another kind")


def test_members_in_the_order_of_the_others_are_not_opposed_and_turned_ones_are():
    samples = members("shared").found.samples
    assert members("shared").opposed == {}
    turned = replace(samples, rewards={**samples.rewards, "proxy_2": -samples.rewards["proxy_2"]})
    found = klimit.ensemble(turned, proxies=["proxy_1", "proxy_2", "proxy_3"], name="e")
    opposed = EnsembleFindings(found).opposed
    assert list(opposed) == ["proxy_2"]
    assert opposed["proxy_2"].high < 0


def test_without_gold_the_agreement_is_told_and_labels_are_asked_for():
    text = ensemble_report(members("without gold"))
    assert text.startswith("By agreement alone, the mean of 4 proxies has correlation")
    assert "blind to errors that they share" in text
    assert action(members("without gold")).startswith(
        "label 16 completions of each prompt with gold (1,920 labels)"
    )


def test_the_table_by_members_has_the_means_over_subsets():
    findings = members("shared")
    rows = [line for line in hacking_table(findings) if re.match(r"\d  ", line)]
    assert [row.split("  ")[0] for row in rows] == ["1", "2", "3", "4"]
    mean, least, most = findings.hacked.best_n_gain
    assert f"+{mean[1]:.2f} ({least[1]:.2f} to {most[1]:.2f})" in rows[1]
    assert "2 of 6" in rows[1]


def test_the_figure_draws_the_correlations_and_their_ceiling():
    findings = members("shared")
    law = findings.found.errors.law
    drawn = lines(plot_ensemble(findings.found))
    assert np.array_equal(drawn["measured"].get_ydata(), law.correlation)
    assert drawn["ceiling"].get_ydata()[0] == pytest.approx(findings.found.errors.ceiling.estimate)
    assert drawn["agreement"].get_ydata()[0] == findings.found.collocation.mean_correlation.estimate
    assert "agreement" not in lines(plot_ensemble(members("independent").found))
    at = np.interp(law.size, *drawn["law"].get_data())
    assert at == pytest.approx(law.law_correlation, abs=1e-3)


def test_the_figure_by_members_draws_means_and_the_interval_of_the_whole():
    hacked = members("shared").hacked
    drawn = lines(plot_members(hacked))
    assert np.array_equal(drawn["best-of-N"].get_ydata(), hacked.best_n_gain[0])
    assert np.array_equal(drawn["gap"].get_ydata(), hacked.gap[0])
    whole = hacked.subsets[-1][0].best_n.gold_gain
    assert list(drawn["interval"].get_ydata()) == [whole.low, whole.high]


def test_thresholds_are_drawn_where_they_are_known():
    hacked = members("shared").hacked
    known = [
        tuple(replace(one, threshold=Value(0.3 * len(one.members), 0.1, np.inf)) for one in same)
        for same in hacked.subsets
    ]
    all_known = replace(hacked, subsets=tuple(known))
    drawn = lines(plot_thresholds(all_known))["threshold"]
    assert drawn.get_ydata() == pytest.approx([0.3, 0.6, 0.9, 1.2])
    figure = draw_ensemble(EnsembleFindings(members("shared").found, all_known))
    assert len(figure.axes) == 3
    assert "0.30" in hacking_table(EnsembleFindings(members("shared").found, all_known))[-4]


@pytest.mark.parametrize("name", MEMBERS)
def test_every_ensemble_can_be_drawn_with_labels_apart(name):
    figure = draw_ensemble(members(name))
    assert figure_bytes(figure, "x.png").startswith(b"\x89PNG")
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        for one, other in combinations(boxes, 2):
            assert not one.overlaps(other)


def test_without_gold_every_member_is_drawn_with_its_interval():
    agreed = members("without gold").found.collocation
    axes = plot_ensemble(members("without gold").found)
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "mean of all"
    points = [line.get_xdata()[0] for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert points == [one.estimate for one in (*agreed.correlation, agreed.mean_correlation)]


def test_nothing_to_draw_is_refused():
    samples = Samples.from_array(np.random.default_rng(0).normal(size=(40, 8)), name="a")
    two = samples.with_reward("b", np.random.default_rng(1).normal(size=320))
    findings = EnsembleFindings(klimit.ensemble(two, proxies=["a", "b"]))
    for draw in (lambda: draw_ensemble(findings), lambda: plot_ensemble(findings.found)):
        with pytest.raises(InputError, match="nothing to draw"):
            draw()


@pytest.mark.parametrize("name", MEMBERS)
def test_json_is_strict_and_holds_the_result(name):
    findings = members(name)
    content = json.loads(to_json(ensemble_payload(findings, options={})), parse_constant=pytest.fail)
    found = findings.found
    assert content["proxies"] == list(found.proxies)
    if found.errors is not None:
        assert content["errors"]["floor"]["estimate"] == found.errors.floor.estimate
        assert content["advantage"]["low"] == findings.advantage.low
    if findings.hacked is not None:
        assert content["hacking_by_members"]["kl"] == findings.hacked.kl
    assert content["action"] == action(findings)
