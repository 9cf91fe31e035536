"""What files say is missing and how they are packed: types × containers × attributes, beside other readers.

Where the others disagree, the text of the conventions is followed, and the test says with whom.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.vrt import WarpedVRT
from rasters import north_up, write_nc, write_tif

from engine.errors import InputError, Where
from engine.sources.declared import DEFAULT_FILLS, Declared, of_attributes, turned
from engine.sources.decode import LIMIT, decode
from engine.sources.entry import source_spec
from engine.sources.opening import open_source
from engine.sources.spec import SourceSpec

NATIVE = north_up(120, 51, 0.5, 4, 3)
WHOLE = (slice(0, 3), slice(0, 4))
LON, LAT = 120.25 + 0.5 * np.arange(4), 50.75 - 0.5 * np.arange(3)
SMALL = np.array([[10, 20, 30, 40], [50, 60, 70, 80], [90, 100, 110, 120]])
"""Numbers that every type can hold."""
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
TYPES = (*INTEGERS, "float32", "float64")
SCALE, OFFSET = 0.25, -3.0


def read(folder: Path, href: str, **entries) -> np.ndarray:
    return open_source("v", source_spec(href=href, **entries), folder).read(WHOLE)


def problem_of(folder: Path, href: str, **entries) -> str:
    with pytest.raises(InputError) as error:
        read(folder, href, **entries)
    (problem,) = map(str, error.value.problems)
    assert problem.startswith(f"covariates.v: {folder / href}: ")
    return problem


def agree(ours: np.ndarray, theirs: np.ndarray, what: str = "") -> None:
    np.testing.assert_allclose(ours, np.asarray(theirs, "float64").astype("float32"), rtol=1e-6, err_msg=what)


def fill_of(kind: str) -> Any:
    """A number that the type can hold and that is not its NetCDF default."""
    if kind.startswith("float"):
        return np.dtype(kind).type(-3.4e38 if kind == "float32" else -1.7e308)
    return np.dtype(kind).type(np.iinfo(kind).max if kind.startswith("u") else np.iinfo(kind).min)


# GeoTIFF: rasterio and gdalwarp


@pytest.mark.parametrize("kind", TYPES)
def test_geotiffs_are_read_as_rasterio_and_gdalwarp_read_them(tmp_path, kind):
    fill = fill_of(kind)
    if kind in ("int64", "uint64"):
        fill = np.dtype(kind).type(9999)
    values = SMALL.astype(kind)
    values[1, 1:3] = fill
    mask = np.ones(values.shape, bool)
    mask[2, 2:] = False
    for missing, packed in product(["not declared", "declared", "masked", "both"], [False, True]):
        profile: dict[str, Any] = {"scales": (SCALE,), "offsets": (OFFSET,)} if packed else {}
        if missing in ("declared", "both"):
            profile["nodata"] = float(fill)
        path = write_tif(tmp_path / f"{missing}.tif", values, NATIVE, **profile)
        if missing in ("masked", "both"):
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
                file.write_mask(mask)
        with rasterio.open(path) as file:
            theirs = file.read(1, masked=True).astype("float64").filled(np.nan)
            if missing == "both":
                theirs[1, 1:3] = np.nan  # GDAL's one mask leaves the number out, gdalwarp counts both
            theirs[np.abs(theirs) > LIMIT] = np.nan  # also where the file does not say so
            with WarpedVRT(file, src_nodata=file.nodata, dtype="float64", nodata=-7777.0) as warped:
                gdalwarp = warped.read(1)
        packing = (SCALE, OFFSET) if packed else (1.0, 0.0)
        ours = read(tmp_path, path.name)
        agree(ours, theirs * packing[0] + packing[1], missing)
        known = np.isfinite(ours)
        agree(ours[known], gdalwarp[known] * packing[0] + packing[1], missing)
        assert np.isnan(ours[gdalwarp == -7777.0]).all()
        expected = np.zeros(values.shape, bool)
        expected[1, 1:3] = "nodata" in profile or kind.startswith("float")
        expected |= ~mask if missing in ("masked", "both") else False
        assert np.array_equal(np.isnan(ours), expected)


@pytest.mark.parametrize(
    ("kind", "nodata", "stored"),
    [
        ("float32", "-3.4e+38", -3.4e38),
        ("float32", "-3.40282e+38", -3.4028234663852886e38),
        ("float32", "-99999.9", -99999.9),
        ("float64", "-99999.9", float(np.float32(-99999.9))),
        ("float64", "1.1000", 1.1),
        ("float32", "1e+20", 1e20),
        ("int64", "-9223372036854775807", -9223372036854775807),
        ("uint64", "18446744073709551614", 18446744073709551614),
    ],
)
def test_a_missing_value_is_found_by_what_its_text_means(tmp_path, kind, nodata, stored):
    """As text in the file's tag, in whatever precision."""
    values = SMALL.astype(kind)
    values[0, 0] = stored
    values[0, 1] = stored + (64 if kind == "int64" else -64) if kind.endswith("int64") else 2
    path = write_tif(tmp_path / "a.tif", values, NATIVE, nodata=-12345.0 if kind[0] != "u" else 12345.0)
    content, text = path.read_bytes(), b"-12345" if kind[0] != "u" else b"12345"
    place = content.index(text + b"\0")
    # The text is short enough to stand in the directory or has its own place: write it at the end and point there.
    new = nodata.encode() + b"\0"
    entry = content.index((42113).to_bytes(2, "little") + (2).to_bytes(2, "little"))
    assert place
    changed = bytearray(content + new)
    changed[entry + 4 : entry + 12] = len(new).to_bytes(4, "little") + len(content).to_bytes(4, "little")
    path.write_bytes(bytes(changed))
    expected = np.zeros(values.shape, bool)
    expected[0, 0] = True
    expected[0, 1] = kind.endswith("int64")  # no measurement can be as large
    assert np.array_equal(np.isnan(read(tmp_path, "a.tif")), expected)


