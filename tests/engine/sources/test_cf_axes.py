"""Axes and CRS of NetCDF by CF: names, attributes, orders, units, bounds and grid mappings, against known places."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj import CRS as ProjCRS
from pyproj import Transformer
from rasters import LAEA, centres, north_up

from engine.errors import InputError
from engine.sources.entry import source_spec
from engine.sources.netcdf import NetcdfSource
from engine.sources.opening import open_source

LON, LAT = np.arange(120.25, 126, 0.5), np.arange(52.75, 48, -0.5)
POLAR = ProjCRS("EPSG:3413")
TARGET = north_up(-60_000, 60_000, 6000, 20, 20, LAEA)
ATTRS = {
    "standard_name": ({"standard_name": "longitude"}, {"standard_name": "latitude"}),
    "units": ({"units": "degrees_east"}, {"units": "degreesN"}),
    "axis": ({"axis": "X", "long_name": "Longitude"}, {"axis": "Y", "long_name": "latitude"}),
    "type": ({"_CoordinateAxisType": "Lon"}, {"_CoordinateAxisType": "Lat"}),
}


def field(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    return (lon - 120 + 10 * (lat - 48)).astype("float32")


def plane() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x and y, m, around 123° E 50° N, and the field there; rows from north to south."""
    east, north = Transformer.from_crs(4326, POLAR, always_xy=True).transform(123, 50)
    x, y = (
        np.round(east / 5000) * 5000 + np.arange(-2e5, 2e5, 5000),
        np.round(north / 5000) * 5000 + np.arange(2e5, -2e5, -5000),
    )
    lon, lat = Transformer.from_crs(POLAR, 4326, always_xy=True).transform(*np.meshgrid(x, y))
    return x, y, field(lon, lat)


def save(path: Path, dims, values, coords: dict, attrs: dict | None = None, **others) -> Path:
    """Exactly these attributes: no fill value or coordinates of xarray's own."""
    dataset = xr.Dataset({"v": (dims, values, attrs or {}), **others}, coords)
    encoding = {name: {"_FillValue": None} for name in dataset.variables if "_FillValue" not in dataset[name].attrs}
    dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
    return path


def opened(path: Path, **entries) -> NetcdfSource:
    source = open_source("v", source_spec(href=path.name, **entries), path.parent)
    assert isinstance(source, NetcdfSource)
    return source


def problem(path: Path, **entries) -> str:
    with pytest.raises(InputError) as error:
        opened(path, **entries)
    (text,) = map(str, error.value.problems)
    assert text.startswith(f"covariates.v: {path}: ")
    return text


def error_of(source: NetcdfSource) -> float:
    """The most by which the source on a grid misses the field; missing cells count as infinite."""
    values = source.on_grid(TARGET, "bilinear")
    return float(np.nan_to_num(np.abs(values - field(*centres(TARGET))), nan=np.inf).max())


names = st.sampled_from([("lon", "lat"), ("x", "y"), ("nav_lon", "nav_lat"), ("i", "j"), ("XDim", "YDim"), ("b", "a")])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names, st.sampled_from(sorted(ATTRS)), st.permutations(["time", "y", "x"]), st.booleans(), st.booleans(),
    st.sampled_from(["float64", "float32", "packed"]), st.sampled_from([0.0, 360.0]), st.booleans(),
)  # fmt: skip
def test_axes_by_their_attributes(tmp_path, names, attrs, order, ascends, westward, dtype, round_globe, bounds):
    """Whatever their names, order, direction and packing, the grid is the one and every cell has its value."""
    lon, lat = (LON[::-1] if westward else LON), (LAT[::-1] if ascends else LAT)
    values = field(*np.meshgrid(lon, lat))[None]
    dims = {"x": names[0], "y": names[1], "time": "time"}
    coords = {}
    for name, axis, told in zip(names, (lon + round_globe, lat), ATTRS[attrs], strict=True):
        told = dict(told)
        if bounds:
            told["bounds"] = f"{name}_bnds"
        if dtype == "packed":
            told |= {"scale_factor": 0.25, "add_offset": 100.0}
            coords[name] = (name, np.round((axis - 100) / 0.25).astype("int16"), told)
        else:
            coords[name] = (name, axis.astype(dtype), told)
    others = {f"{name}_bnds": ((name, "nv"), np.stack([axis - 0.25, axis + 0.25], 1))
              for name, axis in zip(names, (lon + round_globe, lat), strict=True) if bounds}  # fmt: skip
    stored = np.transpose(values, [("time", "y", "x").index(d) for d in order])
    path = save(tmp_path / "a.nc", tuple(dims[d] for d in order), stored, coords, **others)
    source = opened(path)
    assert source.geobox.boundingbox.bbox == pytest.approx((120 + round_globe, 48, 126 + round_globe, 53))
    assert source.geobox.crs == CRS("EPSG:4326")
    expected = field(*np.meshgrid(LON, LAT))
    assert np.array_equal(source.read((slice(0, 10), slice(0, 12))), expected)
    assert np.array_equal(source.read((slice(2, 5), slice(7, 11))), expected[2:5, 7:11])
    assert error_of(source) < 1e-2


