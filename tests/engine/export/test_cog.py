"""COGs: the store's values to the bit, readable by others, in bounded memory, never half-written."""

from pathlib import Path

import numpy as np
import odc.geo.xr
import pytest
import rasterio
import rasterio.errors
import rasterio.shutil
import xarray as xr
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from rio_cogeo.cogeo import cog_validate

from engine.export import cog
from engine.export.cog import write_cog
from engine.grid.grid import Grid
from engine.storage.zarr_store import Layer, array, create

POLAR = "EPSG:6931"
ALBERS = "+proj=aea +lat_1=25 +lat_2=47 +lat_0=0 +lon_0=105 +datum=WGS84 +units=m"
LABELS = np.array(["0-10", "0-30"], dtype="U5")


def make_store(path: Path, crs: str, shape: tuple[int, int], chunk: int = 256) -> np.ndarray:
    """A store as the pipeline leaves it: `mean` (depth, y, x), NaN in one corner, and class codes `zone` (y, x)."""
    rng = np.random.default_rng(3)
    values = rng.gamma(8.0, 0.6, (2, *shape)).astype("float32")
    values[:, : shape[0] // 3, : shape[1] // 4] = np.nan
    geobox = GeoBox(shape, rasterio.transform.from_origin(-3e5, 4e6, 1000, 1000), CRS(crs))
    store = xr.Dataset(
        {
            "mean": (("depth", "y", "x"), values),
            "zone": (("y", "x"), rng.integers(0, 4, shape, dtype="uint8")),
        },
        coords={"depth": LABELS} | odc.geo.xr.xr_coords(geobox),
    )
    for variable in store.data_vars.values():
        variable.attrs["grid_mapping"] = "spatial_ref"
    chunks = {"mean": {"chunks": (1, chunk, chunk)}, "zone": {"chunks": (chunk, chunk)}}
    store.to_zarr(path, consolidated=False, encoding=chunks)
    return values


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("cog") / "maps.zarr"
    return path, make_store(path, POLAR, (700, 1100))


def write(path: Path, target: Path, depth: int = 1) -> None:
    write_cog(
        path,
        "mean",
        target,
        index={"depth": depth},
        name="socd_0-30_mean",
        description="SOCD 0–30 cm, mean",
        missing="outside the domain",
        units="kg/m2",
        tags={"synthetic": "made-up data"},
    )


def test_is_a_valid_cog_with_overviews_and_the_stores_values(store, tmp_path):
    path, values = store
    target = tmp_path / "cog" / "socd_0-30_mean.tif"
    write(path, target)

    valid, errors, warnings = cog_validate(target, strict=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(target) as file:
        assert file.overviews(1)
        np.testing.assert_array_equal(file.read(1).view("uint32"), values[1].view("uint32"))
        assert np.isnan(file.nodata)
        assert file.descriptions == ("socd_0-30_mean",)
        assert file.tags()["TIFFTAG_IMAGEDESCRIPTION"] == "SOCD 0–30 cm, mean"
        assert file.tags(1)["missing"] == "outside the domain" and file.tags(1)["units"] == "kg/m2"
        assert file.units == ("kg/m2",)
        assert file.tags()["synthetic"] == "made-up data"
        assert file.crs.to_epsg() == 6931
        assert file.transform == rasterio.transform.from_origin(-3e5, 4e6, 1000, 1000)
        assert file.compression == rasterio.enums.Compression.deflate
        assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "3"
        known = values[1][np.isfinite(values[1])].astype("float64")
        assert float(file.tags(1)["STATISTICS_MEAN"]) == pytest.approx(known.mean(), rel=1e-6)
        assert float(file.tags(1)["STATISTICS_MAXIMUM"]) == pytest.approx(known.max())


def test_overviews_average_what_is_known(store, tmp_path):
    path, values = store
    write(path, tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as file:
        overview = file.read(1)
    cells = values[1].reshape(350, 2, 550, 2).swapaxes(1, 2).reshape(350, 550, 4).astype("float64")
    expected = np.nanmean(np.where(np.isnan(cells).all(-1, keepdims=True), 0, cells), axis=-1)
    expected[np.isnan(cells).all(-1)] = np.nan
    np.testing.assert_allclose(overview, expected, rtol=1e-5)


def test_categories_keep_their_codes_in_the_overviews(store, tmp_path):
    path, _ = store
    write_cog(path, "zone", tmp_path / "z.tif", name="zone", description="zone", units="1", resampling="mode")
    with rasterio.open(tmp_path / "z.tif") as file:
        assert (file.dtypes, file.nodata) == (("uint8",), 0)
        codes = file.read(1)
        np.testing.assert_array_equal(codes, xr.open_zarr(path, consolidated=False)["zone"].values)
    with rasterio.open(tmp_path / "z.tif", overview_level=0) as file:
        block, overview = codes[:2, :2].ravel(), file.read(1)
    assert set(np.unique(overview)) <= {0, 1, 2, 3}
    assert overview[0, 0] in block


def test_counts_stay_whole_numbers_and_none_is_not_missing(tmp_path):
    counts = np.random.default_rng(1).integers(-1, 40, (90, 70)).astype("int32")  # −1: missing
    geobox = GeoBox(counts.shape, rasterio.transform.from_origin(0, 0, 1000, 1000), CRS(POLAR))
    create(tmp_path / "n.zarr", Grid(geobox, 32, geobox.extent), {"n": Layer("int32", {})}, {}, {})
    array(tmp_path / "n.zarr", "n", "r+")[:] = counts
    write_cog(tmp_path / "n.zarr", "n", tmp_path / "n.tif", name="n", description="n", units="1")
    with rasterio.open(tmp_path / "n.tif") as file:
        assert (file.dtypes, file.nodata) == (("int32",), -1)
        np.testing.assert_array_equal(file.read(1), counts)
        assert ((file.read_masks(1) > 0) == (counts >= 0)).all()


def test_a_crs_without_a_code_survives(tmp_path):
    values = make_store(tmp_path / "albers.zarr", ALBERS, (60, 80))
    write(tmp_path / "albers.zarr", tmp_path / "a.tif", depth=0)
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(1), values[0])
        assert file.crs == rasterio.crs.CRS.from_user_input(ALBERS)


def test_reads_each_row_of_chunks_once(store, tmp_path, monkeypatch):
    path, _ = store
    strips = []
    read = cog._strips

    def watched(layer):
        for window, values in read(layer):
            strips.append((window.row_off, values.shape))
            yield window, values

    monkeypatch.setattr(cog, "_strips", watched)
    write(path, tmp_path / "a.tif")
    assert strips == [(0, (256, 1100)), (256, (256, 1100)), (512, (188, 1100))]


def test_failure_leaves_the_old_file_and_nothing_else(store, tmp_path, monkeypatch):
    path, _ = store
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")

    def full_disk(*args, **kwargs):
        Path(args[1]).write_bytes(b"half")
        raise rasterio.errors.RasterioIOError("no space left on device")

    monkeypatch.setattr(rasterio.shutil, "copy", full_disk)
    with pytest.raises(rasterio.errors.RasterioIOError, match="no space"):
        write(path, target)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_an_index_that_leaves_a_cube_is_refused(store, tmp_path):
    path, _ = store
    with pytest.raises(ValueError, match=r"dims \('depth', 'y', 'x'\)"):
        write_cog(path, "mean", tmp_path / "a.tif", name="mean", description="d", units="1")
    assert not list(tmp_path.iterdir())
