"""The dual, solved on a spline, gives closed forms back."""

import numpy as np
import pytest

from klimit.limit.dual import DualCurve, Grid
from klimit.limit.kernels import grid

BUDGETS = np.array([0.01, 0.1, 0.5, 1.0, 2.0, 4.0])


@pytest.fixture(scope="module")
def points():
    return Grid(grid(0.03, 9))


def test_gaussian_limit_is_the_root_of_twice_the_budget(points):
    curve = DualCurve(points, points.t**2 / 2)
    assert curve.value(BUDGETS) == pytest.approx(np.sqrt(2 * BUDGETS), rel=1e-9)
    assert np.exp(curve.argmin(BUDGETS)) == pytest.approx(np.sqrt(2 * BUDGETS), rel=1e-7)


def test_bernoulli_limit_solves_its_binary_divergence(points):
    p, q = 0.2, 0.8
    kl = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    sd = np.sqrt(p * (1 - p))
    t = points.t / sd
    curve = DualCurve(points, np.log1p(p * np.expm1(t)) - t * p)
    assert kl == pytest.approx(0.831777, abs=1e-6)
    assert curve.value(np.array([kl]))[0] * sd == pytest.approx(q - p, rel=1e-7)


def test_the_kl_of_a_tilt_is_the_budget_that_it_solves(points):
    curve = DualCurve(points, points.t**2 / 2)
    u = np.log(np.array([0.1, 1.0, 3.0]))
    assert curve.argmin(curve.kl_at(u)) == pytest.approx(u, abs=1e-8)


def test_off_the_grid_is_nan_not_a_guess(points):
    curve = DualCurve(points, points.t**2 / 2)
    assert np.isnan(curve.value(np.array([curve.kl_min / 2, curve.kl_max * 2]))).all()
    assert np.isnan(curve.kl_at(np.array([np.log(1e-4)]))).all()


def test_a_curve_that_stops_being_convex_ends_there(points):
    t = points.t
    bent = np.where(t < 2, t**2 / 2, 2 + 0.5 * (t - 2))
    assert DualCurve(points, bent).kl_max < 2.6


@pytest.mark.parametrize("derivative", [0, 1, 2])
def test_the_spline_is_scipys(points, derivative):
    from scipy.interpolate import make_interp_spline

    values = np.cos(3 * points.u)
    u = np.linspace(points.u[0], points.u[-1], 301)
    expected = make_interp_spline(points.u, values, k=5)(u, nu=derivative)
    assert points.basis(u, derivative=derivative) @ values == pytest.approx(expected, abs=1e-8)
