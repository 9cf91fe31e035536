"""Errors that sites share: worked by hand, and how they are drawn."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from engine.seeds import Use, streams
from pipelines.runfile.observations_section import Observations
from pipelines.soil_carbon.profile_table.reading import read_observations
from pipelines.soil_carbon.profiles.density_errors import coefficients_covariance, spread_of_functions
from pipelines.soil_carbon.profiles.gap_filling import BulkDensityFunction, fit_bulk_density
from pipelines.soil_carbon.profiles.pedotransfer import FUNCTIONS
from pipelines.soil_carbon.profiles.read_profiles import profiles_of, read_profiles
from pipelines.soil_carbon.profiles.shared_errors import fragment_errors

DEPTHS = ((0.0, 10.0), (0.0, 30.0))
OFF = {"som_to_soc": 0, "bulk_density": 0, "coarse_fragments": 0, "layer_division": 0}


def table(layers):
    """Layers as (site, top, bottom, soc, som, bulk density, coarse fragments); first letters are soil types."""
    names = ["site", "top", "bottom", "soc", "som", "bulk_density", "coarse_fragments"]
    frame = pd.DataFrame(layers, columns=names)
    return frame.assign(lon=100.0, lat=np.arange(len(frame)) / 100 + 50, soil_type=frame["site"].str[0]).assign(
        lat=lambda f: f.groupby("site")["lat"].transform("first")
    )


def read(tmp_path, layers, depths=DEPTHS, **keys):
    table(layers).to_csv(tmp_path / "profiles.csv", index=False)
    observations = Observations.model_validate({"table": "profiles.csv", **keys})
    return profiles_of(
        read_observations(tmp_path / "profiles.csv", observations, None, None, depths), observations, depths
    )


def normal(seed, replicate, n=4):
    """The first numbers of a replicate's stream: of SOM, of division, and two of bulk density; then of fragments."""
    return np.random.default_rng(streams(seed, Use.PROFILE_ERRORS, replicate + 1)[replicate]).standard_normal(n)


COMPLETE = ("c1", 0, 10, 20.0, np.nan, 1.2, 10.0), ("c1", 10, 30, 10.0, np.nan, 1.4, 20.0)
NAN = np.nan


def test_nothing_completed_nothing_drawn(tmp_path):
    profiles = read(tmp_path, COMPLETE)
    assert profiles.errors is None
    assert not any("drawn" in str(note) for note in profiles.notes)


def test_the_share_of_carbon_in_som(tmp_path):
    layers = [*COMPLETE, ("d1", 0, 10, NAN, 50.0, 1.0, 0.0), ("d1", 10, 30, 5.0, NAN, 1.0, 0.0)]
    profiles = read(tmp_path, layers, errors=OFF | {"som_to_soc": 0.04})
    assert profiles.errors.drawn == {"the share of carbon in SOM": 1}
    found = profiles.errors.draws(5, seed=3)
    assert profiles.errors.sites == ("c1", "d1") == tuple(profiles.wide()["site"])
    assert (found[:, 0] == 0).all()
    for replicate in range(5):
        # 50 g/kg SOM · 1 g/cm³ · 10 cm · 0.01 = 5 kg/m² of matter, of which the share is off by 0.04 z.
        off = 5 * 0.04 * normal(3, replicate)[0]
        assert found[replicate, 1] == pytest.approx([off, off])


def test_drawn_shares_stay_within_what_matter_holds(tmp_path):
    profiles = read(tmp_path, [*COMPLETE, ("d1", 0, 30, NAN, 100.0, 1.0, 0.0)], errors=OFF | {"som_to_soc": 0.2})
    share = 0.58 + profiles.errors.draws(300, seed=3)[:, 1, 1] / 30
    assert share.min() == pytest.approx(0.3) and share.max() == pytest.approx(0.7)


