"""The figure of a proxy draws the numbers of the result; nothing global changes."""

import subprocess
import sys
from dataclasses import replace
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from report_proxies import HACKED, hacked, hacking_of, scored

import klimit
from klimit.errors import InputError
from klimit.reports.axes import figure_bytes
from klimit.reports.hacking.figure import draw_hacking, plot_hacking

FOUND = hacked("heavy_error").found


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_gold_is_drawn_from_the_base_policy_to_the_horizon():
    kl, gold = lines(plot_hacking(FOUND))["gold"].get_data()
    assert (kl[0], gold[0]) == (0, 0)
    assert kl[-1] == FOUND.horizon
    assert np.array_equal(gold[1:], FOUND.gold_gain)


def test_the_band_is_the_interval():
    (band,) = (area for area in plot_hacking(FOUND).collections if area.get_label() == "interval")
    vertices = band.get_paths()[0].vertices
    edge = vertices[np.isclose(vertices[:, 0], FOUND.horizon)][:, 1]
    assert (edge.min(), edge.max()) == pytest.approx((FOUND.gold_gain_low[-1], FOUND.gold_gain_high[-1]))


def test_the_proxy_is_drawn_to_its_own_scale_at_the_right():
    axes = plot_hacking(FOUND)
    (right,) = (other for other in axes.figure.axes if other is not axes)
    kl, drawn = lines(axes)["proxy"].get_data()
    pixels = axes.transData.transform(np.column_stack([kl, drawn]))[1:]
    values = right.transData.inverted().transform(pixels)[:, 1]
    assert values == pytest.approx(FOUND.proxy_gain)
    assert right.get_ylabel() == "gain in proxy"


def test_both_scales_have_their_zero_at_one_height():
    axes = plot_hacking(FOUND)
    (right,) = (other for other in axes.figure.axes if other is not axes)
    heights = [one.transData.transform((0, 0))[1] for one in (axes, right)]
    assert heights[0] == pytest.approx(heights[1])


@pytest.mark.parametrize("name", ["heavy_error", "binary"])
def test_the_threshold_is_marked_with_its_interval(name):
    found = hacked(name).found
    drawn = lines(plot_hacking(found))
    threshold = found.threshold
    assert list(drawn["threshold"].get_xdata()) == [threshold.estimate] * 2
    right = min(threshold.high, found.horizon)
    assert list(drawn["threshold's interval"].get_xdata()) == [threshold.low, right]
    assert ("unbounded" in drawn) == (not np.isfinite(threshold.high))


def test_where_gold_does_not_turn_no_threshold_is_marked():
    for name in ("never", "at_zero", "few labels"):
        assert "threshold" not in lines(plot_hacking(hacked(name).found))


def test_best_of_n_is_drawn_with_its_intervals_and_labelled():
    axes = plot_hacking(FOUND)
    (container,) = axes.containers
    kl, gold = container.lines[0].get_data()
    shown = FOUND.best_of_n.setting > 1
    assert np.array_equal(kl, FOUND.best_of_n.kl[shown])
    assert np.array_equal(gold, FOUND.best_of_n.gold_gain[shown])
    tops = [segment[:, 1].max() for segment in container.lines[2][0].get_segments()]
    assert tops == pytest.approx(FOUND.best_of_n.gold_gain_high[shown])
    assert any(text.startswith("best-of-") for text in texts(axes))
    assert not plot_hacking(FOUND, best_of_n=False).containers


def test_the_limit_of_gold_is_drawn_and_may_leave_the_axes():
    axes = plot_hacking(FOUND)
    _, limit = lines(axes)["gold limit"].get_data()
    known = np.isfinite(FOUND.gold_limit)
    assert np.array_equal(limit[1:], FOUND.gold_limit[known])
    assert axes.get_ylim()[1] >= np.nanmax(FOUND.gold_gain_high)
    assert "gold limit" not in lines(plot_hacking(hacked("labelled").found))


@pytest.mark.parametrize("name", HACKED)
def test_odd_samples_can_be_drawn(name):
    figure = draw_hacking(hacked(name))
    assert figure_bytes(figure, "x.png").startswith(b"\x89PNG")
    assert figure.axes[0].get_title(loc="left")
    assert ("gold" in lines(figure.axes[0])) == (hacked(name).found.horizon > 0)


@pytest.mark.parametrize("name", ["heavy_error", "never", "binary", "at_zero"])
def test_labels_do_not_cover_each_other_and_stay_in_the_figure(name):
    figure = draw_hacking(hacked(name))
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) >= 4
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width


def test_given_axes_are_drawn_on_with_the_right_end_asked_for():
    from matplotlib.figure import Figure

    _, right = Figure().subplots(1, 2)
    assert plot_hacking(FOUND, ax=right, kl_max=0.5) is right
    assert right.get_xlim() == (0, 0.5)
    assert FOUND.plot(kl_max=1.0).get_xlim() == (0, 1.0)


def test_few_budgets_can_be_drawn():
    few = hacking_of(scored("heavy_error"), kl=[0.5, 99.0])
    assert len(lines(few.plot())["gold"].get_xdata()) == 2
    assert figure_bytes(hacking_of(scored("heavy_error"), kl=[99.0]).plot().figure, "x.png")


@pytest.mark.parametrize("end", [0, -1, np.nan, np.inf])
def test_a_right_end_that_is_none_is_refused(end):
    with pytest.raises(InputError, match="kl_max"):
        plot_hacking(FOUND, kl_max=end)


def test_names_with_dollar_signs_are_not_mathematics():
    samples = scored("heavy_error")
    odd = replace(samples, rewards={"pro$_x$y": samples.rewards["proxy"], "go$_l$d": samples.rewards["gold"]})
    found = klimit.hacking(odd, proxy="pro$_x$y", gold="go$_l$d")
    assert figure_bytes(found.plot().figure, "x.png")


def test_global_settings_stay_as_they_are_and_no_window_is_made():
    before = dict(matplotlib.rcParams)
    figure_bytes(draw_hacking(hacked("binary")), "x.svg")
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys, warnings, klimit\n"
        "warnings.simplefilter('ignore')\n"
        "samples = klimit.testsystems.ProxyTables.binary(seed=1).sample(20, 16, seed=2)\n"
        "klimit.hacking(samples, proxy='proxy', gold='gold').plot()\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_the_same_figure_gives_the_same_bytes():
    for kind in ("png", "svg", "pdf"):
        one, other = (figure_bytes(draw_hacking(hacked("binary")), f"x.{kind}") for _ in range(2))
        assert one == other