UNITS = {"m": 1, "metre": 1, "meters": 1, "km": 1e3, "kilometers": 1e3, "1000 m": 1e3, "1e3 metres": 1e3,
         "US_survey_foot": 1200 / 3937, "": 1}  # fmt: skip


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("names", [("x", "y"), ("easting", "northing"), ("XDim", "YDim"), ("col", "row")])
def test_units_of_projected_axes(tmp_path, units, names):
    x, y, values = plane()
    told = [{"standard_name": f"projection_{axis}_coordinate"} if names == ("col", "row") else {} for axis in "xy"]
    told = [attrs | ({"units": units} if units else {}) for attrs in told]
    coords = {names[0]: (names[0], x / UNITS[units], told[0]), names[1]: (names[1], y / UNITS[units], told[1])}
    path = save(tmp_path / "a.nc", names[::-1], values, coords, {"grid_mapping": "crs"},
                crs=xr.Variable((), 0, POLAR.to_cf()))  # fmt: skip
    source = opened(path)
    assert np.allclose(
        source.geobox.boundingbox.bbox, (x[0] - 2500, y[-1] - 2500, x[-1] + 2500, y[0] + 2500), atol=1e-3
    )
    assert error_of(source) < 0.01
    assert error_of(opened(path, crs="EPSG:3413")) < 0.01


def test_kilometres_of_a_crs_in_kilometres(tmp_path):
    x, y, values = plane()
    coords = {"x": ("x", x / 1000, {"units": "km"}), "y": ("y", y / 1000, {"units": "km"})}
    path = save(tmp_path / "a.nc", ("y", "x"), values, coords)
    assert error_of(opened(path, crs="+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +datum=WGS84 +units=km")) < 0.01
    assert error_of(opened(path, crs="EPSG:3413")) < 0.01


@pytest.mark.parametrize("units", ["furlong", "degrees_west", "degree", "m-1"])
def test_units_that_do_not_fit(tmp_path, units):
    x, y, values = plane()
    coords = {"x": ("x", x, {"units": units}), "y": ("y", y, {"units": units})}
    path = save(tmp_path / "a.nc", ("y", "x"), values, coords)
    assert f"x has units {units!r}" in problem(path, crs="EPSG:3413")


CRS_ATTRS = {
    "cf": {k: v for k, v in POLAR.to_cf().items() if k != "crs_wkt"},
    "wkt": {"crs_wkt": POLAR.to_wkt()},
    "gdal": {"spatial_ref": POLAR.to_wkt("WKT1_GDAL"), "GeoTransform": "0 1 0 0 0 -1"},
    "esri": {"esri_pe_string": POLAR.to_wkt("WKT1_ESRI")},
    "proj4": {"proj4text": POLAR.to_proj4()},
    "code": {"epsg_code": np.array([3413])},
}