def test_a_published_function(tmp_path):
    layers = [*COMPLETE, ("d1", 0, 30, 20.0, NAN, NAN, 0.0)]
    keys = {"bulk_density": {"function": "hossain-2015"}}
    density = 0.071 + 1.322 * np.exp(-0.071 * 2)
    for errors, sd in (
        (OFF | {"bulk_density": 0.1}, 0.1),
        (OFF | {"bulk_density": None}, spread_of_functions(np.array([20.0]))[0]),
    ):
        profiles = read(tmp_path, layers, errors=errors, **keys)
        assert profiles.errors.drawn == {"a factor of the function that fills bulk density": 1}
        for replicate, found in enumerate(profiles.errors.draws(4, seed=1)):
            factor = np.exp(sd * normal(1, replicate)[2] - sd**2 / 2)
            assert found[1, 1] == pytest.approx(20 * density * 30 * 0.01 * (factor - 1))


def test_published_functions_differ_by_carbon():
    values = [FUNCTIONS[name](np.array([20.0]))[0] for name in FUNCTIONS]
    assert spread_of_functions(np.array([20.0])) == pytest.approx(np.log(values).std(ddof=1))
    # Above 150 g/kg four of them are left.
    some = [f(np.array([300.0]))[0] for f in FUNCTIONS.values() if f.highest > 300]
    assert len(some) == 4
    assert spread_of_functions(np.array([300.0])) == pytest.approx(np.log(some).std(ddof=1))


def fitted(n=30, seed=0):
    rng = np.random.default_rng(seed)
    soc = rng.uniform(5, 150, n)
    density = 1.4 * np.exp(-0.004 * soc) * rng.lognormal(0, 0.1, n)
    return [(f"m{k:02d}", 0, 30, s, NAN, d, 5.0) for k, (s, d) in enumerate(zip(soc, density, strict=True))]


def test_coefficients_of_a_fitted_function(tmp_path):
    layers = [*fitted(), ("z1", 0, 30, 80.0, NAN, NAN, 0.0)]
    profiles = read(tmp_path, layers, errors=OFF | {"bulk_density": None})
    assert profiles.errors.drawn == {"the coefficients of the function that fills bulk density": 1}
    found = profiles.errors.draws(2000, seed=1)[:, -1, 1]
    frame = pd.DataFrame(fitted())
    function = fit_bulk_density(frame[3], frame[5])
    covariance = coefficients_covariance(function, frame[3].to_numpy(), frame[5].to_numpy(), np.arange(30))
    slope = np.exp(function.b * 80) * np.array([1, function.a * 80])
    expected = 80 * 30 * 0.01 * np.sqrt(slope @ covariance @ slope)
    assert found.std() == pytest.approx(expected, rel=0.06)
    assert found.mean() == pytest.approx(0, abs=0.1 * expected)


def test_covariance_of_coefficients_is_that_of_fits_to_other_sites():
    """Layers of one site are off together: the sandwich sees it, the usual covariance does not."""
    rng = np.random.default_rng(5)
    found, fits = [], []
    for _ in range(300):
        site = np.repeat(np.arange(25), 4)
        soc = rng.uniform(5, 120, 100)
        density = 1.4 * np.exp(-0.004 * soc) + rng.normal(0, 0.12, 25)[site] + rng.normal(0, 0.03, 100)
        function = fit_bulk_density(pd.Series(soc), pd.Series(density))
        fits.append((function.a, function.b))
        found.append(coefficients_covariance(function, soc, density, site))
    sd = np.std(fits, axis=0)
    assert np.sqrt(np.mean([np.diag(c) for c in found], axis=0)) == pytest.approx(sd, rel=0.15)


def test_a_covariance_worked_by_hand():
    # b = 0, a = 1: the Jacobian is (1, soc). Two sites of two layers; residuals 1, 1 and −1, −1; soc 0, 2 and 0, 2.
    function = BulkDensityFunction(1.0, 0.0, 4, 0.0, 1.0)
    found = coefficients_covariance(
        function, np.array([0.0, 2, 0, 2]), np.array([2.0, 2, 0, 0]), np.array([7, 7, 9, 9])
    )
    # JᵀJ = [[4, 4], [4, 8]], its inverse [[0.5, −0.25], [−0.25, 0.25]]; scores (2, 2) and (−2, −2); squares add up
    # to [[8, 8], [8, 8]]; times 2 / (2 − 1).
    assert found == pytest.approx(np.array([[1.0, 0], [0, 0]]))


