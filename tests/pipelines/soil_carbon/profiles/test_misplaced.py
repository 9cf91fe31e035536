"""Sites outside the domain: the slip that explains them is named, and one that does not is not."""

import numpy as np
import pandas as pd
import pytest

from engine.errors import InputError
from pipelines.runfile.observations_section import Observations
from pipelines.soil_carbon.profile_table.reading import read_observations
from pipelines.soil_carbon.profiles.read_profiles import profiles_of

CANADA = (-140.0, 55.0, -60.0, 75.0)


@pytest.fixture
def read(tmp_path):
    def of(lon, lat, bounds=CANADA, **keys):
        table = pd.DataFrame({"site": [f"S{i:02}" for i in range(len(lon))], "lon": lon, "lat": lat})
        path = tmp_path / "p.csv"
        table.assign(**{"socd_0-30": 9.0}).to_csv(path, index=False)
        observations = Observations(table=str(path), **keys)
        return list(
            map(str, profiles_of(read_observations(path, observations), observations, ((0.0, 30.0),), bounds).notes)
        )

    return of


def places(n=40):
    rng = np.random.default_rng(5)
    return -rng.uniform(70, 130, n).round(3), rng.uniform(58, 72, n).round(3)


def test_part_of_the_longitudes_lacks_its_sign(read):
    lon, lat = places()
    lon[10:] *= -1
    with pytest.raises(InputError) as caught:
        read(lon, lat)
    (problem,) = map(str, caught.value.problems)
    assert (
        "30 of 40 sites lie outside the domain's bounds; 30 sites would lie inside with the sign of lon changed"
        in problem
    )
    assert f"line 12: site S10 at lon {lon[10]:g}" in problem
    assert "and 25 more" in problem
    assert "sure_of: [lon]" in problem
    assert "30 of 40 sites lie outside the domain's bounds." in read(lon, lat, sure_of=("lon",))


@pytest.mark.parametrize(
    ("undo", "says"),
    [
        (lambda lon, lat: (-lon, lat), "the sign of lon changed"),
        (lambda lon, lat: (lon, -lat), "the sign of lat changed"),
        (lambda lon, lat: (-lon, -lat), "the signs of lon and lat changed"),
        (lambda lon, lat: (lon / 10, lat / 10), "lon and lat multiplied by 10"),
    ],
)
def test_all_sites_are_lost_by_one_slip(read, undo, says):
    with pytest.raises(InputError) as caught:
        read(*undo(*places()))
    assert "none of the 40 sites lies in the domain" in str(caught.value.problems[0])
    assert f"40 sites would lie inside with {says}" in str(caught.value.problems[0])


def test_a_few_are_a_warning(read):
    lon, lat = places()
    lon[:2] *= -1
    assert any("warning: 2 sites would lie inside with the sign of lon changed" in note for note in read(lon, lat))


def test_sites_that_are_elsewhere_are_left_alone(read):
    lon, lat = places()
    lat[:20] -= 40
    notes = read(lon, lat)
    assert "20 of 40 sites lie outside the domain's bounds." in notes
    assert not any("would lie inside" in note for note in notes)


@pytest.mark.parametrize("factor", [1e3, 1e5, 1e6, 1e7])
def test_degrees_in_small_parts_are_one_problem(read, factor):
    lon, lat = places()
    with pytest.raises(InputError) as caught:
        read((lon * factor).round(), (lat * factor).round())
    (problem,) = map(str, caught.value.problems)
    assert f"inside with lon and lat divided by {factor:,.0f}" in problem


def test_minutes_and_seconds_behind_a_point_are_doubted(read):
    def packed(degrees):
        whole, rest = np.divmod(np.abs(degrees) * 3600, 3600)
        minutes, seconds = np.divmod(rest.round(), 60)
        return np.sign(degrees) * (whole + minutes.clip(max=59) / 100 + seconds / 10_000)

    lon, lat = places()
    assert not [note for note in read(lon, lat) if "minutes" in note]
    (warning,) = [note for note in read(packed(lon), packed(lat)) if "minutes" in note]
    assert "no two decimals of any of 40 sites reach 60" in warning
    assert not [note for note in read(packed(lon), packed(lat), sure_of=("lon", "lat")) if "minutes" in note]