@pytest.mark.parametrize("kind", CRS_ATTRS)
@pytest.mark.parametrize("mapping", ["crs", "crs: x y", "geo: lat lon crs: x y", None])
def test_what_declares_the_crs(tmp_path, kind, mapping):
    """In the plain and the extended form, and where the variable does not name it."""
    x, y, values = plane()
    if mapping is None and kind in ("proj4", "code"):
        kind = "cf"
    others = {"crs": xr.Variable((), 0, CRS_ATTRS[kind])}
    if mapping and "geo" in mapping:
        others["geo"] = xr.Variable((), 0, {"grid_mapping_name": "latitude_longitude"})
    told = [{"standard_name": f"projection_{axis}_coordinate", "units": "m"} for axis in "xy"]
    coords = {"x": ("x", x, told[0]), "y": ("y", y, told[1])}
    attrs = {"grid_mapping": mapping} if mapping else {}
    path = save(tmp_path / "a.nc", ("y", "x"), values, coords, attrs, **others)
    ours = opened(path)
    assert error_of(ours) < 0.01
    if kind in ("cf", "wkt") and mapping == "crs":
        with rasterio.open(path) as gdal:
            assert np.allclose(gdal.transform[:6], ours.geobox.affine[:6])
            assert ProjCRS(gdal.crs.to_wkt()).to_epsg(min_confidence=20) == 3413


def test_longitudes_of_another_datum(tmp_path):
    """A grid mapping counts although the coordinates are called lon and lat: Pulkovo 1942 lies 100 m beside WGS 84."""
    mapping = xr.Variable((), 0, ProjCRS("EPSG:4284").to_cf())
    path = save(tmp_path / "a.nc", ("lat", "lon"), field(*np.meshgrid(LON, LAT)), {"lon": LON, "lat": LAT},
                {"grid_mapping": "crs"}, crs=mapping)  # fmt: skip
    source = opened(path)
    assert source.geobox.crs.proj.equals(ProjCRS("EPSG:4284"), ignore_axis_order=True)
    lon, lat = Transformer.from_crs(LAEA, "EPSG:4284", always_xy=True).transform(*centres(TARGET, LAEA))
    assert np.nanmax(np.abs(source.on_grid(TARGET, "bilinear") - field(lon, lat))) < 2e-5
    projected = save(tmp_path / "b.nc", ("lat", "lon"), field(*np.meshgrid(LON, LAT)), {"lon": LON, "lat": LAT},
                     {"grid_mapping": "crs"}, crs=xr.Variable((), 0, POLAR.to_cf()))  # fmt: skip
    assert opened(projected).geobox.crs == CRS("EPSG:4326")
    x, y, values = plane()
    misnamed = save(tmp_path / "c.nc", ("lat", "lon"), values, {"lon": x, "lat": y}, {"grid_mapping": "crs"},
                    crs=xr.Variable((), 0, POLAR.to_cf()))  # fmt: skip
    assert error_of(opened(misnamed)) < 0.01


ROTATED = {"grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": 39.25,
           "grid_north_pole_longitude": -57.0}  # fmt: skip


@pytest.mark.parametrize("named", [True, False])
def test_a_rotated_pole(tmp_path, named):
    crs = ProjCRS.from_cf(ROTATED)
    to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
    rlon, rlat = np.arange(-3, 3.05, 0.1), np.arange(-3.0, 3.05, 0.1)
    lon, lat = to_degrees.transform(*np.meshgrid(rlon, rlat))
    assert abs(lon.mean() - 123) < 0.5 and abs(lat.mean() - 50.75) < 0.5
    told = [{"standard_name": f"grid_{n}", "units": "degrees"} if named else {} for n in ("longitude", "latitude")]
    coords = {"rlon": ("rlon", rlon, told[0]), "rlat": ("rlat", rlat, told[1])}
    others = {"lon": (("rlat", "rlon"), lon), "lat": (("rlat", "rlon"), lat)}
    path = save(tmp_path / "a.nc", ("rlat", "rlon"), field(lon, lat), coords, {"grid_mapping": "rotated_pole"},
                rotated_pole=xr.Variable((), 0, ROTATED), **others)  # fmt: skip
    assert error_of(opened(path, variable="v")) < 0.05
    bare = save(tmp_path / "b.nc", ("rlat", "rlon"), field(lon, lat), coords)
    assert "rlon is a longitude of a rotated pole and no grid mapping declares a CRS" in problem(bare)
    two = save(tmp_path / "c.nc", ("rlat", "rlon"), field(lon, lat), coords, **others)
    assert "lon and lat are two-dimensional: a curvilinear grid" in problem(two, variable="v")


