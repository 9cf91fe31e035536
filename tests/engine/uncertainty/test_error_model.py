"""The fitted model of the errors: its residuals, when there is none, and its file."""

from dataclasses import fields, replace

import numpy as np
import pytest
from made_up import region

from engine.errors import InputError
from engine.uncertainty import error_model
from engine.uncertainty.error_model import ErrorModel, fit_error_model

NAN = np.nan


@pytest.fixture(autouse=True)
def few_are_tried(monkeypatch):
    """No range but the typical one, and two growths, for speed."""
    monkeypatch.setattr(error_model, "_TRIED", np.array([]))
    monkeypatch.setattr(error_model, "GROWTH", (0.0, 1.0))


def ensemble(sites=30, replicates=4, outputs=2, seed=0):
    """What an ensemble would hand over, of sites that some replicates saw."""
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(sites, 3))
    predicted = 10 + design[:, 0] + 0.3 * rng.normal(size=(replicates, sites))
    in_bag = rng.uniform(size=predicted.shape) < 0.6
    in_bag[0] = False
    coefficients = np.array([[0.0, 1.0], [2.0, 0.5]])[:outputs] + np.zeros((replicates, 1, 1))
    truth = predicted[0][:, None] + rng.normal(size=(sites, 1))
    return {
        "observed": coefficients[0, :, 0] + coefficients[0, :, 1] * truth,
        "out_of_bag": np.where(in_bag, NAN, predicted), "predicted": predicted, "coefficients": coefficients,
        "design": design, "zone": rng.integers(0, 3, sites), "zones": 2,
        "x": rng.uniform(-5000, 5000, sites), "y": rng.uniform(0, 8000, sites), "seed": 7,
    }  # fmt: skip


def same(a, b):
    return all(
        np.array_equal(
            np.asarray(getattr(a, f.name), "float64"), np.asarray(getattr(b, f.name), "float64"), equal_nan=True
        )
        for f in fields(ErrorModel)
        if f.name != "basis"
    ) and all(np.array_equal(getattr(a.basis, f.name), getattr(b.basis, f.name)) for f in fields(a.basis))


def test_residuals_of_observations_with_errors_in_common():
    """They are those that training without the errors would have left."""
    given = ensemble(replicates=3)
    shared = np.array([0.5, -0.2, 0.6])[:, None, None] * np.array([1.0, 0.5]) + np.zeros((3, 30, 1))
    moved = {name: given[name] + shared[:, :, 0] for name in ("out_of_bag", "predicted")}
    model, plain = fit_error_model(**given | moved, shared=shared), fit_error_model(**given)
    assert model.residual == pytest.approx(plain.residual, abs=1e-12)
    assert model.shared[:, 4, 0] == pytest.approx([0.2, -0.5, 0.3])  # less their mean, 0.3
    assert plain.shared is None


def test_residuals_out_of_bag_worked_by_hand():
    given = ensemble(sites=12, replicates=3)
    # Replicates' second output: 1 + 2 p, 0 + 3 p, 5 + 0 p; the first is p.
    given["coefficients"] = np.array([[[0, 1], [1, 2]], [[0, 1], [0, 3]], [[0, 1], [5, 0]]], dtype="float64")
    given["out_of_bag"][:, :4] = [[4, NAN, NAN, 1], [6, 7, NAN, 2], [NAN, NAN, NAN, 3]]
    given["observed"][:4] = [[6, 20], [7.5, NAN], [1, 1], [2, 10]]
    model = fit_error_model(**given)
    # Site 0: 6 − (4 + 6) / 2; 20 − ((1 + 8) + 18) / 2. Site 1: 7.5 − 7. Site 2 is in every bag: it is left out.
    # Site 3: 2 − (1 + 2 + 3) / 3; 10 − ((1 + 2) + 6 + 5) / 3.
    assert model.residual[:3] == pytest.approx(np.array([[1, 6.5], [0.5, NAN], [0, 10 - 14 / 3]]), nan_ok=True)
    kept = np.delete(np.arange(12), 2)
    assert model.x.tolist() == given["x"][kept].tolist()
    assert model.y.tolist() == given["y"][kept].tolist()
    assert model.predicted == pytest.approx(given["predicted"][:, kept], rel=1e-6)
    mean = np.nanmean(given["out_of_bag"][:, kept], axis=0)
    assert mean[:3].tolist() == [5, 7, 2]
    expected = model.basis.columns(mean, given["design"][kept], given["zone"][kept])
    assert model.columns.tolist() == expected.tolist()
    assert model.columns[:, 1] == pytest.approx((mean - mean.mean()) / mean.std())
    assert model.spread == pytest.approx(np.maximum(mean / mean.mean(), 0.05) ** model.growth)
    site, output = model.rows
    assert site.tolist() == [*range(11), 0, *range(2, 11)]
    assert output.tolist() == [0] * 11 + [1] * 10


