"""Sites whose places are not exact: drawn places, and the covariates there."""

import numpy as np
import pandas as pd
import pytest
from pyproj import Geod

from engine.cube.features import Features
from engine.sources.entry import source_spec
from pipelines.soil_carbon.model.positions import drawn_places, moved_sites

SPECS = {
    "mat": source_spec(href="x.tif"),
    "tn": source_spec(href="x.tif"),
    "class": source_spec(href="x.tif", classes={"a": [1], "b": [2]}),
}


def test_drawn_places_scatter_as_asked():
    lon, lat = np.array([100.0, -179.99, 20.0]), np.array([50.0, 75.0, 0.0])
    sd = np.array([100.0, 2000.0, 5.0])
    found = drawn_places(lon, lat, sd, 400, seed=1)
    azimuth, _, away = Geod(ellps="WGS84").inv(*(np.tile(c, (400, 1)) for c in (lon, lat)), *found)
    for part in (np.sin, np.cos):
        offset = away * part(np.radians(azimuth))
        assert offset.std(axis=0) == pytest.approx(sd, rel=0.12)
        assert (np.abs(offset.mean(axis=0)) < 4 * sd / 20).all()
    few = drawn_places(lon, lat, sd, 3, seed=1)
    assert np.array_equal(few[0], found[0][:3]) and np.array_equal(few[1], found[1][:3])


def sites():
    return pd.DataFrame({"lon": [100.0, 101, 102], "lat": [50.0, 51, 52], "position_error": [1000.0, np.nan, 1000]})


def kept():
    return pd.DataFrame({"mat": np.float32([1, 2, 3]), "tn": np.float32([4, 5, 6]), "class": np.uint8([1, 2, 2])})


def test_covariates_at_drawn_places():
    """mat is the longitude; north of the place of site 0 there is no domain, and west of site 2 no class."""

    def sampled(lon, lat):
        return pd.DataFrame(
            {"domain": (lat < 50) | (lon > 101.5), "mat": np.float32(lon), "tn": np.float32(lon * 0),
             "class": np.where(lon < 102, 0, 1).astype("uint8")}
        ).assign(**{"class": lambda f: np.where(f["mat"] < 101.5, 2, f["class"])})  # fmt: skip

    lon, lat = drawn_places(*(sites()[c].to_numpy()[[0, 2]] for c in ("lon", "lat", "position_error")), 20, seed=3)
    measured = {"tn": np.array([False, True, True])}
    moved = moved_sites(sites(), kept(), measured, sampled, Features.of(SPECS), 20, seed=3)
    assert moved.rows.tolist() == [0, 2] and moved.x.shape == (20, 2, 4)  # mat, tn, class a, class b
    stays = lat[:, 0] >= 50
    assert 0 < stays.sum() < 20
    assert moved.x[stays, 0].tolist() == [[1, 4, 1, 0]] * stays.sum()
    assert moved.x[~stays, 0, 0] == pytest.approx(np.float32(lon[~stays, 0]))
    assert moved.x[~stays, 0, 1:].tolist() == [[0, 0, 1]] * (~stays).sum()
    west = lon[:, 1] < 102
    assert moved.x[west, 1].tolist() == [[3, 6, 0, 1]] * west.sum()
    assert moved.x[~west, 1, 1:].tolist() == [[6, 1, 0]] * (~west).sum()  # tn was measured there


@pytest.mark.parametrize("errors", [None, [0.0, np.nan, 0.0]])
def test_exact_places_stay(errors):
    table = sites().drop(columns="position_error") if errors is None else sites().assign(position_error=errors)
    assert moved_sites(table, kept(), {}, lambda *_: pytest.fail("sampled"), Features.of(SPECS), 4, 1) is None