@pytest.mark.parametrize("nodata", [-9999, 300, 0.5])
def test_a_missing_value_that_the_type_cannot_hold_is_nowhere(tmp_path, nodata):
    write_tif(tmp_path / "a.tif", SMALL.astype("uint8"), NATIVE)
    assert np.array_equal(read(tmp_path, "a.tif", nodata=nodata), SMALL)


# NetCDF: netCDF4-python, xarray and, where its driver can, GDAL


@dataclass(frozen=True)
class Case:
    """Attributes of a variable, and numbers that are missing by them; who else reads it so."""

    attributes: Callable[[np.dtype], dict[str, Any]]
    missing: Callable[[np.dtype], list[Any]]
    who: frozenset[str] = frozenset({"netCDF4", "xarray"})
    kinds: tuple[str, ...] = TYPES


def typed(**attributes) -> Callable[[np.dtype], dict[str, Any]]:
    return lambda kind: {key: np.asarray(value, kind)[()] for key, value in attributes.items()}


_ALL = frozenset({"netCDF4", "xarray", "GDAL"})
CASES = {
    # GDAL takes one fill value of several, and fills what is out of range.
    "nothing": Case(lambda kind: {}, lambda kind: [], _ALL),
    "_FillValue": Case(typed(_FillValue=50), lambda kind: [50], _ALL),
    "missing_value": Case(typed(missing_value=60), lambda kind: [60], _ALL),
    "several missing values": Case(typed(missing_value=[60, 110]), lambda kind: [60, 110]),
    "both": Case(typed(_FillValue=50, missing_value=60), lambda kind: [50, 60]),
    # xarray reads no valid ranges.
    "valid_range": Case(typed(valid_range=[30, 100]), lambda kind: [10, 20, 110, 120], frozenset({"netCDF4"})),
    "valid_min": Case(typed(valid_min=30), lambda kind: [10, 20], frozenset({"netCDF4"})),
    "valid_max": Case(typed(valid_max=100), lambda kind: [110, 120], frozenset({"netCDF4"})),
    "range and fill": Case(typed(valid_range=[30, 100], _FillValue=50), lambda kind: [10, 20, 50, 110, 120],
                           frozenset({"netCDF4"})),
    # NetCDF's own fill value, without an attribute: not of bytes.
    "default fill": Case(lambda kind: {}, lambda kind: [netCDF4.default_fillvals[kind.str[1:]]], frozenset({"netCDF4"}),
                         TYPES[2:]),
    # Whether text or number: neither netCDF4-python nor xarray turns text into a number.
    "text": Case(lambda kind: {"_FillValue": np.asarray(50, kind)[()], "missing_value": "60, 110"},
                 lambda kind: [50, 60, 110], frozenset()),
    # Another type: read by what it means. netCDF4-python casts, xarray compares.
    "other type": Case(lambda kind: {"missing_value": np.float64(60)}, lambda kind: [60]),
    "actual_range": Case(typed(actual_range=[30, 100]), lambda kind: []),
}  # fmt: skip