@pytest.mark.parametrize("sites", [0, 1, 9, 10])
def test_fewer_than_ten_sites_are_too_few(sites):
    given = ensemble(sites=14)
    given["observed"][sites:, 1] = NAN
    assert (fit_error_model(**given) is None) == (sites < 10)
    given = ensemble(sites=14)
    given["out_of_bag"][:, sites:] = NAN
    assert (fit_error_model(**given) is None) == (sites < 10)


def test_residuals_that_do_not_differ_give_no_model():
    given = ensemble()
    given["out_of_bag"][:] = given["predicted"][:] = np.arange(30)
    given["observed"] = np.column_stack([np.arange(30) + 1.0, 2 + 0.5 * np.arange(30) + np.arange(30) % 2])
    assert fit_error_model(**given) is None
    given["observed"][0, 0] += 1
    assert fit_error_model(**given) is not None


def test_what_is_fitted():
    model = fit_error_model(**ensemble())
    assert model.variances.shape == (2, 6)
    assert (model.variances > 0).all()
    # The second output is half the first.
    assert model.variances[1] == pytest.approx(model.variances[0] / 4, rel=1e-3)
    assert model.between == pytest.approx(np.ones((2, 2)), abs=5e-3)
    assert np.linalg.eigvalsh(model.between).min() > 0
    extent = max(np.ptp(model.x), np.ptp(model.y))
    assert model.range_ == pytest.approx(extent / 8)
    assert model.spacing == pytest.approx(model.range_ / 10)


def test_outputs_without_common_sites_count_as_uncorrelated():
    given = ensemble(sites=40)
    given["observed"][:20, 0] = given["observed"][20:, 1] = NAN
    assert fit_error_model(**given).between.tolist() == np.eye(2).tolist()


def test_covariances_written_out():
    made = region(3, sites=25)
    model = made.model
    residual, covariance, places = made.of_residuals()
    assert len(residual) == 25 + 12 and model.residuals.tolist() == residual.tolist()
    lower = np.tril(model.factor[0])
    assert lower @ lower.T == pytest.approx(covariance)
    assert model.inverse == pytest.approx(np.linalg.inv(covariance))
    weights = np.linalg.solve(covariance, residual)
    assert model.weights == pytest.approx(weights)
    nothing = np.zeros((len(made.x), model.basis.size))
    identity = np.eye(model.basis.size)
    far = np.full(model.basis.size, 1e9)
    for output in range(2):
        space = [made.across(output, o, (made.x, made.y, nothing), there) for o, there in places]
        assert model.with_space(output, made.x, made.y) == pytest.approx(np.concatenate(space, axis=1))
        systematic = [made.across(output, o, (far, far, identity), there) for o, there in places]
        assert model.with_systematic(output) == pytest.approx(np.concatenate(systematic, axis=1))
        assert model.shifts[output] == pytest.approx(np.concatenate(systematic, axis=1) @ weights)


def test_an_output_learns_from_sites_that_have_another():
    """Of two outputs whose errors are nearly the same, the second is as sure where only the first was measured."""
    made = region(5, sites=40)
    close = np.array([[1, 0.999], [0.999, 1]])
    alone, together = (replace(made, model=replace(made.model, between=between)) for between in (np.eye(2), close))
    without = made.at_cell[~np.isfinite(made.model.residual[:, 1])]
    variance = {
        name: np.diag(region_.dense(1, region_.x[without], region_.y[without], region_.columns[without])[1]).mean()
        for name, region_ in (("alone", alone), ("together", together))
    }
    assert variance["together"] < 0.75 * variance["alone"]