def test_a_geostationary_view_in_radians(tmp_path):
    """Scan angles, packed, as of GOES and Himawari."""
    attrs = {
        "grid_mapping_name": "geostationary", "perspective_point_height": 35785863.0, "sweep_angle_axis": "y",
        "longitude_of_projection_origin": 140.7, "semi_major_axis": 6378137.0, "semi_minor_axis": 6356752.3,
    }  # fmt: skip
    crs = ProjCRS.from_cf(attrs)
    east, north = Transformer.from_crs(4326, crs, always_xy=True).transform(123, 50)
    step, height = 5.6e-5, 35785863.0
    x, y = east / height + step * np.arange(-100, 101), north / height + step * np.arange(100, -101, -1)
    lon, lat = Transformer.from_crs(crs, 4326, always_xy=True).transform(*np.meshgrid(x * height, y * height))
    for units, size in (("rad", 1.0), ("microradian", 1e-6)):
        coords = {name: (name, axis / size, {"units": units}) for name, axis in (("x", x), ("y", y))}
        path = save(tmp_path / f"{units}.nc", ("y", "x"), field(lon, lat), coords, {"grid_mapping": "g"},
                    g=xr.Variable((), 0, attrs))  # fmt: skip
        assert error_of(opened(path)) < 0.02


@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.5])
@pytest.mark.parametrize("ascends", [True, False])
def test_bounds_tell_what_coordinates_mark(tmp_path, shift, ascends):
    """Corners in the coordinates, cells in the bounds; cells at a pole are cut off."""
    lat = np.arange(-90, 90.5, 1.0) if shift == 0 else np.arange(-89.5, 90, 1.0)
    lat = lat if ascends else lat[::-1]
    lon = np.arange(0.5, 360)
    coords, others = {}, {}
    for name, axis in (("lon", lon), ("lat", lat)):
        edges = np.stack([axis - 0.5, axis + 0.5], 1)
        others[f"{name}_bnds"] = ((name, "nv"), np.clip(edges, -90, 90) if name == "lat" else edges)
        coords[name] = (name, axis + shift, {"bounds": f"{name}_bnds"})
    path = save(tmp_path / "a.nc", ("lat", "lon"), field(*np.meshgrid(lon, lat)), coords, **others)
    source = opened(path)
    assert source.geobox.boundingbox.bbox == pytest.approx((0, lat.min() - 0.5, 360, lat.max() + 0.5))
    assert error_of(source) < 0.01
    told = opened(path, coordinates="lower_left").geobox.boundingbox
    assert told.left == pytest.approx(shift + 0.5)


def test_one_column_is_as_wide_as_its_bounds(tmp_path):
    values, lat = np.ones((LAT.size, 1), "f4"), {"lat": LAT}
    path = save(tmp_path / "a.nc", ("lat", "lon"), values, {"lon": [123.0], **lat})
    assert "lon has one place (123) and no bounds" in problem(path)
    path = save(tmp_path / "b.nc", ("lat", "lon"), values, {"lon": ("lon", [123.0], {"bounds": "b"}), **lat},
                b=(("lon", "nv"), [[122.0, 124.0]]))  # fmt: skip
    assert opened(path, variable="v").geobox.boundingbox.bbox == pytest.approx((122, 48, 124, 53))


def test_longitudes_that_jump_at_180(tmp_path):
    lon = np.r_[np.arange(170.5, 180), np.arange(-179.5, -170)]
    path = save(tmp_path / "a.nc", ("lat", "lon"), np.ones((LAT.size, lon.size), "f4"), {"lon": lon, "lat": LAT})
    assert opened(path).geobox.boundingbox.bbox == pytest.approx((170, 48, 190, 53))