def made(kind: str, turn: int) -> Iterator[tuple[Case, np.ndarray, dict[str, Any], np.ndarray]]:
    """Of every case, packed by turns: stored numbers, attributes, and what is right."""
    dtype = np.dtype(kind)
    for number, (name, case) in enumerate(CASES.items()):
        if kind not in case.kinds:
            continue
        missing = np.asarray(case.missing(dtype), kind)
        values = SMALL.astype(kind)
        if name == "default fill":
            values[1, 1] = missing[0]
        scale, offset = (SCALE, OFFSET) if (number + turn) % 2 else (1.0, 0.0)
        packing = {"scale_factor": scale, "add_offset": offset} if scale != 1 else {}
        right = np.where(np.isin(values, missing), np.nan, values.astype("float64") * scale + offset)
        yield case, values, case.attributes(dtype) | packing, right


def write_as_the_library(path: Path, values: np.ndarray, attributes: dict[str, Any]) -> Path:
    """By netCDF4, which notes in the file that unwritten numbers have the default fill value."""
    given = dict(attributes)
    with netCDF4.Dataset(path, "w") as file:
        for name, along, units in (("lat", LAT, "degrees_north"), ("lon", LON, "degrees_east")):
            file.createDimension(name, along.size)
            file.createVariable(name, "f8", (name,))[:] = along
            file[name].units = units
        variable = file.createVariable("v", values.dtype, ("lat", "lon"), fill_value=given.pop("_FillValue", None))
        variable.set_auto_maskandscale(False)
        variable.setncatts(given)
        variable[:] = values
    return path


@pytest.mark.filterwarnings("ignore:variable 'v' has multiple fill values")
@pytest.mark.parametrize("kind", TYPES)
def test_netcdf_variables_are_read_as_others_read_them(tmp_path, kind):
    for case, values, attributes, right in made(kind, TYPES.index(kind)):
        path = write_as_the_library(tmp_path / "a.nc", values, attributes)
        ours = read(tmp_path, "a.nc")
        agree(ours, right, str(attributes))
        if "netCDF4" in case.who:
            with netCDF4.Dataset(path) as file:
                agree(ours, np.ma.filled(file["v"][:].astype("float64"), np.nan), str(attributes))
        if "xarray" in case.who:
            with xr.open_dataset(path, engine="h5netcdf") as dataset:
                agree(ours, dataset["v"].values, str(attributes))
        if "GDAL" in case.who and kind not in ("int8", "int64", "uint64"):
            with rasterio.open(f"netcdf:{path}:v") as file:
                theirs = file.read(1, masked=True).astype("float64").filled(np.nan)
                agree(ours, theirs * file.scales[0] + file.offsets[0], str(attributes))


