"""Figures of audits draw their numbers; nothing global changes."""

from dataclasses import replace
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from report_audits import NAMES, audit_of, audits_of, near, run_of

from klimit.audits.result import Audits
from klimit.errors import InputError
from klimit.reports.audit.bars import draw_parts, plot_parts
from klimit.reports.audit.figure import draw_audits, plot_audits
from klimit.reports.axes import figure_bytes
from klimit.values import Value


def lines(axes, label):
    return [line for line in axes.get_lines() if line.get_label() == label]


def errorbars(axes):
    return {container.get_label(): container for container in axes.containers}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def named(audits, *names):
    return Audits(tuple(replace(audit, name=name) for audit, name in zip(audits, names, strict=True)))


def test_a_policy_is_a_point_with_both_intervals():
    audit = audit_of("noisy")
    container = errorbars(plot_audits(audit))["grpo"]
    kl, gain = (array[0] for array in container.lines[0].get_data())
    assert (kl, gain) == (audit.kl.estimate, audit.gain.estimate)
    across, up = (bars.get_segments()[0] for bars in container.lines[2])
    assert across[:, 0] == pytest.approx([audit.kl.low, audit.kl.high])
    assert up[:, 1] == pytest.approx([audit.gain.low, audit.gain.high])


def test_the_waste_is_drawn_back_to_the_limit_at_the_same_gain():
    audit = audit_of("noisy")
    axes = plot_audits(audit)
    (waste,) = lines(axes, "wasted KL")
    kl, gain = waste.get_data()
    assert list(kl) == [audit.least_kl.estimate, audit.kl.estimate]
    assert set(gain) == {audit.gain.estimate}
    limit_kl, limit_gain = lines(axes, "limit")[0].get_data()
    assert np.interp(kl[0], limit_kl, limit_gain) == pytest.approx(audit.gain.estimate, rel=0.02)


def test_checkpoints_are_joined_in_order_and_waste_is_drawn_for_the_last_alone():
    audits = run_of()
    axes = plot_audits(audits)
    (run,) = lines(axes, "run")
    assert list(run.get_xdata()) == [audit.kl.estimate for audit in audits]
    assert len(lines(axes, "wasted KL")) == 1
    assert {"step=100", "step=400"} <= set(texts(axes))
    assert any(note.arrow_patch is not None for note in axes.texts if hasattr(note, "arrow_patch"))


def test_policies_that_are_no_run_are_not_joined():
    axes = plot_audits(named(run_of(), "a", "b", "c", "d"))
    assert not lines(axes, "run")
    assert {"a", "b", "c", "d"} <= set(texts(axes))


def test_a_policy_of_unknown_kl_is_marked_as_such():
    axes = plot_audits(audit_of("without log-probabilities"))
    assert "grpo (KL unknown)" in texts(axes)
    (container,) = (box for name, box in errorbars(axes).items() if name == "grpo")
    assert container.lines[0].get_marker() == ">"
    assert not lines(axes, "wasted KL")


def test_policies_far_beyond_what_is_known_are_drawn_by_the_root_of_the_kl():
    near_audit = audit_of("noisy")
    far = replace(near_audit, name="far", kl=near(40.0, 2.0))
    axes = plot_audits(Audits((near_audit, far)))
    assert axes.get_xlim()[1] > 42
    assert "root scale" in axes.get_xlabel()
    horizon = near_audit.limit.horizon
    place = axes.transAxes.inverted().transform(axes.transData.transform((horizon, 0.0)))[0]
    assert place == pytest.approx(np.sqrt(horizon / axes.get_xlim()[1]))
    assert place > 0.15
    assert list(axes.get_xticks()) == sorted(axes.get_xticks())
    assert plot_audits(near_audit).get_xscale() == "linear"


