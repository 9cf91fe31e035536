"""Equal-area splines: published examples, an independent dense solution, and what must hold for any layering."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.soil_carbon.profiles.splines import equal_area_spline


def dense(top, bottom, values, lam):
    """Bishop's spline of one profile without its algebra: the means and slopes that minimise the criterion.

    The unknowns are each layer's three coefficients, the gaps lines between their ends. The criterion is integrated by
    Gauss's rule, exact here; its minimum, with value and slope continuous, follows from the Lagrange equations. Where λ
    is 0 the means are conditions as well.
    """
    n = len(values)
    thickness = bottom - top
    nodes, weights = np.polynomial.legendre.leggauss(3)
    penalty, means = np.zeros((3 * n, 3 * n)), np.zeros((n, 3 * n))
    for i, h in enumerate(thickness):
        x, w = (nodes + 1) * h / 2, weights * h / 2
        block = slice(3 * i, 3 * i + 3)
        slopes = np.stack([0 * x, 0 * x + 1, 2 * x])
        penalty[block, block] = slopes * w @ slopes.T
        means[i, block] = np.stack([0 * x + 1, x, x**2]) @ w / h
    conditions = []
    for i, h in enumerate(thickness[:-1]):
        gap = top[i + 1] - bottom[i]
        end, end_slope, start, start_slope = np.zeros((4, 3 * n))
        end[3 * i : 3 * i + 3] = 1, h, h**2
        end_slope[3 * i : 3 * i + 3] = 0, 1, 2 * h
        start[3 * i + 3] = start_slope[3 * i + 4] = 1
        conditions += [start - end - gap * end_slope, start_slope - end_slope]
        penalty += gap * np.outer(end_slope, end_slope)
    conditions = np.array(conditions).reshape(-1, 3 * n)
    given = np.zeros(len(conditions))
    if lam:
        hessian, load = means.T @ means / n + lam * penalty, means.T @ values / n
    else:
        hessian, load = penalty, np.zeros(3 * n)
        conditions, given = np.vstack([conditions, means]), np.append(given, values)
    corner = np.zeros((len(given), len(given)))
    solution = np.linalg.solve(np.block([[hessian, conditions.T], [conditions, corner]]), np.append(load, given))
    return means, solution[: 3 * n].reshape(n, 3)


@st.composite
def layerings(draw, fewest=1, gaps=True):
    """Tops, bottoms (whole mm) and positive values of a profile."""
    n = draw(st.integers(fewest, 7))
    thickness = draw(st.lists(st.integers(5, 400), min_size=n, max_size=n))
    gap = draw(st.lists(st.sampled_from([0, 0, 0, 20, 150]), min_size=n, max_size=n)) if gaps else [0] * n
    top = np.cumsum(np.add(thickness, gap)) - thickness
    values = draw(st.lists(st.floats(0.1, 150), min_size=n, max_size=n))
    return top / 10, (top + thickness) / 10, np.array(values)


def whole(spline):
    return spline.layer_integrals(spline.top, spline.bottom) / (spline.bottom - spline.top)


def test_published_coefficients():
    # R package mpspline2 0.1.9, unit test "mpspline_est1 does the thing": its first layer, λ = 0.1
    spline = equal_area_spline([0, 10, 20, 30], [10, 20, 30, 40], [5.4, 5.3, 5.6, 7.0], lam=0.1)
    assert spline.fitted[0] == pytest.approx(5.3938765799840498, rel=1e-14)
    assert spline.slope_bottom[0] == pytest.approx(-0.015308550039877671, rel=1e-12)
    assert spline.curvature[0] == pytest.approx(-0.00076542750199388358, rel=1e-12)
    assert spline.level[0] == pytest.approx(5.4193908300505127, rel=1e-14)
    assert spline.slope_top[0] == 0


def test_published_example_with_gaps():
    # The README of mpspline2: it averages the spline's values at the top of every centimetre
    spline = equal_area_spline([0, 20, 40, 60], [10, 30, 50, 70], [6, 4, 3, 10], lam=0.1)
    depth = np.arange(70)
    layer = np.searchsorted(spline.top, depth, side="right") - 1
    x = depth - spline.top[layer]
    inside = spline.level[layer] + x * (spline.slope_top[layer] + x * spline.curvature[layer])
    beneath = spline.end[layer] + (depth - spline.bottom[layer]) * spline.slope_bottom[layer]
    value = np.where(depth < spline.bottom[layer], inside, beneath)
    means = [value[top:bottom].mean() for top, bottom in ((0, 5), (5, 15), (15, 30), (30, 60), (60, 70))]
    assert means == pytest.approx([6.105160, 5.618341, 4.316876, 4.192058, 9.732400], abs=5e-7)
    # The exact mean is that of infinitely many such values
    assert spline.mean(0, 5) == pytest.approx(np.mean(spline.level[0] + spline.curvature[0] * fine(0, 5) ** 2))
    assert spline.mean(12, 18) == pytest.approx(spline.end[0] + 5 * spline.slope_bottom[0])


def fine(start, stop):
    return np.linspace(start, stop, 200_001)[:-1] + (stop - start) / 400_000


def test_two_layers_by_hand():
    # h = 10, 10; λ = 0: 40 b = 6 (2 − 8), b = −0.9. Top 8 + 10 · 0.9/6 = 9.5, joint 8 − 10 · 0.9/3 = 5, end 0.5;
    # the curve falls from 9.5 by 0.045 x² and the upper 5 cm hold 9.5 − 0.045 · 25/3 = 9.125.
    spline = equal_area_spline([0, 10], [10, 20], [8, 2], lam=0)
    assert spline.level == pytest.approx([9.5, 5])
    assert spline.end == pytest.approx([5, 0.5])
    assert spline.mean(0, 5) == pytest.approx(9.125)
    assert spline.mean(0, 20) == pytest.approx(5)
    # λ = 0.1: b = −36/(40 + 12 · 2 · 0.1), and the means move by nλb
    smooth = equal_area_spline([0, 10], [10, 20], [8, 2], lam=0.1)
    assert smooth.slope_bottom[0] == pytest.approx(-36 / 42.4)
    assert smooth.fitted == pytest.approx([8 - 0.2 * 36 / 42.4, 2 + 0.2 * 36 / 42.4])


@settings(deadline=None, max_examples=60)
@given(layerings(), st.sampled_from([0.0, 0.01, 0.1, 1.0, 100.0]))
def test_minimises_the_criterion(profile, lam):
    means, coefficients = dense(*profile, lam)
    spline = equal_area_spline(*profile, lam)
    scale = 1e-6 * np.ptp(profile[2]) + 1e-9
    assert spline.fitted == pytest.approx(means @ coefficients.ravel(), abs=scale)
    assert spline.level == pytest.approx(coefficients[:, 0], abs=scale)
    assert spline.slope_top == pytest.approx(coefficients[:, 1], abs=scale)
    assert spline.curvature == pytest.approx(coefficients[:, 2], abs=scale)


@settings(deadline=None)
@given(layerings(), st.sampled_from([0.0, 0.1, 10.0]))
def test_mass_is_preserved_to_rounding(profile, lam):
    top, bottom, values = profile
    spline = equal_area_spline(top, bottom, values, lam)
    scale = 1e-12 * (np.abs(spline.level) + np.abs(spline.end)).max()
    # Over a layer the integral is that of its mean, without smoothing the measured one; parts add up to the whole.
    # Smoothing keeps the sum of the means (not of mass, where layers differ in thickness).
    assert whole(spline) == pytest.approx(spline.fitted, abs=scale)
    assert spline.fitted.sum() == pytest.approx(values.sum(), rel=1e-12)
    if lam == 0:
        assert spline.fitted == pytest.approx(values, rel=1e-14)
    cuts = np.linspace(top[0], bottom[-1], 6)
    pieces = [spline.mean(*ends) * (ends[1] - ends[0]) for ends in pairwise(cuts)]
    everything = spline.mean(top[0], bottom[-1]) * (bottom[-1] - top[0])
    assert sum(pieces) == pytest.approx(everything, abs=scale * bottom[-1])
    if (spline.gap == 0).all():
        assert everything == pytest.approx(spline.fitted @ (bottom - top), abs=scale * bottom[-1])


@settings(deadline=None)
@given(layerings(), st.floats(0, 200), st.sampled_from([0.0, 0.1, 10.0]))
def test_a_uniform_profile_stays_uniform(profile, value, lam):
    top, bottom, _ = profile
    spline = equal_area_spline(top, bottom, np.full(top.shape, value), lam)
    assert (spline.fitted == value).all() and (spline.lowest == value).all()
    assert spline.mean(top[0], (top[0] + 2 * bottom[-1]) / 3) == pytest.approx(value)


@settings(deadline=None)
@given(layerings())
def test_the_lowest_value_is_the_lowest(profile):
    spline = equal_area_spline(*profile)
    for i, (top, bottom) in enumerate(zip(spline.top, spline.bottom, strict=True)):
        x = np.linspace(0, bottom - top, 501)
        values = spline.level[i] + x * (spline.slope_top[i] + x * spline.curvature[i])
        scale = np.ptp(values) + 1e-9
        assert (
            values.min() - 1e-4 * scale <= spline.lowest[i] <= values.min() + 1e-9 * scale + 1e-12 * abs(values).max()
        )


@settings(deadline=None)
@given(st.lists(layerings(), min_size=2, max_size=5))
def test_profiles_do_not_touch(profiles):
    alone = [equal_area_spline(*profile) for profile in profiles]
    names = np.repeat([f"site {9 - i}" for i in range(len(profiles))], [len(p[0]) for p in profiles])
    together = equal_area_spline(*(np.concatenate(a) for a in zip(*profiles, strict=True)), profile=names)
    for field in ("fitted", "slope_top", "slope_bottom", "level", "lowest", "gap"):
        assert getattr(together, field).tolist() == np.concatenate([getattr(s, field) for s in alone]).tolist()
    assert together.mean(0, 15) == pytest.approx(np.concatenate([s.mean(0, 15) for s in alone]), nan_ok=True)


def test_no_mean_where_a_profile_does_not_reach():
    spline = equal_area_spline([0, 5, 0], [10, 40, 30], [4, 4, 4], profile=["a", "b", "c"])
    assert spline.mean(0, 30).tolist() == pytest.approx([np.nan, np.nan, 4], nan_ok=True)


@pytest.mark.parametrize(
    ("top", "bottom", "values", "profile", "message"),
    [
        ([0, 5], [10, 20], [1, 2], None, "without overlaps"),
        ([10, 0], [20, 10], [1, 2], None, "without overlaps"),
        ([0, 10], [0, 20], [1, 2], None, "without overlaps"),
        ([0, 0, 10], [10, 10, 20], [1, 2, 3], ["a", "b", "a"], "each profile together"),
        ([0, 10], [10, 20], [1, np.nan], None, "finite"),
        ([0, 10], [10, 20], [1], None, r"shapes \(2,\), \(2,\), \(1,\)"),
        ([], [], [], None, "one top, bottom, value"),
    ],
)
def test_what_is_no_profile(top, bottom, values, profile, message):
    with pytest.raises(ValueError, match=message):
        equal_area_spline(top, bottom, values, profile=profile)