@pytest.mark.parametrize(("bits", "packed", "range_"), list(product((8, 16, 32), (False, True), (False, True))))
def test_unsigned_numbers_in_signed_types(tmp_path, bits, packed, range_):
    """Fill value and range are turned as the numbers are; netCDF4-python and xarray (without ranges) agree."""
    top = 2**bits
    values = SMALL.astype(f"u{bits // 8}")
    values[0, :3] = [top - 1, top - 100, top // 2]
    signed = f"int{bits}"
    attributes: dict[str, Any] = {"_Unsigned": "true", "_FillValue": np.dtype(signed).type(-1)}
    attributes |= {"scale_factor": SCALE, "add_offset": OFFSET} if packed else {}
    attributes |= {"valid_range": np.array([11, -120], signed)} if range_ else {}
    path = write_nc(tmp_path / "a.nc", values.view(signed), LON, LAT, attrs=attributes)
    missing = np.zeros(values.shape, bool)
    missing[0, 0] = True
    if range_:
        missing |= (values < 11) | (values > top - 120)
    measured = values * (SCALE if packed else 1.0) + (OFFSET if packed else 0)
    ours = read(tmp_path, "a.nc")
    agree(ours, np.where(missing, np.nan, measured))
    with netCDF4.Dataset(path) as file:
        agree(ours, np.ma.filled(file["v"][:].astype("float64"), np.nan))
    if not range_:
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            agree(ours, dataset["v"].values)
    # What the run file adds may be written either way.
    twice = read(tmp_path, "a.nc", nodata=[top - 100, -(top // 2)])
    missing[0, 1:3] = True
    agree(twice, np.where(missing, np.nan, measured))
    classes = read(tmp_path, "a.nc", classes={"high": [top - 100], "low": [50, 60]})
    assert np.array_equal(classes, np.select([values == top - 100, (values == 50) | (values == 60)], [1, 2], 0))


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_signed_numbers_in_unsigned_types(tmp_path, bits):
    """As xarray; netCDF4-python does not know this direction."""
    values = SMALL.astype(f"i{bits // 8}")
    values[0, :2] = [-1, -7]
    unsigned = f"uint{bits}"
    path = write_nc(
        tmp_path / "a.nc", values.view(unsigned), LON, LAT,
        attrs={"_Unsigned": "false", "_FillValue": np.dtype(unsigned).type(2**bits - 1), "scale_factor": 1.0},
    )  # fmt: skip
    ours = read(tmp_path, "a.nc")
    agree(ours, np.where(values == -1, np.nan, values))
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        agree(ours, dataset["v"].values)


def test_bytes_whose_range_says_that_they_are_unsigned(tmp_path):
    """The way before `_Unsigned` (User Guide), which GDAL knows, too."""
    values = SMALL.astype("uint8")
    values[0, 0] = 200
    attributes = {"valid_range": np.array([0, 254], "int16")}
    path = write_nc(tmp_path / "a.nc", values.view("int8"), LON, LAT, attrs=attributes)
    agree(read(tmp_path, "a.nc"), values)
    assert path.exists()


@pytest.mark.parametrize(
    ("kind", "limits", "unpacked"),
    [
        ("int16", np.array([30, 100], "int16"), False),
        ("int16", np.array([30, 100], "int32"), False),
        ("int16", np.array([4.5, 22.0], "float64"), True),
        ("int16", np.array([4.5, 22.0], "float32"), True),
        ("float32", np.array([30, 100], "float32"), False),
        ("float32", np.array([4.5, 22.0], "float64"), True),
    ],
)
def test_a_range_of_another_type_speaks_of_unpacked_numbers(tmp_path, kind, limits, unpacked):
    """The User Guide; netCDF4-python takes packed ones if they fit the type, and leaves others out."""
    attributes = {"valid_range": limits, "scale_factor": SCALE, "add_offset": OFFSET}
    path = write_nc(tmp_path / "a.nc", SMALL.astype(kind), LON, LAT, attrs=attributes)
    measured = SMALL * SCALE + OFFSET
    of = measured if unpacked else SMALL
    ours = read(tmp_path, "a.nc")
    agree(ours, np.where((of >= limits[0]) & (of <= limits[1]), measured, np.nan))
    assert np.isnan(ours).any() and np.isfinite(ours).any()
    with netCDF4.Dataset(path) as file:
        if not unpacked:
            agree(ours, np.ma.filled(file["v"][:].astype("float64"), np.nan))


def test_what_the_run_file_says_of_ranges_and_packing_replaces_what_the_file_says(tmp_path):
    attributes = {"valid_range": np.array([30, 100], "int16"), "scale_factor": SCALE, "missing_value": np.int16(50)}
    write_nc(tmp_path / "a.nc", SMALL.astype("int16"), LON, LAT, attrs=attributes)
    ours = read(tmp_path, "a.nc", valid_range=(20, 110), scale=2, nodata=60)
    missing = (SMALL < 20) | (SMALL > 110) | np.isin(SMALL, (50, 60))
    agree(ours, np.where(missing, np.nan, SMALL * 2))


@pytest.mark.parametrize(
    ("attribute", "value", "key", "remedy"),
    [
        ("missing_value", "none", "nodata", {"nodata": -9999}),
        ("missing_value", "n/a", "nodata", {"nodata": []}),
        ("valid_range", "from 0 to 10", "valid_range", {"valid_range": (-1e9, 1e9)}),
        ("valid_range", np.array([1.0, 2, 3], "f4"), "valid_range", {"valid_range": (-1e9, 1e9)}),
        ("valid_range", np.array([9, 1], "f4"), "valid_range", {"valid_range": (-1e9, 1e9)}),
        ("valid_min", "low", "valid_range", {"valid_range": (-1e9, 1e9)}),
        ("scale_factor", "ten", "scale", {"scale": 1}),
        ("scale_factor", np.nan, "scale", {"scale": 1}),
        ("scale_factor", 0.0, "scale", {"scale": 1}),
        ("scale_factor", np.array([1.0, 2.0]), "scale", {"scale": 1}),
        ("add_offset", "none", "offset", {"offset": 0}),
        ("add_offset", np.inf, "offset", {"offset": 0}),
    ],
)
def test_what_cannot_be_understood_names_file_attribute_and_key(tmp_path, attribute, value, key, remedy):
    write_nc(tmp_path / "a.nc", SMALL.astype("f4"), LON, LAT, attrs={attribute: value})
    problem = problem_of(tmp_path, "a.nc")
    assert f"add `{key}: " in problem
    assert attribute in problem or "valid range 9 to 1 is empty" in problem
    agree(read(tmp_path, "a.nc", **remedy), SMALL)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"scale_factor": "0.25", "add_offset": "-3"}, SMALL * SCALE + OFFSET),
        ({"missing_value": "60"}, np.where(SMALL == 60, np.nan, SMALL)),
        ({"missing_value": "60.f"}, np.where(SMALL == 60, np.nan, SMALL)),
        ({"missing_value": "NaN"}, SMALL),
        ({"missing_value": ""}, SMALL),
        ({"valid_range": "30, 100"}, np.where((SMALL < 30) | (SMALL > 100), np.nan, SMALL)),
        ({"valid_range": "30 100"}, np.where((SMALL < 30) | (SMALL > 100), np.nan, SMALL)),
        ({"valid_range": np.array([np.nan, 100], "f4")}, np.where(SMALL > 100, np.nan, SMALL)),
        ({"valid_max": np.array([100], "f4")}, np.where(SMALL > 100, np.nan, SMALL)),
        ({"missing_value": np.array([50.0, np.nan, 60], "f4")}, np.where(np.isin(SMALL, (50, 60)), np.nan, SMALL)),
    ],
)
def test_numbers_in_whatever_form(tmp_path, attributes, expected):
    write_nc(tmp_path / "a.nc", SMALL.astype("f4"), LON, LAT, attrs=attributes)
    agree(read(tmp_path, "a.nc"), expected)