def test_losses_and_large_gains_lie_within_the_axes():
    low = plot_audits(audit_of("lost"))
    assert low.get_ylim()[0] < audit_of("lost").gain.low
    high = plot_audits(audit_of("noisy", gain=near(5.0, 0.5)))
    assert high.get_ylim()[1] > 5.5


@pytest.mark.parametrize("name", NAMES)
def test_odd_audits_can_be_drawn(name):
    audits = audits_of(name)
    for figure in (draw_audits(audits), draw_parts(audits)):
        assert figure_bytes(figure, "x.png").startswith(b"\x89PNG")
        (axes,) = figure.axes
        assert axes.get_title(loc="left")


@pytest.mark.parametrize("which", ["one", "run", "three"])
def test_labels_do_not_cover_each_other_and_stay_in_the_figure(which):
    audits = {
        "one": audits_of("noisy"),
        "run": run_of(),
        "three": named(run_of()[1:], "grpo-b0.04", "dpo", "rloo"),
    }
    figure = draw_audits(audits[which])
    figure.canvas.draw()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) >= 5
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width


def test_a_right_end_that_is_none_is_refused_and_one_given_is_kept():
    with pytest.raises(InputError, match="kl_max"):
        plot_audits(audit_of("noisy"), kl_max=0)
    assert plot_audits(audit_of("noisy"), kl_max=3.0).get_xlim() == (0, 3.0)


def test_plot_of_the_result_is_the_same_figure():
    from matplotlib.figure import Figure

    left, right = Figure().subplots(1, 2)
    assert audit_of("noisy").plot(left) is left
    assert run_of().plot(right, best_of_n=False) is right
    assert "best-of-N" not in errorbars(right)


def test_parts_are_stacked_to_the_kl_and_told_apart_without_colour():
    audits = Audits((audit_of("noisy"), replace(audit_of("misallocated"), name="other")))
    axes = plot_parts(audits)
    bars = [
        patch for container in axes.containers if hasattr(container, "patches") for patch in container.patches
    ]
    by_row = {round(bar.get_y() + bar.get_height() / 2): [] for bar in bars}
    for bar in bars:
        by_row[round(bar.get_y() + bar.get_height() / 2)].append(bar)
    for row, audit in enumerate(audits):
        parts = [
            getattr(audit.parts, name).estimate for name in ("necessary", "allocation", "shape", "off_reward")
        ]
        widths = [bar.get_width() for bar in by_row[row]]
        assert sum(widths) == pytest.approx(sum(max(part, 0) for part in parts))
    looks = {(bar.get_hatch(), bar.get_facecolor()) for bar in bars}
    assert len({hatch for hatch, _ in looks}) == len(looks)


def test_unresolved_parts_are_one_segment_and_unknown_ones_a_segment_of_their_own():
    def legend(audit):
        figure = plot_parts(audit).figure
        return [text.get_text() for text in figure.legends[0].get_texts()]

    assert "shape + off-reward" in legend(audit_of("continuous"))
    assert "other law of the reward (shape)" not in legend(audit_of("continuous"))
    parts = replace(
        audit_of("noisy").parts, necessary=Value(np.nan, 0.1, 1.0), allocation=Value(np.nan, 0.0, 0.9),
        shape=near(0.0), off_reward=near(0.1),
    )  # fmt: skip
    assert "cannot be told" in legend(audit_of("noisy", parts=parts, kl=near(1.1)))


def test_a_bar_without_a_kl_says_so():
    assert "KL unknown" in texts(plot_parts(audit_of("without log-probabilities")))


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(kind):
    for draw in (draw_audits, draw_parts):
        assert figure_bytes(draw(run_of()), f"x.{kind}") == figure_bytes(draw(run_of()), f"x.{kind}")


def test_global_settings_stay_as_they_are():
    before = dict(matplotlib.rcParams)
    figure_bytes(draw_audits(run_of()), "x.svg")
    figure_bytes(draw_parts(run_of()), "x.svg")
    assert dict(matplotlib.rcParams) == before