def test_axes_that_are_refused(tmp_path):
    values = field(*np.meshgrid(LON, LAT))
    lon, lat = np.meshgrid(LON, LAT)
    both = {"nav_lon": (("y", "x"), lon), "nav_lat": (("y", "x"), lat)}
    for coords in ({}, {"x": np.arange(LON.size), "y": np.arange(LAT.size)}):
        curved = save(
            tmp_path / f"c{len(coords)}.nc", ("y", "x"), values, coords, {"coordinates": "nav_lat nav_lon"}, **both
        )
        assert "nav_lon and nav_lat are two-dimensional: a curvilinear grid, which is not read" in problem(curved)
    swapped = {"lon": ("lon", LON, {"units": "degrees_north", "axis": "X"}), "lat": LAT}
    assert "coordinate lon is y by `units` (degrees_north) and x by `axis` (X)" in problem(
        save(tmp_path / "s.nc", ("lat", "lon"), values, swapped)
    )
    hole = LON.copy()
    hole[3] = np.nan
    path = save(tmp_path / "h.nc", ("lat", "lon"), values, {"lon": hole, "lat": LAT})
    assert "lon has no number at place 4 of 12" in problem(path)
    far = save(tmp_path / "f.nc", ("lat", "lon"), values, {"lon": LON * 1e4, "lat": LAT * 1e4})
    assert "cannot be longitudes and latitudes in degrees" in problem(far)
    off = {"lon": ("lon", LON, {"bounds": "b"}), "lat": LAT}
    path = save(tmp_path / "o.nc", ("lat", "lon"), values, off, b=(("lon", "nv"), np.stack([LON + 3, LON + 4], 1)))
    assert "the bounds of lon (`b`) do not fit its coordinates" in problem(path, variable="v")
    local = save(tmp_path / "l.nc", ("y", "x"), values, {"x": LON, "y": LAT}, {"grid_mapping": "crs"},
                 crs=xr.Variable((), 0, {"crs_wkt": 'LOCAL_CS["here",UNIT["metre",1]]'}))  # fmt: skip
    assert "has no known place on the Earth" in problem(local)
    assert "`grid_mapping: gone` is not in the file" in problem(
        save(tmp_path / "g.nc", ("y", "x"), values, {"x": LON, "y": LAT}, {"grid_mapping": "gone"})
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scale_factor", "x"), ("scale_factor", 0.0), ("scale_factor", np.array([1.0, 2.0])), ("add_offset", "none"),
        ("scale_factor", np.nan), ("add_offset", np.array([1.0, 2.0])),
    ],
)  # fmt: skip
def test_coordinates_packed_with_nonsense_are_refused(tmp_path, key, value):
    values = field(*np.meshgrid(LON, LAT))
    path = save(tmp_path / "p.nc", ("lat", "lon"), values, {"lon": ("lon", LON, {key: value}), "lat": LAT})
    assert f"{key} of lon is " in problem(path)


def test_coordinates_and_bounds_that_are_words_are_refused(tmp_path):
    values, words = field(*np.meshgrid(LON, LAT)), [f"east {v}" for v in LON]
    path = save(tmp_path / "w.nc", ("lat", "lon"), values, {"lon": words, "lat": LAT})
    assert f"lon holds '{words[0]}', expected numbers" in problem(path)
    bounded = {"lon": ("lon", LON, {"bounds": "b"}), "lat": LAT}
    path = save(tmp_path / "b.nc", ("lat", "lon"), values, bounded, b=(("lon", "nv"), np.full((LON.size, 2), "x")))
    assert "b holds 'x', expected numbers" in problem(path, variable="v")


def test_coordinates_of_another_name(tmp_path):
    """1-D longitudes along a dimension that has another name, and none of its own or only a count."""
    values = field(*np.meshgrid(LON, LAT))
    lon, lat = (("x", LON, {"units": "degrees_east"}), ("y", LAT, {"units": "degrees_north"}))
    for name, more in (("a", {}), ("b", {"x": np.arange(LON.size), "y": np.arange(LAT.size)})):
        path = save(tmp_path / f"{name}.nc", ("y", "x"), values, {"lon": lon, "lat": lat, **more})
        assert error_of(opened(path, variable="v")) < 0.01