@pytest.mark.parametrize("stored", [1e20, 9.969209968386869e36, 3.4028234663852886e38, -3.4028234663852886e38, np.inf])
def test_a_fill_value_in_another_precision(tmp_path, stored):
    """A double in the attribute, floats in the variable: netCDF4-python and xarray miss 1e20 here."""
    values = SMALL.astype("f4")
    values[0, 0] = stored
    write_nc(tmp_path / "a.nc", values, LON, LAT, attrs={"missing_value": np.float64(1e20)})
    assert np.isnan(read(tmp_path, "a.nc")).sum() == 1 and np.isnan(read(tmp_path, "a.nc")[0, 0])


def test_classic_files_say_the_same(tmp_path):
    attributes = {"_FillValue": np.int16(50), "valid_range": np.array([30, 100], "int16"), "scale_factor": SCALE}
    for engine in ("scipy", "h5netcdf"):
        write_nc(tmp_path / f"{engine}.nc", SMALL.astype("int16"), LON, LAT, attrs=attributes, engine=engine)
    agree(read(tmp_path, "scipy.nc"), read(tmp_path, "h5netcdf.nc"))


def test_text_is_not_a_covariate(tmp_path):
    xr.Dataset({"v": (("lat", "lon"), np.full((3, 4), "a"))}, {"lat": LAT, "lon": LON}).to_netcdf(tmp_path / "a.nc")
    assert "not numbers" in problem_of(tmp_path, "a.nc", variable="v")


