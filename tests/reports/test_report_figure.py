"""The figure draws the numbers of the result; nothing global changes."""

import subprocess
import sys
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from report_findings import ARRAYS, findings_of

from klimit.errors import InputError
from klimit.reports.axes import figure_bytes, save_figure
from klimit.reports.frontier.figure import draw, plot_frontier
from klimit.testsystems import Gaussian

GAUSSIAN = findings_of(ARRAYS["gaussian"])


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def areas(axes):
    return {area.get_label(): area for area in axes.collections}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_the_line_is_the_estimate_and_stops_at_the_horizon():
    limit = GAUSSIAN.limit
    kl, gain = lines(plot_frontier(limit))["limit"].get_data()
    assert (kl[0], gain[0]) == (0, 0)
    assert kl[-1] == limit.horizon
    assert gain[1:] == pytest.approx([limit.at(kl=x).gain for x in kl[1:]])


def test_the_band_is_the_interval():
    limit = GAUSSIAN.limit
    (path,) = areas(plot_frontier(limit))["interval"].get_paths()
    edge = path.vertices[np.isclose(path.vertices[:, 0], limit.horizon)][:, 1]
    point = limit.at(kl=limit.horizon)
    assert (edge.min(), edge.max()) == pytest.approx((point.gain_low, point.gain_high))


def test_the_horizon_is_drawn_and_labelled():
    axes = plot_frontier(GAUSSIAN.limit)
    assert list(lines(axes)["horizon"].get_xdata()) == [GAUSSIAN.limit.horizon] * 2
    assert any(text.startswith("horizon\n") and text.endswith("nats") for text in texts(axes))


def test_beyond_the_horizon_only_bounds_are_drawn():
    limit = GAUSSIAN.limit
    axes = plot_frontier(limit)
    for name, field in (("lower bound", "gain_low"), ("upper bound", "gain_high")):
        kl, bound = lines(axes)[name].get_data()
        assert kl.min() > limit.horizon
        assert bound[-1] == pytest.approx(getattr(limit.at(kl=kl[-1]), field))
    assert areas(axes)["bracket"].get_hatch()


def test_the_square_root_law_is_drawn():
    kl, law = lines(plot_frontier(GAUSSIAN.limit))["square-root law"].get_data()
    assert law == pytest.approx(GAUSSIAN.limit.square_root_law(kl))


def test_best_of_n_is_drawn_with_intervals_and_labelled():
    best = GAUSSIAN.best
    axes = plot_frontier(GAUSSIAN.limit, best_of_n=best)
    (container,) = axes.containers
    kl, gain = container.lines[0].get_data()
    shown = best.n > 1
    assert np.array_equal(kl, best.kl[shown])
    assert np.array_equal(gain, best.gain[shown])
    tops = [segment[:, 1].max() for segment in container.lines[2][1].get_segments()]
    assert tops == pytest.approx(best.gain_high[shown])
    assert f"best-of-{best.n[-1]}" in texts(axes)
    assert "2" in texts(axes)


def test_the_truth_is_drawn_where_given():
    system = Gaussian()
    kl = np.linspace(0.01, 3, 50)
    limit = GAUSSIAN.limit
    assert "truth" not in lines(plot_frontier(limit))
    truth = type(system.saturation)(kl, system.frontier(kl))
    axes = plot_frontier(limit, truth=truth)
    assert lines(axes)["truth"].get_ydata() == pytest.approx(np.sqrt(2 * kl))
    assert "truth" in texts(axes)


def test_axes_are_named_with_unit_direction_and_reward():
    axes = plot_frontier(GAUSSIAN.limit)
    assert axes.get_xlabel() == "KL(policy || base), nats per completion"
    assert "gain in reward" in axes.get_ylabel()
    assert "over the base mean" in axes.get_ylabel()


def test_odd_samples_can_be_drawn_and_only_estimates_look_like_one(any_findings):
    figure = draw(any_findings)
    (axes,) = figure.axes
    assert ("limit" in lines(axes)) == (any_findings.limit.horizon > 0)
    assert figure_bytes(figure, "x.png").startswith(b"\x89PNG")
    assert axes.get_title(loc="left")


@pytest.mark.parametrize("name", ["gaussian", "binary", "exponential", "few completions"])
def test_labels_do_not_cover_each_other_and_stay_in_the_figure(name):
    figure = draw(findings_of(ARRAYS[name]))
    figure.canvas.draw()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) >= 3
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width


def test_given_axes_are_drawn_on_with_the_right_end_asked_for():
    from matplotlib.figure import Figure

    _, right = Figure().subplots(1, 2)
    assert plot_frontier(GAUSSIAN.limit, ax=right, kl_max=0.5) is right
    assert right.get_xlim() == (0, 0.5)
    assert GAUSSIAN.limit.plot(ax=right) is right


@pytest.mark.parametrize("end", [0, -1, np.nan, np.inf])
def test_a_right_end_that_is_none_is_refused(end):
    with pytest.raises(InputError, match="kl_max"):
        plot_frontier(GAUSSIAN.limit, kl_max=end)


def test_names_with_dollar_signs_are_not_mathematics():
    samples = GAUSSIAN.limit.samples
    cost = type(samples)(
        rewards={"cost $_x$": samples.reward()}, offsets=samples.offsets, prompt_ids=samples.prompt_ids
    )
    import klimit

    axes = plot_frontier(klimit.frontier(cost))
    assert not axes.yaxis.label.get_parse_math()
    assert figure_bytes(axes.figure, "x.png")


def test_global_settings_stay_as_they_are():
    before = dict(matplotlib.rcParams)
    figure_bytes(draw(GAUSSIAN), "x.svg")
    assert dict(matplotlib.rcParams) == before


def test_no_window_or_global_figure_is_made():
    code = (
        "import sys, numpy as np, klimit\n"
        "limit = klimit.frontier(np.random.default_rng(0).normal(size=(30, 16)))\n"
        "limit.plot()\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(kind):
    assert figure_bytes(draw(GAUSSIAN), f"x.{kind}") == figure_bytes(draw(GAUSSIAN), f"x.{kind}")


def test_a_figure_is_saved_whole_or_refused(tmp_path):
    save_figure(draw(GAUSSIAN), str(tmp_path / "a.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(InputError, match="cannot be written"):
        save_figure(draw(GAUSSIAN), str(tmp_path / "none" / "a.png"))