def test_the_place_on_a_further_dimension_is_told(tmp_path):
    values = np.stack([field(*np.meshgrid(LON, LAT)) + k for k in range(3)])
    depth = ("depth", [0.05, 0.2, 1.0], {"units": "m", "axis": "Z", "positive": "down"})
    coords = {"lon": LON, "lat": LAT, "depth": depth}
    path = save(tmp_path / "a.nc", ("depth", "lat", "lon"), values, coords)
    assert "choose one of the 3 places on depth with `band`, from 1 (depth = 0.05, 0.2, 1 m)" in problem(path)
    source = opened(path, band=2)
    assert source.summary().notes == ("depth = 0.2 m is read, place 2 of 3",)
    assert np.array_equal(source.read((slice(0, 10), slice(0, 12))), values[1])
    path = save(
        tmp_path / "b.nc", ("member", "depth", "lat", "lon"), values[None, :1], coords | {"depth": ("depth", [0.05])}
    )
    assert "depth = 0.05 is read" in opened(path).summary().notes


def test_gdal_reads_the_same_grid(tmp_path):
    """Of plain files of both orders and of packed coordinates."""
    for number, (ascends, dtype) in enumerate(itertools.product((True, False), ("float64", "float32"))):
        lat = LAT[::-1] if ascends else LAT
        coords = {
            "lon": ("lon", LON.astype(dtype), ATTRS["units"][0]),
            "lat": ("lat", lat.astype(dtype), ATTRS["standard_name"][1] | {"units": "degrees_north"}),
        }
        path = save(tmp_path / f"{number}.nc", ("lat", "lon"), field(*np.meshgrid(LON, lat)), coords)
        source = opened(path)
        with rasterio.open(path) as gdal:
            assert np.allclose(gdal.transform[:6], source.geobox.affine[:6])
            assert np.array_equal(gdal.read(1), source.read((slice(0, 10), slice(0, 12))))
            assert isinstance(source.geobox, GeoBox)


def test_what_contradicts_itself(tmp_path):
    """WKT beside other parameters, and coordinates on the edges of GDAL's pixels; but not a part of a file."""
    x, y, values = plane()
    wrong = POLAR.to_cf() | {"straight_vertical_longitude_from_pole": 0.0}
    path = save(tmp_path / "a.nc", ("y", "x"), values, {"x": x, "y": y}, {"grid_mapping": "crs"},
                crs=xr.Variable((), 0, wrong))  # fmt: skip
    assert "`straight_vertical_longitude_from_pole` is 0.0, but -45.0 in the CRS beside it" in problem(path)
    turned = POLAR.to_cf() | {"straight_vertical_longitude_from_pole": 315.0}
    path = save(tmp_path / "b.nc", ("y", "x"), values, {"x": x, "y": y}, {"grid_mapping": "crs"},
                crs=xr.Variable((), 0, turned))  # fmt: skip
    assert error_of(opened(path)) < 0.01
    for name, left, top in (
        ("corner", x[0], y[0]),
        ("part", x[0] - 32_500, y[0] + 7500),
        ("whole", x[0] - 2500, y[0] + 2500),
    ):
        gdal = {"spatial_ref": POLAR.to_wkt(), "GeoTransform": f"{left} 5000.0 0.0 {top} 0.0 -5000.0"}
        path = save(tmp_path / f"{name}.nc", ("y", "x"), values, {"x": x, "y": y}, {"grid_mapping": "crs"},
                    crs=xr.Variable((), 0, gdal))  # fmt: skip
        if name != "corner":
            assert error_of(opened(path)) < 0.01
    assert "look like corners, add `coordinates: upper_left`" in problem(tmp_path / "corner.nc")
    corners = opened(tmp_path / "corner.nc", coordinates="upper_left").geobox.boundingbox
    assert (corners.left, corners.top) == (x[0], y[0])