def test_an_hdf_file_that_gdal_opens(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v"] = np.where(SMALL == 60, 255, SMALL).astype("uint8").view("int8")
        file["v"].attrs.update(
            {"_Unsigned": "true", "_FillValue": np.int8(-1), "valid_range": np.array([30, -2], "int8")}
        )
        file["w"] = SMALL
        file["w"].attrs["_FillValue"] = np.int64(-(2**62) - 1)
    from engine.sources.declared import of_band

    with rasterio.open(f"HDF5:{tmp_path / 'a.h5'}://v") as band:
        said = of_band(band, source_spec(href="a.h5"), "a.h5")
    assert said == Declared((255,), 1.0, 0.0, (30, 254), "uint8")
    with rasterio.open(f"HDF5:{tmp_path / 'a.h5'}://w") as band:
        assert of_band(band, source_spec(href="a.h5"), "a.h5").nodata == (-(2**62) - 1,)


# Zarr: xarray


@pytest.mark.filterwarnings("ignore:variable 'v' has multiple fill values")
@pytest.mark.parametrize(("version", "kind"), list(product((2, 3), ("int8", "uint16", "int64", "float32"))))
def test_zarr_says_the_same_as_netcdf(tmp_path, kind, version):
    for case, values, attributes, right in made(kind, version):
        if case in (CASES["default fill"], CASES["text"]):
            continue
        given = {k: v if k == "_FillValue" or np.isscalar(v) else v.tolist() for k, v in attributes.items()}
        dataset = xr.Dataset({"v": (("lat", "lon"), values, given)}, {"lat": LAT, "lon": LON})
        encoding = {"v": {} if "_FillValue" in given else {"_FillValue": None}}
        dataset.to_zarr(tmp_path / "a.zarr", mode="w", zarr_format=version, consolidated=False, encoding=encoding)
        ours = read(tmp_path, "a.zarr")
        agree(ours, right, str(given))
        if "xarray" in case.who:
            with xr.open_zarr(tmp_path / "a.zarr", chunks=None, consolidated=False) as by_xarray:
                agree(ours, by_xarray["v"].values, str(given))


@pytest.mark.parametrize("kind", ["int16", "float32"])
@pytest.mark.parametrize(
    ("version", "fill", "attribute", "missing"),
    [
        (2, None, None, []),
        (2, 0, None, [0]),  # as xarray and GDAL
        (2, 50, None, [50]),
        (3, 0, None, []),  # the value of chunks that are not there, unless somebody chose one
        (3, 50, None, [50]),  # as GDAL; xarray takes 50 for a value
        (3, 0, 50, [50]),
        (3, 50, 60, [50, 60]),
        (3, 0, "NaN", []),
    ],
)
def test_the_fill_value_of_an_array(tmp_path, kind, version, fill, attribute, missing):
    root = zarr.create_group(tmp_path / "a.zarr", zarr_format=version)
    for name, values in (("lat", LAT), ("lon", LON)):
        axis = root.create_array(name, shape=values.shape, dtype="f8", dimension_names=[name] if version == 3 else None)
        axis[:] = values
        axis.attrs["_ARRAY_DIMENSIONS"] = [name]
    names = ["lat", "lon"] if version == 3 else None
    array = root.create_array("v", shape=(3, 4), chunks=(1, 4), dtype=kind, fill_value=fill, dimension_names=names)
    values = SMALL.astype(kind)
    values[0, 0] = 0
    array[:2] = values[:2]
    values[2] = fill or 0  # of the chunk that is not there
    array.attrs["_ARRAY_DIMENSIONS"] = ["lat", "lon"]
    if attribute is not None:
        array.attrs["_FillValue"] = attribute
    agree(read(tmp_path, "a.zarr", variable="v"), np.where(np.isin(values, missing), np.nan, values))


# The reading of attributes, whatever the numbers


def spec(**entries) -> SourceSpec:
    return source_spec(href="x.nc", **entries)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), kind=st.sampled_from(INTEGERS))
