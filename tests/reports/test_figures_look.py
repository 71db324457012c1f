"""Every result's figure beside the picture of it that was looked at and found good.

After a change that is meant, ``python tests/reports/test_figures_look.py`` draws the pictures anew: look at each.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.testing.compare import compare_images
from report_audits import audit_quietly, samples_of
from report_findings import ARRAYS, findings_of
from report_proxies import hacked, members

import klimit
from klimit.audits.result import Audits

GOOD = Path(__file__).parent / "figures"
DOTS = 60  # an inch: small files, and letters that still can be seen
TOLERANCE = 4.0  # root mean square over 255; another version's letters differ by 1 to 3


def audits() -> Audits:
    policies = {name: samples_of(name)[0] for name in ("tilted", "misallocated", "noisy")}
    return audit_quietly(policies, samples_of("tilted")[1])


def limit_and_points() -> Axes:
    findings = findings_of(ARRAYS["gaussian"])
    return findings.limit.plot(best_of_n=findings.best)


FIGURES: dict[str, Callable[[], Axes]] = {
    "frontier": lambda: findings_of(ARRAYS["gaussian"]).limit.plot(),
    "frontier_with_best_of_n": limit_and_points,
    "frontier_without_horizon": lambda: findings_of(ARRAYS["few completions"]).limit.plot(),
    "best_of_n": lambda: findings_of(ARRAYS["binary"]).best.plot(),
    "best_of_poisson": lambda: klimit.best_of_poisson(ARRAYS["exponential"], mu=[0.5, 1, 3, 8, 20]).plot(),
    "audits": lambda: audits().plot(),
    "audit": lambda: audits()[2].plot(),
    "parts": lambda: audits().plot_parts(),
    "hacking": lambda: hacked("heavy_error").found.plot(),
    "hacking_never": lambda: hacked("never").found.plot(),
    "ensemble": lambda: members("shared").found.plot(),
    "ensemble_without_gold": lambda: members("without gold").found.plot(),
    "members": lambda: members("shared").hacked.plot(),
}


def save(axes: Axes, path: Path) -> None:
    axes.figure.savefig(path, dpi=DOTS)


@pytest.mark.parametrize("name", FIGURES)
def test_the_figure_looks_as_it_did_when_it_was_looked_at(name, tmp_path):
    save(FIGURES[name](), tmp_path / f"{name}.png")
    assert compare_images(str(GOOD / f"{name}.png"), str(tmp_path / f"{name}.png"), TOLERANCE) is None


def test_a_figure_with_one_line_less_is_told_apart(tmp_path):
    """Negative control of the tolerance."""
    axes = FIGURES["frontier"]()
    next(line for line in axes.get_lines() if line.get_label() == "limit").remove()
    save(axes, tmp_path / "less.png")
    assert compare_images(str(GOOD / "frontier.png"), str(tmp_path / "less.png"), TOLERANCE) is not None


def test_every_figure_has_vector_output_of_one_column_and_letters_of_one_size():
    from klimit.reports.axes import figure_bytes

    for name, drawn in FIGURES.items():
        axes = drawn()
        width = axes.figure.get_size_inches()[0]
        assert width == pytest.approx(5.6), name
        assert axes.xaxis.label.get_size() == 11.0, name
        assert figure_bytes(axes.figure, f"{name}.pdf").startswith(b"%PDF")
        assert b"<svg" in figure_bytes(axes.figure, f"{name}.svg")[:2000]


def test_the_colours_are_told_apart_by_lightness_alone():
    """In greyscale, and whatever the eye: limit, band, best-of-N and policies differ in luminance."""
    from matplotlib.colors import to_rgb

    from klimit.reports.style import BAND, BEST, LIMIT, POLICY

    light = {
        name: float(np.dot(to_rgb(color), (0.2126, 0.7152, 0.0722)))
        for name, color in (("limit", LIMIT), ("band", BAND), ("best", BEST), ("policy", POLICY))
    }
    values = sorted(light.values())
    assert min(b - a for a, b in itertools.pairwise(values)) > 0.05


if __name__ == "__main__":
    GOOD.mkdir(exist_ok=True)
    for name, drawn in FIGURES.items():
        save(drawn(), GOOD / f"{name}.png")
        print(name)