def test_drawn_carbon_changes_the_function_that_is_fitted_to_it(tmp_path):
    """Where all carbon comes from SOM, bulk density is the same whatever the share: carbon is off by its factor."""
    layers = [(site, top, bottom, NAN, soc, d, f) for site, top, bottom, soc, _, d, f in fitted()]
    profiles = read(tmp_path, [*layers, ("z1", 0, 30, NAN, 80.0, NAN, 5.0)], errors=OFF | {"som_to_soc": 0.04})
    carbon = profiles.wide()["socd_0-30"].to_numpy()
    for replicate, found in enumerate(profiles.errors.draws(3, seed=2)):
        assert found[:, 1] == pytest.approx(carbon * 0.04 * normal(2, replicate)[0] / 0.58, rel=1e-4)


def test_coarse_fragments(tmp_path):
    layers = [
        ("a1", 0, 10, 20.0, NAN, 1.0, 10.0), ("a2", 0, 10, 20.0, NAN, 1.0, 20.0), ("b1", 0, 10, 20.0, NAN, 1.0, 40.0),
        ("a3", 0, 10, 20.0, NAN, 1.0, NAN), ("b2", 0, 10, 20.0, NAN, 1.0, NAN), ("c2", 0, 10, 20.0, NAN, 1.0, NAN),
    ]  # fmt: skip
    profiles = read(tmp_path, layers, DEPTHS[:1], errors=OFF | {"coarse_fragments": None})
    assert profiles.errors.drawn == {"filled coarse fragments": 3}
    # Of a: SD 7.07 of two sites, 15 ± 5. Of b: one site, with the SD of all, 15.3. Of c, all three: 23.3 ± 15.3 / √3.
    spread = np.std([10, 20, 40], ddof=1)
    sds = {"a3": (5.0, 1), "b2": (spread, 2), "c2": (spread / np.sqrt(3), 0)}
    for replicate, found in enumerate(profiles.errors.draws(4, seed=6)):
        z = normal(6, replicate, 7)[4:]
        for site, (sd, number) in sds.items():
            # 20 g/kg · 1 g/cm³ · 10 cm · 0.01 = 2 kg/m² of fine earth if there were no fragments.
            off = found[profiles.errors.sites.index(site), 0]
            assert off == pytest.approx(-2 * sd * z[number] / 100)
        assert (found[[profiles.errors.sites.index(s) for s in ("a1", "a2", "b1")]] == 0).all()


def test_fragments_that_are_nowhere_given(tmp_path):
    layers = [("a1", 0, 10, 20.0, NAN, 1.0, NAN), ("a2", 0, 10, 20.0, NAN, 1.0, NAN)]
    assert read(tmp_path, layers, DEPTHS[:1]).errors is None
    given = read(tmp_path, layers, DEPTHS[:1], errors={"coarse_fragments": 10}).errors.draws(200, seed=1)[:, :, 0]
    # From 0 they can only rise: half of the draws leave them at 0, and both sites have the same.
    assert (given[:, 0] == given[:, 1]).all() and (given <= 0).all()
    assert (given[:, 0] == 0).mean() == pytest.approx(0.5, abs=0.1)
    assert given.min() == pytest.approx(-2 * 0.25, abs=0.12)


def test_a_site_counts_once_for_the_mean_of_its_type():
    layers = pd.DataFrame(
        {"site": ["a", "a", "b", "c"], "coarse_fragments": [10.0, 10, 20, 15], "soil_type": ["S", "s", "S", "s"],
         "coarse_fragments_filled": [False, False, False, True]}
    )  # fmt: skip
    sd, error = fragment_errors(layers, None)
    assert sd.tolist() == [0, 0, 0, pytest.approx(5)]  # SD of 10 and 20, over √2
    assert error[3] == error[0] == 1


