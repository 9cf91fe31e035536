"""Mean and standard deviation of cells against the Gaussian process written out in full."""

from dataclasses import replace

import numpy as np
import pytest
from made_up import SPACING, region
from scipy.interpolate import RegularGridInterpolator

from engine.uncertainty import cells
from engine.uncertainty.cells import cell_moments, kriged_field
from engine.uncertainty.lattice import Window


def moments(made, of=slice(None)):
    return cell_moments(
        made.model, made.x[of], made.y[of], made.columns[of], made.mean[:, of], made.sd[:, of]
    )  # fmt: skip


@pytest.mark.parametrize("differ", [0.0, 0.5], ids=["equal replicates", "replicates that differ"])
def test_cells_on_nodes_as_the_dense_gaussian_process(differ):
    made = region(1, differ=differ)
    found = moments(made)
    for output in range(2):
        mean, covariance = made.dense(output, made.x, made.y, made.columns)
        assert found.mean[output] == pytest.approx(made.mean[output] + mean, abs=1e-8)
        assert found.sd[output] == pytest.approx(np.sqrt(np.diag(covariance) + made.sd[output] ** 2), abs=1e-8)
        assert np.ptp(mean) > 0.5
        assert np.ptp(found.sd[output]) > 0.1
    assert (made.sd.max() > 0.1) == (differ > 0)


def test_cells_between_nodes_interpolate_the_dense_gaussian_process():
    made = region(2, off=0.37, sites=40, side=12)
    found = moments(made)
    window = made.model.lattice.around(made.x, made.y)
    axes = [
        (start + np.arange(n)) * SPACING for start, n in zip((window.row, window.column), window.shape, strict=True)
    ]
    x, y = (values.ravel() for values in np.meshgrid(axes[1], axes[0]))
    size, nodes = made.model.basis.size, len(x)
    # Coefficients of the basis and the field at the nodes, as one joint vector: rows of the identity are the columns.
    residual, of_sites, sites = made.of_residuals()
    far = np.full(size, 1e9)
    for output in range(2):
        joint = np.zeros((size + nodes, size + nodes))
        joint[:size, :size] = np.diag(made.of_columns(output))
        nothing = np.zeros((nodes, size))
        joint[size:, size:] = made.prior(output, x, y, nothing)  # no columns: the field alone
        across = np.concatenate(
            [
                np.concatenate([made.across(output, o, (far, far, np.eye(size)), there) for o, there in sites], axis=1),
                np.concatenate([made.across(output, o, (x, y, nothing), there) for o, there in sites], axis=1),
            ]
        )
        gain = np.linalg.solve(of_sites, across.T).T
        mean, covariance = gain @ residual, joint - gain @ across.T

        def at_cells(values):
            return RegularGridInterpolator(axes, values.reshape(window.shape))(np.column_stack([made.y, made.x]))

        expected = made.mean[output] + made.columns @ mean[:size] + at_cells(mean[size:])
        assert found.mean[output] == pytest.approx(expected, abs=1e-8)
        variance = ((made.columns @ covariance[:size, :size]) * made.columns).sum(axis=1)
        variance += at_cells(np.diag(covariance)[size:])
        for column in range(size):
            variance += 2 * made.columns[:, column] * at_cells(covariance[column, size:])
        assert found.sd[output] == pytest.approx(np.sqrt(variance), abs=1e-8)


def test_far_from_all_sites_the_field_is_as_uncertain_as_without_them():
    made = region(3)
    away = replace(made, x=made.x + 1e5)
    found = moments(away)
    for output in range(2):
        mean, covariance = away.dense(output, away.x, away.y, away.columns)
        assert found.mean[output] == pytest.approx(made.mean[output] + mean, abs=1e-8)
        assert found.sd[output] == pytest.approx(np.sqrt(np.diag(covariance)), abs=1e-8)
        assert (found.sd[output] ** 2 > made.model.variances[output, 4]).all()
        assert found.mean[output] == pytest.approx(
            made.mean[output] + made.columns @ made.model.shifts[output], abs=1e-8
        )


def test_cells_are_the_same_to_the_bit_for_any_split_of_them():
    made = region(4, off=0.25, differ=0.3)
    whole = moments(made)
    for part in np.array_split(np.random.default_rng(0).permutation(len(made.x)), 7):
        found = moments(made, part)
        assert np.array_equal(found.mean, whole.mean[:, part])
        assert np.array_equal(found.sd, whole.sd[:, part])


def test_cells_beyond_a_slab(monkeypatch):
    made = region(4, off=0.25, sites=25)
    whole = moments(made)
    monkeypatch.setattr(cells, "SLAB", 90)
    found = moments(made)
    assert found.mean == pytest.approx(whole.mean, abs=1e-12)
    assert found.sd == pytest.approx(whole.sd, abs=1e-12)


def test_kriged_field_at_nodes_as_the_dense_gaussian_process():
    made = region(6, sites=40)
    window = made.model.lattice.around(made.x, made.y)
    x, y = made.model.lattice.nodes(window)
    for output in range(2):
        mean, _ = made.dense(output, x, y, np.zeros((len(x), made.model.basis.size)))
        found = kriged_field(made.model, output, window)
        assert found == pytest.approx(mean.reshape(window.shape), abs=1e-8)
        far = Window(window.row + 900, window.column, (2, 2))
        assert (kriged_field(made.model, output, far) == 0).all()


def test_replicates_add_their_variance():
    made = region(5)
    without = moments(made)
    found = cell_moments(made.model, made.x, made.y, made.columns, made.mean, np.full(made.mean.shape, 3.0))
    assert found.mean.tolist() == without.mean.tolist()
    assert found.sd == pytest.approx(np.hypot(without.sd, 3))


def test_scattered_cells_are_those_of_the_map():
    """Nodes around single cells instead of whole tiles: the same numbers, for cells in any order."""
    made = region(3, off=0.37, sites=40, side=12)
    of = np.array([130, 3, 77, 78])
    whole = moments(made)
    found = cell_moments(
        made.model, made.x[of], made.y[of], made.columns[of], made.mean[:, of], made.sd[:, of], scattered=True
    )
    assert found.mean == pytest.approx(whole.mean[:, of], rel=1e-6)
    assert found.sd == pytest.approx(whole.sd[:, of], rel=1e-6)