def test_integers_are_compared_exactly(data, kind):
    info = np.iinfo(kind)
    numbers = st.integers(info.min, info.max)
    values = np.array(data.draw(st.lists(numbers, min_size=1, max_size=20)), kind)
    code = data.draw(st.one_of(numbers, st.sampled_from(values.tolist()), st.integers(-(2**70), 2**70)))
    ours = decode(values, spec(), Declared(nodata=(code,)))
    assert np.isnan(ours).tolist() == [int(v) == code or abs(int(v)) > 2**53 for v in values]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), bits=st.sampled_from([8, 16, 32, 64]))
def test_turning_keeps_the_bits(data, bits):
    for view, other in ((f"uint{bits}", f"int{bits}"), (f"int{bits}", f"uint{bits}")):
        info = np.iinfo(other)
        code = np.array(data.draw(st.integers(info.min, info.max)), other)
        assert turned(code.item(), view) == code.view(view).item()
        assert turned(code.view(view).item(), view) == code.view(view).item()


@settings(max_examples=100, deadline=None)
@given(
    attributes=st.dictionaries(
        st.sampled_from([
            "_FillValue", "missing_value", "valid_range", "valid_min", "valid_max", "scale_factor", "add_offset",
            "_Unsigned",
        ]),
        st.one_of(
            st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
            st.binary(max_size=4),
            st.lists(st.one_of(st.floats(), st.integers(), st.text(max_size=3), st.none()), max_size=3),
            st.sampled_from(["true", "false", "1e20", "-9999", "[0, 10]", "none"]).map(np.str_),
            st.floats(width=32).map(np.float32), st.integers(-128, 127).map(np.int8), st.just(np.array([])),
            st.just({"a": 1}),
        ),
    ),
    kind=st.sampled_from([*TYPES, "float16", "bool"]),
)  # fmt: skip
def test_whatever_attributes_hold_they_are_read_or_refused(attributes, kind):
    try:
        said = of_attributes(attributes, np.dtype(kind), spec(), Where("a.nc"), fills=True)
    except InputError as error:
        remedy = re.compile(r"a\.nc: .*; add `(nodata|valid_range|scale|offset): ")
        assert all(remedy.match(str(problem)) for problem in error.problems)
        return
    with np.errstate(all="ignore"):
        decode(np.zeros(3, kind), spec(), said)


def test_the_default_fills_are_those_of_netcdf():
    theirs = {np.dtype(key).name: value for key, value in netCDF4.default_fillvals.items() if key[0] in "iu"}
    assert {kind: value for kind, value in theirs.items() if kind not in ("int8", "uint8")} == DEFAULT_FILLS