def test_the_same_from_the_same_seed_and_sites():
    a, b = fit_error_model(**ensemble()), fit_error_model(**ensemble())
    assert same(a, b)
    assert a.digest == b.digest
    other = fit_error_model(**ensemble() | {"seed": 8})
    assert other.digest != a.digest
    assert (other.seed, other.variances.tolist()) == (8, a.variances.tolist())
    moved = fit_error_model(**ensemble() | {"x": ensemble()["x"] * 1.01})
    assert moved.digest != a.digest


def test_of_very_many_sites_a_subset_is_taken(monkeypatch):
    given = ensemble(sites=60)
    given["out_of_bag"][:, :5] = NAN
    monkeypatch.setattr(error_model, "MOST_RESIDUALS", 40)
    model = fit_error_model(**given)
    place = {x: number for number, x in enumerate(given["x"])}
    taken = np.array([place[x] for x in model.x])
    assert len(taken) == len(set(taken)) == 20
    assert taken.min() >= 5 and (np.diff(taken) > 0).all()
    assert model.y.tolist() == given["y"][taken].tolist()
    assert model.predicted == pytest.approx(given["predicted"][:, taken], rel=1e-6)
    assert model.columns[:, -2:].tolist() == np.eye(3)[given["zone"][taken]][:, 1:].tolist()
    mean = np.nanmean(given["out_of_bag"][:, taken], axis=0)
    assert model.residual[:, 0] == pytest.approx(given["observed"][taken, 0] - mean)
    assert same(model, fit_error_model(**given))
    assert fit_error_model(**given | {"seed": 8}).x.tolist() != model.x.tolist()
    monkeypatch.setattr(error_model, "MOST_RESIDUALS", 110)
    assert len(fit_error_model(**given).x) == 55


def test_variances_are_fitted_to_a_subset(monkeypatch):
    given = ensemble(sites=40)
    whole = fit_error_model(**given)
    monkeypatch.setattr(error_model, "MOST_FITTED", 15)
    part = fit_error_model(**given)
    assert part.residual.tolist() == whole.residual.tolist()
    assert part.variances.tolist() != whole.variances.tolist()
    assert same(part, fit_error_model(**given))


def test_comes_back_from_its_file(tmp_path):
    model = region(2, sites=20).model
    path = tmp_path / "errors.npz"
    model.save(path)
    for loaded in (ErrorModel.load(path), ErrorModel.load(path, model.digest)):
        assert same(loaded, model)
        assert loaded.digest == model.digest
        assert (type(loaded.seed), type(loaded.basis.zones), type(loaded.range_)) == (int, int, float)
        assert loaded.weights.tolist() == model.weights.tolist()


def test_a_file_that_changed_is_refused(tmp_path):
    model = region(2, sites=20).model
    path = tmp_path / "errors.npz"
    replace(model, growth=1.0).save(path)
    assert ErrorModel.load(path).growth == 1
    with pytest.raises(InputError, match=r"errors\.npz: has changed since the run began"):
        ErrorModel.load(path, model.digest)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"nothing of the kind", id="text"),
        pytest.param(lambda content: content[:-40], id="end is missing"),
        pytest.param(lambda content: content[: len(content) // 2], id="half is missing"),
        pytest.param(lambda content: content[40:], id="beginning is missing"),
        pytest.param(lambda content: content[:400] + bytes([content[400] ^ 8]) + content[401:], id="a bit is wrong"),
        pytest.param(lambda content: content.replace(b"range_.npy", b"rage__.npy"), id="another array"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, damage):
    model = region(2, sites=20).model
    path = tmp_path / "errors.npz"
    model.save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"errors\.npz"):
        ErrorModel.load(path, model.digest)
    with pytest.raises(InputError, match=r"errors\.npz: holds no model of the errors .* run the stage `map` again"):
        ErrorModel.load(path)


def test_a_missing_file_and_one_array_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz: holds no model of the errors"):
        ErrorModel.load(tmp_path / "none.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"one\.npy: holds no model of the errors"):
        ErrorModel.load(tmp_path / "one.npy")