def test_how_layers_are_divided(tmp_path):
    layers = [("a1", 0, 6, 40.0, NAN, 1.0, 0.0), ("a1", 6, 20, 20.0, NAN, 1.0, 0.0), ("a1", 20, 40, 5.0, NAN, 1.0, 0.0)]
    densities = {
        how: read(tmp_path, layers, harmonise=how).wide()[["socd_0-10", "socd_0-30"]].to_numpy()[0]
        for how in ("spline", "layers")
    }
    difference = densities["spline"] - densities["layers"]
    assert (np.abs(difference) > 0.01).all()
    for how in ("spline", "layers"):
        profiles = read(tmp_path, layers, harmonise=how, errors={"layer_division": 0.5})
        assert profiles.errors.drawn == {"how layers are divided": 1}
        for replicate, found in enumerate(profiles.errors.draws(3, seed=8)):
            assert found[0] == pytest.approx(0.5 * normal(8, replicate)[1] * difference)


def test_the_sites_of_the_study_are_not_divided(tmp_path):
    layers = [*COMPLETE, ("a1", 0, 6, 40.0, NAN, 1.0, 0.0), ("a1", 6, 20, 20.0, NAN, 1.0, 0.0)]
    assert read(tmp_path, layers, harmonise="exact").errors is None


def test_bridged_gaps_and_excluded_sites(tmp_path):
    layers = [
        ("a1", 0, 10, NAN, 50.0, 1.0, 0.0), ("a1", 12, 30, NAN, 40.0, 1.0, 0.0),
        ("b1", 5, 30, NAN, 40.0, 1.0, 0.0),
        *COMPLETE,
    ]  # fmt: skip
    profiles = read(tmp_path, layers, errors=OFF | {"som_to_soc": 0.04})
    densities = profiles.wide().set_index("site")["socd_0-30"]
    assert np.isnan(densities["b1"]) and profiles.errors.drawn == {"the share of carbon in SOM": 1}
    found = profiles.errors.draws(2, seed=1)[:, :, 1]
    assert found[0, 0] == pytest.approx(densities["a1"] * 0.04 * normal(1, 0)[0] / 0.58)  # the bridge with its layers
    assert (found[:, 1:] == 0).all()


def test_draws(tmp_path):
    layers = [*fitted(), ("z1", 0, 30, NAN, 80.0, NAN, NAN), ("z2", 0, 40, 30.0, NAN, NAN, 5.0)]
    errors = read(tmp_path, layers).errors
    many = errors.draws(8, seed=5)
    assert np.array_equal(errors.draws(3, seed=5), many[:3])
    assert not np.array_equal(errors.draws(3, seed=6), many[:3])
    without = read(tmp_path, layers, errors={"som_to_soc": 0}).errors.draws(8, seed=5)
    z2 = errors.sites.index("z2")
    assert np.array_equal(without[:, z2], many[:, z2])  # of the others, the same numbers
    assert read(tmp_path, layers, errors=False).errors is None
    shuffled = read(tmp_path, layers[::-1]).errors
    assert shuffled.draws(8, seed=5) == pytest.approx(many, abs=1e-12)


def test_the_note_says_what_is_drawn(tmp_path):
    notes = [str(n) for n in read(tmp_path, [*COMPLETE, ("d1", 0, 30, NAN, 50.0, 1.0, NAN)]).notes]
    (note,) = [n for n in notes if "drawn" in n]
    assert note == ("Errors that sites share are drawn anew in every replicate: the share of carbon in SOM (1 site).")


def test_finished_densities_have_no_such_errors(tmp_path):
    frame = pd.DataFrame({"site": ["a", "b"], "lon": 100.0, "lat": [50, 51.0], "socd_0-10": [3.0, 4], "socd_0-30": 6.0})
    frame.to_csv(tmp_path / "given.csv", index=False)
    assert read_profiles(tmp_path / "given.csv", DEPTHS, {}, {}).errors is None


@pytest.mark.parametrize("errors", [{"som_to_soc": -0.1}, {"bulk_density": 1.5}, {"fragments": 3}, "often"])
def test_settings_are_checked(errors):
    with pytest.raises(ValidationError):
        Observations.model_validate({"table": "x.csv", "errors": errors})
    assert not Observations.model_validate({"table": "x.csv", "errors": False}).errors.draw
