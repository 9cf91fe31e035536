"""A CRS without a name gets one, in which nothing else changes."""

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.crs
from odc.geo import CRS

from engine.grid.crs_name import crs_label, crs_text, named


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("+proj=laea +lat_0=51 +lon_0=121.5 +datum=WGS84 +units=m", "Lambert azimuthal equal-area, 51° N 121.5° E"),
        ("+proj=laea +lat_0=-80 +lon_0=-20.25", "Lambert azimuthal equal-area, 80° S 20.25° W"),
        ("+proj=aea +lat_1=47 +lat_2=54 +lon_0=123.5", "Albers equal-area, 47° N and 54° N 123.5° E"),
        ("+proj=stere +lat_0=90 +lat_ts=70", "Polar stereographic (variant B), 70° N 0° E"),
        ("+proj=tmerc +lon_0=9", "Transverse Mercator, 0° N 9° E"),
        ("+proj=sinu", "Sinusoidal, 0° E"),
        ("+proj=cea +lat_ts=30", "WGS 84 / NSIDC EASE-Grid 2.0 Global"),
        ("EPSG:6931", "WGS 84 / NSIDC EASE-Grid 2.0 North"),
    ],
)
def test_what_it_is_and_where(text, name, tmp_path):
    crs = CRS(text)
    found = named(crs)
    assert found.proj.name == name and found == crs
    for x, y in ((1.2e5, 3.4e5), (-7e5, 1e5)):
        one, other = (pyproj.Transformer.from_crs(c.proj, "EPSG:4326", always_xy=True) for c in (crs, found))
        assert one.transform(x, y) == other.transform(x, y)
    # The name is in the file.
    profile = {"driver": "GTiff", "width": 2, "height": 2, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "a.tif", "w", crs=rasterio.crs.CRS.from_wkt(found.to_wkt()),
        transform=rasterio.transform.from_origin(0, 0, 1000, 1000), **profile,
    ) as file:  # fmt: skip
        file.write(np.zeros((1, 2, 2), "uint8"))
    with rasterio.open(tmp_path / "a.tif") as file:
        assert f'"{name}"' in file.crs.to_wkt()
        assert CRS(file.crs.to_wkt()) == crs


def test_in_a_line():
    assert crs_text(CRS("EPSG:3035")) == "EPSG:3035"
    assert crs_text(named(CRS("+proj=sinu"))) == "Sinusoidal, 0° E"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("EPSG:32651", "WGS 84 / UTM zone 51N"),
        ("+proj=utm +zone=51 +datum=WGS84", "WGS 84 / UTM zone 51N"),
        ("+proj=longlat +datum=WGS84", "WGS 84"),
        ("+proj=longlat +a=6371000 +b=6371000", "custom, longitude and latitude"),
        ("+proj=longlat +ellps=krass", "custom, longitude and latitude on Krassovsky, 1942"),
        ("+proj=laea +lat_0=51 +lon_0=121.5", "custom, Lambert azimuthal equal-area, 51° N 121.5° E"),
        ("+proj=sinu +R=6371007.181 +nadgrids=@null +wktext", "custom, Sinusoidal, 0° E"),
    ],
)
def test_a_label_names_it_or_says_what_it_is(text, label):
    assert crs_label(CRS(text)) == label
