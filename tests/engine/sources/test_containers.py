"""Groups, HDF5 files, stores and files without an ending, and what is refused with what to do."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from rasters import north_up

from engine.errors import InputError
from engine.sources.entry import source_spec
from engine.sources.netcdf import NetcdfSource
from engine.sources.opening import open_source

LON, LAT = np.arange(120.25, 122, 0.5), np.arange(51.75, 50.4, -0.5)
NATIVE = north_up(120, 52, 0.5, 4, 3)
WHOLE = (slice(0, 3), slice(0, 4))
VALUES = np.arange(12, dtype="f4").reshape(3, 4)
PLAIN = xr.Dataset({"v": (("lat", "lon"), VALUES)}, {"lon": LON, "lat": LAT})


def problem(folder: Path, **entries) -> str:
    with pytest.raises(InputError) as error:
        open_source("c", source_spec(**entries), folder)
    (text,) = map(str, error.value.problems)
    assert text.startswith("covariates.c")
    return text


def holds(folder: Path, **entries) -> bool:
    source = open_source("c", source_spec(**entries), folder)
    assert isinstance(source, NetcdfSource) and source.geobox == NATIVE and source.summary().fingerprint
    return bool(np.array_equal(source.read(WHOLE), VALUES))


@pytest.mark.parametrize("name", ["a", "a.h5", "a.hdf5", "a.he5", "a.v1.2", "A.NC"])
@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_netcdf_by_any_name(tmp_path, name, engine):
    PLAIN.to_netcdf(tmp_path / "x.nc", engine=engine)
    (tmp_path / "x.nc").rename(tmp_path / name)
    assert holds(tmp_path, href=name)
    assert holds(tmp_path, href=name[0] + "*", variable="v")


@pytest.mark.parametrize("name", ["store", "store.zarr", "store.v2", "STORE.ZARR", "store/"])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
def test_zarr_by_any_name(tmp_path, name, version, consolidated):
    PLAIN.to_zarr(tmp_path / name, zarr_format=version, consolidated=consolidated)
    assert holds(tmp_path, href=name)


@pytest.mark.parametrize("kind", ["nc", "h5", "zarr", "store"])
def test_groups(tmp_path, kind):
    """The group that `variable` names, with the axes in it or in those around it."""
    path = tmp_path / {"nc": "g.nc", "h5": "g.h5", "zarr": "g.zarr", "store": "g"}[kind]

    def write(dataset: xr.Dataset, group: str | None, mode: str) -> None:
        if kind in ("nc", "h5"):
            dataset.to_netcdf(path, group=group, mode=mode, engine="h5netcdf")
        else:
            dataset.to_zarr(path, group=group, mode=mode)

    write(PLAIN, "Grid", "w")
    write(PLAIN.rename(v="w"), "Other/Inner", "a")
    for variable in ("Grid/v", "/Grid/v", "Other/Inner/w"):
        assert holds(tmp_path, href=path.name, variable=variable)
    text = problem(tmp_path, href=path.name, variable="v")
    assert "holds groups (Grid, Other/Inner); write `variable: Grid/v` (it holds Grid/v, Other/Inner/w)" in text
    assert "holds groups" in problem(tmp_path, href=path.name)
    for variable in ("Grid/u", "Nowhere/v"):
        text = problem(tmp_path, href=path.name, variable=variable)
        assert f"has no variable {variable!r}; it holds" in text and "v" in text


def test_axes_and_grid_mapping_of_the_group_around(tmp_path):
    """As of IMERG: the values lie deeper than the axes."""
    with h5py.File(tmp_path / "a.nc", "w") as file:
        for name, values in (("lon", LON), ("lat", LAT)):
            file[f"Grid/{name}"] = values
            file[f"Grid/{name}"].make_scale(name)
        file["Grid/deep/v"] = VALUES
        for axis, name in enumerate(("lat", "lon")):
            file["Grid/deep/v"].dims[axis].attach_scale(file[f"Grid/{name}"])
    assert holds(tmp_path, href="a.nc", variable="Grid/deep/v")


def test_edges_and_positions_are_no_maps(tmp_path):
    """One variable is left to read, although bounds and areas have two dimensions."""
    dataset = PLAIN.assign(lat_b=(("lat", "nv"), np.stack([LAT - 0.25, LAT + 0.25], 1)))
    dataset["lat"].attrs["bounds"] = "lat_b"
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert holds(tmp_path, href="a.nc")


REFERENCES = {"version": 1, "refs": {".zgroup": '{"zarr_format": 2}'}}


def test_references_to_other_files_are_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(REFERENCES))
    (tmp_path / "b.json").write_text(json.dumps(REFERENCES["refs"]))
    (tmp_path / "c.parq").mkdir()
    (tmp_path / "c.parq" / ".zmetadata").write_text(json.dumps({"metadata": {}, "record_size": 1000}))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / ".zmetadata").write_text(json.dumps({"metadata": {}, "record_size": 1000}))
    for name in ("a.json", "b.json", "c.parq", "d"):
        text = problem(tmp_path, href=name, variable="v")
        assert f"covariates.c.href: {tmp_path / name} holds references to chunks of other files" in text


def test_what_is_no_store_or_grid(tmp_path):
    xr.Dataset({"v": (("lat", "lon"), VALUES)}).to_zarr(tmp_path / "bare")
    assert "found no coordinate lon / longitude / x" in problem(tmp_path, href="bare")
    (tmp_path / "empty.zarr").mkdir()
    assert "empty.zarr: " in problem(tmp_path, href="empty.zarr")
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["v"] = VALUES
    assert "plain.h5: " in problem(tmp_path, href="plain.h5", variable="v")
    (tmp_path / "page").write_text("<html>")
    assert "not a raster that GDAL can open" in problem(tmp_path, href="page")
    import zarr

    zarr.save_array(tmp_path / "array", VALUES)
    assert "holds no group of arrays with coordinates" in problem(tmp_path, href="array", variable="v")


def test_a_place_at_zero_of_a_zarr_store_is_no_hole(tmp_path):
    """Arrays of format 2 are filled with 0, which is also a longitude."""
    import zarr

    group = zarr.open_group(tmp_path / "z.zarr", mode="w", zarr_format=2)
    for name, values, dims in (
        ("lon", np.arange(0.0, 4), ["lon"]),
        ("lat", LAT, ["lat"]),
        ("v", VALUES, ["lat", "lon"]),
    ):
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, fill_value=0)
        array[...] = values
        array.attrs["_ARRAY_DIMENSIONS"] = dims
    source = open_source("c", source_spec(href="z.zarr", variable="v"), tmp_path)
    assert source.geobox.boundingbox.left == -0.5


def test_what_is_not_netcdf_at_all(tmp_path):
    (tmp_path / "text.nc").write_text("year,value")
    (tmp_path / "empty.nc").touch()
    (tmp_path / "folder.nc").mkdir()
    assert "(it begins with b'year,val', unlike NetCDF and HDF5)" in problem(tmp_path, href="text.nc")
    assert "(it is empty)" in problem(tmp_path, href="empty.nc")
    assert "(a folder)" in problem(tmp_path, href="folder.nc")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("code", ["AAAAAAAAAA==", "AAAAAAAAAAAA", "abcdefghijk="])
def test_a_fill_value_of_zarr_that_is_no_number(tmp_path, version, code):
    xr.Dataset({"v": (("lat", "lon"), VALUES)}, {"lon": LON, "lat": LAT}).to_zarr(
        tmp_path / "z.zarr", zarr_format=version, consolidated=False
    )
    import zarr

    zarr.open_array(tmp_path / "z.zarr" / "v", mode="r+").attrs["_FillValue"] = code
    if code.endswith("k="):  # base64 of eight bytes
        assert open_source("c", source_spec(href="z.zarr", variable="v"), tmp_path).read(WHOLE).shape == VALUES.shape
    else:
        assert f"_FillValue is ['{code}'" in problem(tmp_path, href="z.zarr", variable="v")
